//! Settings of the callbacks to terminals.

use serde::Deserialize;

use super::Millis;

/// `[notification]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// How long one callback may take.
    pub timeout_ms: Millis,
    /// Callbacks under way at the same time, within one set.
    pub parallel: usize,
    /// Pause after the first failed attempt.
    pub retry_min_ms: Millis,
    /// Longest pause between attempts.
    pub retry_max_ms: Millis,
    /// Attempts after which a callback is given up.
    pub max_attempts: u32,
    /// How long a claim holds a callback; longer than `timeout_ms`.
    pub claim_ms: Millis,
}
