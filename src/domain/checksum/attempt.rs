//! One try to verify a body under one version: every transaction's text is written once, and serves
//! for its own checksum and for the envelope's.

use std::ops::Range;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{
    super::json::Node,
    Digest, Level, Place, Version,
    canonical::{CHECKSUM_MEMBER, Member, Writer},
    order::in_order,
    sha256,
};

/// Room for the texts of the levels at first, in bytes a level: a sale has about 900.
const ROOM: usize = 1_024;

/// A try that can stop at any level and go on later.
pub(super) struct Attempt {
    pub(super) version: Version,
    /// Positions of the levels whose checksum does not match, so far.
    pub(super) failing: Vec<usize>,
    /// The next level to look at.
    next: usize,
    writer: Writer,
    /// Where the buffer has the text of `transaction`.
    single: Option<Range<usize>>,
    /// Where the buffer has the items of `transactions`, with the commas between them.
    batch: Option<Range<usize>>,
}

impl Attempt {
    pub(super) fn new(version: Version, levels: &[Level<'_, '_>]) -> Self {
        Self {
            version,
            failing: Vec::new(),
            next: 0,
            writer: Writer::new(version, ROOM * levels.len()),
            single: None,
            batch: None,
        }
    }

    /// Looks at level after level until `most` of them fail; whether none is left.
    pub(super) fn advance(&mut self, levels: &[Level<'_, '_>], most: usize) -> bool {
        while self.failing.len() < most {
            let Some(level) = levels.get(self.next) else {
                return true;
            };
            let right = self.digest(level);
            let given = level.given_digest();
            let fits = given
                .zip(right)
                .is_some_and(|(given, right)| given.ct_eq(&right).into());
            if !fits {
                self.failing.push(self.next);
            }
            self.next += 1;
        }
        false
    }

    /// The right checksum of a level; `None` for what is no object, which carries none.
    fn digest(&mut self, level: &Level<'_, '_>) -> Option<Digest> {
        let start = self.writer.out.len();
        match (&level.place, level.node) {
            (Place::Envelope, Node::Object(members)) => Some(self.envelope(level.node, members)),
            (Place::Envelope, _) => None,
            (Place::Single, node) => {
                let digest = self.transaction(node);
                self.single = Some(start..self.writer.out.len());
                digest
            }
            (Place::Item(_), node) => {
                let batch = self.batch.take();
                if batch.is_some() {
                    self.writer.out.push(',');
                }
                let digest = self.transaction(node);
                let start = batch.map_or(start, |batch| batch.start);
                self.batch = Some(start..self.writer.out.len());
                digest
            }
        }
    }

    /// Appends a transaction as it stands in the envelope. Its own checksum is over the same text but
    /// for one member, so the two parts beside that member are hashed where they are.
    fn transaction(&mut self, node: &Node<'_>) -> Option<Digest> {
        let start = self.writer.out.len();
        let Node::Object(members) = node else {
            self.writer.value(node);
            return None;
        };
        let own = self.writer.nested_level(members);
        let end = self.writer.out.len();
        Some(match own {
            Some(own) => {
                let mut hash = Sha256::new();
                hash.update(self.text(start..own.start));
                hash.update(self.text(own.end..end));
                hash.finalize().into()
            }
            None => self.apart(node),
        })
    }

    /// The checksum of the envelope, whose transactions stand in the buffer already: what stands
    /// between them is written and hashed, and they are hashed where they are.
    fn envelope(&mut self, node: &Node<'_>, members: &[Member<'_>]) -> Digest {
        in_order(members, |ordered, plain| {
            let others = ordered.iter().filter(|(name, _)| name != CHECKSUM_MEMBER);
            if !plain || others.clone().next().is_none() {
                // The rest may be a list.
                return self.apart(node);
            }
            let mut hash = Sha256::new();
            let mut from = self.writer.out.len();
            for (position, (name, value)) in others.enumerate() {
                self.writer.out.push(if position == 0 { '{' } else { ',' });
                self.writer.name(name);
                let (written, around) = match &**name {
                    "transaction" => (self.single.clone(), ""),
                    "transactions" => (self.batch.clone(), "[]"),
                    _ => (None, ""),
                };
                let Some(written) = written else {
                    self.writer.member(name, value);
                    continue;
                };
                let (open, close) = around.split_at_checked(1).unwrap_or_default();
                self.writer.out.push_str(open);
                hash.update(self.text(from..self.writer.out.len()));
                hash.update(self.text(written));
                from = self.writer.out.len();
                self.writer.out.push_str(close);
            }
            self.writer.out.push('}');
            hash.update(self.text(from..self.writer.out.len()));
            hash.finalize().into()
        })
    }

    /// The checksum of a level by its definition, in a buffer of its own.
    fn apart(&self, node: &Node<'_>) -> Digest {
        let mut writer = Writer::new(self.version, ROOM);
        writer.level(node);
        sha256(writer.out.as_bytes())
    }

    fn text(&self, range: Range<usize>) -> &[u8] {
        self.writer.out.as_bytes().get(range).unwrap_or_default()
    }
}
