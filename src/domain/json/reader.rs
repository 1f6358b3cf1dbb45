//! The recursive descent behind [`super::parse`]: one pass, strings borrowed where they hold no escape.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use super::{Duplicates, JsonError, Limits, MAX_DEPTH, Node, Problem, scan::plain_length};

/// Objects up to this many members are searched member by member; larger ones get an index, so that
/// looking for duplicates stays linear in the body.
const INDEX_FROM: usize = 16;

/// Characters of a repeated member's name that the error shows.
const SHOWN_NAME: usize = 64;

/// Room for members and items under way in a body of one sale; more is made when needed.
const STACK: usize = 32;

/// What is read, or why not: in a box, so that moving a value costs nothing more for the errors.
type Read<T> = Result<T, Box<JsonError>>;

type Member<'a> = (Cow<'a, str>, Node<'a>);

/// Where the members of a large object stand.
type Index<'a> = HashMap<Cow<'a, str>, usize>;

pub(super) struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth_left: usize,
    nodes_left: usize,
    duplicates: Duplicates,
    /// Values that no array or object has yet, the latest last. Every value is put here as soon as it
    /// is read, so that none is handed up from call to call. An array that is complete takes its own
    /// from the end, so that it is given a list of exactly its size, once.
    values: Vec<Node<'a>>,
    /// Members of the objects under way, in the same way.
    members: Vec<Member<'a>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, limits: &Limits) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth_left: limits.depth.min(MAX_DEPTH),
            nodes_left: limits.nodes,
            duplicates: limits.duplicates,
            values: Vec::with_capacity(STACK),
            members: Vec::with_capacity(STACK),
        }
    }

    pub(super) fn document(mut self) -> Result<Node<'a>, JsonError> {
        self.whole().map_err(|error| *error)
    }

    fn whole(&mut self) -> Read<Node<'a>> {
        self.skip_blanks();
        self.value()?;
        self.skip_blanks();
        match (self.peek(), self.values.pop()) {
            (None, Some(node)) => Ok(node),
            _ => Err(self.malformed("text after the document")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn malformed(&self, why: &'static str) -> Box<JsonError> {
        self.error(Problem::Malformed(why))
    }

    fn error(&self, problem: Problem) -> Box<JsonError> {
        Box::new(JsonError {
            problem,
            offset: self.at,
        })
    }

    /// Reads a value and puts it on `values`.
    fn value(&mut self) -> Read<()> {
        self.nodes_left = match self.nodes_left.checked_sub(1) {
            Some(left) => left,
            None => return Err(self.error(Problem::TooMany)),
        };
        match self.peek() {
            Some(b'"') => {
                let text = self.string()?;
                self.values.push(Node::String(text));
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            Some(_) => Err(self.malformed("a value is expected")),
            None => Err(self.malformed("the text ends where a value is expected")),
        }
    }

    fn word(&mut self, word: &'static str, node: Node<'a>) -> Read<()> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.malformed("a value is expected"));
        }
        self.at = end;
        self.values.push(node);
        Ok(())
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<()>) -> Read<()> {
        self.depth_left = match self.depth_left.checked_sub(1) {
            Some(left) => left,
            None => return Err(self.error(Problem::TooDeep)),
        };
        self.at += 1;
        self.skip_blanks();
        read(self)?;
        self.depth_left += 1;
        Ok(())
    }

    fn array(&mut self) -> Read<()> {
        let start = self.values.len();
        while !self.eat(b']') {
            if self.values.len() > start {
                if !self.eat(b',') {
                    return Err(self.malformed("',' or ']' is expected"));
                }
                self.skip_blanks();
            }
            self.value()?;
            self.skip_blanks();
        }
        let items = self.values.split_off(start);
        self.values.push(Node::Array(items));
        Ok(())
    }

    fn object(&mut self) -> Read<()> {
        let start = self.members.len();
        let mut index = None;
        while !self.eat(b'}') {
            if self.members.len() > start {
                if !self.eat(b',') {
                    return Err(self.malformed("',' or '}' is expected"));
                }
                self.skip_blanks();
            }
            let (name, earlier) = self.name(start, &mut index)?;
            self.value()?;
            let value = self.values.pop().unwrap_or(Node::Null);
            match earlier.and_then(|position| self.members.get_mut(start + position)) {
                Some((_, before)) => *before = value,
                None => self.members.push((name, value)),
            }
            self.skip_blanks();
        }
        let members = self.members.split_off(start);
        self.values.push(Node::Object(members));
        Ok(())
    }

    /// Reads the name of a member up to its value, and finds where the object, whose members begin at
    /// `start`, has it already.
    fn name(&mut self, start: usize, index: &mut Option<Index<'a>>) -> Read<(Cow<'a, str>, Option<usize>)> {
        let offset = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.malformed("a member name is expected"));
        }
        let name = self.string()?;
        self.skip_blanks();
        if !self.eat(b':') {
            return Err(self.malformed("':' is expected"));
        }
        self.skip_blanks();
        let members = self.members.get(start..).unwrap_or_default();
        let earlier = find_or_note(members, index, &name);
        if earlier.is_some() && self.duplicates == Duplicates::Refuse {
            let name = name.chars().take(SHOWN_NAME).collect();
            self.at = offset;
            return Err(self.error(Problem::Duplicate { name }));
        }
        Ok((name, earlier))
    }

    fn number(&mut self) -> Read<()> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.slice(start, self.at);
        self.values.push(Node::Number(text));
        Ok(())
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.malformed("a digit is expected"))
        } else {
            Ok(())
        }
    }

    /// The text between two positions that both stand on ASCII characters or the end.
    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Reads a string. Most hold no escape and are borrowed; that short way is put in where it is
    /// called, so that the two words of the borrowed text go straight to where they are kept.
    #[inline(always)]
    fn string(&mut self) -> Read<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        self.at += plain_length(self.bytes.get(start..).unwrap_or_default());
        let plain = self.slice(start, self.at);
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        self.unescaped(plain).map(Cow::Owned)
    }

    /// The rest of a string that begins with `plain` and goes on with an escape, if with anything.
    #[cold]
    fn unescaped(&mut self, plain: &str) -> Read<String> {
        let mut whole = plain.to_owned();
        loop {
            match self.peek() {
                None => return Err(self.malformed("a string has no end")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(whole);
                }
                Some(b'\\') => {
                    self.at += 1;
                    whole.push(self.escape()?);
                }
                Some(_) => {
                    return Err(self.malformed("a control character in a string must be escaped"));
                }
            }
            let start = self.at;
            self.at += plain_length(self.bytes.get(start..).unwrap_or_default());
            whole.push_str(self.slice(start, self.at));
        }
    }

    /// The character that an escape stands for; the backslash is read already.
    fn escape(&mut self) -> Read<char> {
        let plain = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.malformed("unknown escape")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// `uXXXX`, or a pair of surrogates `uXXXX\uXXXX`.
    fn unicode_escape(&mut self) -> Read<char> {
        self.at += 1;
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                let second = if self.eat(b'\\') && self.eat(b'u') {
                    self.hex4()?
                } else {
                    0
                };
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.malformed("a lone surrogate"));
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.malformed("a lone surrogate"))
    }

    fn hex4(&mut self) -> Read<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
        let value = digits.iter().try_fold(0, |sum, byte| {
            char::from(*byte).to_digit(16).map(|digit| sum * 16 + digit)
        });
        match value {
            Some(value) if digits.len() == 4 => {
                self.at += 4;
                Ok(value)
            }
            _ => Err(self.malformed("four hex digits are expected")),
        }
    }
}

/// Where a member of this name stands already. Beyond [`INDEX_FROM`] members an index answers, filled
/// when first needed; a name it does not know is noted as the member to come.
#[expect(
    clippy::ptr_arg,
    reason = "the index keeps the name, which copies nothing when it is borrowed"
)]
fn find_or_note<'a>(
    members: &[Member<'a>],
    index: &mut Option<Index<'a>>,
    name: &Cow<'a, str>,
) -> Option<usize> {
    if members.len() < INDEX_FROM {
        return members.iter().position(|(known, _)| known == name);
    }
    let index = index.get_or_insert_with(|| {
        let names = members.iter().map(|(known, _)| known.clone());
        names.zip(0..).collect()
    });
    match index.entry(name.clone()) {
        Entry::Occupied(known) => Some(*known.get()),
        Entry::Vacant(place) => {
            place.insert(members.len());
            None
        }
    }
}
