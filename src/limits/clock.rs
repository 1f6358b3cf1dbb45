//! The server's clock, as far as a process knows it.

use std::time::{Duration, Instant};

use super::table::Now;

/// What is known of the server's clock: it read `read` at some time between `asked` before `at` and
/// `at`, so at `at` it read between `read` and `read + asked`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) read: u64,
    pub(super) at: Instant,
    pub(super) asked: Duration,
}

impl Clock {
    pub(super) fn now(&self) -> Now {
        let since = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let early = self.read.saturating_add(since(self.at.elapsed()));
        // One more for what the milliseconds cut off.
        let late = early.saturating_add(since(self.asked)).saturating_add(1);
        Now { early, late }
    }
}
