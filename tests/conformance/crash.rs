//! Workers that die without a word. (A8, A9)

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tsms::{
    outcome::Verdict,
    queue::{self, Handler, Job},
};

use crate::{
    harness::{Fixture, LONG, Probe, SHORT, STAGE, jobs, pool, settings, until},
    on_both,
};

/// Makes this test binary a worker process: the queue's URL and the lease in ms.
const CHILD: &str = "CONFORMANCE_WORKER";
/// The worker process kills itself over this job.
const DEADLY: i64 = 666;
/// As in `config/default.toml`.
const LEASE: Duration = Duration::from_secs(3);
/// How soon the jobs of a killed worker must be in work elsewhere.
const TAKE_OVER: Duration = Duration::from_secs(5);

on_both!(a_crashed_pool_loses_nothing);

async fn a_crashed_pool_loses_nothing(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs(0..100)).await.unwrap();
    let (stuck, stuck_seen) = Probe::done();
    let crashed = fixture.start(pool(2, 10, SHORT), &stuck.held());
    stuck_seen.set().await;
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(2, 10, SHORT), &probe);
    crashed.crash().await;
    fixture.drained(0).await;
    running.stop().await;
    let counts = seen.counts().await;
    assert_eq!(counts, (0..100).map(|key| (key, 1)).collect());
}

/// A set that takes many times its lease stays with its worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_as_long_as_the_worker_lives() {
    let mut fixture = Fixture::redis().await;
    fixture.queue.push(STAGE, jobs(0..10)).await.unwrap();
    let (slow, slow_seen) = Probe::done();
    let slow = slow.held();
    let first = fixture.start(pool(1, 5, SHORT), &slow);
    slow_seen.set().await;
    until("a set waits", async || fixture.depth().await.in_flight == 10).await;
    let (probe, seen) = Probe::done();
    let second = fixture.start(pool(1, 5, SHORT), &probe);
    // Each search is one call: ten leases' worth of them.
    let _: String = fixture.server().run(&["CONFIG", "RESETSTAT"]).await;
    until("the other pool has searched often", async || {
        fixture
            .server()
            .calls()
            .await
            .get("xautoclaim")
            .is_some_and(|calls| *calls >= 30)
    })
    .await;
    slow.open();
    fixture.drained(0).await;
    first.stop().await;
    second.stop().await;
    assert!(seen.counts().await.is_empty());
}

/// A worker process of its own.
struct Worker(Child);

impl Worker {
    fn start(url: &str, lease: Duration) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::worker_process", "--nocapture"])
            .env(CHILD, format!("{} {url}", lease.as_millis()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be dead already.
        drop(self.0.kill());
        self.0.wait().unwrap();
    }
}

/// The body of a worker process; as a test of its own it does nothing.
#[tokio::test]
async fn worker_process() {
    #[derive(Clone)]
    struct Stuck;
    impl Handler for Stuck {
        async fn work(&self, jobs: Vec<Job>) -> Vec<Verdict> {
            if jobs.iter().any(|job| job.key == DEADLY) {
                std::process::abort();
            }
            if jobs.iter().any(|job| job.key < 0) {
                std::future::pending::<()>().await;
            }
            vec![Verdict::Done; jobs.len()]
        }
        async fn parked(&self, _: Job, _: String) {}
    }
    let Ok(told) = std::env::var(CHILD) else { return };
    let (lease, url) = told.split_once(' ').unwrap();
    let lease = Duration::from_millis(lease.parse().unwrap());
    let queue = queue::open(&settings(url)).await.unwrap();
    let forever = CancellationToken::new();
    queue.work(STAGE, pool(1, 10, lease), forever, LONG, Stuck).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_jobs_move_on_within_five_seconds() {
    let mut fixture = Fixture::redis().await;
    let url = fixture.server().url();
    let mut worker = Worker::start(&url, LEASE);
    fixture.queue.push(STAGE, jobs(-20..0)).await.unwrap();
    until("the worker holds jobs", async || {
        fixture.depth().await.in_flight == 20
    })
    .await;
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LEASE), &probe);
    worker.0.kill().unwrap();
    worker.0.wait().unwrap();
    let taken_over = timeout(TAKE_OVER, seen.keys(20)).await;
    assert_eq!(
        taken_over.expect("within five seconds"),
        (-20..0).collect::<Vec<_>>()
    );
    fixture.drained(0).await;
    running.stop().await;
}

/// The same host starts a worker again at once; no name has to run out first. (A job may: the server
/// can give it to the killed worker before it has seen that its connection is closed.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_is_started_again_at_once() {
    let mut fixture = Fixture::redis().await;
    let url = fixture.server().url();
    for _ in 0..3 {
        let worker = Worker::start(&url, SHORT);
        fixture.queue.push(STAGE, jobs(0..5)).await.unwrap();
        fixture.drained(0).await;
        drop(worker);
    }
}

/// A job that kills its process every time ends up parked, alone, and its neighbours are done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_kills_its_workers_is_parked_without_its_neighbours() {
    let mut fixture = Fixture::redis().await;
    let url = fixture.server().url();
    let keys = (0..15).chain([DEADLY]).chain(15..30);
    fixture.queue.push(STAGE, jobs(keys)).await.unwrap();
    // Each life ends over the deadly job; the last one finds it delivered too often.
    let mut lives = 0;
    until("the job is parked", async || {
        let mut worker = Worker::start(&url, SHORT);
        lives += 1;
        let mut turn = tokio::time::interval(Duration::from_millis(5));
        loop {
            turn.tick().await;
            if fixture.depth().await.parked == 1 {
                return true;
            }
            if worker.0.try_wait().unwrap().is_some() {
                return false;
            }
        }
    })
    .await;
    let worker = Worker::start(&url, SHORT);
    fixture.drained(1).await;
    drop(worker);
    assert_eq!(lives, 6, "five deliveries, and the one that parks");
    let parked = fixture.queue.parked(STAGE, 10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].0.key, DEADLY);
}
