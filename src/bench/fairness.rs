//! Fairness: how long the sales of quiet tenants take to the web application, alone and beside one
//! tenant that sends a thousand times as many, or that has a backlog standing.
//!
//! All measurements are of one run, one after the other, with nothing left over between them. A machine
//! that has more to do is slower for everybody; what the hot tenant takes from the others beyond that
//! shows against the same load spread over all tenants.

use std::{sync::Arc, time::Duration};

use super::{
    Bench, BenchError,
    delivery::arrivals,
    load::{Stream, due, open},
    report::{Quantiles, Scenario, micros, per_second, share},
    tills::sign,
};
use crate::standin::sim::{Latency, SimTerminal};

/// A quiet tenant sends a sale in so many seconds. In ten: a thousand times that is as much as
/// `limits.tenant` lets a tenant send as shipped. In two: five times that.
const SECONDS_A_SALE: [u32; 2] = [10, 2];

/// The hot tenant's rate, in rates of a quiet one.
const TIMES: u32 = 1000;

/// Connections of the quiet tenants, and of the hot one.
const CONNECTIONS: usize = 128;

/// How much earlier than the others the hot tenant begins where a backlog is to stand.
const HEAD_START: Duration = Duration::from_secs(2);

/// The hot tenant's rate there, in shares of what the tier took in the warm-up.
const BEYOND_PERCENT: u64 = 150;

/// Who sends, and what the measurement is called.
struct Cast {
    hot: Vec<SimTerminal>,
    others: Vec<SimTerminal>,
    all: Vec<SimTerminal>,
}

/// What somebody sends while the others are watched.
#[derive(Clone, Copy)]
struct Beside<'a> {
    tills: &'a [SimTerminal],
    rate: u32,
    ahead: Duration,
}

impl Bench {
    /// The quiet tenants alone, beside the hot one, beside the same load from everybody, and beside more
    /// than is worked off.
    pub(super) async fn fairness(&mut self) -> Result<(), BenchError> {
        let mut scenario = Scenario::named("fairness");
        let Some(hot) = self.tills.first().map(|till| till.tenant_id) else {
            return Ok(());
        };
        let all = self.tills.clone();
        let (hot, others) = all.iter().cloned().partition(|till| till.tenant_id == hot);
        let cast = Cast { hot, others, all };
        let warm = self.warm_up(CONNECTIONS).await?;
        let beyond = share(per_second(warm.good, warm.took), BEYOND_PERCENT, 100);
        let quiet = u32::try_from(self.options.tenants.saturating_sub(1)).unwrap_or(u32::MAX);
        let nothing = Beside {
            tills: &cast.hot,
            rate: 0,
            ahead: Duration::ZERO,
        };
        for seconds in SECONDS_A_SALE {
            let rate = (quiet / seconds).max(1);
            // Of what the others really send, so that it is a thousandfold with few tenants too.
            let rate_of_hot = (rate.saturating_mul(TIMES) / quiet.max(1)).max(1);
            let alone = format!("{rate}/s alone");
            let base = self.watched(&mut scenario, &alone, &cast, rate, nothing).await?;
            let one = format!("{rate}/s beside one at {rate_of_hot}/s");
            let hot = Beside {
                rate: rate_of_hot,
                ..nothing
            };
            let spread = Beside {
                tills: &cast.all,
                ..hot
            };
            let p95 = self.watched(&mut scenario, &one, &cast, rate, hot).await?;
            let name = format!("{rate}/s, {rate_of_hot}/s spread");
            let fair = self.watched(&mut scenario, &name, &cast, rate, spread).await?;
            let figure = format!("p95_beside_{rate_of_hot}_per_s_percent_of_alone");
            scenario.figure(&figure, share(p95, 100, base));
            let figure = format!("p95_beside_{rate_of_hot}_per_s_percent_of_spread");
            scenario.figure(&figure, share(p95, 100, fair));
            if seconds == SECONDS_A_SALE[SECONDS_A_SALE.len() - 1] {
                let backlog = Beside {
                    rate: u32::try_from(beyond).unwrap_or(u32::MAX),
                    ahead: HEAD_START,
                    ..nothing
                };
                let name = format!("{rate}/s beside a backlog");
                let p95 = self.watched(&mut scenario, &name, &cast, rate, backlog).await?;
                scenario.figure("hot_sales_per_s_for_a_backlog", beyond);
                scenario.figure("p95_beside_a_backlog_percent_of_alone", share(p95, 100, base));
            }
        }
        self.done(scenario).await
    }

    /// Watches the quiet tenants' sales while something goes on beside; their p95 in microseconds, from the
    /// moment a sale was due to be sent to the moment the web application had it.
    async fn watched(
        &self,
        scenario: &mut Scenario,
        name: &str,
        cast: &Cast,
        rate: u32,
        beside: Beside<'_>,
    ) -> Result<u64, BenchError> {
        self.say(name);
        let seconds = u32::try_from(self.options.seconds).unwrap_or(u32::MAX);
        let lead = u32::try_from(beside.ahead.as_secs()).unwrap_or_default();
        let many = |rate: u32, seconds: u32| usize::try_from(rate.saturating_mul(seconds)).unwrap_or(0);
        let requests = Arc::new(sign(&cast.others, many(rate, seconds), 1)?);
        let stream = |name, requests, rate, offset| Stream {
            name,
            requests,
            rate,
            offset,
            connections: CONNECTIONS,
            expect: 202,
            tries: 1,
        };
        let mut streams = vec![stream("others", requests.clone(), rate, beside.ahead)];
        if beside.rate > 0 {
            let more = sign(beside.tills, many(beside.rate, seconds.saturating_add(lead)), 1)?;
            streams.push(stream("beside", Arc::new(more), beside.rate, Duration::ZERO));
        }
        let mut watch = self.fresh_watch().await?;
        let tallies = open(self.tier.ingress, streams).await?;
        for tally in &tallies {
            scenario.failed(&tally.failures);
        }
        let good = tallies.iter().map(|tally| tally.good).sum();
        scenario.accepted += good;
        scenario.forwarded += watch.wait(good).await;
        self.settle().await?;
        let Some(tally) = tallies.first() else {
            return Ok(0);
        };
        let late = micros(tally.lag.quantile(950));
        let most = scenario
            .figures
            .entry("generator_late_p95_us".to_owned())
            .or_default();
        *most = late.max(*most);
        let arrivals = arrivals(self.tier.sink).await?;
        let whole = Latency::default();
        for (number, request) in requests.iter().enumerate() {
            if let Some(arrived) = arrivals.get(&request.sale) {
                whole.record(arrived.since(tally.began.plus(due(number, rate))));
            }
        }
        let quantiles = Quantiles::from(&whole);
        scenario.latencies.insert(name.to_owned(), quantiles);
        let submit = Quantiles::from(&tally.latency);
        scenario.latencies.insert(format!("{name}: submit"), submit);
        Ok(quantiles.p95_us)
    }
}
