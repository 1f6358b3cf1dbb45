//! Fair shares: each queue has two lanes, and a tenant with more than its share of jobs goes in the
//! second one. A pool takes from both, half a set from each as long as both have jobs, so whoever is
//! in the first lane never waits behind the crowd, and the crowd always moves. A few sets more at a time are
//! of the first lane only, so that it need not wait until a set of the crowd is done. While there is
//! no backlog the lanes make no difference. Decision 0013 has the reasons.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// A lane of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Lane {
    /// For tenants within their share.
    Main,
    /// For tenants beyond it.
    Crowd,
}

impl Lane {
    pub(super) const ALL: [Lane; 2] = [Lane::Main, Lane::Crowd];
}

/// The lanes that a pool takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    /// Half a set from each as long as both have jobs.
    Both,
    /// The first one only.
    Main,
}

impl Lanes {
    /// Each of them.
    pub(super) const fn each(self) -> &'static [Lane] {
        match self {
            Lanes::Both => &Lane::ALL,
            Lanes::Main => &[Lane::Main],
        }
    }
}

/// How long, at most, a tenant stays in the crowd after its last burst: as if it had pushed for as
/// many seconds at the rate of its share. Its jobs then seldom overtake each other.
const REMEMBERED_SECONDS: u64 = 10;
/// How often tenants that are quiet again are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// A job in the units of a level: a level falls by `burst` of these in a millisecond.
const JOB: u64 = 1000;

/// The levels of the tenants whose jobs this process puts in one queue. A level rises by one with each
/// job and falls by `burst` in a second.
#[derive(Debug)]
pub(super) struct Meter {
    burst: u64,
    levels: HashMap<i64, Level>,
    forgot: Instant,
}

#[derive(Debug)]
struct Level {
    height: u64,
    at: Instant,
}

impl Level {
    fn fall(&mut self, burst: u64, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            self.height = self.height.saturating_sub(passed.saturating_mul(burst));
            self.at = now;
        }
    }
}

impl Meter {
    /// A tenant may put `burst` jobs a second in the first lane.
    pub(super) fn new(burst: u32) -> Self {
        Self {
            burst: u64::from(burst),
            levels: HashMap::new(),
            forgot: Instant::now(),
        }
    }

    /// The lane of the next job of `tenant`.
    pub(super) fn lane(&mut self, tenant: i64, now: Instant) -> Lane {
        let burst = self.burst;
        if now.saturating_duration_since(self.forgot) >= FORGET_EVERY {
            self.forgot = now;
            self.levels.retain(|_, level| {
                level.fall(burst, now);
                level.height > 0
            });
        }
        let level = self.levels.entry(tenant).or_insert(Level { height: 0, at: now });
        level.fall(burst, now);
        let full = burst.saturating_mul(JOB);
        let lane = if level.height >= full {
            Lane::Crowd
        } else {
            Lane::Main
        };
        level.height = (level.height + JOB).min(full.saturating_mul(REMEMBERED_SECONDS));
        lane
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_the_rest_joins_the_crowd() {
        let now = Instant::now();
        let mut meter = Meter::new(5);
        let hot: Vec<Lane> = (0..100).map(|_| meter.lane(1, now)).collect();
        assert!(hot[..5].iter().all(|lane| *lane == Lane::Main));
        assert!(hot[5..].iter().all(|lane| *lane == Lane::Crowd));
        assert_eq!(meter.lane(2, now), Lane::Main, "another tenant");
    }

    #[test]
    fn a_tenant_that_is_quiet_again_is_forgiven_and_forgotten() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut meter = Meter::new(5);
        for _ in 0..100_000 {
            meter.lane(1, now);
        }
        assert_eq!(meter.lane(1, after(8)), Lane::Crowd, "but not at once");
        assert_eq!(meter.lane(1, after(10)), Lane::Main);
        for tenant in 0..1000 {
            meter.lane(tenant, after(11));
        }
        meter.lane(1, after(30));
        assert_eq!(meter.levels.len(), 1);
    }

    #[test]
    fn a_steady_tenant_within_its_share_never_joins_the_crowd() {
        let now = Instant::now();
        let mut meter = Meter::new(5);
        for tick in 0..1000 {
            let lane = meter.lane(1, now + Duration::from_millis(tick * 200));
            assert_eq!(lane, Lane::Main);
        }
    }
}
