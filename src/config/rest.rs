//! `[queue.rest]`: how workers make room while many tills wait for their answers.

use serde::Deserialize;

use super::Millis;

/// `[queue.rest]`; only where the queues are on Redis.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    /// How long a pool rests after each set, in percent of the time that the set took; zero: never.
    pub percent: u32,
    /// Longest rest after one set.
    pub most_ms: Millis,
    /// Submissions that an ingress puts in the queue at a time, on average of the last few, from which on many
    /// tills count as waiting.
    pub from_rows: usize,
    /// How long workers believe an ingress that many tills wait.
    pub hold_ms: Millis,
    /// Age of the oldest job of a set from which on no pool rests, however many tills wait.
    pub lag_ms: Millis,
}
