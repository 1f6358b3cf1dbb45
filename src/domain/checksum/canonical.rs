//! The canonical text, written straight into one buffer: member indices are sorted, no tree is built.

use std::ops::Range;

use super::{
    super::json::{Node, unescaped_length},
    Version, amount,
    order::in_order,
};

/// The member that holds the checksum of its object and is left out when that object is hashed.
pub(super) const CHECKSUM_MEMBER: &str = "payload_checksum";

pub(super) type Member<'a> = (std::borrow::Cow<'a, str>, Node<'a>);

/// Writes canonical texts, one after the other, into a buffer that is kept.
pub(super) struct Writer {
    pub(super) out: String,
    version: Version,
}

impl Writer {
    /// A writer with a buffer of `room` bytes at first.
    pub(super) fn new(version: Version, room: usize) -> Self {
        Self {
            out: String::with_capacity(room),
            version,
        }
    }

    /// Appends the text of `node` without its own checksum member.
    pub(super) fn level(&mut self, node: &Node<'_>) {
        match node {
            Node::Object(members) => in_order(members, |members, _| {
                let others = members.iter().filter(|(name, _)| name != CHECKSUM_MEMBER);
                self.members(others.copied());
            }),
            other => self.value(other),
        }
    }

    /// Appends the text of an object as it stands within another one, and says which bytes of the
    /// buffer are its own checksum member with one comma. Without them the text is the one that
    /// [`Writer::level`] writes, as leaving out a plain name moves no other one. `None` where that
    /// does not hold: nothing else is left, or some name may be a number, so that without the member
    /// the rest may be a list.
    pub(super) fn nested_level(&mut self, members: &[Member<'_>]) -> Option<Range<usize>> {
        in_order(members, |ordered, plain| {
            let own = self.members(ordered.iter().copied());
            own.filter(|_| plain && ordered.len() > 1)
        })
    }

    pub(super) fn value(&mut self, node: &Node<'_>) {
        match node {
            Node::Null => self.out.push_str("null"),
            Node::Bool(true) => self.out.push_str("true"),
            Node::Bool(false) => self.out.push_str("false"),
            Node::Number(text) => amount::write_number(&mut self.out, text),
            Node::String(text) => self.string(text),
            Node::Array(items) => self.list(items.iter()),
            Node::Object(members) => in_order(members, |members, _| {
                self.members(members.iter().copied());
            }),
        }
    }

    fn list<'n, 'a: 'n>(&mut self, items: impl Iterator<Item = &'n Node<'a>>) {
        self.out.push('[');
        for (position, item) in items.enumerate() {
            if position > 0 {
                self.out.push(',');
            }
            self.value(item);
        }
        self.out.push(']');
    }

    /// Writes an object of these members and says where it has a checksum member: with the comma
    /// before it, or the place of the one after it if it comes first.
    fn members<'n, 'a: 'n>(
        &mut self,
        members: impl Iterator<Item = &'n Member<'a>> + Clone,
    ) -> Option<Range<usize>> {
        let mut names = members.clone().enumerate();
        if names.all(|(position, (name, _))| is_index(name, position)) {
            // An empty object, or one whose names are 0 to n-1: the field cannot tell it from a list.
            self.list(members.map(|(_, value)| value));
            return None;
        }
        let mut checksum = None;
        self.out.push('{');
        for (position, (name, value)) in members.enumerate() {
            let start = self.out.len();
            if position > 0 {
                self.out.push(',');
            }
            self.name(name);
            self.member(name, value);
            if name == CHECKSUM_MEMBER {
                let comma_after = usize::from(position == 0);
                checksum = Some(start..self.out.len() + comma_after);
            }
        }
        self.out.push('}');
        checksum
    }

    /// A member's name and the colon.
    pub(super) fn name(&mut self, name: &str) {
        self.string(name);
        self.out.push(':');
    }

    /// The value of a member, by the money rule where the name calls for it.
    pub(super) fn member(&mut self, name: &str, value: &Node<'_>) {
        match self.version {
            _ if !is_money(name, self.version) => self.value(value),
            Version::V1 | Version::V20 => self.cast(value),
            Version::V21 => self.two_decimals(value),
        }
    }

    /// What a cast to a double makes of a value.
    fn cast(&mut self, node: &Node<'_>) {
        let truth = match node {
            Node::Number(text) => return amount::write_cast_number(&mut self.out, text),
            Node::String(text) => return amount::write_cast_text(&mut self.out, text),
            Node::Null => false,
            Node::Bool(truth) => *truth,
            Node::Array(items) => !items.is_empty(),
            Node::Object(members) => !members.is_empty(),
        };
        self.out.push(if truth { '1' } else { '0' });
    }

    /// A text of two decimals where the value is numeric; all else as it is.
    fn two_decimals(&mut self, node: &Node<'_>) {
        let text: &str = match node {
            Node::Number(text) => text,
            Node::String(text) => text,
            other => return self.value(other),
        };
        let start = self.out.len();
        self.out.push('"');
        if amount::write_hundredths(&mut self.out, text) {
            self.out.push('"');
        } else {
            self.out.truncate(start);
            self.string(text);
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        write_escaped(&mut self.out, text);
        self.out.push('"');
    }
}

/// Escapes what the field escapes: quotes, backslashes, control characters and the two Unicode line
/// separators; neither slashes nor any other character.
pub(in super::super) fn write_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some((plain, after)) = rest.split_at_checked(unescaped_length(rest.as_bytes())) {
        out.push_str(plain);
        let mut characters = after.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control @ ('\0'..='\x1f' | '\u{2028}' | '\u{2029}')) => push_code(out, u32::from(control)),
            Some(other) => out.push(other),
            None => return,
        }
        rest = characters.as_str();
    }
}

/// `\u` and four lower-case hex digits.
pub(in super::super) fn push_code(out: &mut String, code: u32) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.extend(char::from_digit((code >> shift) & 0xf, 16));
    }
}

const fn money_keys(version: Version) -> &'static [&'static str] {
    match version {
        Version::V1 => &["base_amount", "amount"],
        Version::V20 | Version::V21 => &["gross_sales", "net_sales", "amount"],
    }
}

/// Whether the money rule of a version applies to members of this name.
pub(in super::super) fn is_money(name: &str, version: Version) -> bool {
    money_keys(version).contains(&name)
}

fn is_index(name: &str, position: usize) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && name.parse() == Ok(position)
        && (name == "0" || !name.starts_with('0'))
}
