//! One tenant cannot hold up the others, whatever it puts in a queue.

use std::time::Duration;

use tsms::queue::{Job, Pool, Progress};

use crate::{
    harness::{Fixture, LONG, Probe, STAGE, job, pool},
    on_both,
};

on_both!(
    a_hot_tenants_backlog_does_not_hold_up_the_others,
    the_crowd_moves_while_others_keep_coming,
    a_crowd_of_delayed_jobs_does_not_hold_up_the_others,
    both_lanes_fill_whole_sets_and_lose_nothing,
    progress_counts_both_lanes,
    a_quiet_tenant_need_not_wait_for_a_set_of_the_crowd,
);

const HOT: i64 = 1;
/// Jobs of one tenant that go in the first lane at once, as the harness sets it.
const BURST: usize = 32;

fn of(tenant_id: i64, keys: std::ops::Range<i64>) -> Vec<Job> {
    let tenant = |key| Job {
        tenant_id,
        ..job(key)
    };
    keys.map(tenant).collect()
}

/// Ten jobs of each of ten tenants.
fn others() -> Vec<Job> {
    (2..12).flat_map(|tenant| of(tenant, 0..10)).collect()
}

/// 10,000 jobs of one tenant, and only then ten of each of ten others: those are done within the first
/// few sets.
async fn a_hot_tenants_backlog_does_not_hold_up_the_others(fixture: Fixture) {
    fixture.queue.push(STAGE, of(HOT, 0..10_000)).await.unwrap();
    fixture.queue.push(STAGE, others()).await.unwrap();
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 100, LONG), &probe);
    // Half of each set is of the first lane, where the others stand behind one burst at most. One set
    // more where both lanes woke the reader with a whole set each.
    let sets = (BURST + others().len()).div_ceil(50) + 1;
    let mut served = 0;
    for _ in 0..sets {
        let set = seen.set().await;
        assert!(set.len() <= 100, "a set of {}", set.len());
        served += set.iter().filter(|job| job.tenant_id != HOT).count();
    }
    assert_eq!(served, others().len(), "within {sets} sets of 100");
    fixture.drained(0).await;
    running.stop().await;
}

/// The other way round: a first lane that never runs dry leaves the crowd its half.
async fn the_crowd_moves_while_others_keep_coming(fixture: Fixture) {
    fixture.queue.push(STAGE, of(HOT, 0..200)).await.unwrap();
    let crowd: Vec<Job> = (100..300).flat_map(|tenant| of(tenant, 0..30)).collect();
    fixture.queue.push(STAGE, crowd).await.unwrap();
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 20, LONG), &probe);
    let mut hot = 0;
    let mut sets = 0;
    while hot < 200 {
        hot += seen.set().await.iter().filter(|job| job.tenant_id == HOT).count();
        sets += 1;
    }
    assert!(sets <= 200 / 10 + 4, "{sets} sets, of 310");
    running.stop().await;
}

async fn a_crowd_of_delayed_jobs_does_not_hold_up_the_others(fixture: Fixture) {
    let soon = |jobs: Vec<Job>| -> Vec<(Duration, Job)> {
        jobs.into_iter()
            .map(|job| (Duration::from_millis(1), job))
            .collect()
    };
    fixture
        .queue
        .push_delayed(STAGE, soon(of(HOT, 0..2000)))
        .await
        .unwrap();
    fixture.queue.push_delayed(STAGE, soon(others())).await.unwrap();
    let (probe, seen) = Probe::done();
    let probe = probe.held();
    // Taken only when all are due.
    let running = fixture.start(pool(1, 100, LONG), &probe);
    let mut set = seen.set().await;
    if fixture.server.is_some() {
        crate::harness::until("all are due", async || fixture.depth().await.delayed == 0).await;
    }
    probe.open();
    let (mut taken, mut served) = (0, 0);
    loop {
        taken += set.len();
        served += set.iter().filter(|job| job.tenant_id != HOT).count();
        if served == others().len() {
            break;
        }
        set = seen.set().await;
    }
    assert!(
        taken < 1500,
        "the last of the others was taken after {taken} jobs"
    );
    running.stop().await;
}

async fn both_lanes_fill_whole_sets_and_lose_nothing(fixture: Fixture) {
    fixture.queue.push(STAGE, of(HOT, 0..1000)).await.unwrap();
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(2, 50, LONG), &probe);
    for tenant in 2..400 {
        fixture
            .queue
            .push(STAGE, of(tenant, tenant * 1000..tenant * 1000 + 5))
            .await
            .unwrap();
    }
    fixture.drained(0).await;
    running.stop().await;
    let counts = seen.counts().await;
    assert_eq!(counts.len(), 1000 + 398 * 5);
    assert!(counts.values().all(|count| *count == 1));
}

async fn progress_counts_both_lanes(fixture: Fixture) {
    let progress = async || fixture.queue.progress(STAGE).await.unwrap();
    assert_eq!(progress().await, Progress::default());
    fixture.queue.push(STAGE, of(HOT, 0..100)).await.unwrap();
    assert_eq!(
        progress().await,
        Progress {
            left: 100,
            added: 100
        }
    );
    let (probe, _seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    fixture.drained(0).await;
    assert_eq!(progress().await, Progress { left: 0, added: 100 });
    running.stop().await;
}

/// While sets of the crowd hold all the places they may have, a job of another tenant is worked on.
async fn a_quiet_tenant_need_not_wait_for_a_set_of_the_crowd(fixture: Fixture) {
    let express = Pool {
        express: 1,
        ahead: false,
        ..pool(1, 100, LONG)
    };
    // A burst far above its share, so that all that comes from it now is of the crowd.
    fixture.queue.push(STAGE, of(HOT, 0..5000)).await.unwrap();
    let (burst, _seen) = Probe::done();
    let running = fixture.start(express, &burst);
    fixture.drained(0).await;
    running.stop().await;

    let (probe, seen) = Probe::done();
    let probe = probe.held();
    fixture.queue.push(STAGE, of(HOT, 0..1000)).await.unwrap();
    let running = fixture.start(express, &probe);
    assert!(seen.set().await.iter().all(|job| job.tenant_id == HOT));
    // One set is in work and hangs. None is taken behind it, where others could get into.
    crate::harness::until("the crowd has its place", async || {
        fixture.depth().await.in_flight == 100
    })
    .await;
    for tenant in 2..4 {
        fixture.queue.push(STAGE, of(tenant, 0..1)).await.unwrap();
    }
    let mut quiet: Vec<i64> = seen.set().await.iter().map(|job| job.tenant_id).collect();
    if quiet.len() == 1 {
        // The second one waits in the queue, for whichever place is free first.
        let taken = fixture.depth().await.in_flight;
        assert_eq!(taken, 101, "nothing waits behind a set");
        probe.open();
        while quiet.len() < 2 {
            let set = seen.set().await;
            quiet.extend(
                set.iter()
                    .map(|job| job.tenant_id)
                    .filter(|tenant| *tenant != HOT),
            );
        }
    }
    assert_eq!(quiet, [2, 3]);
    probe.open();
    fixture.drained(0).await;
    running.stop().await;
}
