//! Looks at the queues and at the record, side by side, and never longer than [`PATIENCE`].

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    sync::OnceCell,
    time::{Instant, timeout},
};
use tsms::{
    config::Config,
    domain::{dead_letter::Filter, hold::Hold, time::Timestamp},
    letters,
    queue::{self, Depth, Progress, Queue},
    sinks,
    stage::Stage,
    store::{self, Store},
    telemetry::scrape,
};

use super::{
    frame::{Crew, Fault, Frame, Held, QueueRow, Record, Source},
    pace::Looks,
};
use crate::cli::{Failure, scale, unmigrated};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sales are counted over this long,
const SALES_SPAN: Duration = Duration::from_secs(300);
/// and no more than this many,
const MOST_SALES: i64 = 20_000;
/// for this many tenants.
const MOST_TENANTS: usize = 10;
/// Pauses that are read.
const MOST_HOLDS: usize = 1000;
/// Breakers that are read; more than there are sinks.
const MOST_BREAKERS: usize = 1000;
/// Dead letters that are read for their causes,
const MOST_LETTERS: usize = 2000;
/// of which the most frequent are kept.
const MOST_CAUSES: usize = 50;

/// Looks, and remembers what rates need.
pub(super) struct Reader {
    config: Config,
    queues: Queues,
    store: OnceCell<Store>,
    looks: Vec<Looks>,
}

/// Where the state of the queues is seen.
enum Queues {
    /// On their server.
    Server(Queue),
    /// At the process that has them in memory.
    Process(SocketAddr),
    /// Nowhere.
    Unseen(&'static str),
}

/// A queue at one look.
type Seen = (Depth, Option<Duration>, Progress, Instant);

impl Reader {
    /// Connects to nothing yet: what is away is told by each look.
    pub(super) async fn new(config: Config, metrics: Option<SocketAddr>) -> Result<Self, Failure> {
        let queues = if config.check_fleet().is_ok() {
            Queues::Server(queue::open(&config.queue).await?)
        } else if let Some(address) = metrics {
            Queues::Process(address)
        } else if !config.ingress.tls_certificate.as_os_str().is_empty() {
            Queues::Unseen("they are in the memory of `tsms up`, whose /metrics are behind TLS here")
        } else if config.ingress.listen.port() == 0 {
            Queues::Unseen(
                "they are in the memory of `tsms up`, and ingress.listen names no port (--metrics)",
            )
        } else {
            Queues::Process(reachable(config.ingress.listen))
        };
        Ok(Self {
            config,
            queues,
            store: OnceCell::new(),
            looks: Stage::ALL.iter().map(|_| Looks::default()).collect(),
        })
    }

    /// One look.
    pub(super) async fn read(&mut self) -> Frame {
        let at = Timestamp::now();
        let (seen, told) = tokio::join!(
            within(Source::Queues, self.see()),
            within(Source::Record, self.ask(at))
        );
        let mut faults = Vec::new();
        let told = told.map_err(|fault| faults.push(fault)).ok();
        let seen = seen.map_err(|fault| faults.push(fault)).ok();
        let (mut record, mut queues) = (None, Vec::with_capacity(Stage::ALL.len()));
        let crews = told.map(|(found, crews)| {
            record = Some(found);
            crews
        });
        for (place, (stage, looks)) in Stage::ALL.into_iter().zip(&mut self.looks).enumerate() {
            let seen = seen.as_ref().and_then(|seen| seen.get(place).copied());
            let pace = match seen {
                Some((_, _, progress, at)) => looks.add(at, progress),
                None => {
                    looks.forget();
                    None
                }
            };
            queues.push(QueueRow {
                stage,
                depth: seen.map(|(depth, age, ..)| (depth, age)),
                pace,
                crew: crews.as_ref().and_then(|crews| crews.get(place).copied()),
            });
        }
        Frame {
            at,
            embedded: !matches!(self.queues, Queues::Server(_)),
            queues,
            record,
            faults,
        }
    }

    /// Every queue, in the order of [`Stage::ALL`].
    async fn see(&self) -> Result<Vec<Seen>, String> {
        let seen = |(depth, progress): (Depth, Progress)| {
            let age = depth.oldest.map(|oldest| Timestamp::now().since(oldest));
            (depth, age, progress, Instant::now())
        };
        match &self.queues {
            Queues::Server(queue) => {
                let mut all = Vec::with_capacity(Stage::ALL.len());
                for stage in Stage::ALL {
                    let depth = queue.depth(stage).await.map_err(words)?;
                    let progress = queue.progress(stage).await.map_err(words)?;
                    all.push(seen((depth, progress)));
                }
                Ok(all)
            }
            Queues::Process(address) => {
                let found = scrape::queues(*address).await.map_err(words)?;
                Ok(found.into_values().map(seen).collect())
            }
            Queues::Unseen(why) => Err((*why).to_owned()),
        }
    }

    /// What the record says, and who works on each queue.
    async fn ask(&self, now: Timestamp) -> Result<(Record, Vec<Crew>), String> {
        let store = self.store.get_or_try_init(|| self.open()).await.map_err(words)?;
        let holds = store.standing_holds(now, MOST_HOLDS).await.map_err(words)?;
        let staff = scale::State::read(&self.config, store).await.map_err(words)?;
        let crews = Stage::ALL.into_iter().map(|stage| {
            let (processes, sets) = staff.staff(stage);
            Crew {
                width: staff.width(&self.config, stage),
                processes,
                sets,
                held: held(&holds, stage),
            }
        });
        let crews = crews.collect();

        let mut breakers = sinks::breakers(store, MOST_BREAKERS).await.map_err(words)?;
        breakers.sort_by_key(|breaker| breaker.stance(now).lets_through());
        let letters = store.count_dead_letters().await.map_err(words)?;
        let all: Filter = "all".parse().map_err(words)?;
        let looked = letters::causes(store, &all, MOST_LETTERS).await.map_err(words)?;
        let mut causes = looked.found;
        causes.truncate(MOST_CAUSES);
        let since = now.minus(SALES_SPAN);
        let busiest = store.busiest_tenants(since, MOST_SALES, MOST_TENANTS).await;
        let record = Record {
            holds,
            breakers,
            letters,
            causes,
            causes_whole: looked.more.is_none(),
            since,
            busiest: busiest.map_err(words)?,
        };
        Ok((record, crews))
    }

    async fn open(&self) -> Result<Store, Failure> {
        let store = store::open(&self.config.database).await?;
        store.ping().await.map_err(unmigrated)?;
        Ok(store)
    }
}

/// A look that failed or took too long is a fault.
async fn within<T>(source: Source, look: impl Future<Output = Result<T, String>>) -> Result<T, Fault> {
    let fault = |why| Fault { source, why };
    match timeout(PATIENCE, look).await {
        Ok(found) => found.map_err(fault),
        Err(_) => Err(fault(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn held(holds: &[Hold], stage: Stage) -> Held {
    let concerned = || holds.iter().filter(|hold| hold.concerns(stage.name()));
    if concerned().any(|hold| hold.tenant_id.is_none()) {
        return Held::All;
    }
    match concerned().count() {
        0 => Held::No,
        tenants => Held::Tenants(tenants),
    }
}

/// Where a process that listens there is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(queue: Option<&str>, tenant_id: Option<i64>) -> Hold {
        Hold {
            id: 1,
            queue: queue.map(str::to_owned),
            tenant_id,
            owner: String::new(),
            reason: String::new(),
            created_at: Timestamp::now(),
            ends_at: Timestamp::now(),
            lifted_at: None,
        }
    }

    #[test]
    fn a_queue_is_held_by_what_concerns_it() {
        let holds = [
            hold(Some("audit"), None),
            hold(Some("forwarding"), Some(7)),
            hold(None, Some(8)),
        ];
        assert!(held(&holds, Stage::Audit) == Held::All);
        assert!(held(&holds, Stage::Forwarding) == Held::Tenants(2));
        assert!(held(&holds, Stage::Validation) == Held::Tenants(1));
        assert!(held(&[], Stage::Audit) == Held::No);
    }

    #[test]
    fn a_process_that_listens_everywhere_is_reached_at_home() {
        for (listen, at) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), at.parse().unwrap());
        }
    }
}
