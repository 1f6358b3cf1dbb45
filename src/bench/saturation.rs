//! The most that the tier takes, and how much of it arrives: so many connections, each with its next
//! sale as soon as the last one is answered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Bench, BenchError,
    delivery::{Watch, held_at, reached},
    load::{Closed, Tally, closed},
    meter::Meter,
    report::{Quantiles, Scenario, micros, millis, per_second},
    tills::{Request, sign},
};

/// Sales that warm up connections, caches and pages before anything counts, and tell how many the
/// measurement may use.
const WARM_UP: usize = 3000;

/// Room above the rate of the warm-up, in percent.
const ROOM: usize = 220;

/// Most sales signed in advance: a gigabyte of requests.
const MOST: usize = 800_000;

impl Bench {
    /// `seconds` of saturation by `connections`.
    pub(super) async fn saturation(&mut self, connections: usize, seconds: u64) -> Result<(), BenchError> {
        let name = format!("saturation with {connections} connections");
        self.say(&name);
        let limit = Duration::from_secs(seconds);
        let warm = self.warm_up(connections).await?;
        let per_second = usize::try_from(per_second(warm.good, warm.took)).unwrap_or(MOST);
        let seconds = usize::try_from(seconds).unwrap_or(1);
        let count = (per_second * seconds * ROOM / 100).clamp(500, MOST);
        let requests = self.sign(count, 1)?;
        let mut scenario = Scenario::named(name);
        self.flood(&mut scenario, requests, connections, limit).await?;
        self.done(scenario).await
    }

    /// Posts a few sales and waits until they have arrived.
    pub(super) async fn warm_up(&mut self, connections: usize) -> Result<Tally, BenchError> {
        let requests = self.sign(WARM_UP.min(self.options.most_sales), 1)?;
        let mut watch = self.fresh_watch().await?;
        let load = self.closed(requests, connections, Duration::from_secs(60));
        let tally = closed(load).await?;
        watch.wait(tally.good).await;
        Ok(tally)
    }

    /// Posts `requests` until they are used up or `limit` is over, waits for what was accepted, and
    /// tells of both.
    pub(super) async fn flood(
        &mut self,
        scenario: &mut Scenario,
        requests: Vec<Request>,
        connections: usize,
        limit: Duration,
    ) -> Result<(), BenchError> {
        let bytes: usize = requests.iter().map(|request| request.bytes.len()).sum();
        scenario.figure(
            "request_bytes",
            u64::try_from(bytes / requests.len().max(1)).unwrap_or(0),
        );
        let mut watch = self.fresh_watch().await?;
        let meter = Meter::start(&self.tier).await?;
        let start = Instant::now();
        let tally = closed(self.closed(requests, connections, limit)).await?;
        let posted = start + tally.took;
        scenario.accepted = tally.good;
        scenario.failed(&tally.failures);
        scenario.forwarded = watch.wait(tally.good).await;
        let samples = watch.samples();
        self.settle().await?;
        meter.stop(&self.tier, tally.cpu, scenario).await?;
        let whole = reached(&samples, scenario.forwarded).map_or(start.elapsed(), |end| end - start);
        scenario.figure("posting_ms", millis(tally.took));
        scenario.figure("until_all_forwarded_ms", millis(whole));
        scenario.figure("accepted_per_s", per_second(tally.good, tally.took));
        scenario.figure("completed_per_s", per_second(scenario.forwarded, whole));
        let meanwhile = held_at(&samples, posted);
        scenario.figure("forwarded_while_posting_per_s", per_second(meanwhile, tally.took));
        scenario.figure("backlog_when_posting_ended", tally.good.saturating_sub(meanwhile));
        scenario.figure("generator_cpu_us_per_sale", micros(tally.cpu) / tally.good.max(1));
        scenario
            .latencies
            .insert("submit".to_owned(), Quantiles::from(&tally.latency));
        Ok(())
    }

    pub(super) fn closed(&self, requests: Vec<Request>, connections: usize, limit: Duration) -> Closed {
        Closed {
            address: self.tier.ingress,
            connections,
            requests: Arc::new(requests),
            repeat: false,
            limit,
            expect: 202,
        }
    }

    pub(super) fn sign(&self, count: usize, items: usize) -> Result<Vec<Request>, BenchError> {
        sign(&self.tills, count, items)
    }

    /// An empty stand-in web application, watched.
    pub(super) async fn fresh_watch(&self) -> Result<Watch, BenchError> {
        self.tier.forget_delivered().await?;
        Watch::start(self.tier.sink).await
    }
}
