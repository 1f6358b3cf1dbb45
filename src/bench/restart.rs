//! Restarts: every role, one after the other, while sales come in at a fixed rate, by a rolling update
//! and in place; what the restart adds to what tills and the web application wait.
//!
//! An update starts the successor first, as the Kubernetes manifests do; in place, as systemd does on
//! one machine, the role is away until it has started again. Before the ingresses stands what a load
//! balancer is: it sends to those that answer `/readyz` with 200, and what is refused or whose
//! connection breaks is sent again, as the integration guide asks of a till.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time::interval};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Bench, BenchError, client,
    fixed::submits,
    load::{Route, Stream, open},
    report::{Quantiles, Scenario},
    roles,
    tier::Kind,
};
use crate::stage::Stage;

/// Sales a second: far from what two cores take, also while one role runs twice.
const RATE: u32 = 300;

/// How often a sale is sent until it is taken: a till tries for about a minute.
const TRIES: u32 = 3_000;

/// How far into the load the restart begins, in parts of its length.
const LEAD: u32 = 4;

/// How often a load balancer asks an ingress whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How a role is restarted.
#[derive(Clone, Copy)]
enum Way {
    Rolling,
    InPlace,
}

/// What a till and the web application waited at most, in microseconds.
struct Longest {
    submit: u64,
    end_to_end: u64,
}

impl Bench {
    /// The load alone, then with each restart.
    pub(super) async fn restarts(&mut self) -> Result<(), BenchError> {
        let mut scenario = Scenario::named("restarts under load");
        let balancer = Balancer::start(self.tier.ingress);
        let usual = self
            .restarted(&mut scenario, "nothing restarts", &balancer, None)
            .await?;
        let (mut submit, mut end_to_end) = (0, 0);
        for (role, way) in plan(self.tier.kind) {
            let name = match way {
                Way::Rolling => format!("{role}, rolling"),
                Way::InPlace => format!("{role}, in place"),
            };
            let longest = self
                .restarted(&mut scenario, &name, &balancer, Some((role, way)))
                .await?;
            if matches!(way, Way::Rolling) {
                submit = submit.max(longest.submit.saturating_sub(usual.submit));
                end_to_end = end_to_end.max(longest.end_to_end.saturating_sub(usual.end_to_end));
            }
        }
        if self.tier.kind == Kind::Fleet {
            scenario.figure("rolling_adds_to_submit_at_most_us", submit);
            scenario.figure("rolling_adds_end_to_end_at_most_us", end_to_end);
        }
        self.done(scenario).await
    }

    async fn restarted(
        &mut self,
        scenario: &mut Scenario,
        name: &str,
        balancer: &Balancer,
        restart: Option<(&str, Way)>,
    ) -> Result<Longest, BenchError> {
        self.say(name);
        let seconds = u32::try_from(self.options.seconds).unwrap_or(u32::MAX);
        let count = usize::try_from(RATE.saturating_mul(seconds)).unwrap_or(usize::MAX);
        let requests = Arc::new(self.sign(count, 1)?);
        let mut watch = self.fresh_watch().await?;
        let stream = Stream {
            tries: TRIES,
            ..submits("submit", requests.clone(), RATE)
        };
        let (route, tier) = (balancer.route.clone(), &mut self.tier);
        let restart = async {
            tokio::time::sleep(Duration::from_secs(seconds.into()) / LEAD).await;
            match restart {
                None => Ok(()),
                Some((role, Way::InPlace)) => tier.restart(role).await,
                Some((role, Way::Rolling)) if role == INGRESS => {
                    tier.roll(role, |new| balancer.add(new)).await
                }
                Some((role, Way::Rolling)) => tier.roll(role, |_| {}).await,
            }
        };
        let (tallies, restarted) = tokio::join!(open(route, vec![stream]), restart);
        restarted?;
        let tallies = tallies?;
        let Some(tally) = tallies.first() else {
            return Err(BenchError::Broken);
        };
        for (what, count) in &tally.failures {
            *scenario.failures.entry(format!("{name}: {what}")).or_default() += count;
        }
        scenario.accepted += tally.good;
        scenario.forwarded += watch.wait(tally.good).await;
        self.settle().await?;
        let submit = Quantiles::from(&tally.latency);
        let end_to_end = Quantiles::from(&self.end_to_end(tally, &requests, RATE).await?);
        let longest = Longest {
            submit: submit.max_us,
            end_to_end: end_to_end.max_us,
        };
        scenario.latencies.insert(format!("{name}: submit"), submit);
        scenario
            .latencies
            .insert(format!("{name}: end to end"), end_to_end);
        Ok(longest)
    }
}

/// What the role before which the balancer stands is called.
const INGRESS: &str = "ingress";

/// Which roles are restarted, and how.
fn plan(tier: Kind) -> Vec<(&'static str, Way)> {
    if tier == Kind::Embedded {
        return vec![(roles::ALL, Way::InPlace)];
    }
    let behind = Stage::ALL.map(Stage::name).into_iter().chain(["scheduler"]);
    let behind: Vec<&str> = behind.collect();
    let rolling = std::iter::once(INGRESS).chain(behind.iter().copied());
    let in_place = behind.iter().map(|role| (*role, Way::InPlace));
    rolling.map(|role| (role, Way::Rolling)).chain(in_place).collect()
}

/// Keeps a route to the ingresses that say that they are ready.
struct Balancer {
    route: Route,
    known: Arc<Mutex<Vec<SocketAddr>>>,
    _asking: AbortOnDropHandle<()>,
}

impl Balancer {
    fn start(first: SocketAddr) -> Self {
        let route = Route::from(first);
        let known = Arc::new(Mutex::new(vec![first]));
        let asking: JoinHandle<()> = tokio::spawn(keep(route.clone(), known.clone()));
        Self {
            route,
            known,
            _asking: AbortOnDropHandle::new(asking),
        }
    }

    fn add(&self, ingress: SocketAddr) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push(ingress);
    }
}

async fn keep(route: Route, known: Arc<Mutex<Vec<SocketAddr>>>) {
    let ask = client::get("/readyz", None);
    let mut turn = interval(ASK_EVERY);
    loop {
        turn.tick().await;
        let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = known.into_iter().map(async |ingress| {
            let answer = client::once(ingress, &ask).await;
            answer.is_ok_and(|(status, _)| status == 200).then_some(ingress)
        });
        route.set(
            futures::future::join_all(asked)
                .await
                .into_iter()
                .flatten()
                .collect(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_of_the_fleet_is_restarted() {
        let rolling: Vec<&str> = plan(Kind::Fleet)
            .into_iter()
            .filter(|(_, way)| matches!(way, Way::Rolling))
            .map(|(role, _)| role)
            .collect();
        assert_eq!(rolling.len(), Stage::ALL.len() + 2, "{rolling:?}");
        assert_eq!(plan(Kind::Embedded).len(), 1);
    }
}
