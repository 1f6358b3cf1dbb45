//! How long a refused client is told to wait: one clamped figure, spread so that tills that were
//! refused together do not come back together.

use std::time::Duration;

use rand::RngExt;

use crate::config;

/// The bounds of every `Retry-After`, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryAfter {
    min: u64,
    max: u64,
}

impl RetryAfter {
    pub(super) fn new(settings: &config::Ingress) -> Self {
        Self {
            min: settings.retry_after_min_s,
            max: settings.retry_after_max_s.max(settings.retry_after_min_s),
        }
    }

    /// Seconds to wait when the work ahead takes about `ahead`: between once and twice that.
    pub(super) fn about(self, ahead: Duration) -> u64 {
        let whole = ahead
            .as_secs()
            .saturating_add(u64::from(ahead.subsec_nanos() > 0));
        let least = whole.clamp(self.min, self.max);
        let spread = rand::rng().random_range(0..=least);
        least.saturating_add(spread).min(self.max)
    }

    /// Seconds to wait when nothing is known of how long it takes.
    pub(super) fn soon(self) -> u64 {
        self.about(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_outside_its_bounds() {
        let bounds = RetryAfter { min: 2, max: 9 };
        for ahead in [0, 1, 5_000, 8_999, 60_000, u64::MAX] {
            for _ in 0..50 {
                let wait = bounds.about(Duration::from_millis(ahead));
                assert!((2..=9).contains(&wait), "{ahead} ms gave {wait} s");
            }
        }
        let exact = RetryAfter { min: 3, max: 3 };
        assert_eq!(exact.soon(), 3);
    }
}
