//! The official payload of both eras: from JSON nodes to a [`Submission`], with every structural
//! error named by its JSON pointer.

mod envelope;
mod fields;
mod reversal;
mod rows;
#[cfg(test)]
mod tests;
mod transaction;

use uuid::Uuid;

pub use self::reversal::{RefundRequest, VoidRequest, read_refund, read_void, void_checksum};
pub(crate) use self::{
    reversal::{MAX_REASON, MAX_REFERENCE},
    rows::{ADJUSTMENTS, Kind, TAXES},
    transaction::{MAX_RECEIPT, MAX_TEXT},
};
use super::{
    checksum::{self, Digest, Version},
    json::{self, Limits},
    sale::Sale,
    time::Timestamp,
};

/// A structurally sound submission whose checksums hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The terminal's id of the submission; unique per terminal.
    pub submission_uuid: Uuid,
    /// As sent; the caller compares it with the token.
    pub tenant_id: i64,
    /// As sent; the caller compares it with the token.
    pub terminal_id: i64,
    /// When the till sent it, by its own clock.
    pub submission_timestamp: Timestamp,
    /// The verified checksum of the envelope.
    pub payload_checksum: Digest,
    /// The version of the checksum rule that fits.
    pub version: Version,
    /// The transactions, at least one.
    pub sales: Vec<Sale>,
}

/// One structural error of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) of the member.
    pub pointer: String,
    /// Stable code: `required`, `type`, `format`, `range`, `too_long`, `mismatch`, `conflicting`,
    /// `duplicate` or `missing_type`.
    pub code: &'static str,
    /// What is expected, for a person. Never echoes a secret or a hash.
    pub message: String,
}

/// Why a body is not an acceptable submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not JSON, or duplicate members, or past a limit: 400.
    Json(super::json::JsonError),
    /// More transactions than the limit: 413.
    TooMany {
        /// How many were sent.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Members missing, of the wrong type or form: 422.
    Fields(Vec<FieldError>),
    /// A checksum does not match: 422.
    Checksum(Vec<super::checksum::Mismatch>),
}

/// Bounds of a submission.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bounds of the JSON text.
    pub json: Limits,
    /// Most transactions in one batch.
    pub batch: usize,
    /// Most field errors reported of one body; at least one is.
    pub max_errors: usize,
}

/// Reads, checks and verifies a body. Ownership (token against `tenant_id`, `terminal_id`,
/// `hardware_id`) is the caller's.
///
/// # Errors
/// See [`Refusal`]; all field errors are reported, up to a bound, not only the first.
pub fn read(body: &[u8], bounds: &Bounds) -> Result<Submission, Refusal> {
    let root = json::parse(body, &bounds.json).map_err(Refusal::Json)?;
    let mut submission = envelope::read(&root, bounds)?;
    submission.version = checksum::verify(&root).map_err(Refusal::Checksum)?;
    Ok(submission)
}

/// Reads a body that was accepted before (kept raw in the record), without checking its checksums
/// again: `version` is the one that the shape of the body suggests.
///
/// # Errors
/// As [`read`], checksums aside; an accepted body fails only if the record was damaged.
pub fn reread(body: &[u8], bounds: &Bounds) -> Result<Submission, Refusal> {
    let root = json::parse(body, &bounds.json).map_err(Refusal::Json)?;
    envelope::read(&root, bounds)
}
