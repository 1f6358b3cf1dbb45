//! The algorithm: a log of who was let in, exact, and bounded in size whatever the quota.
//!
//! A request that is let in at time *t* is written down with a stamp *s* > *t*, the next multiple of
//! the policy's grain. It counts until *s* + period. So whatever was let in within one period before
//! any instant, its ends included, is still counted at that instant, and no window of one period ever
//! holds more than the quota. The price is that a place may become free up to one grain late; the
//! grain is 1 ms for quotas up to [`PIECES`] and 1/128 of the period above.

use std::{collections::VecDeque, time::Duration};

use crate::config::Policy;

/// Most stamps a log holds at a time for one policy.
const PIECES: u64 = 128;

/// A policy with its grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) quota: u32,
    /// In milliseconds.
    pub(super) period: u64,
    /// In milliseconds.
    pub(super) grain: u64,
}

impl Rule {
    pub(super) fn new(policy: &Policy) -> Self {
        let period = u64::try_from(policy.period_ms.duration().as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let fine = u64::from(policy.quota) <= PIECES;
        Self {
            quota: policy.quota,
            period,
            grain: if fine { 1 } else { (period / PIECES).max(1) },
        }
    }

    /// The stamp of a request let in at `now`: later than `now`, by one grain at most.
    pub(super) fn stamp(&self, now: u64) -> u64 {
        (now / self.grain).saturating_add(1).saturating_mul(self.grain)
    }
}

/// Requests with the same stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) stamp: u64,
    pub(super) count: u32,
    /// Whether the shared log has them too.
    pub(super) shared: bool,
}

/// The log of one bucket.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// In the order of their stamps.
    pieces: VecDeque<Piece>,
    total: u32,
}

impl Window {
    /// Forgets what no longer counts at `now`.
    pub(super) fn expire(&mut self, rule: &Rule, now: u64) {
        while let Some(first) = self.pieces.front()
            && first.stamp.saturating_add(rule.period) <= now
        {
            self.total = self.total.saturating_sub(first.count);
            self.pieces.pop_front();
        }
    }

    /// How many count.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes one down. A clock that was set back does not put it before earlier ones.
    pub(super) fn add(&mut self, stamp: u64, shared: bool) {
        self.total = self.total.saturating_add(1);
        let stamp = self.pieces.back().map_or(stamp, |last| last.stamp.max(stamp));
        match self.pieces.back_mut() {
            Some(last) if last.stamp == stamp && last.shared == shared => {
                last.count = last.count.saturating_add(1);
            }
            _ => self.pieces.push_back(Piece {
                stamp,
                count: 1,
                shared,
            }),
        }
    }

    /// Takes back the one written down last, if it still counts.
    pub(super) fn take_back(&mut self) {
        let Some(last) = self.pieces.back_mut() else {
            return;
        };
        self.total = self.total.saturating_sub(1);
        last.count = last.count.saturating_sub(1);
        if last.count == 0 {
            self.pieces.pop_back();
        }
    }

    /// How long after `now` the next place becomes free; zero when nothing counts.
    pub(super) fn next_free(&self, rule: &Rule, now: u64) -> Duration {
        let end = self
            .pieces
            .front()
            .map_or(now, |first| first.stamp.saturating_add(rule.period));
        Duration::from_millis(end.saturating_sub(now))
    }

    /// What is written down, for the shared log, which has it from now on; or `lost` all it had.
    pub(super) fn share(&mut self, lost: bool) -> Vec<Piece> {
        let take = |piece: &mut Piece| {
            let shared = std::mem::replace(&mut piece.shared, true) && !lost;
            Piece { shared, ..*piece }
        };
        self.pieces.iter_mut().map(take).collect()
    }

    /// The shared log may lack any of it.
    pub(super) fn not_shared(&mut self) {
        self.pieces.iter_mut().for_each(|piece| piece.shared = false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Millis;

    fn rule(quota: u32, period_ms: u64) -> Rule {
        Rule::new(&Policy {
            quota,
            period_ms: Millis::new(period_ms),
        })
    }

    /// Lets requests in at `arrivals` (microseconds, in order) and gives back the times of those let in.
    fn admitted(rule: &Rule, arrivals: &[u64]) -> Vec<u64> {
        let mut window = Window::default();
        let mut let_in = Vec::new();
        for &at in arrivals {
            let now = at / 1000;
            window.expire(rule, now);
            assert!(window.pieces.len() as u64 <= PIECES + 1, "bounded in size");
            if window.total() < rule.quota {
                window.add(rule.stamp(now), true);
                let_in.push(at);
            }
        }
        let_in
    }

    /// Most of `times` in any closed window of one period.
    fn most_in_a_window(times: &[u64], period_micros: u64) -> usize {
        let within = |start: usize| {
            times[start..]
                .iter()
                .take_while(|at| **at <= times[start] + period_micros)
                .count()
        };
        (0..times.len()).map(within).max().unwrap_or(0)
    }

    /// Crowds and pauses, in microseconds since the one before.
    fn gaps() -> impl Strategy<Value = Vec<u64>> {
        let gap = prop_oneof![Just(0_u64), 0_u64..2_000, 0_u64..100_000, 0_u64..3_000_000];
        prop::collection::vec(gap, 1..600)
    }

    proptest! {
        #[test]
        fn no_window_of_a_period_holds_more_than_the_quota(
            gaps in gaps(), quota in 1_u32..300, period_ms in 1_u64..5_000, start in 0_u64..5_000_000,
        ) {
            let rule = rule(quota, period_ms);
            let mut at = start;
            let arrivals: Vec<u64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let let_in = admitted(&rule, &arrivals);
            prop_assert!(most_in_a_window(&let_in, period_ms * 1000) <= quota as usize);
        }

        /// And nobody is refused who could be let in, but for one grain.
        #[test]
        fn who_is_refused_met_a_full_window(
            gaps in gaps(), quota in 1_u32..300, period_ms in 1_u64..5_000,
        ) {
            let rule = rule(quota, period_ms);
            let mut at = 0;
            let arrivals: Vec<u64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let let_in = admitted(&rule, &arrivals);
            let reach = (rule.period + rule.grain + 1) * 1000;
            for refused in arrivals.iter().filter(|at| !let_in.contains(at)) {
                let counted = let_in
                    .iter()
                    .filter(|at| **at <= *refused && **at + reach > *refused)
                    .count();
                prop_assert!(counted >= quota as usize, "refused at {} with {} counted", refused, counted);
            }
        }

        /// A refused request leaves no mark: asking again and again costs nothing.
        #[test]
        fn an_impatient_client_gets_as_much_as_a_patient_one(quota in 1_u32..50, period_ms in 10_u64..500) {
            let rule = rule(quota, period_ms);
            let impatient: Vec<u64> = (0..period_ms * 30).map(|tenth| tenth * 100).collect();
            let expected = (period_ms * 3).div_ceil(rule.period + rule.grain) * u64::from(quota);
            prop_assert_eq!(admitted(&rule, &impatient).len() as u64, expected);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_never_gives_more() {
        let rule = rule(2, 1000);
        let mut window = Window::default();
        for now in [5_000, 4_000, 4_500] {
            window.expire(&rule, now);
            if window.total() < rule.quota {
                window.add(rule.stamp(now), true);
            }
        }
        assert_eq!(window.total(), 2);
        window.expire(&rule, 6_000);
        assert_eq!(window.total(), 2, "counted from the latest time seen");
        window.expire(&rule, 6_001);
        assert!(window.is_empty());
    }

    #[test]
    fn what_is_taken_back_is_forgotten() {
        let rule = rule(5, 1000);
        let mut window = Window::default();
        window.add(rule.stamp(1), true);
        window.add(rule.stamp(1), false);
        window.take_back();
        assert_eq!(window.total(), 1);
        assert_eq!(window.next_free(&rule, 1), Duration::from_millis(1001));
        window.take_back();
        window.take_back();
        assert!(window.is_empty());
        assert_eq!(window.next_free(&rule, 1), Duration::ZERO);
    }
}
