//! The ways in which clients are known to hash a body wrongly, tried one by one and together.

use std::borrow::Cow;

use crate::domain::{
    checksum::{self, Digest, Version, push_code, sha256, write_escaped},
    json::Node,
};

const CHECKSUM_MEMBER: &str = "payload_checksum";

/// A way to hash wrongly; the position in [`FLAWS`] is its bit in a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    OrderAsSent,
    NumbersAsSent,
    AsciiOnly,
    EscapedSlashes,
    Spaced,
    NestedStripped,
    EmptyChecksum,
    NullChecksum,
    NewLine,
}

const FLAWS: [(Flaw, &str); 9] = [
    (
        Flaw::OrderAsSent,
        "members stay in the order sent (they must be sorted by name)",
    ),
    (
        Flaw::NumbersAsSent,
        "amounts and numbers stay as written (100.00 must become 100, or \"100.00\" under v2.1)",
    ),
    (
        Flaw::AsciiOnly,
        "non-ASCII characters are written as \\u escapes (they must stay as they are)",
    ),
    (Flaw::EscapedSlashes, "slashes are escaped (they must not be)"),
    (Flaw::Spaced, "blanks follow ',' and ':' (there must be none)"),
    (
        Flaw::NestedStripped,
        "payload_checksum is taken out of the transactions too (there it must stay)",
    ),
    (
        Flaw::EmptyChecksum,
        "payload_checksum is hashed as an empty string (it must be left out)",
    ),
    (
        Flaw::NullChecksum,
        "payload_checksum is hashed as null (it must be left out)",
    ),
    (Flaw::NewLine, "a line end follows the text (nothing may)"),
];

/// A set of flaws, one bit each.
#[derive(Clone, Copy)]
struct Style(u16);

impl Style {
    fn has(self, flaw: Flaw) -> bool {
        FLAWS
            .iter()
            .position(|(known, _)| *known == flaw)
            .is_some_and(|bit| self.0 >> bit & 1 == 1)
    }

    fn names(self) -> Vec<&'static str> {
        let flaws = FLAWS.iter().filter(|(flaw, _)| self.has(*flaw));
        flaws.map(|(_, name)| *name).collect()
    }
}

/// The fewest flaws that give the checksum sent, the version they are made in, and the text that the
/// client then hashed.
pub(super) fn find(node: &Node<'_>, given: &Digest) -> Option<(Version, Vec<&'static str>, String)> {
    let mut styles: Vec<Style> = (1..1 << FLAWS.len()).map(Style).collect();
    styles.sort_by_key(|style| style.0.count_ones());
    let mut text = String::new();
    for style in styles {
        for version in Version::ALL {
            text.clear();
            Writer {
                out: &mut text,
                style,
                version,
            }
            .level(node);
            if sha256(text.as_bytes()) == *given {
                return Some((version, style.names(), text));
            }
        }
    }
    None
}

struct Writer<'o> {
    out: &'o mut String,
    style: Style,
    version: Version,
}

impl Writer<'_> {
    fn level(&mut self, node: &Node<'_>) {
        if let Node::Object(members) = node {
            let own = members.iter().filter(|(name, _)| name != CHECKSUM_MEMBER);
            let mut members: Vec<(&str, &Node<'_>)> = own.map(|(name, value)| (&**name, value)).collect();
            let empty = Node::String(Cow::Borrowed(""));
            if self.style.has(Flaw::EmptyChecksum) {
                members.push((CHECKSUM_MEMBER, &empty));
            } else if self.style.has(Flaw::NullChecksum) {
                members.push((CHECKSUM_MEMBER, &Node::Null));
            }
            self.object(members);
        }
        if self.style.has(Flaw::NewLine) {
            self.out.push('\n');
        }
    }

    fn object(&mut self, mut members: Vec<(&str, &Node<'_>)>) {
        if !self.style.has(Flaw::OrderAsSent) {
            members.sort_by_key(|(name, _)| *name);
        }
        self.out.push('{');
        for (position, (name, value)) in members.into_iter().enumerate() {
            self.comma(position);
            self.string(name);
            self.out
                .push_str(if self.style.has(Flaw::Spaced) { ": " } else { ":" });
            self.member(name, value);
        }
        self.out.push('}');
    }

    fn member(&mut self, name: &str, value: &Node<'_>) {
        match value {
            Node::Array(items) => {
                self.out.push('[');
                for (position, item) in items.iter().enumerate() {
                    self.comma(position);
                    self.member("", item);
                }
                self.out.push(']');
            }
            Node::Object(members) => {
                let stripped = self.style.has(Flaw::NestedStripped);
                let kept = members
                    .iter()
                    .filter(|(name, _)| !(stripped && name == CHECKSUM_MEMBER));
                self.object(kept.map(|(name, value)| (&**name, value)).collect());
            }
            Node::Number(text) if self.style.has(Flaw::NumbersAsSent) => self.out.push_str(text),
            Node::String(text) if self.style.has(Flaw::NumbersAsSent) => self.string(text),
            Node::String(text) if !checksum::is_money(name, self.version) => self.string(text),
            scalar => checksum::write_member(self.out, name, scalar, self.version),
        }
    }

    fn comma(&mut self, position: usize) {
        if position > 0 {
            self.out
                .push_str(if self.style.has(Flaw::Spaced) { ", " } else { "," });
        }
    }

    fn string(&mut self, text: &str) {
        let mut escaped = String::new();
        write_escaped(&mut escaped, text);
        self.out.push('"');
        for c in escaped.chars() {
            if c == '/' && self.style.has(Flaw::EscapedSlashes) {
                self.out.push_str("\\/");
            } else if !c.is_ascii() && self.style.has(Flaw::AsciiOnly) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    push_code(self.out, u32::from(*unit));
                }
            } else {
                self.out.push(c);
            }
        }
        self.out.push('"');
    }
}
