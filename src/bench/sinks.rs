//! Sinks: fifty tenants with a web application of their own each, of which five stop answering. What the
//! other forty-five take then, beside what they took when all were well, in one run.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    Bench, BenchError,
    delivery::{Watch, reached},
    load::{Tally, closed},
    report::{Quantiles, Scenario, per_second, share},
    tier::{SINK_TOKEN, bulk_url},
    tills::sign,
};
use crate::{
    config::Secret,
    domain::sink::Change,
    sinks::{self, Wish},
    standin::sim::SimTerminal,
};

/// Tenants with a sink of their own.
const SINKS: usize = 50;

/// Those whose web application stops answering.
const HANGING: usize = 5;

/// Connections of the load, shared out in the same proportion.
const CONNECTIONS: usize = 256;

/// Room above the rate of the warm-up, in percent, for the requests that are signed in advance.
const ROOM: u64 = 220;

/// What the web application of the five is called among the processes.
const OTHER: &str = "sink of the five";

/// The tills of the five, and of the others.
struct Cast {
    five: Vec<SimTerminal>,
    others: Vec<SimTerminal>,
}

impl Bench {
    pub(super) async fn sinks(&mut self) -> Result<(), BenchError> {
        let mut scenario = Scenario::named(format!("{SINKS} sinks, of which {HANGING} hang"));
        let other = self.tier.start_other_sink(OTHER).await?;
        let mut tenants: Vec<i64> = self.tills.iter().map(|till| till.tenant_id).collect();
        tenants.sort_unstable();
        tenants.dedup();
        tenants.truncate(SINKS);
        let five = tenants.get(..HANGING).unwrap_or_default();
        let mut rows = Vec::new();
        for tenant in &tenants {
            let at = if five.contains(tenant) {
                other
            } else {
                self.tier.sink
            };
            rows.push(self.own_sink(*tenant, at).await?);
        }
        let mine = self.tills.iter().filter(|till| tenants.contains(&till.tenant_id));
        let (five, others) = mine.cloned().partition(|till| five.contains(&till.tenant_id));
        let cast = Cast { five, others };
        let warm = self.warm_up(CONNECTIONS).await?;
        let count = share(
            per_second(warm.good, warm.took).saturating_mul(self.options.seconds),
            ROOM,
            100,
        );

        let mut rates = Vec::new();
        for (name, mode) in [("all well", "ok"), ("five hang", "hang")] {
            self.say(name);
            self.tier.forget_at(other).await?;
            self.tier.tell_sink(other, mode).await?;
            rates.push(self.taken(&mut scenario, name, &cast, other, count).await?);
        }
        if let [well, beside] = rates[..] {
            scenario.figure("completed_per_s_all_well", well);
            scenario.figure("completed_per_s_five_hang", beside);
            scenario.figure(
                "completed_five_hang_percent_of_all_well",
                share(beside, 100, well),
            );
        }
        self.settle().await?;
        let result = self.done(scenario).await;
        for row in rows {
            self.tier.store.remove_sink(row).await?;
        }
        self.tier.stop(&[OTHER]).await?;
        result
    }

    async fn own_sink(&self, tenant: i64, at: SocketAddr) -> Result<i64, BenchError> {
        let wish = Wish {
            name: format!("bench-{tenant}"),
            tenant_id: Some(tenant),
            environment: None,
            endpoint: bulk_url(at),
        };
        let change = Change {
            allow_private: Some(true),
            ..Change::default()
        };
        let token = Some(Some(Secret::new(SINK_TOKEN)));
        let made = sinks::create(&self.tier.store, &self.tier.config, wish, &change, token).await;
        Ok(made.map_err(|error| BenchError::Sink(error.to_string()))?.id)
    }

    /// Posts for `seconds` as all tenants do, and waits for everything; what the others' web applications
    /// took, in sales a second.
    async fn taken(
        &self,
        scenario: &mut Scenario,
        name: &str,
        cast: &Cast,
        other: SocketAddr,
        count: u64,
    ) -> Result<u64, BenchError> {
        let limit = Duration::from_secs(self.options.seconds);
        let few = CONNECTIONS * HANGING / SINKS;
        let of = |share: usize| usize::try_from(count).unwrap_or(0) * share / SINKS;
        let theirs = sign(&cast.others, of(SINKS - HANGING).max(1), 1)?;
        let five = sign(&cast.five, of(HANGING).max(1), 1)?;
        let (mut watch, mut held) = (self.fresh_watch().await?, Watch::start(other).await?);
        let start = Instant::now();
        let (theirs, five): (Result<Tally, _>, Result<Tally, _>) = tokio::join!(
            closed(self.closed(theirs, CONNECTIONS - few, limit)),
            closed(self.closed(five, few, limit)),
        );
        let (theirs, five) = (theirs?, five?);
        let arrived = watch.wait(theirs.good).await;
        let took = reached(&watch.samples(), arrived).map_or(start.elapsed(), |end| end - start);
        // What waited for the five is delivered when they answer again.
        self.tier.tell_sink(other, "ok").await?;
        scenario.accepted += theirs.good + five.good;
        scenario.forwarded += arrived + held.wait(five.good).await;
        scenario.failed(&theirs.failures);
        scenario.failed(&five.failures);
        let submit = Quantiles::from(&theirs.latency);
        scenario
            .latencies
            .insert(format!("{name}: submit of the others"), submit);
        Ok(per_second(arrived, took))
    }
}
