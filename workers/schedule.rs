//! When something that did not work is tried again, and whether there is still time to try now.

use std::time::{Duration, Instant};

use backoff::{SystemClock, backoff::Backoff as _, exponential::ExponentialBackoff};

/// Attempts after which the pause has long reached its ceiling, whatever the settings: a bound on
/// the arithmetic, not on the attempts.
const DOUBLINGS: u32 = 64;

/// Pauses between attempts: doubling from `min` to `max`, full jitter above `min`, so that many sales
/// that failed together do not come back together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) min: Duration,
    pub(super) max: Duration,
    pub(super) max_attempts: u32,
}

impl Schedule {
    /// The pause after attempt number `attempt` (1 is the first), or `None` when it was the last.
    pub(super) fn pause(&self, attempt: u32) -> Option<Duration> {
        (attempt < self.max_attempts).then(|| jittered(self.min, self.ceiling(attempt)))
    }

    fn ceiling(&self, attempt: u32) -> Duration {
        let mut growth = ExponentialBackoff {
            current_interval: self.min,
            initial_interval: self.min,
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: self.max,
            max_elapsed_time: None,
            clock: SystemClock::default(),
            start_time: Instant::now(),
        };
        let mut ceiling = self.min;
        for _ in 0..attempt.clamp(1, DOUBLINGS) {
            ceiling = growth.next_backoff().unwrap_or(self.max);
        }
        ceiling.min(self.max)
    }
}

/// A random pause between `from` and `to`.
pub(super) fn jittered(from: Duration, to: Duration) -> Duration {
    let from = u64::try_from(from.as_millis()).unwrap_or(u64::MAX);
    let to = u64::try_from(to.as_millis()).unwrap_or(u64::MAX).max(from);
    Duration::from_millis(rand::random_range(from..=to))
}

/// The time in which a set may start outside calls so that the last one ends before the set must.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    started: Instant,
    allowed: Duration,
}

impl Budget {
    /// Calls of at most `call` must end within `limit` from now.
    pub(super) fn new(limit: Duration, call: Duration) -> Self {
        Self {
            started: Instant::now(),
            allowed: limit.saturating_sub(call),
        }
    }

    /// Whether one more call may start. The first always may: its time limit is below the set's.
    pub(super) fn left(&self) -> bool {
        self.left_for(Duration::ZERO)
    }

    /// Whether a call may start that takes at most `more` longer than the one the budget is for.
    pub(super) fn left_for(&self, more: Duration) -> bool {
        self.started.elapsed() <= self.allowed.saturating_sub(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        min: Duration::from_secs(1),
        max: Duration::from_secs(7200),
        max_attempts: 25,
    };

    #[test]
    fn ceilings_double_and_stop_at_the_longest() {
        assert_eq!(SCHEDULE.ceiling(1), Duration::from_secs(1));
        assert_eq!(SCHEDULE.ceiling(2).as_secs(), 2);
        assert_eq!(SCHEDULE.ceiling(5).as_secs(), 16);
        assert_eq!(SCHEDULE.ceiling(14).as_secs(), 7200);
        assert_eq!(SCHEDULE.ceiling(u32::MAX).as_secs(), 7200);
    }

    #[test]
    fn pauses_stay_within_the_bounds_and_end() {
        for attempt in 1..25 {
            let pause = SCHEDULE.pause(attempt).unwrap();
            assert!(pause >= SCHEDULE.min && pause <= SCHEDULE.ceiling(attempt).max(SCHEDULE.min));
        }
        assert_eq!(SCHEDULE.pause(25), None);
        assert_eq!(SCHEDULE.pause(26), None);
    }

    #[test]
    fn a_budget_shorter_than_a_call_ends_at_once() {
        assert!(Budget::new(Duration::from_secs(3600), Duration::from_secs(1)).left());
        let spent = Budget {
            started: Instant::now() - Duration::from_secs(2),
            allowed: Duration::from_secs(1),
        };
        assert!(!spent.left());
        let whole = Budget::new(Duration::from_secs(3600), Duration::ZERO);
        assert!(whole.left_for(Duration::from_secs(3000)) && !whole.left_for(Duration::from_secs(3600)));
    }
}
