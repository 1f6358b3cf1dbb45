//! Fixed rates: what a till waits, and how long a sale takes to the web application, while the tier
//! has no more to do than it can.

use std::{sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use uuid::Uuid;

use super::{
    Bench, BenchError, client,
    delivery::arrivals,
    load::{Stream, Tally, due, open},
    meter::Meter,
    report::{Quantiles, Scenario, micros, millis, per_second},
    tills::Request,
};
use crate::{domain::payload::void_checksum, standin::sim::Latency};

/// Connections of each stream: far more than are busy, so that a stall is seen as latency.
pub(super) const CONNECTIONS: usize = 128;

/// One status is asked for so many sales.
const SALES_PER_STATUS: usize = 5;

/// How long after a sale its status is asked.
const STATUS_LAG: Duration = Duration::from_secs(1);

/// One of so many sales is voided.
const SALES_PER_VOID: usize = 50;

/// How long after a sale it is voided: it has arrived at the web application by then, as a rule.
const VOID_LAG: Duration = Duration::from_secs(2);

/// Why.
const VOID_REASON: &str = "Measured void";

/// Sales in a batch.
const BATCH: u32 = 10;

impl Bench {
    /// Single sales at `rate` a second, with statuses asked and sales voided meanwhile.
    pub(super) async fn fixed(&mut self, rate: u32) -> Result<(), BenchError> {
        let name = format!("{rate} sales a second");
        self.say(&name);
        let requests = Arc::new(self.sign(self.as_many_as(rate), 1)?);
        let statuses = Stream {
            name: "status",
            requests: Arc::new(self.statuses(&requests)),
            rate: rate / u32::try_from(SALES_PER_STATUS).unwrap_or(1),
            offset: STATUS_LAG,
            connections: CONNECTIONS,
            expect: 200,
            tries: 1,
        };
        let voids = Stream {
            name: "void",
            requests: Arc::new(self.voids(&requests)),
            rate: (rate / u32::try_from(SALES_PER_VOID).unwrap_or(1)).max(1),
            offset: VOID_LAG,
            connections: CONNECTIONS,
            expect: 200,
            tries: 1,
        };
        let mut scenario = Scenario::named(name);
        let submits = submits("submit", requests, rate);
        self.scheduled(&mut scenario, submits, 1, vec![statuses, voids])
            .await?;
        self.done(scenario).await
    }

    /// As many sales a second, in batches.
    pub(super) async fn batches(&mut self, rate: u32) -> Result<(), BenchError> {
        let name = format!("{rate} sales a second in batches of {BATCH}");
        self.say(&name);
        let rate = (rate / BATCH).max(1);
        let requests = Arc::new(self.sign(self.as_many_as(rate), usize::try_from(BATCH).unwrap_or(1))?);
        let mut scenario = Scenario::named(name);
        let submits = submits("batch of 10", requests, rate);
        self.scheduled(&mut scenario, submits, u64::from(BATCH), Vec::new())
            .await?;
        self.done(scenario).await
    }

    /// Single sales with idle time between them: nothing to join, nothing that is already awake.
    pub(super) async fn idle(&mut self) -> Result<(), BenchError> {
        const RATE: u32 = 4;
        self.say("single sales while idle");
        let requests = Arc::new(self.sign(self.options.singles, 1)?);
        let mut scenario = Scenario::named("single sales while idle");
        let submits = submits("submit", requests, RATE);
        self.scheduled(&mut scenario, submits, 1, Vec::new()).await?;
        self.done(scenario).await
    }

    /// Requests at `rate` a second, for as long as a fixed rate is measured.
    pub(super) fn as_many_as(&self, rate: u32) -> usize {
        let seconds = u32::try_from(self.options.seconds).unwrap_or(u32::MAX);
        usize::try_from(rate.saturating_mul(seconds)).unwrap_or(usize::MAX)
    }

    /// Plays the streams, waits for what was accepted, and tells of both.
    pub(super) async fn scheduled(
        &mut self,
        scenario: &mut Scenario,
        submits: Stream,
        sales_each: u64,
        meanwhile: Vec<Stream>,
    ) -> Result<(), BenchError> {
        let mut watch = self.fresh_watch().await?;
        let meter = Meter::start(&self.tier).await?;
        let (requests, rate) = (submits.requests.clone(), submits.rate);
        let streams: Vec<Stream> = std::iter::once(submits).chain(meanwhile).collect();
        let names: Vec<&str> = streams.iter().map(|stream| stream.name).collect();
        let tallies = open(self.tier.ingress, streams).await?;
        let generator: Duration = tallies.iter().map(|tally| tally.cpu).sum();
        for (name, tally) in names.into_iter().zip(&tallies) {
            scenario.failed(&tally.failures);
            scenario
                .latencies
                .insert(name.to_owned(), Quantiles::from(&tally.latency));
        }
        let Some(tally) = tallies.first() else {
            return Ok(());
        };
        scenario.accepted = tally.good * sales_each;
        scenario.forwarded = watch.wait(scenario.accepted).await;
        self.settle().await?;
        meter.stop(&self.tier, generator, scenario).await?;
        scenario.figure("posting_ms", millis(tally.took));
        scenario.figure("accepted_per_s", per_second(scenario.accepted, tally.took));
        scenario.figure("generator_late_p99_us", micros(tally.lag.quantile(990)));
        let whole = self.end_to_end(tally, &requests, rate).await?;
        scenario
            .latencies
            .insert("end to end".to_owned(), Quantiles::from(&whole));
        Ok(())
    }

    /// From the moment a sale was due to be sent to the moment the web application had it. One clock:
    /// everything is on one machine.
    pub(super) async fn end_to_end(
        &self,
        tally: &Tally,
        requests: &[Request],
        rate: u32,
    ) -> Result<Latency, BenchError> {
        let arrivals = arrivals(self.tier.sink).await?;
        let latency = Latency::default();
        for (number, request) in requests.iter().enumerate() {
            if let Some(arrived) = arrivals.get(&request.sale) {
                latency.record(arrived.since(tally.began.plus(due(number, rate))));
            }
        }
        Ok(latency)
    }

    /// Questions for the status of some of the sales, by the terminals that sent them.
    fn statuses(&self, requests: &[Request]) -> Vec<Request> {
        let asked = requests.iter().step_by(SALES_PER_STATUS);
        asked
            .filter_map(|request| {
                let till = self.tills.get(request.till)?;
                let path = format!("/api/v1/transactions/{}/status", request.sale);
                let bytes = client::get(&path, Some(&till.token)).into();
                Some(Request { bytes, ..*request })
            })
            .collect()
    }

    /// Voids of some of the sales, by the terminals that sent them.
    fn voids(&self, requests: &[Request]) -> Vec<Request> {
        let voided = requests.iter().step_by(SALES_PER_VOID);
        voided
            .filter_map(|request| {
                let till = self.tills.get(request.till)?;
                let path = format!("/api/v1/transactions/{}/void", request.sale);
                let body = void(request.sale);
                let bytes = client::post(&path, Some(&till.token), body.as_bytes()).into();
                Some(Request { bytes, ..*request })
            })
            .collect()
    }
}

fn void(id: Uuid) -> String {
    let checksum = HEXLOWER.encode(&void_checksum(id, VOID_REASON));
    format!(r#"{{"transaction_id":"{id}","void_reason":"{VOID_REASON}","payload_checksum":"{checksum}"}}"#)
}

pub(super) fn submits(name: &'static str, requests: Arc<Vec<Request>>, rate: u32) -> Stream {
    Stream {
        name,
        requests,
        rate,
        offset: Duration::ZERO,
        connections: CONNECTIONS,
        expect: 202,
        tries: 1,
    }
}
