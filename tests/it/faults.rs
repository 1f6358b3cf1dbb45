//! Servers break under load; the oracle finds nothing lost and nothing doubled.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tsms::standin::{
    oracle,
    sim::{self, Counters, SimOptions, SimReport},
};

use crate::world::{DEADLINE, Tier, World};

/// Plays the tills of a world until `sales` submissions are accepted; `midway` happens once the web
/// application has seen a third of them.
pub(crate) async fn play(
    world: &mut World,
    submissions: u64,
    midway: impl AsyncFnOnce(&mut World),
) -> SimReport {
    let options = SimOptions {
        rate: 2000,
        count: submissions,
        batch_share: 0,
        ..SimOptions::new(world.base.clone(), world.tills.clone(), 42)
    };
    let stop = CancellationToken::new();
    let playing = tokio::spawn(sim::run(options, Arc::new(Counters::default()), stop));
    let third = submissions / 3;
    world
        .sink
        .wait_until(|seen| seen.distinct >= third, DEADLINE)
        .await
        .unwrap();
    midway(world).await;
    playing.await.unwrap().unwrap()
}

/// Compares what the tills were told with what the web application holds.
pub(crate) async fn judge(world: &World, report: &SimReport) {
    let expected = report
        .records
        .iter()
        .filter(|record| matches!(record.outcome, sim::Outcome::Accepted { .. }))
        .flat_map(|record| &record.sales)
        .filter(|sale| sale.valid)
        .count() as u64;
    world
        .sink
        .wait_until(|seen| seen.distinct >= expected, DEADLINE)
        .await
        .unwrap();
    world.drain().await;
    let findings = oracle::judge(&report.records, &world.sink);
    assert!(findings.is_clean(), "{findings}");
    assert_eq!(report.replays_differ, 0);
    assert_eq!(report.unknown, 0);
    assert!(report.refused.is_empty(), "{:?}", report.refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sales_survive_the_loss_of_every_job() {
    let mut world = World::start(Tier::Fleet).await;
    let report = play(&mut world, 10_000, async |world: &mut World| {
        world.redis.as_ref().unwrap().flush_all();
    })
    .await;
    assert_eq!(report.accepted, 10_000);
    judge(&world, &report).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sales_survive_a_killed_redis() {
    let mut world = World::start(Tier::Fleet).await;
    let report = play(&mut world, 10_000, async |world: &mut World| {
        let redis = world.redis.as_mut().unwrap();
        redis.kill9();
        redis.restart();
    })
    .await;
    assert_eq!(report.accepted, 10_000);
    judge(&world, &report).await;
    world.stop().await;
}
