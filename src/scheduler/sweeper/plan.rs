//! When the sweeper may enqueue rows again without doubling a backlog that merely waits. All pure.
//!
//! A queue is first in, first out, so a row that fell due before the queue's oldest entry was put in
//! has no job among the ready and in-flight ones any more. It may have a delayed one: if fewer rows
//! stand still than there are delayed jobs, they are left to those. Both are inferences from two
//! numbers; so that nothing can hide behind them for ever (one very old entry, many delayed jobs of
//! other rows), one page is enqueued regardless every [`PATIENCE`] graces.

use std::time::Duration;

use crate::{domain::time::Timestamp, queue::Depth};

/// How many graces rows may stand still on the strength of an inference.
const PATIENCE: u32 = 12;
/// A pass is followed by a rest of at least this many times as long as it took.
const REST: u32 = 4;

/// What the sweeper remembers of a stage between rounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// When jobs were last enqueued again.
    pushed_at: Option<Timestamp>,
    /// When everything that stands still was last looked at.
    looked_at: Timestamp,
    /// No pass starts before.
    rest_until: Timestamp,
}

/// What to do in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    Rest,
    /// Enqueue the rows due before `before`, if there are more of them than `delayed`.
    Sweep {
        /// Rows due later may be in the queue.
        before: Timestamp,
        /// Jobs that may belong to them.
        delayed: u64,
    },
    /// Enqueue one page of rows due before `before`.
    Page {
        /// Rows due later are young.
        before: Timestamp,
    },
}

impl Memory {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            pushed_at: None,
            looked_at: now,
            rest_until: now,
        }
    }

    /// What to do at `now`, with the queue as `depth` shows it.
    pub(super) fn plan(&mut self, now: Timestamp, depth: &Depth, grace: Duration) -> Plan {
        if now < self.rest_until {
            return Plan::Rest;
        }
        let young = now.minus(grace);
        let last_pass_waits =
            (self.pushed_at.zip(depth.oldest)).is_some_and(|(pushed, oldest)| oldest <= pushed);
        let proven = match depth.oldest {
            _ if last_pass_waits => None,
            Some(oldest) => Some(young.min(oldest.minus(grace))),
            None => Some(young),
        };
        let certain = proven == Some(young) && depth.delayed == 0;
        let overdue = now.since(self.looked_at) >= grace.saturating_mul(PATIENCE);
        if certain || overdue {
            self.looked_at = now;
        }
        match proven {
            _ if overdue && !certain => Plan::Page { before: young },
            Some(before) => Plan::Sweep {
                before,
                delayed: depth.delayed,
            },
            None => Plan::Rest,
        }
    }

    /// Jobs were enqueued again at `now`.
    pub(super) const fn pushed(&mut self, now: Timestamp) {
        self.pushed_at = Some(now);
    }

    /// A pass that started at `started` came to its end at `now`.
    pub(super) fn passed(&mut self, started: Timestamp, now: Timestamp, grace: Duration) {
        let rest = now.since(started).saturating_mul(REST).max(grace);
        self.rest_until = now.plus(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn queue(oldest: Option<i64>, delayed: u64) -> Depth {
        Depth {
            ready: u64::from(oldest.is_some()),
            delayed,
            oldest: oldest.map(at),
            ..Depth::default()
        }
    }

    #[test]
    fn an_empty_queue_holds_nothing_back() {
        let mut memory = Memory::new(at(0));
        let plan = memory.plan(at(100), &queue(None, 0), GRACE);
        let (before, delayed) = (at(95), 0);
        assert_eq!(plan, Plan::Sweep { before, delayed });
    }

    #[test]
    fn a_backlog_is_not_doubled() {
        let mut memory = Memory::new(at(80));
        // What fell due from second 40 on may wait behind the oldest entry.
        let (before, delayed) = (at(35), 0);
        assert_eq!(
            memory.plan(at(100), &queue(Some(40), 0), GRACE),
            Plan::Sweep { before, delayed }
        );
    }

    #[test]
    fn a_fresh_queue_does_not_make_young_rows_old() {
        let mut memory = Memory::new(at(80));
        let plan = memory.plan(at(100), &queue(Some(99), 0), GRACE);
        let (before, delayed) = (at(94), 0);
        assert_eq!(plan, Plan::Sweep { before, delayed });
    }

    #[test]
    fn a_pass_is_not_repeated_while_its_jobs_wait() {
        let mut memory = Memory::new(at(80));
        memory.pushed(at(100));
        assert_eq!(memory.plan(at(110), &queue(Some(100), 0), GRACE), Plan::Rest);
        assert_eq!(memory.plan(at(110), &queue(Some(90), 0), GRACE), Plan::Rest);
        let (before, delayed) = (at(96), 0);
        assert_eq!(
            memory.plan(at(110), &queue(Some(101), 0), GRACE),
            Plan::Sweep { before, delayed }
        );
        let before = at(106);
        assert_eq!(
            memory.plan(at(111), &queue(None, 0), GRACE),
            Plan::Sweep { before, delayed }
        );
    }

    #[test]
    fn delayed_jobs_are_told_so_that_rows_can_be_left_to_them() {
        let mut memory = Memory::new(at(100));
        let (before, delayed) = (at(95), 7);
        assert_eq!(
            memory.plan(at(100), &queue(None, 7), GRACE),
            Plan::Sweep { before, delayed }
        );
    }

    #[test]
    fn nothing_hides_for_ever_behind_one_old_entry() {
        let mut memory = Memory::new(at(100));
        memory.pushed(at(100));
        let stuck = queue(Some(1), 9);
        assert_eq!(memory.plan(at(159), &stuck, GRACE), Plan::Rest);
        assert_eq!(
            memory.plan(at(160), &stuck, GRACE),
            Plan::Page { before: at(155) }
        );
        assert_eq!(memory.plan(at(161), &stuck, GRACE), Plan::Rest);
        assert_eq!(
            memory.plan(at(220), &stuck, GRACE),
            Plan::Page { before: at(215) }
        );
    }

    #[test]
    fn passes_are_followed_by_a_rest() {
        let mut memory = Memory::new(at(0));
        memory.passed(at(10), at(20), GRACE);
        assert_eq!(memory.plan(at(59), &queue(None, 0), GRACE), Plan::Rest);
        assert_ne!(memory.plan(at(60), &queue(None, 0), GRACE), Plan::Rest);
        memory.passed(at(60), at(60), GRACE);
        assert_eq!(memory.plan(at(64), &queue(None, 0), GRACE), Plan::Rest);
        assert_ne!(memory.plan(at(65), &queue(None, 0), GRACE), Plan::Rest);
    }
}
