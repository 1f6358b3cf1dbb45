//! One tenant's backlog stands at every stage; a quiet tenant's sales still get to the web application
//! past most of it. Counted is the order of service, so the speed of the machine has no say.

use tokio_util::sync::CancellationToken;
use tsms::{
    domain::{checksum::Version, time::Timestamp},
    fleet::{Fleet, Roles},
    stage::Stage,
    standin::sim::SimTerminal,
};

use crate::{
    bodies::sale,
    world::{DEADLINE, Tier, World},
};

/// Jobs of the hot tenant that wait at each stage.
const WAITING: u64 = 1000;
/// Sales of the quiet tenant; within its share, so that none of them is of the crowd.
const QUIET: u64 = 10;
/// Requests of the hot tenant at the same time.
const AT_ONCE: usize = 32;

/// Small sets, one after the other, so that a set is a small part of the backlog.
const SETTINGS: &str = "
[queue]
tenant_burst = 16
[stage.validation]
concurrency = 1
batch = 32
[stage.processing]
concurrency = 1
batch = 32
[stage.forwarding]
concurrency = 1
batch = 32
";

const PIPELINE: [Stage; 3] = [Stage::Validation, Stage::Processing, Stage::Forwarding];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_tenant_overtakes_a_backlog_at_every_stage() {
    let ingress = Roles {
        ingress: true,
        ..Roles::default()
    };
    let mut world = World::start_roles(Tier::Fleet, SETTINGS, &ingress).await;
    let (hot, quiet) = (world.tills[0].clone(), world.tills[2].clone());
    // The last backlog first: forwarding's, then processing's, then validation's.
    let mut seed = 0;
    for stage in PIPELINE.into_iter().rev() {
        post_many(&world, &hot, &mut seed).await;
        let before: Vec<Stage> = PIPELINE.into_iter().filter(|one| *one < stage).collect();
        work_until_waiting(&world, before, stage).await;
    }
    for number in 0..QUIET {
        let body = sale(&quiet, Version::V21, 1_000_000 + number);
        assert_eq!(world.post(&quiet, body.body).await.status, 202);
    }
    let all = Roles {
        stages: Stage::ALL.to_vec(),
        ..Roles::default()
    };
    world.join(&all).await;
    let total = WAITING * 3 + QUIET;
    let seen = world
        .sink
        .wait_until(|seen| seen.distinct == total, DEADLINE)
        .await;
    seen.unwrap();

    let entries = world.sink.entries();
    let of = |till: &SimTerminal| -> Vec<Timestamp> {
        let its = entries.iter().filter(|entry| entry.tenant_id == till.tenant_id);
        its.map(|entry| entry.first_seen).collect()
    };
    let last_quiet = of(&quiet).into_iter().max().unwrap();
    let before = of(&hot).into_iter().filter(|at| *at < last_quiet).count() as u64;
    // In the order of arrival it would be nearly all of them.
    assert!(
        before < WAITING,
        "{before} sales of the hot tenant were served before the last of the quiet one"
    );
    world.stop().await;
}

/// Posts `WAITING` sales of a till.
async fn post_many(world: &World, till: &SimTerminal, seed: &mut u64) {
    use futures::StreamExt as _;
    let first = *seed;
    *seed += WAITING;
    let posts = (first..*seed).map(async |seed| {
        let body = sale(till, Version::V21, seed);
        assert_eq!(world.post(till, body.body).await.status, 202);
    });
    futures::stream::iter(posts)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

/// Lets `stages` work until `WAITING` jobs wait for the stage behind them, then ends them.
async fn work_until_waiting(world: &World, stages: Vec<Stage>, behind: Stage) {
    let roles = Roles {
        stages: stages.clone(),
        ..Roles::default()
    };
    let fleet = Fleet::start(
        world.config.clone(),
        world.store.clone(),
        world.queue.clone(),
        &roles,
    );
    let fleet = fleet.await.unwrap();
    let stop: CancellationToken = fleet.stopper();
    let running = tokio::spawn(fleet.run());
    let moved = async {
        let mut activity = world.queue.activity();
        loop {
            activity.mark_unchanged();
            let mut left = 0;
            for stage in &stages {
                let depth = world.queue.depth(*stage).await.unwrap();
                left += depth.ready + depth.in_flight + depth.delayed;
            }
            let waiting = world.queue.depth(behind).await.unwrap().ready;
            if left == 0 && waiting == WAITING {
                return;
            }
            // A push into the queue behind is no activity of this process, so look again soon.
            tokio::time::timeout(std::time::Duration::from_millis(50), activity.changed())
                .await
                .ok();
        }
    };
    tokio::time::timeout(DEADLINE, moved)
        .await
        .expect("the backlog stands");
    stop.cancel();
    running.await.unwrap().unwrap();
}
