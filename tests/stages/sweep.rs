//! The sweeper and `rebuild`: lost queues cost latency and nothing else.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tsms::{
    config::{Config, Millis},
    domain::time::Timestamp,
    outcome::Verdict,
    queue::{self, Gather, Handler, Job, Pool, Queue},
    runner::Runner,
    scheduler::sweeper,
    stage::Stage,
    store::Mark,
    workers,
};

use crate::world::{World, followers, with_body};

const DEADLINE: Duration = Duration::from_secs(30);

fn quick(config: &mut Config) {
    config.sweeper.interval_ms = Millis::new(20);
    config.sweeper.grace_ms = Millis::new(50);
    config.sweeper.mark_lag_ms = Millis::new(100);
    config.sweeper.page = 7;
    config.sweeper.pages_per_round = 3;
    // Sales are claimed for jobs that are lost.
    config.forwarding.claim_ms = Millis::new(100);
}

/// Starts a worker of every stage and `sweepers` sweepers.
async fn start(world: &World, sweepers: usize) -> (Queue, TaskTracker) {
    let queue = queue::open(&world.config.queue).await.unwrap();
    let tasks = TaskTracker::new();
    for stage in Stage::ALL {
        let settings = world.config.pool(stage);
        let runner = Runner::new(stage, settings, world.ctx.clone(), queue.clone(), Arc::default());
        let (queue, stop) = (queue.clone(), world.stop.clone());
        tasks.spawn(async move { queue.work(stage, settings.into(), stop, DEADLINE, runner).await });
    }
    for _ in 0..sweepers {
        let (store, queue) = (world.store.clone(), queue.clone());
        let config = Arc::clone(&world.config);
        tasks.spawn(sweeper::run(store, queue, config, world.stop.clone()));
    }
    tasks.close();
    (queue, tasks)
}

/// Waits until the audit log has `rows` rows, looking again whenever a set was acknowledged.
async fn audited(world: &World, queue: &Queue, rows: usize) {
    let mut activity = queue.activity();
    let come_true = async {
        loop {
            activity.mark_unchanged();
            if world.audited().await >= rows {
                return;
            }
            activity.changed().await.unwrap();
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, come_true).await;
    assert!(in_time.is_ok(), "{} of {rows} audit rows", world.audited().await);
}

#[tokio::test]
async fn two_sweepers_bring_home_what_no_queue_knows_of() {
    let world = World::new(quick).await;
    let mut accepted = Vec::new();
    for seed in 0..60_u64 {
        let till = usize::try_from(seed % 4).unwrap();
        accepted.push(world.accept(till, 2, seed % 10 == 0, seed).await);
    }
    // Some got as far as their rows, some were decided; then every queue was lost.
    let jobs: Vec<_> = accepted.iter().take(30).map(with_body).collect();
    let validated = world.run(Stage::Validation, &jobs).await;
    let rows = followers(&validated, Stage::Processing);
    world.run(Stage::Processing, &rows[..20]).await;

    let (queue, tasks) = start(&world, 2).await;
    // Six of the 120 sales are flawed; each sale is recorded and decided, each valid one forwarded.
    audited(&world, &queue, 120 * 2 + 114).await;
    let summary = world.sink.summary();
    assert_eq!(
        (summary.distinct, summary.clashes, summary.complaints),
        (114, 0, 0),
        "{summary}"
    );
    assert_eq!(world.audited().await, 120 * 2 + 114);
    world.stop.cancel();
    tokio::time::timeout(DEADLINE, tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn queues_in_memory_are_filled_anew_when_a_process_starts() {
    // Long enough that no round ever comes.
    let never = Millis::new(3_600_000);
    let world = World::new(|config| {
        config.sweeper.interval_ms = never;
        config.sweeper.grace_ms = never;
        config.sweeper.page = 7;
    })
    .await;
    for seed in 0..20_u64 {
        world.accept(0, 1, false, seed).await;
    }
    let (queue, tasks) = start(&world, 1).await;
    audited(&world, &queue, 20 * 3).await;
    assert_eq!(world.sink.summary().distinct, 20);
    world.stop.cancel();
    tokio::time::timeout(DEADLINE, tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn what_a_process_found_at_its_start_is_not_enqueued_again_while_it_waits() {
    let hour = Duration::from_secs(3600);
    let world = World::new(|config| {
        config.sweeper.interval_ms = Millis::new(1);
        config.sweeper.grace_ms = Millis::new(3_600_000);
        config.sweeper.page = 7;
    })
    .await;
    // So old that no grace covers it: only that it was enqueued a moment ago does.
    let accept = async |seed: u64| {
        let body = world.sign(0, 1, false, seed);
        let accepted_at = Timestamp::now().minus(2 * hour);
        world.commit_at(0, &body, accepted_at).await;
    };
    for seed in 0..20 {
        accept(seed).await;
    }
    let queue = queue::open(&world.config.queue).await.unwrap();
    let (store, config) = (world.store.clone(), Arc::clone(&world.config));
    tokio::spawn(sweeper::run(store, queue.clone(), config, world.stop.clone()));
    let enqueued = async || queue.progress(Stage::Validation).await.unwrap().added;
    let found = async {
        while enqueued().await < 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, found).await.unwrap();
    // Rounds go by meanwhile.
    for seed in 20..30 {
        accept(seed).await;
    }
    let mut keys = idle(&world, &queue, Stage::Validation);
    let all = keys.wait_for(|keys| keys.len() == 30);
    tokio::time::timeout(DEADLINE, all).await.unwrap().unwrap();
    // The worker moved no row, so all of them stood still once nothing waited any more.
    assert_eq!(enqueued().await, 20 + 30);
}

/// Forgets its jobs without working on them, and tells which there were.
#[derive(Clone)]
struct Idle(Arc<watch::Sender<BTreeSet<i64>>>);

impl Handler for Idle {
    async fn work(&self, jobs: Vec<Job>) -> Vec<Verdict> {
        self.0
            .send_modify(|keys| keys.extend(jobs.iter().map(|job| job.key)));
        vec![Verdict::Done; jobs.len()]
    }

    async fn parked(&self, job: Job, reason: String) {
        panic!("{job:?}: {reason}");
    }
}

/// Starts a pool of such a worker; the keys that it has seen.
fn idle(world: &World, queue: &Queue, stage: Stage) -> watch::Receiver<BTreeSet<i64>> {
    let (keys, seen) = watch::channel(BTreeSet::new());
    let (queue, stop) = (queue.clone(), world.stop.clone());
    let pool = Pool {
        concurrency: 1,
        express: 0,
        ahead: true,
        batch: 5,
        gather: Gather::NONE,
        lease: DEADLINE,
        max_deliveries: 5,
    };
    let idle = Idle(Arc::new(keys));
    tokio::spawn(async move { queue.work(stage, pool, stop, DEADLINE, idle).await });
    seen
}

#[tokio::test]
async fn nothing_hides_behind_a_full_page_of_rows_that_never_move() {
    let world = World::new(quick).await;
    for seed in 0..60_u64 {
        world
            .accept(usize::try_from(seed % 4).unwrap(), 1, false, seed)
            .await;
    }
    // All due at the same instant.
    world.due_sales(0, 60, 1_000).await;
    let queue = queue::open(&world.config.queue).await.unwrap();
    let mut seen = Vec::new();
    for stage in [Stage::Validation, Stage::Forwarding] {
        seen.push((stage, idle(&world, &queue, stage)));
    }
    let (store, config) = (world.store.clone(), Arc::clone(&world.config));
    tokio::spawn(sweeper::run(store, queue, config, world.stop.clone()));
    for (stage, mut keys) in seen {
        let all = keys.wait_for(|keys| keys.len() == 60);
        let in_time = tokio::time::timeout(DEADLINE, all).await.is_ok();
        assert!(in_time, "{stage}: {:?}", keys.borrow());
    }
}

#[tokio::test]
async fn rebuild_finds_all_that_is_due_and_then_nothing() {
    let world = World::new(quick).await;
    let accepted = world.accept(0, 5, false, 1).await;
    let validated = world.run(Stage::Validation, &[with_body(&accepted)]).await;
    let rows = followers(&validated, Stage::Processing);
    let off = world.other(|config| config.forwarding.enabled = false);
    workers::run(Stage::Processing, &off, &rows[..3]).await.unwrap();
    for seed in 2..20 {
        world.accept(1, 1, false, seed).await;
    }
    let queue = queue::open(&world.config.queue).await.unwrap();
    let settings = &world.config.sweeper;
    let rebuilt = sweeper::rebuild(&world.store, &queue, settings).await.unwrap();
    let jobs: Vec<u64> = rebuilt.jobs.iter().map(|(_, jobs)| *jobs).collect();
    // Five recorded and three decided events are missing, of five sales.
    assert_eq!(jobs, [18, 2, 3, 5, 0]);
    for (stage, jobs) in rebuilt.jobs {
        assert_eq!(queue.depth(stage).await.unwrap().ready, jobs, "{stage}");
    }

    let (queue, tasks) = start(&world, 0).await;
    sweeper::rebuild(&world.store, &queue, settings).await.unwrap();
    audited(&world, &queue, 23 * 3).await;
    let again = sweeper::rebuild(&world.store, &queue, settings).await.unwrap();
    assert!(again.jobs.iter().all(|(_, jobs)| *jobs == 0), "{again:?}");
    world.stop.cancel();
    tokio::time::timeout(DEADLINE, tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn marks_follow_finished_rows_and_stop_before_others() {
    let world = World::new(quick).await;
    let first = world.accept(0, 1, false, 1).await;
    world.run(Stage::Validation, &[with_body(&first)]).await;
    let second = world.accept(0, 1, false, 2).await;
    let third = world.accept(0, 1, false, 3).await;
    world.run(Stage::Validation, &[with_body(&third)]).await;
    // No worker runs, so nothing but the marks can move.
    let queue = queue::open(&world.config.queue).await.unwrap();
    let mut config = Config::clone(&world.config);
    config.sweeper.mark_lag_ms = Millis::new(0);
    let config = Arc::new(config);
    let sweeping = sweeper::run(world.store.clone(), queue.clone(), config, world.stop.clone());
    let watching = async {
        let come_true = async {
            while world.store.mark(Mark::Validation).await.unwrap() < first.id
                || queue.depth(Stage::Processing).await.unwrap().ready < 2
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, come_true).await.unwrap();
        world.stop.cancel();
    };
    futures::future::join(sweeping, watching).await;
    assert_eq!(world.store.mark(Mark::Validation).await.unwrap(), first.id);
    assert!(second.id > first.id && third.id > second.id);
    assert_eq!(world.store.mark(Mark::Processing).await.unwrap(), 0);
    assert_eq!(world.store.mark(Mark::Audit).await.unwrap(), 0);
}
