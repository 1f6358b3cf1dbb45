//! When a pool lets jobs gather, so that its sets are fewer and larger.

use std::time::Duration;

/// How much longer than a set a pause is, where that is more than the least: sets then run a third of the time.
const TIMES_A_SET: u32 = 2;

/// When a pool lets jobs gather: after a set that was not full, yet had jobs enough to tell that more are
/// on their way. A job that comes alone makes nobody wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Least jobs of such a set.
    pub from: usize,
    /// For how long at the least; zero takes jobs as they come.
    pub pause: Duration,
    /// For how long at most: sets that take long are followed by longer pauses.
    pub most: Duration,
}

impl Gather {
    /// Jobs are taken as they come.
    pub const NONE: Self = Self {
        from: 1,
        pause: Duration::ZERO,
        most: Duration::ZERO,
    };

    /// How long to wait after a set of `taken` jobs that was not full, where sets of late took `took`: on a machine
    /// that has too much to do they take longer, and larger ones are what leaves it less to do.
    pub(super) fn after(self, taken: usize, took: Duration) -> Option<Duration> {
        let wanted = took.saturating_mul(TIMES_A_SET);
        let pause = wanted.min(self.most).max(self.pause);
        (taken >= self.from && !self.pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_pause_follows_the_time_of_sets_within_its_bounds() {
        let gather = Gather {
            from: 2,
            pause: ms(4),
            most: ms(20),
        };
        assert_eq!(gather.after(1, ms(9)), None, "it came alone");
        assert_eq!(gather.after(2, ms(0)), Some(ms(4)));
        assert_eq!(gather.after(9, ms(2)), Some(ms(4)));
        assert_eq!(gather.after(9, ms(6)), Some(ms(12)));
        assert_eq!(gather.after(9, Duration::MAX), Some(ms(20)));
        let fixed = Gather {
            most: ms(0),
            ..gather
        };
        assert_eq!(fixed.after(2, ms(6)), Some(ms(4)));
        assert_eq!(Gather::NONE.after(9, ms(6)), None);
    }
}
