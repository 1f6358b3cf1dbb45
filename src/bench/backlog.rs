//! A burst, and a backlog that piled up while no worker ran: whether it drains, and whether it drains
//! as fast at its end as at its beginning.

use std::time::{Duration, Instant};

use super::{
    Bench, BenchError,
    delivery::{Sample, Watch, held_at, reached},
    load::closed,
    meter::Meter,
    report::{Scenario, millis, per_second, share},
    tier::Kind,
};
use crate::stage::Stage;

/// Connections that post a burst.
pub(super) const CONNECTIONS: usize = 256;

/// Sales signed at a time, so that the bench itself stays small.
const PART: usize = 50_000;

/// Longest time that a burst or a part of a backlog may take to be accepted.
pub(super) const LIMIT: Duration = Duration::from_secs(900);

/// With these settings one process accepts and leaves nearly everything in the record: the queue
/// in memory has no room, and the sweeper has no reason to look.
const NO_WORK: [(&str, &str); 2] = [
    ("TSMS__QUEUE__MEMORY_CAPACITY", "1"),
    ("TSMS__SWEEPER__GRACE_MS", "86400000"),
];

/// The name of that process. It warns, as it should, so its log is not that of the tier.
const ACCEPTING: &str = "tsms up, accepting only";

impl Bench {
    /// As many sales as there are, as fast as they are taken.
    pub(super) async fn burst(&mut self) -> Result<(), BenchError> {
        let count = self.options.most_sales;
        let name = format!("burst of {count}");
        self.say(&name);
        let requests = self.sign(count, 1)?;
        let mut scenario = Scenario::named(name);
        self.flood(&mut scenario, requests, CONNECTIONS, LIMIT).await?;
        self.done(scenario).await
    }

    /// Accepts a backlog without workers, then starts them.
    pub(super) async fn backlog(&mut self) -> Result<(), BenchError> {
        let count = self.options.backlog;
        let name = format!("backlog of {count}");
        self.say(&name);
        let mut scenario = Scenario::named(name);
        let stages = Stage::ALL.map(Stage::name);
        match self.tier.kind {
            Kind::Fleet => self.tier.stop(&stages).await?,
            Kind::Embedded => {
                self.tier.stop(&[super::roles::ALL]).await?;
                self.tier.start_up(ACCEPTING, &NO_WORK).await?;
            }
        }
        let mut watch = self.fresh_watch().await?;
        self.pile_up(count, &mut scenario).await?;
        if self.tier.kind == Kind::Embedded {
            self.tier.stop(&[ACCEPTING]).await?;
        }
        let before = held_at(&watch.samples(), Instant::now());
        // Roles that are not started yet have used nothing.
        let meter = Meter::start(&self.tier).await?;
        let start = Instant::now();
        match self.tier.kind {
            Kind::Fleet => self.tier.start_workers().await?,
            Kind::Embedded => self.tier.start_roles().await?,
        }
        self.drained(&mut watch, start, before, &mut scenario).await;
        self.settle().await?;
        meter.stop(&self.tier, Duration::ZERO, &mut scenario).await?;
        self.done(scenario).await
    }

    /// What the tier completed in a second while it had hardly a backlog, if that was measured.
    fn shallow(&self) -> Option<u64> {
        let saturated = self
            .report
            .scenarios
            .iter()
            .find(|it| it.name.starts_with("saturation"))?;
        saturated.figures.get("completed_per_s").copied()
    }

    async fn pile_up(&self, count: usize, scenario: &mut Scenario) -> Result<(), BenchError> {
        let mut took = Duration::ZERO;
        let mut left = count;
        while left > 0 {
            let part = left.min(PART);
            let requests = self.sign(part, 1)?;
            let tally = closed(self.closed(requests, CONNECTIONS, LIMIT)).await?;
            scenario.accepted += tally.good;
            scenario.failed(&tally.failures);
            took += tally.took;
            left -= part;
        }
        scenario.figure("accepting_ms", millis(took));
        scenario.figure("accepted_per_s", per_second(scenario.accepted, took));
        Ok(())
    }

    /// Waits for the end of the backlog and tells how it drained.
    async fn drained(&self, watch: &mut Watch, start: Instant, before: u64, scenario: &mut Scenario) {
        scenario.forwarded = watch.wait(scenario.accepted).await;
        let samples = watch.samples();
        scenario.figure("forwarded_before_workers_started", before);
        let depth = scenario.forwarded.saturating_sub(before);
        let ended = reached(&samples, scenario.forwarded).unwrap_or(start);
        scenario.figure("drain_ms", millis(ended.saturating_duration_since(start)));
        let until_first = reached(&samples, before + 1).map(|first| first.saturating_duration_since(start));
        scenario.figure("until_first_delivery_ms", millis(until_first.unwrap_or_default()));
        let tenth = depth / 10;
        let first = rate_between(&samples, before + 1, before + tenth);
        let last = rate_between(&samples, scenario.forwarded - tenth, scenario.forwarded);
        let rate = rate_between(&samples, before + 1, scenario.forwarded);
        scenario.figure("drained_per_s", rate);
        if let Some(shallow) = self.shallow() {
            scenario.figure("drained_percent_of_saturation", share(rate, 100, shallow));
        }
        scenario.figure("drained_per_s_first_tenth", first);
        scenario.figure("drained_per_s_last_tenth", last);
        scenario.figure("last_tenth_percent_of_first", share(last, 100, first));
    }
}

/// Deliveries a second between the moments when `from` and `to` were held.
fn rate_between(samples: &[Sample], from: u64, to: u64) -> u64 {
    let (Some(first), Some(last)) = (reached(samples, from), reached(samples, to)) else {
        return 0;
    };
    let sales = held_at(samples, last).saturating_sub(held_at(samples, first));
    per_second(sales, last.saturating_duration_since(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_taken_between_two_samples() {
        let start = Instant::now();
        let sample = |seconds, held| Sample {
            at: start + Duration::from_secs(seconds),
            held,
        };
        let samples = [sample(0, 0), sample(1, 100), sample(2, 150), sample(4, 350)];
        assert_eq!(rate_between(&samples, 1, 350), 83);
        assert_eq!(rate_between(&samples, 150, 350), 100);
        assert_eq!(rate_between(&samples, 1, 400), 0);
    }
}
