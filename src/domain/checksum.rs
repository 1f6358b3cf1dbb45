//! The payload checksum in the three versions of the wire format, over the raw body.

mod amount;
mod attempt;
#[cfg(test)]
mod by_definition;
mod canonical;
mod number;
mod order;
#[cfg(test)]
mod tests;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

pub(super) use self::canonical::{is_money, push_code, write_escaped};
use self::{
    attempt::Attempt,
    canonical::{CHECKSUM_MEMBER, Writer},
};
use super::json::Node;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// Length of a digest in hex.
const HEX_LENGTH: usize = 64;

/// Which money rule a checksum follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Version {
    /// July to September 2025: `base_amount` and `amount` print as doubles.
    #[serde(rename = "v1")]
    V1,
    /// Since September 2025: `gross_sales`, `net_sales` and `amount` print as doubles.
    #[serde(rename = "v2.0")]
    V20,
    /// Since June 2026: the same keys print as strings with two decimals.
    #[serde(rename = "v2.1")]
    V21,
}

impl Version {
    /// Every version, newest first.
    pub const ALL: [Version; 3] = [Version::V21, Version::V20, Version::V1];

    /// The name used on the wire and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V20 => "v2.0",
            Version::V21 => "v2.1",
        }
    }
}

/// A level of the body whose checksum does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// JSON pointer of the `payload_checksum` member that is wrong.
    pub pointer: String,
}

/// The canonical text of an object without its own `payload_checksum` member.
///
/// Total: an amount or number that no double holds prints as `INF`, so that no client's checksum fits
/// it (the system in the field hashes the empty string then).
#[must_use]
pub fn canonical(node: &Node<'_>, version: Version) -> String {
    let mut writer = Writer::new(version, 0);
    writer.level(node);
    writer.out
}

/// The SHA-256 of [`canonical`].
#[must_use]
pub fn digest(node: &Node<'_>, version: Version) -> Digest {
    sha256(canonical(node, version).as_bytes())
}

/// Writes one value the way the member `name` of an object is written.
pub(super) fn write_member(out: &mut String, name: &str, value: &Node<'_>, version: Version) {
    let mut writer = Writer::new(version, 0);
    writer.member(name, value);
    out.push_str(&writer.out);
}

/// SHA-256 of a text as it is, e.g. of the batch string of a forward.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// Reads a checksum as sent: 64 hex digits in either case.
#[must_use]
pub fn from_hex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    let fits = text.len() == HEX_LENGTH;
    let written = fits.then(|| HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut digest))?;
    (written == Ok(digest.len())).then_some(digest)
}

/// Checks every level of an envelope (each transaction, then the envelope itself) under one version
/// after the other and names the version that fits the whole body. Versions are never mixed. The
/// version that the shape of the body suggests is tried first.
///
/// A wrong body costs at most three times as much as a right one: a version is given up at its first
/// wrong level, and taken up there again only if no version fits and as long as it may fail fewer
/// levels than another one.
///
/// # Errors
/// No version fits: the levels that fail under the version that fails fewest.
pub fn verify(envelope: &Node<'_>) -> Result<Version, Vec<Mismatch>> {
    let levels = levels(envelope);
    let mut attempts = Vec::new();
    for version in order(&levels) {
        let mut attempt = Attempt::new(version, &levels);
        if attempt.advance(&levels, 1) {
            return Ok(version);
        }
        attempts.push(attempt);
    }
    let mut fewest = levels.len() + 1;
    let mut failing = Vec::new();
    for mut attempt in attempts {
        if attempt.advance(&levels, fewest) {
            fewest = attempt.failing.len();
            failing = attempt.failing;
        }
    }
    let failing = failing.iter().filter_map(|position| levels.get(*position));
    let mismatches = failing.map(|level| Mismatch {
        pointer: format!("{}/{CHECKSUM_MEMBER}", level.pointer()),
    });
    Err(mismatches.collect())
}

/// The version that the shape of an envelope suggests.
pub(super) fn likely(envelope: &Node<'_>) -> Version {
    let [first, _, _] = order(&levels(envelope));
    first
}

/// An object that carries a checksum of its own.
pub(super) struct Level<'n, 'a> {
    place: Place,
    pub(super) node: &'n Node<'a>,
}

enum Place {
    Envelope,
    Single,
    Item(usize),
}

impl Level<'_, '_> {
    /// JSON pointer of the object.
    pub(super) fn pointer(&self) -> String {
        match self.place {
            Place::Envelope => String::new(),
            Place::Single => "/transaction".to_owned(),
            Place::Item(index) => format!("/transactions/{index}"),
        }
    }

    /// The checksum as sent.
    pub(super) fn given(&self) -> Option<&str> {
        match self.node.get(CHECKSUM_MEMBER) {
            Some(Node::String(text)) => Some(text),
            _ => None,
        }
    }

    fn given_digest(&self) -> Option<Digest> {
        self.given().and_then(from_hex)
    }
}

/// The levels of a body: its transactions in order, then the envelope.
pub(super) fn levels<'n, 'a>(envelope: &'n Node<'a>) -> Vec<Level<'n, 'a>> {
    let mut levels = Vec::new();
    if let Some(node @ Node::Object(_)) = envelope.get("transaction") {
        levels.push(Level {
            place: Place::Single,
            node,
        });
    }
    if let Some(Node::Array(items)) = envelope.get("transactions") {
        let items = items.iter().enumerate();
        levels.extend(items.map(|(index, node)| Level {
            place: Place::Item(index),
            node,
        }));
    }
    levels.push(Level {
        place: Place::Envelope,
        node: envelope,
    });
    levels
}

/// The versions in the order that finds the right one soonest: the seed era has a `base_amount`, and
/// after it amounts are JSON numbers under v2.0 and texts under v2.1.
fn order(levels: &[Level<'_, '_>]) -> [Version; 3] {
    if levels.iter().any(|level| level.node.get("base_amount").is_some()) {
        [Version::V1, Version::V20, Version::V21]
    } else if matches!(
        levels.first().and_then(|level| level.node.get("gross_sales")),
        Some(Node::Number(_))
    ) {
        [Version::V20, Version::V21, Version::V1]
    } else {
        Version::ALL
    }
}
