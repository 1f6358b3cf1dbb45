//! Deciding together with the other ingresses, by the logs in Redis; and deciding alone, by the share
//! of this process, while Redis is away.
//!
//! There are three ways to decide. *Alone*: by the logs of this process and its share of every quota.
//! *Together*: by the logs in Redis, written down here as well. *Returning*: by both, for a while after
//! Redis came back, until every other process has brought to it what it let in alone. Decision 0012
//! tells what holds in each and at the changes.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Client, RedisError};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Decision,
    bucket::Bucket,
    clock::Clock,
    table::{Now, Rules, Table},
    window::Piece,
    wire::{self, Keys},
};
use crate::{config, link::Link, telemetry::metrics};

/// How this process decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Alone,
    Returning { until: Instant },
    Together,
}

/// A request that waits for the next call.
struct Ask {
    buckets: Vec<Bucket>,
    answer: oneshot::Sender<Decision>,
}

/// The limiter of one process among several.
pub(super) struct Shared {
    rules: Rules,
    table: Mutex<Table>,
    clock: Mutex<Clock>,
    mode: Mutex<Mode>,
    /// Decisions are made in Redis again.
    changed: Notify,
    /// The epoch of the logs that this process brought its own to.
    epoch: Mutex<String>,
    /// Ingresses that are alive, this one included.
    processes: AtomicU32,
    /// The name of this process among them, never used before.
    name: u64,
    asks: mpsc::Sender<Ask>,
    connection: Link,
    keys: Keys,
    settings: config::Limits,
}

impl Shared {
    /// Opens the shared logs at the queue's Redis and starts the tasks, which end with `stop`. A Redis
    /// that is away is no error.
    pub(super) fn start(
        settings: &config::Limits,
        queue: &config::Queue,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, RedisError> {
        let limit = settings.redis_timeout_ms.duration();
        let connection = Link::new(Client::open(queue.url.reveal())?, limit, limit)?;
        let (asks, waiting) = mpsc::channel(settings.check_queue);
        let rules = Rules::new(settings);
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let shared = Arc::new(Self {
            rules,
            table: Mutex::new(Table::new(rules, settings.capacity)),
            clock: Mutex::new(Clock {
                read: wall.map_or(0, |wall| u64::try_from(wall.as_millis()).unwrap_or(0)),
                at: Instant::now(),
                asked: Duration::ZERO,
            }),
            mode: Mutex::new(Mode::Alone),
            changed: Notify::new(),
            epoch: Mutex::default(),
            processes: AtomicU32::new(1),
            name: rand::random(),
            asks,
            connection,
            keys: Keys::new(&queue.prefix),
            settings: *settings,
        });
        metrics::limits_alone(true);
        let caller = Arc::clone(&shared);
        let ended = stop.clone();
        tokio::spawn(async move { ended.run_until_cancelled(caller.call(waiting)).await });
        let keeper = Arc::clone(&shared);
        let ended = stop.clone();
        tokio::spawn(async move { ended.run_until_cancelled(keeper.keep()).await });
        Ok(shared)
    }

    /// Lets a request in if none of its buckets is full.
    pub(super) async fn check(&self, buckets: &[Bucket]) -> Decision {
        if *locked(&self.mode) == Mode::Alone {
            return self.decide_alone(buckets);
        }
        let (answer, decision) = oneshot::channel();
        let ask = Ask {
            buckets: buckets.to_vec(),
            answer,
        };
        if self.asks.try_send(ask).is_err() {
            self.go_alone("too many requests wait for it");
            return self.decide_alone(buckets);
        }
        match decision.await {
            Ok(decision) => decision,
            Err(_) => self.decide_alone(buckets),
        }
    }

    /// Waits until decisions are made in Redis.
    pub(super) async fn together(&self) {
        loop {
            let changed = self.changed.notified();
            if *locked(&self.mode) == Mode::Together {
                return;
            }
            changed.await;
        }
    }

    /// How many ingresses share the quotas while Redis is away.
    pub(super) fn processes(&self, alive: u32) {
        self.processes.store(alive.max(1), Ordering::Relaxed);
    }

    /// Lets go of logs in which nothing counts any more.
    pub(super) fn sweep(&self) {
        let now = locked(&self.clock).now();
        locked(&self.table).sweep(now);
    }

    fn decide_alone(&self, buckets: &[Bucket]) -> Decision {
        let now = locked(&self.clock).now();
        let processes = self.processes.load(Ordering::Relaxed);
        locked(&self.table).decide(buckets, now, processes)
    }

    /// Decides whatever waits in one call, one call after the other. A call costs much more than a
    /// request in it, so under load calls keep a distance; a request that comes alone never waits.
    async fn call(&self, mut waiting: mpsc::Receiver<Ask>) {
        let most = self.settings.check_batch;
        let mut next = Instant::now();
        let mut asks = Vec::new();
        while waiting.recv_many(&mut asks, most).await > 0 {
            if Instant::now() < next && asks.len() < most {
                sleep_until(next.into()).await;
                while asks.len() < most
                    && let Ok(ask) = waiting.try_recv()
                {
                    asks.push(ask);
                }
            }
            next = Instant::now() + self.settings.check_every_ms.duration();
            self.decide(std::mem::take(&mut asks)).await;
        }
    }

    async fn decide(&self, asks: Vec<Ask>) {
        let mode = *locked(&self.mode);
        let returning = matches!(mode, Mode::Returning { .. });
        if mode == Mode::Alone {
            asks.into_iter().for_each(|ask| self.answer_alone(ask));
            return;
        }
        let (asks, reserved) = if returning {
            self.reserve(asks)
        } else {
            (asks, Vec::new())
        };
        let requests: Vec<&[Bucket]> = asks.iter().map(|ask| ask.buckets.as_slice()).collect();
        if requests.is_empty() {
            return;
        }
        match self.ask_server(&requests).await {
            Ok(answer) => {
                let at = Now {
                    early: answer.at,
                    late: answer.at,
                };
                let mut table = locked(&self.table);
                if returning {
                    requests.iter().for_each(|buckets| table.take_back(buckets, at));
                }
                for (buckets, decision) in requests.iter().zip(&answer.decisions) {
                    if decision.admitted() {
                        table.record(buckets, at, true);
                    }
                }
                drop(table);
                for (ask, decision) in asks.into_iter().zip(answer.decisions) {
                    tell(ask.answer, decision);
                }
            }
            Err(reason) => {
                self.go_alone(&reason);
                if returning {
                    for (ask, decision) in asks.into_iter().zip(reserved) {
                        tell(ask.answer, decision);
                    }
                } else {
                    asks.into_iter().for_each(|ask| self.answer_alone(ask));
                }
            }
        }
    }

    /// Refuses what is beyond the share of this process and writes the rest down.
    fn reserve(&self, asks: Vec<Ask>) -> (Vec<Ask>, Vec<Decision>) {
        let mut kept = (Vec::new(), Vec::new());
        for ask in asks {
            let decision = self.decide_alone(&ask.buckets);
            if decision.admitted() {
                kept.0.push(ask);
                kept.1.push(decision);
            } else {
                tell(ask.answer, decision);
            }
        }
        kept
    }

    fn answer_alone(&self, ask: Ask) {
        let decision = self.decide_alone(&ask.buckets);
        tell(ask.answer, decision);
    }

    /// One call to the server, within `redis_timeout_ms`.
    async fn ask_server(&self, requests: &[&[Bucket]]) -> Result<wire::Answer, String> {
        let started = Instant::now();
        let epoch = locked(&self.epoch).clone();
        let mut connection = self.connection.clone();
        let call = wire::check(&mut connection, &self.keys, &self.rules, &epoch, requests);
        let answer = timeout(self.settings.redis_timeout_ms.duration(), call)
            .await
            .map_err(|_| "it does not answer in time".to_owned())?
            .map_err(|error| error.to_string())?
            .ok_or_else(|| "it lost the logs".to_owned())?;
        self.heard(answer.at, started);
        metrics::limits_call(requests.len(), started.elapsed());
        Ok(answer)
    }

    /// The server's clock read `read` between `asked` and now.
    fn heard(&self, read: u64, asked: Instant) {
        *locked(&self.clock) = Clock {
            read,
            at: Instant::now(),
            asked: asked.elapsed(),
        };
    }

    fn go_alone(&self, reason: &str) {
        let before = std::mem::replace(&mut *locked(&self.mode), Mode::Alone);
        if before != Mode::Alone {
            metrics::limits_alone(true);
            let processes = self.processes.load(Ordering::Relaxed);
            tracing::warn!(
                reason,
                processes,
                "rate limits: Redis is away, this process decides by its share"
            );
        }
    }

    /// Whether every process that is alive has come back, or has had more than enough time for it.
    async fn is_settled(&self, until: Instant) -> bool {
        let longest = self.settings.settle_max_ms.duration();
        let alive = self.processes.load(Ordering::Relaxed);
        let epoch = locked(&self.epoch).clone();
        let mut connection = self.connection.clone();
        let call = wire::back(&mut connection, &self.keys, &epoch, self.name, longest);
        let back = match timeout(self.settings.redis_timeout_ms.duration(), call).await {
            Ok(Ok(back)) => back,
            Ok(Err(_)) | Err(_) => 0,
        };
        let now = Instant::now();
        until <= now && (back >= alive || until + longest <= now)
    }

    /// Comes back to the shared logs when it can.
    async fn keep(&self) {
        let mut turn = interval(self.settings.probe_ms.duration());
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            let mode = *locked(&self.mode);
            match mode {
                Mode::Alone => {
                    if let Err(error) = self.come_back().await {
                        tracing::debug!(error, "rate limits: Redis is not back");
                    }
                }
                Mode::Returning { until } if self.is_settled(until).await => {
                    let mut mode = locked(&self.mode);
                    if matches!(*mode, Mode::Returning { .. }) {
                        *mode = Mode::Together;
                        self.changed.notify_waiters();
                        metrics::limits_alone(false);
                        tracing::info!("rate limits: decided in Redis");
                    }
                }
                Mode::Returning { .. } | Mode::Together => {}
            }
        }
    }

    /// Brings everything that this process let in to the logs; then decides by both.
    async fn come_back(&self) -> Result<(), String> {
        let limit = self.settings.redis_timeout_ms.duration();
        let (asked, mut connection) = (Instant::now(), self.connection.clone());
        let (epoch, read) = timeout(limit, wire::epoch(&mut connection, &self.keys))
            .await
            .map_err(|_| "it does not answer in time".to_owned())?
            .map_err(|error| error.to_string())?;
        self.heard(read, asked);
        // Lost logs lack all; logs that were kept may lack the end.
        let lost = epoch != *locked(&self.epoch);
        let all = locked(&self.table).hand_over(lost);
        self.bring(all, &epoch).await?;
        // What was let in meanwhile comes after, when nothing more is let in without asking.
        let rest = {
            let mut mode = locked(&self.mode);
            *locked(&self.epoch) = epoch.clone();
            *mode = Mode::Returning {
                until: Instant::now() + self.settings.settle_ms.duration(),
            };
            locked(&self.table).hand_over(false)
        };
        let brought = self.bring(rest, &epoch).await;
        if let Err(reason) = &brought {
            self.go_alone(reason);
        }
        brought
    }

    async fn bring(&self, logs: Vec<(Bucket, Vec<Piece>)>, epoch: &str) -> Result<(), String> {
        let brought = self.try_bring(&logs, epoch).await;
        if brought.is_err() {
            // Some may have arrived; to bring them twice lets fewer in, never more.
            locked(&self.table).not_shared(logs.iter().map(|(bucket, _)| *bucket));
        }
        brought
    }

    async fn try_bring(&self, logs: &[(Bucket, Vec<Piece>)], epoch: &str) -> Result<(), String> {
        let mut connection = self.connection.clone();
        for some in logs.chunks(self.settings.check_batch) {
            let call = wire::merge(&mut connection, &self.keys, &self.rules, epoch, some);
            let merged = call.await.map_err(|error| error.to_string())?;
            if !merged {
                return Err("it lost the logs".to_owned());
            }
        }
        Ok(())
    }
}

fn tell(answer: oneshot::Sender<Decision>, decision: Decision) {
    if answer.send(decision).is_err() {
        tracing::debug!("a client went away before it was counted");
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
