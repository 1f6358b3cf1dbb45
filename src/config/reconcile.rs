//! `[reconcile]`: comparing the record with what a web application holds.

use serde::Deserialize;

use super::Millis;

/// `[reconcile]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// Where control totals are asked for, as a URL relative to the sink's endpoint.
    pub address: String,
    /// How long one request may take.
    pub timeout_ms: Millis,
    /// Longest answer that is read, in bytes.
    pub max_answer_bytes: usize,
    /// Ids of sales read in one statement.
    pub page: i64,
    /// Ranges into which one that differs is cut, and most ranges in one request.
    pub fan_out: usize,
    /// A range of no more sales than this is listed rather than cut.
    pub leaf: usize,
    /// Most sales of tenants that differ kept in memory at a time.
    pub hold: usize,
    /// Most requests of one run.
    pub max_requests: usize,
    /// Most differences told in one run.
    pub max_differences: usize,
    /// How long after its day a sale may still be recorded, in days.
    pub late_days: u32,
}
