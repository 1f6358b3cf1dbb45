//! A pool that is asked to stop: nothing taken is lost, and nothing waits for a lease.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tsms::{
    domain::time::Timestamp,
    outcome::Verdict,
    queue::{self, Depth, Job},
};

use crate::{
    harness::{DEADLINE, Fixture, LONG, Probe, STAGE, job, jobs, pool, settings, until},
    on_both,
    server::Server,
};

on_both!(
    unworked_jobs_go_to_others_while_running_ones_finish,
    what_outlasts_the_drain_goes_to_others,
    stopping_again_and_again_is_no_poison,
    an_idle_pool_stops_at_once,
    a_pool_may_stop_before_it_began,
);

/// Acknowledgements wait for others, but a pool that stops carries them out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_that_wait_are_carried_out_at_the_end() {
    let server = Server::start().await;
    let mut settings = settings(&server.url());
    settings.ack_gather_ms = serde_json::from_value(json!(3_600_000)).unwrap();
    let queue = queue::open(&settings).await.unwrap();
    let fixture = Fixture {
        queue,
        server: Some(server),
    };
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    fixture.queue.push(STAGE, jobs(0..3)).await.unwrap();
    assert_eq!(seen.keys(3).await, [0, 1, 2]);
    assert_eq!(
        fixture.depth().await.in_flight,
        3,
        "worked on and not acknowledged"
    );
    running.stop().await;
    assert_eq!(fixture.depth().await, Depth::default());
}

/// While many tills wait, a pool rests after a set; after one whose jobs are old it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_rests_while_tills_wait() {
    let server = Server::start().await;
    let mut settings = settings(&server.url());
    // Long enough that nothing in this test is due to a rest that ended.
    let rest = json!({
        "percent": u32::MAX,
        "most_ms": 3_600_000,
        "from_rows": 20,
        "hold_ms": 3_600_000,
        "lag_ms": 1_800_000,
    });
    settings.rest = serde_json::from_value(rest).unwrap();
    let queue = queue::open(&settings).await.unwrap();
    for _ in 0..32 {
        queue.committed(50).await;
    }
    let fixture = Fixture {
        queue: queue::open(&settings).await.unwrap(),
        server: Some(server),
    };
    let old = |key| Job {
        enqueued_at: Timestamp::now().minus(Duration::from_secs(3600)),
        ..job(key)
    };
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 1, LONG), &probe);
    let queued = vec![old(0), old(1), job(2), job(3)];
    fixture.queue.push(STAGE, queued).await.unwrap();
    assert_eq!(seen.keys(3).await, [0, 1, 2]);
    until("the pool rests", async || {
        probe.rested.load(Ordering::Relaxed) == 1
    })
    .await;
    until("the third job is settled", async || {
        let depth = fixture.depth().await;
        depth.ready + depth.in_flight == 1
    })
    .await;
    // A stop would end the rest.
    running.crash().await;
    assert!(seen.counts().await.is_empty(), "the fourth job was worked on");
}

async fn unworked_jobs_go_to_others_while_running_ones_finish(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs(0..4)).await.unwrap();
    let (slow, slow_seen) = Probe::done();
    let slow = slow.held();
    let first = fixture.start(pool(1, 2, LONG), &slow);
    assert_eq!(slow_seen.keys(2).await, [0, 1]);
    until("a set waits", async || fixture.depth().await.in_flight == 4).await;
    first.stop.cancel();

    let (probe, seen) = Probe::done();
    let second = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.keys(2).await, [2, 3]);
    slow.open();
    first.stop().await;
    fixture.drained(0).await;
    second.stop().await;
    assert!(slow_seen.counts().await.is_empty());
    assert!(seen.counts().await.is_empty());
}

async fn what_outlasts_the_drain_goes_to_others(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs(0..3)).await.unwrap();
    // The other pool is at work already and has nothing to do.
    let (probe, seen) = Probe::done();
    let (stuck, stuck_seen) = Probe::done();
    let stuck = stuck.held();
    let stop = CancellationToken::new();
    let (queue, signal) = (fixture.queue.clone(), stop.clone());
    let hung = tokio::spawn(async move {
        let drain = Duration::from_millis(50);
        queue.work(STAGE, pool(1, 10, LONG), signal, drain, stuck).await;
    });
    assert_eq!(stuck_seen.keys(3).await, [0, 1, 2]);
    let other = fixture.start(pool(1, 10, LONG), &probe);
    stop.cancel();
    assert_eq!(seen.keys(3).await, [0, 1, 2]);
    hung.await.unwrap();
    fixture.drained(0).await;
    other.stop().await;
}

async fn stopping_again_and_again_is_no_poison(fixture: Fixture) {
    fixture.queue.push(STAGE, vec![job(1)]).await.unwrap();
    for _ in 0..8 {
        let (stuck, seen) = Probe::done();
        let stop = CancellationToken::new();
        let work = fixture.queue.work(
            STAGE,
            pool(1, 10, LONG),
            stop.clone(),
            Duration::ZERO,
            stuck.held(),
        );
        let watch = async {
            assert_eq!(seen.keys(1).await, [1]);
            stop.cancel();
        };
        tokio::join!(work, watch);
    }
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.keys(1).await, [1]);
    fixture.drained(0).await;
    running.stop().await;
    seen.none_parked().await;
}

async fn an_idle_pool_stops_at_once(fixture: Fixture) {
    let (probe, seen) = Probe::new(|_: &Job| Verdict::Done);
    let running = fixture.start(pool(3, 10, LONG), &probe);
    fixture.queue.push(STAGE, jobs([1])).await.unwrap();
    seen.set().await;
    fixture.drained(0).await;
    // Its blocking read lasts longer than the deadline.
    running.stop().await;
}

async fn a_pool_may_stop_before_it_began(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs([1])).await.unwrap();
    let (probe, seen) = Probe::done();
    let stop = CancellationToken::new();
    stop.cancel();
    let work = fixture
        .queue
        .work(STAGE, pool(1, 10, LONG), stop, DEADLINE, probe.clone());
    tokio::time::timeout(DEADLINE, work).await.unwrap();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.keys(1).await, [1]);
    fixture.drained(0).await;
    running.stop().await;
}
