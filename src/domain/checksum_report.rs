//! What `tsms checksum compute|verify` tells a POS vendor: for every level of a body the canonical text
//! and the hash in each version, whether the checksum sent fits, and what probably went wrong if not.
//!
//! For the vendor's own machine only: the ingress never names the right hash.

mod flaws;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::{
    checksum::{self, Version, canonical, from_hex, sha256},
    json::{self, Duplicates, JsonError, Limits, Node},
};

/// Levels that are searched for the cause of a mismatch; the first ones of a batch speak for the rest.
const EXPLAINED_LEVELS: usize = 5;
/// Longest canonical text, in bytes, whose cause is searched: every try hashes all of it.
const EXPLAINED_BYTES: usize = 65_536;

/// What there is to know about the checksums of a body.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version that fits every level; a body is accepted if there is one.
    pub fits: Option<Version>,
    /// Each transaction, then the envelope; one level only if the body is a bare transaction or void.
    pub levels: Vec<LevelReport>,
    /// What the client probably does wrong, for a person.
    pub hints: Vec<String>,
}

/// One object with a checksum of its own.
#[derive(Clone, Debug, Serialize)]
pub struct LevelReport {
    /// JSON pointer of the object; empty for the body itself.
    pub pointer: String,
    /// Its `payload_checksum` as sent.
    pub given: Option<String>,
    /// The right checksum in each version.
    pub versions: Vec<VersionReport>,
}

/// A level under one version.
#[derive(Clone, Debug, Serialize)]
pub struct VersionReport {
    /// The version.
    pub version: Version,
    /// The text that is hashed.
    pub canonical: String,
    /// Its SHA-256 in lower-case hex.
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
        }
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
    let lenient = Limits {
        duplicates: Duplicates::LastWins,
        ..*limits
    };
    let root = json::parse(body, &lenient)?;
    let mut hints = Vec::new();
    let strict = Limits {
        duplicates: Duplicates::Refuse,
        ..*limits
    };
    if let Err(error) = json::parse(body, &strict) {
        hints.push(format!("the ingress refuses this body: {error}"));
    }
    if root.get("transaction").is_some() && root.get("transactions").is_some() {
        hints.push("the ingress refuses a body with both transaction and transactions".to_owned());
    }

    let nodes = checksum::levels(&root);
    let levels: Vec<LevelReport> = nodes
        .iter()
        .map(|level| LevelReport::of(level.pointer(), level.node, level.given()))
        .collect();
    let fits = checksum::verify(&root).ok();
    if fits.is_none() {
        explain(&levels, &mut hints);
        let failing = nodes
            .iter()
            .zip(&levels)
            .filter(|(_, report)| !report.matches_any());
        for (level, report) in failing.take(EXPLAINED_LEVELS) {
            hints.extend(hint(level.node, report));
        }
    }
    Ok(Report { fits, levels, hints })
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
fn hint(node: &Node<'_>, report: &LevelReport) -> Option<String> {
    let name = report.name();
    let Some(given) = &report.given else {
        return Some(format!("{name} has no payload_checksum"));
    };
    let Some(digest) = from_hex(given) else {
        return Some(format!("payload_checksum of {name} is not 64 hexadecimal digits"));
    };
    let (version, flaws) = report.is_short().then(|| flaws::find(node, &digest))??;
    Some(format!(
        "the checksum of {name} fits {} if {}",
        version.name(),
        flaws.join(" and ")
    ))
}
