//! The queues on Redis Streams. Two streams a stage, one a lane, with one consumer group each; a job is an entry, taken
//! by a group read, kept by a lease and deleted when acknowledged, so finished jobs leave nothing.
//!
//! Four tasks carry a pool: the [`reader`] takes jobs, [`settle`] carries their fates out, the
//! [`clock`] makes delayed jobs ready on time, the [`lease`] keeps taken jobs from being taken over.
//! Each lives through every error of the server and tries again for ever.

mod clock;
mod keys;
mod lease;
mod live;
mod lost;
mod outage;
mod reader;
mod scripts;
mod server;
mod settle;
mod wire;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ::redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Value, aio::MultiplexedConnection};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::debug;

use self::{
    keys::{GROUP, Keys},
    live::Live,
    outage::Outage,
    scripts::SCRIPTS,
};
use super::{
    Activity, Depth, Job, Pool, Progress, QueueError, Valve,
    fair::{Lane, Lanes, Meter},
    line::{EntryId, Line},
    press::Press,
};
use crate::{config, domain::time::Timestamp, link::Link, stage::Stage};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// How long giving back what is left may take when a pool ends.
const LEAVE: Duration = Duration::from_secs(1);

/// The queues behind one URL.
pub(super) struct Redis {
    client: Client,
    /// Shared by everything that does not block.
    shared: Link,
    settings: config::Queue,
    press: Option<Press>,
    keys: [Keys; Stage::ALL.len()],
    activity: Activity,
    /// What this process put in each queue lately, by tenant.
    meters: [Mutex<Meter>; Stage::ALL.len()],
    /// Makes packed jobs of this process differ.
    unique: u64,
    packed: AtomicU64,
}

impl Redis {
    pub(super) fn open(settings: &config::Queue, activity: &Activity) -> Result<Self, QueueError> {
        let settings_error = |error: RedisError| QueueError::Settings(format!("queue.url: {error}"));
        let client = Client::open(settings.url.reveal()).map_err(settings_error)?;
        let answer = settings.response_timeout_ms.duration();
        let shared = Link::new(client.clone(), CONNECT, answer).map_err(settings_error)?;
        Ok(Self {
            client,
            press: Press::new(settings, shared.clone()),
            shared,
            settings: settings.clone(),
            keys: Stage::ALL.map(|stage| Keys::new(&settings.prefix, stage)),
            activity: activity.clone(),
            meters: std::array::from_fn(|_| Mutex::new(Meter::new(settings.tenant_burst))),
            unique: rand::random(),
            packed: AtomicU64::new(0),
        })
    }

    fn keys(&self, stage: Stage) -> &Keys {
        &self.keys[stage as usize]
    }

    pub(super) async fn committed(&self, rows: usize) {
        if let Some(press) = &self.press {
            press.committed(rows).await;
        }
    }

    pub(super) async fn push(&self, jobs: &[(Stage, Job)]) -> Result<(), QueueError> {
        for chunk in jobs.chunks(self.settings.push_batch.max(1)) {
            let now = Instant::now();
            let streams: Vec<&str> = (chunk.iter())
                .map(|(stage, job)| {
                    let meter = &self.meters[*stage as usize];
                    let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
                    self.keys(*stage).lane(meter.lane(job.tenant_id, now))
                })
                .collect();
            let adding = |with_bodies: bool| {
                let mut pipe = ::redis::Pipeline::with_capacity(chunk.len());
                if chunk.len() > 1 {
                    // Else the first job would wake a reader that waits, which would leave with it alone.
                    pipe.atomic();
                }
                for ((_, job), stream) in chunk.iter().zip(&streams) {
                    let body = if with_bodies { &job.body[..] } else { b"" };
                    pipe.add_command(wire::add(stream, job, body)).ignore();
                }
                pipe
            };
            // The first command after a lost connection finds out about the loss; the second one
            // rides on the new connection. Jobs may be queued twice, which is harmless without bodies:
            // only one of two may be the one that its sale is claimed for.
            let mut shared = self.shared.clone();
            let mut pushed = adding(true).query_async::<()>(&mut shared).await;
            if pushed.as_ref().is_err_and(RedisError::is_connection_dropped) {
                pushed = adding(false).query_async(&mut shared).await;
            }
            pushed.map_err(unavailable)?;
        }
        Ok(())
    }

    pub(super) async fn push_delayed(
        &self,
        stage: Stage,
        jobs: &[(Duration, Job)],
    ) -> Result<(), QueueError> {
        let keys = self.keys(stage);
        for chunk in jobs.chunks(self.settings.push_batch.max(1)) {
            let mut call = SCRIPTS.delay.prepare_invoke();
            call.key(&keys.delayed).key(&keys.bell);
            for (after, job) in chunk {
                let number = self.packed.fetch_add(1, Ordering::Relaxed);
                let unique = format!("{:x}-{number:x}", self.unique);
                call.arg(millis(*after)).arg(wire::pack(job, &unique));
            }
            call.invoke_async::<()>(&mut self.shared.clone())
                .await
                .map_err(unavailable)?;
        }
        Ok(())
    }

    pub(super) async fn depth(&self, stage: Stage) -> Result<Depth, QueueError> {
        let keys = self.keys(stage);
        let mut call = SCRIPTS.depth.prepare_invoke();
        call.key(&keys.delayed).key(&keys.parked).arg(GROUP);
        for lane in Lane::ALL {
            call.key(keys.lane(lane));
        }
        let answer = call.invoke_async(&mut self.shared.clone()).await;
        let (entries, in_flight, delayed, parked, main, crowd): (u64, u64, u64, u64, String, String) =
            answer.map_err(unavailable)?;
        let oldest = [(Lane::Main, main), (Lane::Crowd, crowd)].map(|(lane, id)| EntryId::parse(lane, &id));
        let oldest = oldest.into_iter().flatten().map(|EntryId(_, ms, _)| ms).min();
        Ok(Depth {
            ready: entries.saturating_sub(in_flight),
            in_flight,
            delayed,
            parked,
            oldest: oldest
                .map(|ms| Timestamp::from_micros(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000))),
        })
    }

    pub(super) async fn progress(&self, stage: Stage) -> Result<Progress, QueueError> {
        let keys = self.keys(stage);
        let mut call = SCRIPTS.progress.prepare_invoke();
        for lane in Lane::ALL {
            call.key(keys.lane(lane));
        }
        let answer = call.invoke_async(&mut self.shared.clone()).await;
        let (left, added) = answer.map_err(unavailable)?;
        Ok(Progress { left, added })
    }

    pub(super) async fn parked(&self, stage: Stage, limit: usize) -> Result<Vec<(Job, String)>, QueueError> {
        let mut command = ::redis::cmd("XREVRANGE");
        command.arg(&self.keys(stage).parked).arg("+").arg("-");
        command.arg("COUNT").arg(limit);
        let answer: Value = command
            .query_async(&mut self.shared.clone())
            .await
            .map_err(unavailable)?;
        let parked = wire::range(Lane::Main, answer);
        Ok(parked.into_iter().map(wire::Raw::parked).collect())
    }

    pub(super) async fn ping(&self) -> Result<(), QueueError> {
        let ping = ::redis::cmd("PING");
        ping.query_async(&mut self.shared.clone())
            .await
            .map_err(unavailable)
    }

    /// Starts the tasks behind a pool, under a name that no other pool ever has.
    pub(super) fn start(
        &self,
        stage: Stage,
        pool: Pool,
        (lanes, valve): (Lanes, &Valve),
        stop: &CancellationToken,
    ) -> (Arc<Life>, Line) {
        let life = Arc::new(Life {
            client: self.client.clone(),
            shared: self.shared.clone(),
            settings: self.settings.clone(),
            keys: self.keys(stage).clone(),
            stage,
            pool,
            lanes,
            valve: valve.clone(),
            consumer: consumer(),
            live: Live::default(),
            activity: self.activity.clone(),
        });
        // Room for one: a set is only taken once the one before it has been begun.
        let (give, sets) = mpsc::channel(1);
        let (settle, settled) = mpsc::channel(pool.concurrency.max(1));
        let reader = reader::run(Arc::clone(&life), give, settle.clone(), stop.clone());
        // One clock a stage is enough; it is that of the pool that takes everything.
        let clock = (lanes == Lanes::Both).then(|| {
            let clock = clock::run(Arc::clone(&life), stop.clone());
            AbortOnDropHandle::new(tokio::spawn(clock))
        });
        let settler = {
            let (settling, renewing) = (Arc::clone(&life), Arc::clone(&life));
            async move {
                // Leases are renewed until the last job is settled.
                tokio::select! {
                    () = settle::run(settling, settled) => {}
                    () = lease::run(renewing) => {}
                }
                drop(clock);
            }
        };
        let line = Line {
            sets,
            settle,
            press: self.press.clone(),
            reader: AbortOnDropHandle::new(tokio::spawn(reader)),
            settler: AbortOnDropHandle::new(tokio::spawn(settler)),
        };
        (life, line)
    }
}

/// What the tasks of one pool share.
pub(super) struct Life {
    client: Client,
    shared: Link,
    settings: config::Queue,
    keys: Keys,
    stage: Stage,
    pool: Pool,
    lanes: Lanes,
    valve: Valve,
    consumer: String,
    live: Live,
    activity: Activity,
}

impl Life {
    /// The name under which jobs are taken.
    pub(super) fn consumer(&self) -> &str {
        &self.consumer
    }

    fn outage(&self, task: &str) -> Outage {
        Outage::new(format!("{} {task}", self.stage), &self.settings)
    }

    /// How often leases are renewed and looked after: three times before one runs out.
    fn third(&self) -> Duration {
        (self.pool.lease / 3).max(Duration::from_millis(1))
    }

    /// A connection of its own, for commands that block for up to `block`.
    async fn connect(&self, block: Duration) -> RedisResult<MultiplexedConnection> {
        let wait = block + self.settings.response_timeout_ms.duration();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(wait));
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Gives back whatever is still held under this name, and the name itself.
    pub(super) async fn leave(&self) {
        let given = timeout(LEAVE, async {
            for lane in Lane::ALL {
                // Each round gives back a full page but the last.
                while self.hand_back(lane, &[]).await? {}
            }
            Ok::<(), RedisError>(())
        });
        match given.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if outage::is_gone(&error) => {}
            other => debug!(
                ?other,
                "could not give jobs back; they move on when their lease runs out"
            ),
        }
    }

    /// Gives back the jobs named, or a page of all that is held in a lane; whether there is more.
    async fn hand_back(&self, lane: Lane, ids: &[EntryId]) -> RedisResult<bool> {
        let mut call = SCRIPTS.hand_back.prepare_invoke();
        call.key(self.keys.lane(lane))
            .key(&self.keys.delayed)
            .key(&self.keys.bell);
        call.arg(GROUP)
            .arg(&self.consumer)
            .arg(self.settings.ack_batch.max(1));
        for id in ids {
            call.arg(id.to_string());
        }
        call.invoke_async(&mut self.shared.clone()).await
    }
}

/// What has an id.
trait Placed {
    fn lane(&self) -> Lane;
}

impl Placed for EntryId {
    fn lane(&self) -> Lane {
        self.0
    }
}

impl<T> Placed for (EntryId, T) {
    fn lane(&self) -> Lane {
        self.0.0
    }
}

/// Sorted jobs in pieces of one lane and at most `most`.
fn by_lane<T: Placed>(jobs: &[T], most: usize) -> impl Iterator<Item = (Lane, &[T])> {
    let lanes = jobs.chunk_by(|one, next| one.lane() == next.lane());
    lanes
        .flat_map(move |lane| lane.chunks(most.max(1)))
        .filter_map(|jobs| jobs.first().map(|first| (first.lane(), jobs)))
}

/// Host, process and a random number: never the same twice, so that a restart is never taken for
/// the life before it.
fn consumer() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "host" } else { host };
    format!("{host}-{}-{:016x}", std::process::id(), rand::random::<u64>())
}

fn millis(length: Duration) -> u64 {
    // Beyond what the server's arithmetic holds exactly nobody waits anyway.
    const MOST: u64 = 1 << 48;
    u64::try_from(length.as_millis()).unwrap_or(MOST).min(MOST)
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn unavailable(error: RedisError) -> QueueError {
    QueueError::Unavailable(error.to_string())
}
