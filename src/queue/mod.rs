//! The queues: one for each stage, in memory or on Redis Streams, behind one type.
//!
//! A job is at least once delivered and forgotten only when acknowledged. Losing every job costs
//! latency, not data: the sweeper makes them again from the rows. Jobs are never compared: pushing
//! one twice works on it twice, and the rows make the second time harmless.
//!
//! Tenants share each queue fairly (`fair`).
//!
//! To read on: `shell` is a running pool (an apalis worker), `feed` its apalis backend, `line` what it
//! exchanges with the tasks that do the input and output, which are in `memory` and `redis`; `press` has
//! pools on Redis rest while many tills wait.

mod fair;
mod feed;
mod gather;
mod line;
mod memory;
mod press;
mod progress;
mod redis;
mod shell;
mod valve;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use gather::Gather;
pub use progress::{Moved, Progress};
pub use valve::{Flow, Valve};

use self::fair::Lanes;
use crate::{config, domain::time::Timestamp, outcome::Verdict, stage::Stage};

/// One unit of queued work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The row it is about (submission, transaction or notification id, by stage).
    pub key: i64,
    /// Whose work it is; queues share fairly between tenants.
    pub tenant_id: i64,
    /// How often it was retried through the queue; 0 at first.
    pub attempt: u32,
    /// When it was first put in this queue.
    pub enqueued_at: Timestamp,
    /// Correlates logs with the request that caused it; may be empty.
    pub request_id: String,
    /// A copy of the rows it needs, stage by stage; may be empty.
    pub body: Bytes,
}

/// The state of one queue, each figure got in constant time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that wait and are due.
    pub ready: u64,
    /// Jobs taken and not yet acknowledged.
    pub in_flight: u64,
    /// Jobs that become due later.
    pub delayed: u64,
    /// Jobs set aside because they cannot be worked on.
    pub parked: u64,
    /// When the oldest ready or in-flight job was put among the ready ones, by the clock of the queue
    /// server. For a job that was delayed this is when it became due, not [`Job::enqueued_at`]: the
    /// ready jobs are taken in this order, so whatever was pushed before it is gone.
    pub oldest: Option<Timestamp>,
}

/// What the queue server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// Memory it uses, in bytes.
    pub memory_used: u64,
    /// Memory it may use, in bytes; 0 for as much as there is.
    pub memory_limit: u64,
    /// What it does when that is used up.
    pub policy: String,
    /// Whether it writes a log of every change.
    pub append_only: bool,
    /// How often that log is made durable.
    pub fsync: String,
    /// Whether it writes snapshots.
    pub snapshots: bool,
    /// Whether the last write of the log or a snapshot failed.
    pub write_failed: bool,
    /// Its clock.
    pub now: Timestamp,
}

/// The queue cannot be reached or did not understand. Never fatal: the rows are still there.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue server cannot be reached or answered with an error.
    #[error("queue unavailable: {0}")]
    Unavailable(String),
    /// The URL or an option of it cannot be used.
    #[error("queue settings: {0}")]
    Settings(String),
}

/// How a stage's pool takes work.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Sets of jobs worked on at the same time.
    pub concurrency: usize,
    /// Further sets at the same time, only of tenants within their share: while a backlog keeps the
    /// others busy, whoever has none is taken at once.
    pub express: usize,
    /// Whether a set is taken before there is a place for it, so that one is at hand when another ends. Not
    /// where a set waits for somebody outside: a quiet tenant's job would wait in it although a place
    /// becomes free elsewhere.
    pub ahead: bool,
    /// Most jobs in one set.
    pub batch: usize,
    /// When to let jobs gather before the next set is taken: fewer and larger sets.
    pub gather: Gather,
    /// After this long without renewal a taken job is given to another worker.
    pub lease: Duration,
    /// Deliveries after which a job that never was acknowledged is parked as poison.
    pub max_deliveries: u32,
}

impl From<config::StagePool> for Pool {
    fn from(settings: config::StagePool) -> Self {
        Self {
            concurrency: settings.concurrency,
            express: settings.express,
            ahead: settings.ahead,
            batch: settings.batch,
            gather: Gather {
                from: settings.gather_from,
                pause: settings.gather_ms.duration(),
                most: settings.gather_most_ms.duration(),
            },
            lease: settings.lease_ms.duration(),
            max_deliveries: settings.max_deliveries,
        }
    }
}

/// What a stage does with the jobs its pool takes. One set is one call; sets run side by side up to
/// [`Pool::concurrency`].
pub trait Handler: Clone + Send + Sync + 'static {
    /// Works on a set and gives one verdict a job, in order. Must not panic and must end by itself:
    /// time limits and panic catching are inside.
    fn work(&self, jobs: Vec<Job>) -> impl Future<Output = Vec<Verdict>> + Send;

    /// A job was set aside and will not come back by itself: delivered too often without an
    /// acknowledgement (it kills its workers), or judged dead by its worker.
    fn parked(&self, job: Job, reason: String) -> impl Future<Output = ()> + Send;

    /// The pool rests after a set, because many tills wait.
    fn rested(&self, _rest: Duration) {}
}

/// A handle on all queues; cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Inner,
    activity: Activity,
}

#[derive(Clone)]
enum Inner {
    Memory(Arc<memory::Memory>),
    Redis(Arc<redis::Redis>),
}

/// Counts the jobs this process has settled.
#[derive(Clone)]
struct Activity(Arc<watch::Sender<u64>>);

impl Activity {
    fn settled(&self, jobs: usize) {
        self.0
            .send_modify(|count| *count = count.wrapping_add(jobs as u64));
    }
}

/// Opens the queues by URL: `memory:` or `redis://…`. A Redis that is away is not an error; the
/// handle connects when it can and for ever tries again.
///
/// # Errors
/// The URL is of no known kind or cannot be read.
pub async fn open(settings: &config::Queue) -> Result<Queue, QueueError> {
    let activity = Activity(Arc::new(watch::Sender::new(0)));
    let url = settings.url.reveal();
    let inner = if url == "memory:" {
        Inner::Memory(Arc::new(memory::Memory::new(settings, &activity)))
    } else if url.starts_with("redis:") {
        Inner::Redis(Arc::new(redis::Redis::open(settings, &activity)?))
    } else {
        return Err(QueueError::Settings(
            "queue.url is neither memory: nor redis://…".to_owned(),
        ));
    };
    Ok(Queue { inner, activity })
}

impl Queue {
    /// Puts jobs at the end of a queue, due now, in as few commands as `push_batch` allows.
    ///
    /// # Errors
    /// The queue server is away, or the in-memory queue is full. Some of the jobs may have been
    /// queued; pushing them again is safe.
    pub async fn push(&self, stage: Stage, jobs: Vec<Job>) -> Result<(), QueueError> {
        match &self.inner {
            Inner::Memory(memory) => memory.push(stage, jobs),
            Inner::Redis(redis) => {
                let jobs: Vec<_> = jobs.into_iter().map(|job| (stage, job)).collect();
                redis.push(&jobs).await
            }
        }
    }

    /// Puts jobs at the ends of their queues, as [`Queue::push`], those of all queues together.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub async fn push_all(&self, jobs: Vec<(Stage, Job)>) -> Result<(), QueueError> {
        match &self.inner {
            Inner::Memory(memory) => {
                let mut by_stage: BTreeMap<Stage, Vec<Job>> = BTreeMap::new();
                for (stage, job) in jobs {
                    by_stage.entry(stage).or_default().push(job);
                }
                (by_stage.into_iter()).try_for_each(|(stage, jobs)| memory.push(stage, jobs))
            }
            Inner::Redis(redis) => redis.push(&jobs).await,
        }
    }

    /// Puts jobs in a queue, each due after its delay, by the server's clock.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub async fn push_delayed(&self, stage: Stage, jobs: Vec<(Duration, Job)>) -> Result<(), QueueError> {
        match &self.inner {
            Inner::Memory(memory) => memory.push_delayed(stage, jobs),
            Inner::Redis(redis) => redis.push_delayed(stage, &jobs).await,
        }
    }

    /// The ingress is about to push `rows` submissions: when these are many on average, pools rest
    /// between their sets, as `[queue.rest]` says.
    pub async fn committed(&self, rows: usize) {
        if let Inner::Redis(redis) = &self.inner {
            redis.committed(rows).await;
        }
    }

    /// The state of a queue, in constant time.
    ///
    /// # Errors
    /// The queue server is away.
    pub async fn depth(&self, stage: Stage) -> Result<Depth, QueueError> {
        match &self.inner {
            Inner::Memory(memory) => Ok(memory.depth(stage)),
            Inner::Redis(redis) => redis.depth(stage).await,
        }
    }

    /// How a queue gets on, in constant time.
    ///
    /// # Errors
    /// The queue server is away.
    pub async fn progress(&self, stage: Stage) -> Result<Progress, QueueError> {
        match &self.inner {
            Inner::Memory(memory) => Ok(memory.progress(stage)),
            Inner::Redis(redis) => redis.progress(stage).await,
        }
    }

    /// The newest parked jobs of a queue with the reason of each, at most `limit`. Of an entry that
    /// could not be read as a job, what could be read is filled in.
    ///
    /// # Errors
    /// The queue server is away.
    pub async fn parked(&self, stage: Stage, limit: usize) -> Result<Vec<(Job, String)>, QueueError> {
        match &self.inner {
            Inner::Memory(memory) => Ok(memory.parked(stage, limit)),
            Inner::Redis(redis) => redis.parked(stage, limit).await,
        }
    }

    /// The oldest ready jobs of a queue, those taken included, at most `limit` of each lane. They stay
    /// where they are.
    ///
    /// # Errors
    /// The queue server is away.
    pub async fn peek(&self, stage: Stage, limit: usize) -> Result<Vec<Job>, QueueError> {
        match &self.inner {
            Inner::Memory(memory) => Ok(memory.peek(stage, limit)),
            Inner::Redis(redis) => redis.peek(stage, limit).await,
        }
    }

    /// What the queue server says of itself; `None` where the queues are in memory.
    ///
    /// # Errors
    /// The queue server is away.
    pub async fn server(&self) -> Result<Option<Server>, QueueError> {
        match &self.inner {
            Inner::Memory(_) => Ok(None),
            Inner::Redis(redis) => redis.server().await.map(Some),
        }
    }

    /// Asks the queue server for a sign of life.
    ///
    /// # Errors
    /// It gives none.
    pub async fn ping(&self) -> Result<(), QueueError> {
        match &self.inner {
            Inner::Memory(_) => Ok(()),
            Inner::Redis(redis) => redis.ping().await,
        }
    }

    /// A number that moves whenever this process acknowledges jobs, for tests that wait for
    /// quiescence.
    #[must_use]
    pub fn activity(&self) -> watch::Receiver<u64> {
        self.activity.0.subscribe()
    }

    /// Runs a pool of a stage until `stop`: then takes no more, lets running sets finish for up to
    /// `drain`, acknowledges them and hands every other taken job back at once. No error of the
    /// queue server ends it. Dropping the future instead is a crash: nothing is handed back, and
    /// the jobs move on when their lease runs out.
    pub async fn work<H: Handler>(
        &self,
        stage: Stage,
        pool: Pool,
        stop: CancellationToken,
        drain: Duration,
        handler: H,
    ) {
        let valve = Valve::new(pool.concurrency);
        self.work_through(stage, pool, &valve, stop, drain, handler).await;
    }

    /// As [`Queue::work`], with `valve` to say how many sets are worked on at the same time, up to
    /// [`Pool::concurrency`], and whether any are taken.
    pub async fn work_through<H: Handler>(
        &self,
        stage: Stage,
        pool: Pool,
        valve: &Valve,
        stop: CancellationToken,
        drain: Duration,
        handler: H,
    ) {
        let both = (Lanes::Both, valve);
        let all = self.run(stage, pool, both, stop.clone(), drain, handler.clone());
        if pool.express == 0 {
            return all.await;
        }
        let express = Pool {
            concurrency: pool.express,
            ..pool
        };
        let beside = valve.beside(pool.express);
        let main = (Lanes::Main, &beside);
        tokio::join!(all, self.run(stage, express, main, stop, drain, handler));
    }

    /// A pool on these lanes.
    async fn run<H: Handler>(
        &self,
        stage: Stage,
        pool: Pool,
        (lanes, valve): (Lanes, &Valve),
        stop: CancellationToken,
        drain: Duration,
        handler: H,
    ) {
        match &self.inner {
            Inner::Memory(memory) => {
                let line = memory.start(stage, pool, (lanes, valve), &stop);
                shell::run(stage.name(), line, (pool, valve), stop, drain, handler).await;
            }
            Inner::Redis(redis) => {
                let (life, line) = redis.start(stage, pool, (lanes, valve), &stop);
                shell::run(life.consumer(), line, (pool, valve), stop, drain, handler).await;
                life.leave().await;
            }
        }
    }
}
