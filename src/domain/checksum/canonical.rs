//! The canonical text, written straight into one buffer: member indices are sorted, no tree is built.

use std::cmp::Ordering;

use super::{
    super::{decimal::Decimal, json::Node},
    Version, number,
};

/// The member that holds the checksum of its object and is left out when that object is hashed.
pub(super) const CHECKSUM_MEMBER: &str = "payload_checksum";

type Member<'a> = (std::borrow::Cow<'a, str>, Node<'a>);

/// Writes canonical texts, one after the other, into a buffer that is kept.
pub(super) struct Writer {
    pub(super) out: String,
    version: Version,
}

impl Writer {
    pub(super) const fn new(version: Version) -> Self {
        Self {
            out: String::new(),
            version,
        }
    }

    /// Replaces the buffer's content by the text of `node` without its own checksum member.
    pub(super) fn rewrite(&mut self, node: &Node<'_>) {
        self.out.clear();
        match node {
            Node::Object(members) => {
                self.object(
                    members
                        .iter()
                        .filter(|(name, _)| name != CHECKSUM_MEMBER)
                        .collect(),
                );
            }
            other => self.value(other),
        }
    }

    fn value(&mut self, node: &Node<'_>) {
        match node {
            Node::Null => self.out.push_str("null"),
            Node::Bool(true) => self.out.push_str("true"),
            Node::Bool(false) => self.out.push_str("false"),
            Node::Number(text) => number::write_number(&mut self.out, text),
            Node::String(text) => self.string(text),
            Node::Array(items) => self.list(items.iter()),
            Node::Object(members) => self.object(members.iter().collect()),
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

    fn object(&mut self, members: Vec<&Member<'_>>) {
        let members = sorted(members);
        let is_list = members
            .iter()
            .enumerate()
            .all(|(position, (name, _))| is_index(name, position));
        if is_list {
            // An empty object, or one whose names are 0 to n-1: the field cannot tell it from a list.
            self.list(members.iter().map(|(_, value)| value));
            return;
        }
        self.out.push('{');
        for (position, (name, value)) in members.into_iter().enumerate() {
            if position > 0 {
                self.out.push(',');
            }
            self.string(name);
            self.out.push(':');
            self.member(name, value);
        }
        self.out.push('}');
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
            Node::Number(text) => return number::write_cast_number(&mut self.out, text),
            Node::String(text) => return number::write_cast_text(&mut self.out, text),
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
        if number::write_hundredths(&mut self.out, text) {
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
    let special = |c: char| matches!(c, '"' | '\\' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}');
    let mut rest = text;
    while let Some((plain, after)) = rest.find(special).and_then(|at| rest.split_at_checked(at)) {
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
            Some(other) => push_code(out, u32::from(other)),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
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

/// Whether names can be numeric at all; ordinary member names are told apart by one byte.
fn may_be_numeric(name: &str) -> bool {
    name.bytes()
        .next()
        .is_some_and(|b| !b.is_ascii_alphabetic() && b != b'_' && b.is_ascii())
}

/// Members in the order of the field's sort by key: numeric names compare as numbers with each other,
/// all other pairs by bytes. That is no total order (`10` < `5x` < `9` < `10`), so it must not be
/// handed to a sort; instead each of the two kinds is sorted and the two runs are merged. Where the
/// order is consistent that gives it, and else something that depends on the names alone.
fn sorted<'m, 'a>(members: Vec<&'m Member<'a>>) -> Vec<&'m Member<'a>> {
    if !members.iter().any(|(name, _)| may_be_numeric(name)) {
        let mut members = members;
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        return members;
    }
    let mut numeric = Vec::new();
    let mut plain = Vec::new();
    for member in members {
        match Numeric::of(&member.0) {
            Some(value) => numeric.push((value, member)),
            None => plain.push(member),
        }
    }
    numeric.sort_by(|(a, (a_name, _)), (b, (b_name, _))| a.compare(b).then_with(|| a_name.cmp(b_name)));
    plain.sort_by(|(a, _), (b, _)| a.cmp(b));

    let mut merged = Vec::with_capacity(numeric.len() + plain.len());
    let mut plain = plain.into_iter().peekable();
    for (_, member) in numeric {
        while let Some(before) = plain.next_if(|(name, _)| *name < member.0) {
            merged.push(before);
        }
        merged.push(member);
    }
    merged.extend(plain);
    merged
}

/// The value of a numeric name.
struct Numeric {
    double: f64,
    long: Option<i64>,
}

impl Numeric {
    fn of(name: &str) -> Option<Self> {
        Decimal::parse(name)?;
        let digits = name.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
        Some(Self {
            double: digits.parse().ok()?,
            long: digits.parse().ok(),
        })
    }

    /// Total: by value as doubles; among equal ones integers first, exactly.
    fn compare(&self, other: &Self) -> Ordering {
        let doubles = self.double.partial_cmp(&other.double).unwrap_or(Ordering::Equal);
        let exact = |value: &Self| (value.long.is_none(), value.long);
        doubles.then_with(|| exact(self).cmp(&exact(other)))
    }
}
