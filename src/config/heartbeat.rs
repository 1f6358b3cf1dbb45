//! Settings of the heartbeats of terminals.

use serde::Deserialize;

use super::Millis;

/// `[heartbeat]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// What a terminal is told: when its next heartbeat is due.
    pub interval_ms: Millis,
    /// Pause between two writes of the heartbeats that came meanwhile.
    pub flush_ms: Millis,
    /// Most terminals whose heartbeat waits to be written.
    pub capacity: usize,
}
