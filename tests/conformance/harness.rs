//! What the cases share: a queue with its server, a handler that tells the test what it saw, a pool
//! that can be stopped or crashed, and waiting with a deadline.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tsms::{
    domain::time::Timestamp,
    outcome::Verdict,
    queue::{self, Depth, Gather, Handler, Job, Pool, Queue},
    stage::Stage,
};

use crate::server::Server;

/// How long anything that must happen may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// A lease that does not run out during a test.
pub(crate) const LONG: Duration = Duration::from_secs(900);
/// A lease for tests that wait for it to run out.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
/// The queue that most cases use.
pub(crate) const STAGE: Stage = Stage::Processing;

/// Settings of a queue. The reader's and the clock's waits are so long that nothing that happens
/// within the deadline can be due to one that ended.
pub(crate) fn settings(url: &str) -> tsms::config::Queue {
    settings_with(url, 600_000)
}

/// The same with another time that one answer may take, in ms.
pub(crate) fn settings_with(url: &str, response_timeout_ms: u64) -> tsms::config::Queue {
    let settings = json!({
        "url": url,
        "prefix": "test",
        "response_timeout_ms": response_timeout_ms,
        "block_ms": 300_000,
        "reconnect_min_ms": 10,
        "reconnect_max_ms": 200,
        "promote_batch": 500,
        "push_batch": 500,
        "ack_batch": 1000,
        "ack_gather_ms": 0,
        "rest": {"percent": 0, "most_ms": 200, "from_rows": 20, "hold_ms": 500, "lag_ms": 10_000},
        "memory_capacity": 1_000_000,
        "memory_body_kib": 16_384,
        "tenant_burst": 32,
    });
    serde_json::from_value(settings).unwrap()
}

/// A queue and, for Redis, its server.
pub(crate) struct Fixture {
    pub(crate) queue: Queue,
    pub(crate) server: Option<Server>,
}

impl Fixture {
    pub(crate) async fn memory() -> Self {
        let queue = queue::open(&settings("memory:")).await.unwrap();
        Self { queue, server: None }
    }

    pub(crate) async fn redis() -> Self {
        Self::on(Server::start().await).await
    }

    /// On a server whose data outlives it.
    pub(crate) async fn durable_redis() -> Self {
        Self::on(Server::durable().await).await
    }

    pub(crate) async fn on(server: Server) -> Self {
        let queue = queue::open(&settings(&server.url())).await.unwrap();
        Self {
            queue,
            server: Some(server),
        }
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("only Redis has a server")
    }

    pub(crate) async fn depth(&self) -> Depth {
        self.queue.depth(STAGE).await.unwrap()
    }

    /// Waits until the queue holds no job but `parked` parked ones.
    pub(crate) async fn drained(&self, parked: u64) {
        until("the queue is drained", async || {
            let empty = Depth {
                parked,
                ..Depth::default()
            };
            self.queue.depth(STAGE).await.is_ok_and(|depth| depth == empty)
        })
        .await;
    }

    pub(crate) fn start(&self, pool: Pool, probe: &Probe) -> Running {
        self.start_on(STAGE, pool, probe)
    }

    pub(crate) fn start_on(&self, stage: Stage, pool: Pool, probe: &Probe) -> Running {
        let stop = CancellationToken::new();
        let (queue, probe, signal) = (self.queue.clone(), probe.clone(), stop.clone());
        let task = tokio::spawn(async move { queue.work(stage, pool, signal, DEADLINE, probe).await });
        Running { stop, task }
    }
}

/// A pool at work.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Stops it in good order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.task)
            .await
            .expect("the pool ends")
            .unwrap();
    }

    /// Drops it with everything it does, as a crash does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

pub(crate) fn pool(concurrency: usize, batch: usize, lease: Duration) -> Pool {
    Pool {
        concurrency,
        express: 0,
        ahead: true,
        batch,
        gather: Gather::NONE,
        lease,
        max_deliveries: 5,
    }
}

pub(crate) fn job(key: i64) -> Job {
    Job {
        key,
        tenant_id: 1,
        attempt: 0,
        enqueued_at: Timestamp::now(),
        request_id: format!("request-{key}"),
        body: Bytes::from_static(b"a body of some bytes"),
    }
}

pub(crate) fn jobs(keys: impl IntoIterator<Item = i64>) -> Vec<Job> {
    keys.into_iter().map(job).collect()
}

type Answer = dyn Fn(&Job) -> Verdict + Send + Sync;

/// A handler that reports what it sees. One more of the same pool is a clone.
#[derive(Clone)]
pub(crate) struct Probe {
    sets: mpsc::UnboundedSender<Vec<Job>>,
    parked: mpsc::UnboundedSender<(Job, String)>,
    answer: Arc<Answer>,
    /// While closed, sets wait after they were reported.
    gate: Arc<tokio::sync::Semaphore>,
    pub(crate) worked: Arc<AtomicUsize>,
    /// After how many sets the pool rested.
    pub(crate) rested: Arc<AtomicUsize>,
}

/// The test's end of a probe.
pub(crate) struct Seen {
    sets: Mutex<mpsc::UnboundedReceiver<Vec<Job>>>,
    parked: Mutex<mpsc::UnboundedReceiver<(Job, String)>>,
}

impl Probe {
    /// A handler that answers as told.
    pub(crate) fn new(answer: impl Fn(&Job) -> Verdict + Send + Sync + 'static) -> (Self, Seen) {
        let (sets, seen_sets) = mpsc::unbounded_channel();
        let (parked, seen_parked) = mpsc::unbounded_channel();
        let probe = Self {
            sets,
            parked,
            answer: Arc::new(answer),
            gate: Arc::new(tokio::sync::Semaphore::new(1_000_000)),
            worked: Arc::default(),
            rested: Arc::default(),
        };
        let seen = Seen {
            sets: Mutex::new(seen_sets),
            parked: Mutex::new(seen_parked),
        };
        (probe, seen)
    }

    pub(crate) fn done() -> (Self, Seen) {
        Self::new(|_| Verdict::Done)
    }

    /// The same with a gate that is closed.
    pub(crate) fn held(mut self) -> Self {
        self.gate = Arc::new(tokio::sync::Semaphore::new(0));
        self
    }

    /// Opens the gate for good.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1_000_000);
    }
}

impl Handler for Probe {
    async fn work(&self, jobs: Vec<Job>) -> Vec<Verdict> {
        // The test may have stopped listening.
        drop(self.sets.send(jobs.clone()));
        self.gate.acquire().await.unwrap().forget();
        self.worked.fetch_add(jobs.len(), Ordering::Relaxed);
        jobs.iter().map(|job| (self.answer)(job)).collect()
    }

    async fn parked(&self, job: Job, reason: String) {
        drop(self.parked.send((job, reason)));
    }

    fn rested(&self, _rest: Duration) {
        self.rested.fetch_add(1, Ordering::Relaxed);
    }
}

impl Seen {
    /// The next set, in the order of work.
    pub(crate) async fn set(&self) -> Vec<Job> {
        let mut sets = self.sets.lock().await;
        timeout(DEADLINE, sets.recv())
            .await
            .expect("a set comes")
            .unwrap()
    }

    /// The keys of the next `count` jobs, in the order of work.
    pub(crate) async fn keys(&self, count: usize) -> Vec<i64> {
        let mut keys = Vec::new();
        while keys.len() < count {
            keys.extend(self.set().await.iter().map(|job| job.key));
        }
        keys
    }

    pub(crate) async fn parked(&self) -> (Job, String) {
        let mut parked = self.parked.lock().await;
        timeout(DEADLINE, parked.recv())
            .await
            .expect("a job is parked")
            .unwrap()
    }

    /// How often each key was worked on so far, and not yet asked for.
    pub(crate) async fn counts(&self) -> BTreeMap<i64, usize> {
        let mut sets = self.sets.lock().await;
        let mut counts = BTreeMap::new();
        while let Ok(set) = sets.try_recv() {
            for job in set {
                *counts.entry(job.key).or_default() += 1;
            }
        }
        counts
    }

    pub(crate) async fn none_parked(&self) {
        assert!(self.parked.lock().await.try_recv().is_err());
    }
}

/// Waits until `happened`.
pub(crate) async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let wait = async {
        let mut turn = interval(Duration::from_millis(5));
        while !happened().await {
            turn.tick().await;
        }
    };
    timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("not within the deadline: {what}"));
}

/// Runs each case on both backends.
#[macro_export]
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::harness::Fixture::memory().await).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::harness::Fixture::redis().await).await;
            })+
        }
    };
}
