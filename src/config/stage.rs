//! Settings of the pool that works on a queue.

use serde::Deserialize;

use super::Millis;

/// `[stage.<name>]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagePool {
    /// Sets of jobs worked on at the same time in one process.
    pub concurrency: usize,
    /// Further sets at the same time, only of tenants within their share; 0 for none.
    pub express: usize,
    /// Whether a set is taken before there is a place for it; decision 0023.
    pub ahead: bool,
    /// Most jobs in one set.
    pub batch: usize,
    /// How long to let jobs gather at the least after a set that was not full; 0 takes them as they come.
    pub gather_ms: Millis,
    /// How long at most, with queues in Redis: twice as long as sets of late took. What is not above `gather_ms`
    /// makes that the one pause there is. Decision 0035.
    pub gather_most_ms: Millis,
    /// Least jobs of a set after which they are let gather.
    pub gather_from: usize,
    /// How long a set may take.
    pub timeout_ms: Millis,
    /// After this long without renewal a taken job is given to another worker.
    pub lease_ms: Millis,
    /// Deliveries after which a job that was never acknowledged is parked as poison.
    pub max_deliveries: u32,
    /// Pause before a failed set is tried again; doubles up to `retry_max_ms`.
    pub retry_min_ms: Millis,
    /// Longest pause between tries.
    pub retry_max_ms: Millis,
}
