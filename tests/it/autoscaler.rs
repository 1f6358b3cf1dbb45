//! The autoscaler on real queues and a real record, with the time in the hands of the test.

use std::sync::Arc;

use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tsms::{
    config::AutoscalerMode,
    domain::time::Timestamp,
    fleet::Roles,
    outcome::Verdict,
    queue::{Gather, Handler, Job, Pool},
    scheduler::autoscaler::Autoscaler,
    stage::Stage,
    store::{Beat, Load, NewWidth},
};

use crate::{
    control::until,
    procfile::Processes,
    world::{Tier, World},
};

/// Does nothing with a job, so that the queue gets empty.
#[derive(Clone)]
struct Swallow;

impl Handler for Swallow {
    async fn work(&self, jobs: Vec<Job>) -> Vec<Verdict> {
        vec![Verdict::Done; jobs.len()]
    }

    async fn parked(&self, job: Job, reason: String) {
        panic!("{job:?} parked: {reason}");
    }
}

fn jobs(count: i64) -> Vec<Job> {
    let job = |key| Job {
        key,
        tenant_id: key % 7,
        attempt: 0,
        enqueued_at: Timestamp::now(),
        request_id: String::new(),
        body: bytes::Bytes::new(),
    };
    (1..=count).map(job).collect()
}

/// A world whose ingress alone runs, with workers that only say that they are alive.
struct Scene {
    world: World,
    scaler: Autoscaler,
    now: Timestamp,
}

impl Scene {
    async fn start(tier: Tier, mode: AutoscalerMode) -> Self {
        let roles = Roles {
            ingress: true,
            ..Roles::default()
        };
        let world = World::start_roles(tier, "", &roles).await;
        let mut config = (*world.config).clone();
        config.autoscaler.mode = mode;
        let scaler = Autoscaler::new(world.store.clone(), world.queue.clone(), Arc::new(config));
        Self {
            world,
            scaler,
            now: Timestamp::now(),
        }
    }

    /// Looks every ten seconds for so many seconds; the moves of the queue, as was and becomes.
    async fn pass(&mut self, seconds: u64, load: Load) -> Vec<(u64, u64)> {
        let mut moves = Vec::new();
        for _ in 0..seconds / 10 {
            self.now = self.now.plus(Duration::from_secs(10));
            let beat = Beat {
                process: "a-test",
                queue: "processing",
                concurrency: 2,
                connections: 8,
                load,
            };
            self.world.store.worker_beat(&beat, self.now).await.unwrap();
            for made in self.scaler.look(self.now).await.unwrap() {
                assert_eq!(made.stage, Stage::Processing, "the others have no workers");
                moves.push((made.was, made.becomes));
            }
        }
        moves
    }

    async fn width(&self) -> Option<u64> {
        let widths = self.world.store.widths().await.unwrap();
        widths.first().map(|width| width.concurrency)
    }

    async fn empty(&self) {
        let queue = self.world.queue.clone();
        let (stop, pool) = (
            CancellationToken::new(),
            Pool {
                concurrency: 2,
                express: 0,
                ahead: true,
                batch: 500,
                gather: Gather::NONE,
                lease: Duration::from_secs(5),
                max_deliveries: 3,
            },
        );
        let working = tokio::spawn({
            let stop = stop.clone();
            async move {
                queue
                    .work(Stage::Processing, pool, stop, Duration::from_secs(5), Swallow)
                    .await;
            }
        });
        until("the queue is empty", async || {
            let depth = self.world.queue.depth(Stage::Processing).await.unwrap();
            depth.ready + depth.in_flight == 0
        })
        .await;
        stop.cancel();
        working.await.unwrap();
    }
}

async fn widens_and_narrows(tier: Tier) {
    let mut stage = Scene::start(tier, AutoscalerMode::Enforce).await;
    let queue = stage.world.queue.clone();
    let calm = Load::default();
    queue.push(Stage::Processing, jobs(1500)).await.unwrap();
    assert_eq!(stage.pass(290, calm).await, [], "not yet");
    assert_eq!(stage.pass(30, calm).await, [(2, 3)]);
    assert_eq!(stage.width().await, Some(3));
    // Busy processors: more sets would not be faster.
    let busy = Load { cpu: 950, ..calm };
    assert_eq!(stage.pass(600, busy).await, []);
    assert_eq!(stage.pass(10, calm).await, [(3, 4)]);
    stage.empty().await;
    let moves = stage.pass(7200, calm).await;
    assert_eq!(moves.last().map(|(_, becomes)| *becomes), Some(1), "{moves:?}");
    assert!(
        moves.iter().all(|(was, becomes)| was - 1 == *becomes),
        "{moves:?}"
    );
    let told = stage.world.store.width_moves(100).await.unwrap();
    assert!(told.iter().all(|step| step.actor == "autoscaler"), "{told:?}");
    assert!(told[0].reason.contains("fewer than 100 jobs waited"), "{told:?}");
    assert!(
        told.last().unwrap().reason.contains("more than 1000 jobs waited"),
        "{told:?}"
    );
    let people = stage.world.store.list_actions(0, 100).await.unwrap();
    assert!(
        !people.iter().any(|row| row.action == "queue.scaled"),
        "no person did it"
    );

    // What a person sets holds for its time, whatever the queue is like.
    let pinned_until = stage.now.plus(Duration::from_secs(3600));
    let wish = NewWidth {
        queue: "processing",
        concurrency: 5,
        default: 2,
        pinned_until,
        reason: "Christmas",
    };
    assert_eq!(stage.world.store.set_width(&wish).await.unwrap(), 1);
    assert_eq!(stage.pass(3590, calm).await, []);
    assert_eq!(stage.pass(20, calm).await, [(5, 4)], "the pin is over");
    stage.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_widens_and_idleness_narrows_embedded() {
    widens_and_narrows(Tier::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_widens_and_idleness_narrows_fleet() {
    widens_and_narrows(Tier::Fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_observes_moves_nothing() {
    let mut stage = Scene::start(Tier::Embedded, AutoscalerMode::Observe).await;
    stage
        .world
        .queue
        .push(Stage::Processing, jobs(1500))
        .await
        .unwrap();
    assert_eq!(stage.pass(320, Load::default()).await, [(2, 3)], "it tells");
    assert_eq!(stage.width().await, None);
    assert_eq!(stage.world.store.width_moves(10).await.unwrap(), []);
    stage.empty().await;
    stage.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_was_overtaken_by_a_person_is_not_made() {
    let stage = Scene::start(Tier::Embedded, AutoscalerMode::Enforce).await;
    let (store, now) = (&stage.world.store, stage.now);
    let wish = |concurrency, pinned_until| NewWidth {
        queue: "audit",
        concurrency,
        default: 1,
        pinned_until,
        reason: "a test",
    };
    let free = Timestamp::from_micros(0);
    assert!(store.move_width(1, &wish(2, free), now).await.unwrap());
    assert!(
        !store.move_width(1, &wish(3, free), now).await.unwrap(),
        "it is 2 by now"
    );
    let later = now.plus(Duration::from_secs(60));
    store.set_width(&wish(2, later)).await.unwrap();
    assert!(!store.move_width(2, &wish(3, free), now).await.unwrap(), "pinned");
    assert!(store.move_width(2, &wish(3, free), later).await.unwrap());
    stage.world.end().await;
}

/// The whole way in real processes: the scheduler sees the span, moves the width, the worker follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheduler_moves_the_workers_of_other_processes() {
    let settings =
        "[autoscaler]\nmode = \"enforce\"\ninterval_ms = 100\n[autoscaler.span.processing]\nmin = 4\n";
    let fleet = Processes::start_with(&[], settings).await;
    until("the worker followed", async || {
        let alive = Timestamp::now().minus(Duration::from_secs(5));
        let staff = fleet.store.staff(alive).await.unwrap();
        staff
            .iter()
            .any(|staff| staff.queue == "processing" && staff.concurrency == 4)
    })
    .await;
    let moves = fleet.store.width_moves(10).await.unwrap();
    assert_eq!(moves.len(), 1, "{moves:?}");
    assert_eq!((moves[0].was, moves[0].becomes), (2, 4));
    assert_eq!(moves[0].actor, "autoscaler");
    assert!(
        fleet
            .metric("scheduler.1", "tsms_queue_width_wanted{queue=\"processing\"}")
            .await
            >= 2
    );
    fleet.stop();
}
