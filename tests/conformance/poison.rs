//! Jobs that break their workers, and entries that are no jobs: set aside, without their neighbours.

use std::collections::BTreeSet;

use tsms::{outcome::Verdict, queue::Job};

use crate::{
    harness::{Fixture, LONG, Probe, SHORT, STAGE, jobs, pool},
    on_both,
};

on_both!(
    a_panic_costs_neither_the_pool_nor_the_set,
    a_job_that_always_breaks_its_worker_is_parked_alone,
);

/// A6.
async fn a_panic_costs_neither_the_pool_nor_the_set(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs(0..10)).await.unwrap();
    let once = std::sync::atomic::AtomicBool::new(true);
    let (probe, seen) = Probe::new(move |job| {
        let first = job.key == 4 && once.swap(false, std::sync::atomic::Ordering::Relaxed);
        assert!(!first, "broken by the test");
        Verdict::Done
    });
    let running = fixture.start(pool(1, 10, SHORT), &probe);
    seen.set().await;
    // The pool lives on at once; the set comes back when its lease has run out.
    fixture.queue.push(STAGE, jobs([100])).await.unwrap();
    let after: BTreeSet<i64> = seen.keys(11).await.into_iter().collect();
    assert_eq!(after, (0..10).chain([100]).collect());
    fixture.drained(0).await;
    running.stop().await;
    seen.none_parked().await;
}

async fn a_job_that_always_breaks_its_worker_is_parked_alone(fixture: Fixture) {
    fixture.queue.push(STAGE, jobs(0..10)).await.unwrap();
    let (probe, seen) = Probe::new(|job| {
        assert!(job.key != 4, "broken by the test");
        Verdict::Done
    });
    let running = fixture.start(pool(2, 10, SHORT), &probe);
    let (job, reason) = seen.parked().await;
    assert_eq!(
        (job.key, reason.as_str()),
        (4, "delivered 5 times without an acknowledgement")
    );
    fixture.drained(1).await;
    running.stop().await;
    seen.none_parked().await;
    // Twice with its neighbours, then alone.
    assert_eq!(seen.counts().await[&4], 5);
}

/// A5: on Redis anybody may write anything into a stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_job_is_parked_and_its_neighbours_go_on() {
    let mut fixture = Fixture::redis().await;
    fixture.queue.push(STAGE, jobs([1])).await.unwrap();
    let ready = "test:{processing}:ready";
    let strange: [&[&str]; 3] = [
        &["h", "9 77 of a newer form", "what", "a newer job"],
        &["nonsense", "\u{0}\u{1}"],
        &[
            "v",
            "1",
            "k",
            "not a number",
            "t",
            "1",
            "a",
            "0",
            "e",
            "0",
            "r",
            "",
            "b",
            "body",
        ],
    ];
    for fields in strange {
        let words = [&["XADD", ready, "*"], fields].concat();
        let _: String = fixture.server().run(&words).await;
    }
    fixture.queue.push(STAGE, jobs([2])).await.unwrap();
    let words = ["ZADD", "test:{processing}:delayed", "1", "torn"];
    let _: u64 = fixture.server().run(&words).await;

    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.keys(2).await, [1, 2]);
    fixture.drained(4).await;
    running.stop().await;
    // There is no job to tell the handler about.
    seen.none_parked().await;

    let parked = fixture.queue.parked(STAGE, 10).await.unwrap();
    let mut reasons: Vec<&str> = parked.iter().map(|(_, reason)| reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "a delayed job cannot be read",
            "the entry has no wire version",
            "the key of the entry is not a number: \"not\"",
            "wire version \"9\" is not known",
        ]
    );
    let newer = parked
        .iter()
        .find(|(_, reason)| reason.starts_with("wire version"));
    assert_eq!(newer.map(|(job, _): &(Job, _)| job.key), Some(77));
}
