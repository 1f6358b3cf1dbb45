//! Settings of what goes out: to the web application, and to the callback addresses of terminals.

use serde::Deserialize;

use super::{Millis, Secret};
use crate::domain::{compression::Compression, network::Networks};

/// `[forwarding]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarding {
    /// Whether sales are sent at all; off, they wait in the record.
    pub enabled: bool,
    /// The web application.
    pub endpoint: String,
    /// Bearer token for it.
    pub token: Secret,
    /// Secrets that sign batches to it, newest first.
    pub signing_secrets: Secret,
    /// How batches to it are compressed.
    pub compression: Compression,
    /// Whether the endpoint may be of a private network or of this machine.
    pub allow_private: bool,
    /// How old what a worker knows of the sinks may be.
    pub sinks_refresh_ms: Millis,
    /// Most sinks there may be.
    pub most_sinks: usize,
    /// Most sales in one POST.
    pub batch_size: usize,
    /// Fewest sales a batch is cut down to.
    pub batch_size_min: usize,
    /// How long an answer takes that counts as slow.
    pub slow_ms: Millis,
    /// POSTs under way at the same time to one sink, within one set.
    pub parallel: usize,
    /// The same within one process.
    pub sink_places: usize,
    /// How long a set waits for a sink where there are others.
    pub patience_ms: Millis,
    /// Sales that waited before beside new ones, in percent of those.
    pub late_percent: u8,
    /// The same a second whatever is new.
    pub late_per_s: u32,
    /// How long after it was due a sale becomes a dead letter.
    pub max_age_ms: Millis,
    /// How long one POST may take, answer included.
    pub timeout_ms: Millis,
    /// How long to wait for a connection.
    pub connect_timeout_ms: Millis,
    /// How long a claim holds a sale without being renewed.
    pub claim_ms: Millis,
    /// Pause after the first failed attempt.
    pub retry_min_ms: Millis,
    /// Longest pause between attempts.
    pub retry_max_ms: Millis,
    /// Attempts after which a sale becomes a dead letter.
    pub max_attempts: u32,
    /// Longest `Retry-After` honoured.
    pub retry_after_max_ms: Millis,
    /// Consecutive failures, seen by one process, that open the breaker of a sink.
    pub breaker_failures: u32,
    /// Part of the calls, in percent, whose failure opens it too; of the calls of one process, the newest
    /// counting most.
    pub breaker_failure_percent: u32,
    /// Time over which that part is taken.
    pub breaker_window_ms: Millis,
    /// Calls within it below which the part means nothing.
    pub breaker_min_calls: u32,
    /// How long the breaker stays open.
    pub breaker_open_ms: Millis,
    /// Most bytes read of an answer.
    pub max_answer_bytes: usize,
}

/// `[egress]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Networks that may be called although they are not public.
    pub allow: Networks,
}

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
    /// Keys from which each terminal's secret is made, newest first; empty: callbacks are not signed.
    pub signing_keys: Secret,
}
