//! The logs that this process keeps: what it decides by when it is alone, and what it remembers of
//! its own decisions when it is not.

use std::collections::HashMap;

use super::{
    Decision, Standing,
    bucket::{Bucket, Class},
    window::{Piece, Rule, Window},
};
use crate::config;

/// The rules by class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules([Rule; Class::ALL.len()]);

impl Rules {
    pub(super) fn new(settings: &config::Limits) -> Self {
        Self(Class::ALL.map(|class| Rule::new(settings.policy(class))))
    }

    pub(super) fn of(&self, class: Class) -> &Rule {
        &self.0[class as usize]
    }
}

/// A place in time, by one clock. What was let in is written down by `late`, what is forgotten by
/// `early`; the truth lies between, and so no doubt about it ever lets too many in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) early: u64,
    pub(super) late: u64,
}

/// All logs, within a bound on their number.
#[derive(Debug)]
pub(super) struct Table {
    rules: Rules,
    /// Those of known callers, then those that strangers name: nobody crowds the others out.
    logs: [HashMap<Bucket, Window>; 2],
    capacity: usize,
    /// When a full half was last searched for logs that nobody needs any more.
    swept: [u64; 2],
}

/// A full half is searched no more often than this, in milliseconds.
const SWEEP_EVERY: u64 = 1000;

impl Table {
    pub(super) fn new(rules: Rules, capacity: usize) -> Self {
        Self {
            rules,
            logs: Default::default(),
            capacity,
            swept: [0; 2],
        }
    }

    /// Lets a request in if none of its buckets is full, of each of which this process has its share;
    /// then it is written down in all of them. Else in none.
    pub(super) fn decide(&mut self, buckets: &[Bucket], now: Now, processes: u32) -> Decision {
        let quotas: Vec<Standing> = buckets
            .iter()
            .map(|bucket| {
                let rule = *self.rules.of(bucket.class);
                let quota = (rule.quota / processes.max(1)).max(1);
                let window = self.window(*bucket, now);
                window.expire(&rule, now.early);
                Standing {
                    class: bucket.class,
                    remaining: quota.saturating_sub(window.total()),
                    next_free: window.next_free(&rule, now.early),
                }
            })
            .collect();
        let mut decision = Decision::by(quotas);
        if decision.admitted() {
            self.record(buckets, now, false);
            for (standing, bucket) in decision.standings.iter_mut().zip(buckets) {
                let rule = *self.rules.of(bucket.class);
                standing.remaining = standing.remaining.saturating_sub(1);
                standing.next_free = self.window(*bucket, now).next_free(&rule, now.early);
            }
        }
        decision
    }

    /// Writes down a request that was let in, here or by the shared logs.
    pub(super) fn record(&mut self, buckets: &[Bucket], now: Now, shared: bool) {
        for bucket in buckets {
            let rule = *self.rules.of(bucket.class);
            let window = self.window(*bucket, now);
            window.expire(&rule, now.early);
            window.add(rule.stamp(now.late), shared);
        }
    }

    /// Takes back the request that was written down last in these buckets.
    pub(super) fn take_back(&mut self, buckets: &[Bucket], now: Now) {
        for bucket in buckets {
            self.window(*bucket, now).take_back();
        }
    }

    /// The log of a bucket, or of all others of its class when there are too many.
    fn window(&mut self, bucket: Bucket, now: Now) -> &mut Window {
        let half = usize::from(bucket.class.is_strange());
        let full = self.logs[half].len() >= self.capacity && !self.logs[half].contains_key(&bucket);
        if full && self.swept[half].saturating_add(SWEEP_EVERY) <= now.early {
            self.sweep(now);
        }
        let full = full && self.logs[half].len() >= self.capacity;
        let bucket = if full {
            Bucket::others(bucket.class)
        } else {
            bucket
        };
        self.logs[half].entry(bucket).or_default()
    }

    /// Lets go of logs in which nothing counts any more.
    pub(super) fn sweep(&mut self, now: Now) {
        let rules = self.rules;
        for (logs, swept) in self.logs.iter_mut().zip(&mut self.swept) {
            logs.retain(|bucket, window| {
                window.expire(rules.of(bucket.class), now.early);
                !window.is_empty()
            });
            *swept = now.early;
        }
    }

    /// Everything that is written down, for the shared logs; from now on they count as having it.
    /// With `lost` they have nothing yet.
    pub(super) fn hand_over(&mut self, lost: bool) -> Vec<(Bucket, Vec<Piece>)> {
        let mut logs = Vec::new();
        for (bucket, window) in self.logs.iter_mut().flatten() {
            let pieces: Vec<Piece> = window.share(lost);
            if !pieces.is_empty() {
                logs.push((*bucket, pieces));
            }
        }
        logs
    }

    /// The shared logs may lack what these buckets hold.
    pub(super) fn not_shared(&mut self, buckets: impl Iterator<Item = Bucket>) {
        for bucket in buckets {
            let half = usize::from(bucket.class.is_strange());
            if let Some(window) = self.logs[half].get_mut(&bucket) {
                window.not_shared();
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.logs.iter().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Millis, Policy};

    fn table(capacity: usize, quota: u32) -> Table {
        let rule = Rule::new(&Policy {
            quota,
            period_ms: Millis::new(1000),
        });
        Table::new(Rules([rule; 6]), capacity)
    }

    fn at(now: u64) -> Now {
        Now {
            early: now,
            late: now,
        }
    }

    #[test]
    fn one_full_bucket_refuses_and_leaves_no_mark_in_the_others() {
        let mut table = table(10, 2);
        let tills = [
            Bucket::terminal(1, 1),
            Bucket::terminal(1, 2),
            Bucket::terminal(1, 3),
        ];
        let tenant = Bucket::tenant(1);
        assert!(table.decide(&[tills[0], tenant], at(0), 1).admitted());
        let second = table.decide(&[tills[1], tenant], at(0), 1);
        assert_eq!(second.standings[0].remaining, 1);
        assert_eq!(second.standings[1].remaining, 0);
        for _ in 0..5 {
            let third = table.decide(&[tills[2], tenant], at(500), 1);
            assert_eq!(third.full, [1]);
            assert_eq!(third.wait().as_millis(), 501);
            assert_eq!(third.standings[0].remaining, 2, "no mark");
        }
        assert!(table.decide(&[tills[2], tenant], at(1001), 1).admitted());
    }

    #[test]
    fn the_share_of_one_among_several_is_a_part_and_never_nothing() {
        let mut table = table(10, 7);
        let mut let_in = |till, processes| {
            let till = [Bucket::terminal(1, till)];
            (0..9)
                .filter(|_| table.decide(&till, at(0), processes).admitted())
                .count()
        };
        assert_eq!(
            [let_in(1, 0), let_in(2, 1), let_in(3, 3), let_in(4, 100)],
            [7, 7, 2, 1]
        );
    }

    #[test]
    fn doubt_about_the_time_lets_nobody_in() {
        let mut table = table(10, 1);
        let till = [Bucket::terminal(1, 1)];
        let doubt = |early, late| Now { early, late };
        assert!(table.decide(&till, doubt(0, 50), 1).admitted());
        assert!(!table.decide(&till, doubt(1050, 1100), 1).admitted());
        assert!(table.decide(&till, doubt(1051, 1101), 1).admitted());
    }

    #[test]
    fn strangers_share_a_bucket_when_there_are_too_many_and_crowd_out_nobody() {
        let mut table = table(3, 2);
        let stranger = |n: u8| [Bucket::auth_address([192, 0, 2, n].into())];
        let admitted = (0..20).filter(|n| table.decide(&stranger(*n), at(0), 1).admitted());
        assert_eq!(admitted.count(), 3 + 2);
        assert_eq!(table.len(), 4);
        assert!(table.decide(&[Bucket::terminal(1, 1)], at(0), 1).admitted());
        assert!(
            table.decide(&stranger(99), at(2000), 1).admitted(),
            "old ones went"
        );
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn what_the_shared_logs_lack_is_brought_once() {
        let mut table = table(10, 5);
        let till = [Bucket::terminal(1, 1)];
        table.record(&till, at(0), true);
        table.decide(&till, at(10), 1);
        let lacking = |logs: Vec<(Bucket, Vec<Piece>)>| -> usize {
            let pieces = logs.into_iter().flat_map(|(_, pieces)| pieces);
            pieces.filter(|piece| !piece.shared).count()
        };
        assert_eq!(lacking(table.hand_over(false)), 1);
        assert_eq!(lacking(table.hand_over(false)), 0);
        assert_eq!(lacking(table.hand_over(true)), 2, "lost logs lack all");
        table.not_shared(till.into_iter());
        assert_eq!(lacking(table.hand_over(false)), 2);
    }
}
