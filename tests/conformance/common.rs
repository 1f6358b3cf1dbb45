//! What every backend does with jobs that nobody disturbs.

use std::{collections::BTreeMap, time::Duration};

use tsms::{
    domain::time::Timestamp,
    outcome::Verdict,
    queue::{Depth, Job},
    stage::Stage,
};

use crate::{
    harness::{DEADLINE, Fixture, LONG, Probe, STAGE, job, jobs, pool, until},
    on_both,
};

on_both!(
    a_deep_backlog_is_worked_off_exactly_once,
    jobs_of_several_queues_are_pushed_together,
    a_pool_that_waits_gets_a_whole_push_as_one_set,
    equal_jobs_are_not_merged,
    retries_end_when_the_verdict_says_so,
    a_retry_comes_back_promptly_and_alone,
    delayed_jobs_come_in_the_order_of_their_due_times,
    an_earlier_delay_wakes_a_sleeping_pool,
    delays_are_kept_while_every_worker_is_busy,
    a_rejected_job_is_gone,
    a_dead_job_is_parked_with_its_code,
    missing_verdicts_are_retries,
    the_depth_is_true,
    two_pools_share_the_work,
    a_low_queue_does_not_hold_up_a_high_one,
    activity_moves_when_jobs_are_settled,
    nothing_of_a_job_is_lost_on_the_way,
    a_clients_clock_does_not_matter,
);

fn retry(after: Duration) -> Verdict {
    Verdict::Retry { after, code: "test" }
}

/// A1: a backlog that piled up without a worker.
async fn a_deep_backlog_is_worked_off_exactly_once(fixture: Fixture) {
    const BACKLOG: i64 = 200_000;
    fixture.queue.push(STAGE, jobs(0..BACKLOG)).await.unwrap();
    assert_eq!(fixture.depth().await.ready, BACKLOG.unsigned_abs());
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(4, 500, LONG), &probe);
    fixture.drained(0).await;
    running.stop().await;
    let counts = seen.counts().await;
    assert_eq!(counts, (0..BACKLOG).map(|key| (key, 1)).collect());
}

async fn jobs_of_several_queues_are_pushed_together(fixture: Fixture) {
    let stages = [Stage::Audit, Stage::Forwarding];
    let jobs = (0..1000).map(|key| (stages[usize::try_from(key % 2).unwrap()], job(key)));
    fixture.queue.push_all(jobs.collect()).await.unwrap();
    for (stage, first) in stages.into_iter().zip(0..) {
        assert_eq!(fixture.queue.depth(stage).await.unwrap().ready, 500);
        let (probe, seen) = Probe::done();
        let running = fixture.start_on(stage, pool(1, 100, LONG), &probe);
        let keys = seen.keys(500).await;
        assert_eq!(keys, (first..1000).step_by(2).collect::<Vec<i64>>());
        running.stop().await;
        assert_eq!(fixture.queue.depth(stage).await.unwrap(), Depth::default());
    }
}

async fn a_pool_that_waits_gets_a_whole_push_as_one_set(fixture: Fixture) {
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 100, LONG), &probe);
    for round in 0..20 {
        // Each tenant stays within its share, so that all are in one lane.
        let keys = round..round + 30;
        let each = |key| Job {
            tenant_id: key,
            ..job(key)
        };
        let pushed = keys.clone().map(each).collect();
        fixture.queue.push(STAGE, pushed).await.unwrap();
        let set: Vec<i64> = seen.set().await.iter().map(|job| job.key).collect();
        assert_eq!(set, keys.collect::<Vec<i64>>());
        fixture.drained(0).await;
    }
    running.stop().await;
}

/// A2: the queue promises nothing about equal jobs, so it must not pretend to: each push is worked on.
async fn equal_jobs_are_not_merged(fixture: Fixture) {
    let same = job(7);
    fixture.queue.push(STAGE, vec![same.clone(); 3]).await.unwrap();
    let soon = Duration::from_millis(1);
    fixture
        .queue
        .push_delayed(STAGE, vec![(soon, same); 2])
        .await
        .unwrap();
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.keys(5).await, [7; 5]);
    running.stop().await;
    fixture.drained(0).await;
}

/// A3: the number of attempts is the worker's decision and nobody else's.
async fn retries_end_when_the_verdict_says_so(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs([1])).await.unwrap();
    let (probe, seen) = Probe::new(|job| match job.attempt {
        0..3 => retry(Duration::ZERO),
        _ => Verdict::Dead { code: "enough" },
    });
    let running = fixture.start(pool(1, 10, LONG), &probe);
    for attempt in 0..4 {
        assert_eq!(seen.set().await[0].attempt, attempt);
    }
    assert_eq!(seen.parked().await.1, "enough");
    fixture.drained(1).await;
    running.stop().await;
    assert!(seen.counts().await.is_empty());
}

/// A4: no read or sleep of the pool ends by itself within the deadline, so the delay itself wakes it.
async fn a_retry_comes_back_promptly_and_alone(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs([1, 2])).await.unwrap();
    let (probe, seen) = Probe::new(|job| match (job.key, job.attempt) {
        (1, 0) => retry(Duration::from_millis(50)),
        _ => Verdict::Done,
    });
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.keys(2).await, [1, 2]);
    let again = seen.set().await;
    assert_eq!((again.len(), again[0].key, again[0].attempt), (1, 1, 1));
    fixture.drained(0).await;
    running.stop().await;
}

async fn delayed_jobs_come_in_the_order_of_their_due_times(fixture: Fixture) {
    let delays = [(3, 240), (1, 80), (2, 160)];
    let delayed = delays.map(|(key, ms)| (Duration::from_millis(ms), job(key)));
    fixture.queue.push_delayed(STAGE, delayed.to_vec()).await.unwrap();
    assert_eq!(fixture.depth().await.delayed, 3);
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.keys(3).await, [1, 2, 3]);
    running.stop().await;
    fixture.drained(0).await;
}

async fn an_earlier_delay_wakes_a_sleeping_pool(fixture: Fixture) {
    let push = async |after: Duration, key| {
        let delayed = vec![(after, job(key))];
        fixture.queue.push_delayed(STAGE, delayed).await.unwrap();
    };
    push(LONG, 1).await;
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    for key in 2..5 {
        push(Duration::from_millis(20), key).await;
        assert_eq!(seen.keys(1).await, [key]);
    }
    running.stop().await;
    assert_eq!(fixture.depth().await.delayed, 1);
}

async fn delays_are_kept_while_every_worker_is_busy(fixture: Fixture) {
    let (probe, seen) = Probe::done();
    let probe = probe.held();
    let running = fixture.start(pool(1, 1, LONG), &probe);
    fixture.queue.push(STAGE, jobs(1..4)).await.unwrap();
    seen.set().await;
    let soon = vec![(Duration::from_millis(20), job(9))];
    fixture.queue.push_delayed(STAGE, soon).await.unwrap();
    if fixture.server.is_some() {
        // On Redis the clock has a task of its own; in memory taking is promoting.
        until("the job is ready", async || fixture.depth().await.delayed == 0).await;
    }
    probe.open();
    assert_eq!(seen.keys(3).await, [2, 3, 9]);
    running.stop().await;
}

async fn a_rejected_job_is_gone(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs([1])).await.unwrap();
    let (probe, seen) = Probe::new(|_| Verdict::Reject { code: "invalid" });
    let running = fixture.start(pool(1, 10, LONG), &probe);
    seen.set().await;
    fixture.drained(0).await;
    running.stop().await;
    seen.none_parked().await;
}

async fn a_dead_job_is_parked_with_its_code(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs([1, 2, 3])).await.unwrap();
    let (probe, seen) = Probe::new(|job| match job.key {
        2 => Verdict::Dead { code: "hopeless" },
        _ => Verdict::Done,
    });
    let running = fixture.start(pool(1, 10, LONG), &probe);
    let (dead, reason) = seen.parked().await;
    assert_eq!((dead.key, reason.as_str()), (2, "hopeless"));
    fixture.drained(1).await;
    running.stop().await;
    let parked = fixture.queue.parked(STAGE, 10).await.unwrap();
    assert_eq!(parked, [(dead, reason)]);
}

async fn missing_verdicts_are_retries(fixture: Fixture) {
    #[derive(Clone)]
    struct Lazy(tokio::sync::mpsc::UnboundedSender<Vec<(i64, u32)>>);
    impl tsms::queue::Handler for Lazy {
        async fn work(&self, jobs: Vec<Job>) -> Vec<Verdict> {
            let seen = jobs.iter().map(|job| (job.key, job.attempt)).collect();
            drop(self.0.send(seen));
            vec![Verdict::Done]
        }
        async fn parked(&self, _: Job, _: String) {}
    }
    fixture.queue.push(STAGE, jobs([1, 2])).await.unwrap();
    let (send, mut sets) = tokio::sync::mpsc::unbounded_channel();
    let stop = tokio_util::sync::CancellationToken::new();
    let queue = fixture.queue.clone();
    let work = queue.work(STAGE, pool(1, 10, LONG), stop.clone(), DEADLINE, Lazy(send));
    let watch = async {
        assert_eq!(sets.recv().await.unwrap(), [(1, 0), (2, 0)]);
        assert_eq!(sets.recv().await.unwrap(), [(2, 1)]);
        fixture.drained(0).await;
        stop.cancel();
    };
    tokio::join!(work, watch);
}

/// A11.
async fn the_depth_is_true(fixture: Fixture) {
    assert_eq!(fixture.depth().await, Depth::default());
    let before = Timestamp::now().minus(Duration::from_millis(1));
    fixture.queue.push(STAGE, jobs(0..10)).await.unwrap();
    let delayed = vec![(LONG, job(20)), (LONG, job(21))];
    fixture.queue.push_delayed(STAGE, delayed).await.unwrap();
    let depth = fixture.depth().await;
    assert_eq!(
        (depth.ready, depth.in_flight, depth.delayed, depth.parked),
        (10, 0, 2, 0)
    );
    let oldest = depth.oldest.unwrap();
    assert!(before <= oldest && oldest <= Timestamp::now());

    // One set in work, one that waits for a worker.
    let (probe, seen) = Probe::new(|job| match job.key {
        0 => Verdict::Dead { code: "test" },
        _ => Verdict::Done,
    });
    let probe = probe.held();
    let running = fixture.start(pool(1, 3, LONG), &probe);
    seen.set().await;
    until("a second set is taken", async || {
        fixture.depth().await.in_flight == 6
    })
    .await;
    let depth = fixture.depth().await;
    assert_eq!((depth.ready, depth.in_flight, depth.oldest), (4, 6, Some(oldest)));

    probe.open();
    until("the ready jobs are done", async || {
        let depth = fixture.depth().await;
        (
            depth.ready,
            depth.in_flight,
            depth.delayed,
            depth.parked,
            depth.oldest,
        ) == (0, 0, 2, 1, None)
    })
    .await;
    running.stop().await;
}

async fn two_pools_share_the_work(fixture: Fixture) {
    let (probe, seen) = Probe::done();
    let probe = probe.held();
    let first = fixture.start(pool(1, 10, LONG), &probe);
    let second = fixture.start(pool(1, 10, LONG), &probe);
    fixture.queue.push(STAGE, jobs(0..1000)).await.unwrap();
    // Neither set ends while the gate is closed, so they are of two pools.
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for job in [seen.set().await, seen.set().await].concat() {
        *counts.entry(job.key).or_default() += 1;
    }
    probe.open();
    fixture.drained(0).await;
    first.stop().await;
    second.stop().await;
    for (key, count) in seen.counts().await {
        *counts.entry(key).or_default() += count;
    }
    assert_eq!(counts, (0..1000).map(|key| (key, 1)).collect());
}

/// A13.
async fn a_low_queue_does_not_hold_up_a_high_one(fixture: Fixture) {
    let (low, low_seen) = Probe::done();
    let low = low.held();
    fixture.queue.push(Stage::Audit, jobs(0..5000)).await.unwrap();
    let busy = fixture.start_on(Stage::Audit, pool(1, 10, LONG), &low);
    low_seen.set().await;
    let (high, high_seen) = Probe::done();
    let running = fixture.start_on(Stage::Validation, pool(1, 10, LONG), &high);
    for key in 0..20 {
        fixture.queue.push(Stage::Validation, jobs([key])).await.unwrap();
        assert_eq!(high_seen.keys(1).await, [key]);
    }
    running.stop().await;
    low.open();
    busy.stop().await;
}

async fn activity_moves_when_jobs_are_settled(fixture: Fixture) {
    let activity = fixture.queue.activity();
    assert_eq!(*activity.borrow(), 0);
    fixture.queue.push(STAGE, jobs(0..7)).await.unwrap();
    let (probe, _seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    let mut activity = activity;
    tokio::time::timeout(DEADLINE, activity.wait_for(|settled| *settled == 7))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fixture.depth().await, Depth::default());
    running.stop().await;
}

async fn nothing_of_a_job_is_lost_on_the_way(fixture: Fixture) {
    let sent = Job {
        key: i64::MIN,
        tenant_id: i64::MAX,
        attempt: 3,
        enqueued_at: Timestamp::from_micros(1_763_800_000_123_456),
        request_id: "ünïcode \r\n {}".to_owned(),
        body: bytes::Bytes::from((0..=255).collect::<Vec<u8>>()),
    };
    fixture.queue.push(STAGE, vec![sent.clone()]).await.unwrap();
    let (probe, seen) = Probe::new(|job| match job.attempt {
        3 => retry(Duration::from_millis(1)),
        _ => Verdict::Done,
    });
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.set().await, std::slice::from_ref(&sent));
    // Through the delayed jobs and back.
    assert_eq!(
        seen.set().await,
        [Job {
            attempt: 4,
            ..sent.clone()
        }]
    );
    let soon = vec![(Duration::from_millis(1), sent.clone())];
    fixture.queue.push_delayed(STAGE, soon).await.unwrap();
    assert_eq!(seen.set().await, [sent]);
    running.stop().await;
}

/// A14: jobs stamped by clocks that are years wrong are neither late nor early nor orphaned.
async fn a_clients_clock_does_not_matter(fixture: Fixture) {
    let year = Duration::from_secs(365 * 86_400);
    let now = Timestamp::now();
    let stamped = |key, enqueued_at| Job {
        enqueued_at,
        ..job(key)
    };
    let (fast, slow) = (stamped(1, now.plus(year)), stamped(2, now.minus(year)));
    fixture.queue.push(STAGE, vec![fast, slow]).await.unwrap();
    let oldest = fixture.depth().await.oldest.unwrap();
    assert!(oldest.since(now) < LONG && now.since(oldest) < LONG);
    let (probe, seen) = Probe::new(|job| match job.attempt {
        0 => retry(Duration::from_millis(20)),
        _ => Verdict::Done,
    });
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.keys(4).await, [1, 2, 1, 2]);
    fixture.drained(0).await;
    running.stop().await;
}
