//! How a queue gets on: two looks at it tell what came, what was worked off, and how long the rest takes.

use std::time::Duration;

/// How much work a queue has, and had in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Jobs that are due and not acknowledged.
    pub left: u64,
    /// Jobs ever put among the due ones; a queue that was lost begins anew.
    pub added: u64,
}

/// What happened between two looks at a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Jobs put among the due ones.
    pub added: u64,
    /// Jobs that are no longer there.
    pub worked_off: u64,
}

impl Progress {
    /// What happened since `before`; `None` when that was another queue, which the server has lost.
    #[must_use]
    pub fn since(self, before: Self) -> Option<Moved> {
        let added = self.added.checked_sub(before.added)?;
        Some(Moved {
            added,
            worked_off: before.left.saturating_add(added).saturating_sub(self.left),
        })
    }
}

impl Moved {
    /// How long `left` jobs take at the rate at which jobs were worked off, if this took `took`; `None`
    /// when none was.
    #[must_use]
    pub fn time_to_drain(self, left: u64, took: Duration) -> Option<Duration> {
        if left == 0 {
            return Some(Duration::ZERO);
        }
        let jobs = u128::from(self.worked_off);
        let millis = took.as_millis().saturating_mul(left.into()).checked_div(jobs)?;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_tell_what_moved() {
        let at = |left, added| Progress { left, added };
        let moved = at(600, 1500).since(at(1000, 1000)).unwrap();
        assert_eq!((moved.added, moved.worked_off), (500, 900));
        let took = Duration::from_secs(9);
        assert_eq!(moved.time_to_drain(600, took), Some(Duration::from_secs(6)));
        assert_eq!(moved.time_to_drain(0, took), Some(Duration::ZERO));
        let still = at(7, 7).since(at(7, 7)).unwrap();
        assert_eq!(still.time_to_drain(7, took), None, "nobody works");
        assert_eq!(at(5, 5).since(at(9, 9)), None, "the queue was lost");
    }
}
