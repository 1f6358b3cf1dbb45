//! What `tsms checksum compute|verify` tells a POS vendor: for every level of a body the canonical text
//! and the hash in each version, whether the checksum sent fits, and what probably went wrong if not.
//!
//! For the vendor's own machine and the sandbox of the ingress, which keeps nothing: where a sale is
//! sent, the right hash is never named.

mod difference;
mod flaws;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

pub use self::difference::Difference;

use super::{
    checksum::{self, Version, canonical, from_hex, sha256},
    json::{self, Duplicates, JsonError, Limits, Node},
};

/// Levels that are searched for the cause of a mismatch; the first ones of a batch speak for the rest.
const EXPLAINED_LEVELS: usize = 5;
/// Longest canonical text, in bytes, whose cause is searched: every try hashes all of it.
const EXPLAINED_BYTES: usize = 65_536;

/// What there is to know about the checksums of a body.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Report {
    /// The version that fits every level; a body is accepted if there is one.
    #[schema(required)]
    pub fits: Option<Version>,
    /// Each transaction, then the envelope; one level only if the body is a bare transaction or void.
    pub levels: Vec<LevelReport>,
    /// What the client probably does wrong, for a person.
    pub hints: Vec<String>,
}

/// One object with a checksum of its own.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LevelReport {
    /// JSON pointer of the object; empty for the body itself.
    #[schema(pattern = "^(/.*)?$")]
    pub pointer: String,
    /// Its `payload_checksum` as sent.
    #[schema(required)]
    pub given: Option<String>,
    /// The right checksum in each version, the newest first.
    #[schema(min_items = 3, max_items = 3)]
    pub versions: Vec<VersionReport>,
    /// Where the text that the client hashed first differs from the right one, if its text was sent or
    /// could be told from its hash.
    #[schema(required)]
    pub difference: Option<Difference>,
}

/// A level under one version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionReport {
    /// The version.
    pub version: Version,
    /// The text that is hashed.
    pub canonical: String,
    /// Its SHA-256 in lower-case hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub sha256: String,
    /// Whether the checksum sent is this one.
    pub matches: bool,
}

impl LevelReport {
    fn of(pointer: String, node: &Node<'_>, given: Option<&str>) -> Self {
        let digest = given.and_then(from_hex);
        let versions = Version::ALL.into_iter().map(|version| {
            let canonical = canonical(node, version);
            let right = sha256(canonical.as_bytes());
            let sha256 = data_encoding::HEXLOWER.encode(&right);
            VersionReport {
                version,
                canonical,
                sha256,
                matches: digest == Some(right),
            }
        });
        Self {
            pointer,
            given: given.map(str::to_owned),
            versions: versions.collect(),
            difference: None,
        }
    }

    /// Where `hashed`, which the client hashed, first differs from the right text of a version; of the
    /// closest one if it is not known which.
    fn differs(&self, hashed: &str, version: Option<Version>) -> Option<Difference> {
        let wanted = self
            .versions
            .iter()
            .filter(|right| version.is_none_or(|version| right.version == version));
        difference::difference(
            hashed,
            wanted.map(|right| (right.version, right.canonical.as_str())),
        )
    }

    /// Whether the checksum sent is the one of `version`.
    #[must_use]
    pub fn matches(&self, version: Version) -> bool {
        self.versions
            .iter()
            .any(|report| report.version == version && report.matches)
    }

    fn matches_any(&self) -> bool {
        self.versions.iter().any(|report| report.matches)
    }

    fn is_short(&self) -> bool {
        self.versions
            .iter()
            .all(|report| report.canonical.len() <= EXPLAINED_BYTES)
    }

    fn name(&self) -> &str {
        if self.pointer.is_empty() {
            "the body"
        } else {
            &self.pointer
        }
    }
}

/// Looks at every level of a body: a submission, or a bare transaction or void. A repeated member does
/// not end it, as the ingress would; it becomes a hint, and the last one is hashed.
///
/// # Errors
/// The body is not JSON, or past a limit.
pub fn report(body: &[u8], limits: &Limits) -> Result<Report, JsonError> {
    let root = lenient(body, limits)?;
    Ok(examine(&root, &BTreeMap::new(), refusals(body, limits)))
}

/// As [`report`], for a sandbox: the body is what [`report`] takes, or an object of two members,
/// `payload` with that and `hashed` with the texts that the client hashed, by JSON pointer of the level.
///
/// # Errors
/// As [`report`].
pub fn sandbox(body: &[u8], limits: &Limits) -> Result<Report, JsonError> {
    let root = lenient(body, limits)?;
    let hints = refusals(body, limits);
    let (Some(payload), Some(Node::Object(texts))) = (root.get("payload"), root.get("hashed")) else {
        return Ok(examine(&root, &BTreeMap::new(), hints));
    };
    let texts = texts.iter().filter_map(|(pointer, text)| match text {
        Node::String(text) => Some((&**pointer, &**text)),
        _ => None,
    });
    Ok(examine(payload, &texts.collect(), hints))
}

fn lenient<'a>(body: &'a [u8], limits: &Limits) -> Result<Node<'a>, JsonError> {
    let duplicates = Duplicates::LastWins;
    json::parse(
        body,
        &Limits {
            duplicates,
            ..*limits
        },
    )
}

/// Why the ingress would not even look at the checksums.
fn refusals(body: &[u8], limits: &Limits) -> Vec<String> {
    let duplicates = Duplicates::Refuse;
    let strict = json::parse(
        body,
        &Limits {
            duplicates,
            ..*limits
        },
    );
    let refusal = strict
        .err()
        .map(|error| format!("the ingress refuses this body: {error}"));
    refusal.into_iter().collect()
}

/// Compares every level; `hashed` holds what the client says it hashed.
fn examine(root: &Node<'_>, hashed: &BTreeMap<&str, &str>, mut hints: Vec<String>) -> Report {
    if root.get("transaction").is_some() && root.get("transactions").is_some() {
        hints.push("the ingress refuses a body with both transaction and transactions".to_owned());
    }
    let nodes = checksum::levels(root);
    let mut levels: Vec<LevelReport> = nodes
        .iter()
        .map(|level| LevelReport::of(level.pointer(), level.node, level.given()))
        .collect();
    let fits = checksum::verify(root).ok();
    if fits.is_none() {
        explain(&levels, &mut hints);
        let failing = nodes
            .iter()
            .zip(&mut levels)
            .filter(|(_, report)| !report.matches_any());
        for (level, report) in failing.take(EXPLAINED_LEVELS) {
            hints.extend(hint(level.node, report));
        }
    }
    for level in &mut levels {
        if let Some(text) = hashed.get(level.pointer.as_str()) {
            level.difference = level.differs(text, None);
        }
    }
    Report { fits, levels, hints }
}

/// Hints about the levels together.
fn explain(levels: &[LevelReport], hints: &mut Vec<String>) {
    if levels.iter().all(LevelReport::matches_any) {
        hints.push(
            "every level fits a version, but not all the same one; use one for the whole body".to_owned(),
        );
    }
    if let Some((envelope, items)) = levels.split_last()
        && !items.is_empty()
        && !envelope.matches_any()
        && items.iter().all(LevelReport::matches_any)
    {
        let hint = "all transactions fit and the envelope does not: it is hashed last, over the \
                    transactions as sent, with their payload_checksum";
        hints.push(hint.to_owned());
    }
}

/// Why the checksum of one level fits no version, as far as it can be told.
fn hint(node: &Node<'_>, report: &mut LevelReport) -> Option<String> {
    let name = report.name().to_owned();
    let Some(given) = &report.given else {
        return Some(format!("{name} has no payload_checksum"));
    };
    let Some(digest) = from_hex(given) else {
        return Some(format!("payload_checksum of {name} is not 64 hexadecimal digits"));
    };
    let (version, flaws, text) = report.is_short().then(|| flaws::find(node, &digest))??;
    report.difference = report.differs(&text, Some(version));
    Some(format!(
        "the checksum of {name} fits {} if {}",
        version.name(),
        flaws.join(" and ")
    ))
}
