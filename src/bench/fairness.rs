//! Fairness: how long the sales of quiet tenants take to the web application, alone and beside one
//! tenant that sends a thousand times as many, or that has a backlog standing.
//!
//! The three measurements are of one run, one after the other, with nothing left over between them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Bench, BenchError,
    delivery::arrivals,
    load::{Stream, due, open},
    report::{Quantiles, Scenario, micros, share},
    tills::{Request, sign},
};
use crate::standin::sim::{Latency, SimTerminal};

/// One quiet tenant sends a sale in so many seconds.
const SECONDS_A_SALE: u32 = 2;

/// The hot tenant's rate, in rates of a quiet one.
const TIMES: u32 = 1000;

/// Connections of the quiet tenants, and of the hot one.
const CONNECTIONS: usize = 128;

/// Seconds of the hot tenant's rate that are in the record before a quiet tenant sends anything, where
/// a backlog stands: at twice the rate that is worked off it would last as long as the measurement.
const HEAD_START: Duration = Duration::from_secs(2);

/// The hot tenant, in shares of what the tier took in the warm-up, where it has a backlog.
const BEYOND_PERCENT: u64 = 150;

/// Names of the latencies.
const ALONE: &str = "others alone";
const BESIDE: &str = "others beside 1000×";
const BACKLOG: &str = "others beside a backlog";

/// What the hot tenant does meanwhile.
struct Hot {
    requests: Vec<Request>,
    rate: u32,
    /// How much earlier than the others it begins.
    ahead: Duration,
}

impl Bench {
    /// The quiet tenants alone, then beside the hot one at its rate, then beside more than is worked off.
    pub(super) async fn fairness(&mut self) -> Result<(), BenchError> {
        self.say("fairness");
        let mut scenario = Scenario::named("fairness");
        let Some(hot) = self.tills.first().map(|till| till.tenant_id) else {
            return Ok(());
        };
        let (hot, others): (Vec<SimTerminal>, Vec<SimTerminal>) =
            self.tills.iter().cloned().partition(|till| till.tenant_id == hot);
        let quiet = u32::try_from(self.options.tenants.saturating_sub(1)).unwrap_or(u32::MAX);
        let rate = (quiet / SECONDS_A_SALE).max(1);
        // Of what the others really send, so that it is a thousandfold with few tenants too.
        let thousandfold = (rate * TIMES / quiet.max(1)).max(1);
        let warm = self.warm_up(CONNECTIONS).await?;
        let taken = super::report::per_second(warm.good, warm.took);
        let beyond = u32::try_from(share(taken, BEYOND_PERCENT, 100)).unwrap_or(u32::MAX);
        let seconds = u32::try_from(self.options.seconds).unwrap_or(u32::MAX);
        scenario.figure("others_sales_per_s_together", u64::from(rate));
        scenario.figure("hot_sales_per_s", u64::from(thousandfold));
        scenario.figure("hot_sales_per_s_with_a_backlog", u64::from(beyond));
        let mut p95 = Vec::new();
        for (name, rate_of_hot, ahead) in [
            (ALONE, 0, Duration::ZERO),
            (BESIDE, thousandfold, Duration::ZERO),
            (BACKLOG, beyond, HEAD_START),
        ] {
            self.say(name);
            let lead = u32::try_from(ahead.as_secs()).unwrap_or_default();
            let many = |rate: u32, seconds: u32| usize::try_from(rate.saturating_mul(seconds)).unwrap_or(0);
            let requests = Arc::new(sign(&others, many(rate, seconds), 1)?);
            let hot = Hot {
                requests: sign(&hot, many(rate_of_hot, seconds.saturating_add(lead)), 1)?,
                rate: rate_of_hot,
                ahead,
            };
            let whole = self.beside(&mut scenario, requests, rate, hot).await?;
            let quantiles = Quantiles::from(&whole);
            p95.push(quantiles.p95_us);
            scenario.latencies.insert(name.to_owned(), quantiles);
        }
        if let [alone, beside, backlog] = p95[..] {
            scenario.figure("others_p95_percent_beside", share(beside, 100, alone));
            scenario.figure("others_p95_percent_beside_a_backlog", share(backlog, 100, alone));
        }
        self.done(scenario).await
    }

    /// From the moment a sale of a quiet tenant was due to be sent to the moment the web application
    /// had it, while `hot` goes on.
    async fn beside(
        &self,
        scenario: &mut Scenario,
        requests: Arc<Vec<Request>>,
        rate: u32,
        hot: Hot,
    ) -> Result<Latency, BenchError> {
        let mut watch = self.fresh_watch().await?;
        let stream = |name, requests, rate, offset| Stream {
            name,
            requests,
            rate,
            offset,
            connections: CONNECTIONS,
            expect: 202,
        };
        let mut streams = vec![stream("others", requests.clone(), rate, hot.ahead)];
        if hot.rate > 0 {
            streams.push(stream("hot", Arc::new(hot.requests), hot.rate, Duration::ZERO));
        }
        let start = Instant::now();
        let tallies = open(self.tier.ingress, streams).await?;
        for tally in &tallies {
            scenario.failed(&tally.failures);
        }
        let good = tallies.iter().map(|tally| tally.good).sum();
        let arrived = watch.wait(good).await;
        scenario.accepted += good;
        scenario.forwarded += arrived;
        self.say(&format!("{good} sales in {} ms", start.elapsed().as_millis()));
        self.settle().await?;
        let whole = Latency::default();
        let Some(tally) = tallies.first() else {
            return Ok(whole);
        };
        let late = micros(tally.lag.quantile(950));
        let most = scenario.figures.entry("generator_late_p95_us".to_owned()).or_default();
        *most = late.max(*most);
        let arrivals = arrivals(self.tier.sink).await?;
        for (number, request) in requests.iter().enumerate() {
            if let Some(arrived) = arrivals.get(&request.sale) {
                whole.record(arrived.since(tally.began.plus(due(number, rate))));
            }
        }
        Ok(whole)
    }
}
