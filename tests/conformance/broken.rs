//! A Redis that is away, slow, emptied or full: a pool lives through all of it by itself. (A7)

use std::{sync::atomic::Ordering, time::Duration};

use nix::sys::signal::Signal;
use tsms::{
    config::{self, Millis},
    outcome::Verdict,
    queue,
};

use crate::{
    harness::{Fixture, LONG, Probe, Running, SHORT, STAGE, job, jobs, pool, settings, settings_with, until},
    server::Server,
};

/// A pool at work that has proved it.
async fn at_work() -> (Fixture, Running, Probe) {
    let fixture = Fixture::redis().await;
    let (probe, _seen) = Probe::done();
    let running = fixture.start(pool(2, 10, SHORT), &probe);
    works(&fixture, &probe).await;
    (fixture, running, probe)
}

/// Pushes a job, as often as it takes, and waits until the pool has worked on one.
async fn works(fixture: &Fixture, probe: &Probe) {
    let before = probe.worked.load(Ordering::Relaxed);
    until("a push is accepted", async || {
        fixture.queue.push(STAGE, jobs([1])).await.is_ok()
    })
    .await;
    until("the pool works", async || {
        probe.worked.load(Ordering::Relaxed) > before
    })
    .await;
    fixture.drained(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_killed() {
    let (mut fixture, running, probe) = at_work().await;
    for _ in 0..3 {
        until("reader, clock and the shared connection are up", async || {
            let list: String = fixture.server().run(&["CLIENT", "LIST", "TYPE", "normal"]).await;
            // One more is the test's own.
            list.lines().count() >= 4
        })
        .await;
        let _: u64 = fixture
            .server()
            .run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
            .await;
        works(&fixture, &probe).await;
    }
    running.stop().await;
}

/// Connections are cut again and again, at whatever they are doing, under two pools that retry every
/// third job: no job is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_cut_all_the_time() {
    const JOBS: i64 = 2000;
    let server = Server::start().await;
    // A question that meets the end of its connection may get no answer, and no error either.
    let settings = config::Queue {
        response_timeout_ms: Millis::new(1000),
        block_ms: Millis::new(500),
        ..settings(&server.url())
    };
    let mut fixture = Fixture {
        queue: queue::open(&settings).await.unwrap(),
        server: Some(server),
    };
    fixture.queue.push(STAGE, jobs(0..JOBS)).await.unwrap();
    let (probe, seen) = Probe::new(|job| match (job.key % 3, job.attempt) {
        (0, 0) => Verdict::Retry {
            after: Duration::from_millis(5),
            code: "test",
        },
        _ => Verdict::Done,
    });
    let pools = [(); 2].map(|()| fixture.start(pool(2, 20, SHORT), &probe));
    for _ in 0..20 {
        let cut = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
        let _: u64 = fixture.server().run(&cut).await;
        let before = probe.worked.load(Ordering::Relaxed);
        let some = usize::try_from(JOBS).unwrap() / 40;
        until("some more are worked on, or all", async || {
            let depth = fixture.queue.depth(STAGE).await;
            probe.worked.load(Ordering::Relaxed) > before + some
                || depth.is_ok_and(|depth| depth == queue::Depth::default())
        })
        .await;
    }
    fixture.drained(0).await;
    for running in pools {
        running.stop().await;
    }
    let counts = seen.counts().await;
    for key in 0..JOBS {
        let least = if key % 3 == 0 { 2 } else { 1 };
        assert!(counts.get(&key).is_some_and(|count| *count >= least), "job {key}");
    }
}

/// A server that answers nobody for longer than an answer may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_stands_still_for_a_while() {
    let server = Server::start().await;
    let queue = queue::open(&settings_with(&server.url(), 200)).await.unwrap();
    let mut fixture = Fixture {
        queue,
        server: Some(server),
    };
    let (probe, _seen) = Probe::done();
    let running = fixture.start(pool(1, 10, SHORT), &probe);
    works(&fixture, &probe).await;
    fixture.server().signal(Signal::SIGSTOP);
    for _ in 0..3 {
        let refused = fixture.queue.push(STAGE, jobs([1])).await;
        assert!(matches!(refused, Err(queue::QueueError::Unavailable(_))));
    }
    fixture.server().signal(Signal::SIGCONT);
    works(&fixture, &probe).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_and_comes_back_with_its_data() {
    let mut fixture = Fixture::durable_redis().await;
    fixture.queue.push(STAGE, jobs(0..100)).await.unwrap();
    fixture
        .queue
        .push_delayed(STAGE, vec![(Duration::from_millis(1), job(100))])
        .await
        .unwrap();
    let (probe, seen) = Probe::done();
    let probe = probe.held();
    let running = fixture.start(pool(2, 10, SHORT), &probe);
    let first = seen.set().await;
    fixture.server().kill();
    // The sets in work end while nobody can be told.
    probe.open();
    assert!(fixture.queue.push(STAGE, jobs([0])).await.is_err());
    assert!(fixture.queue.ping().await.is_err());
    assert!(fixture.queue.depth(STAGE).await.is_err());
    fixture.server().go().await;
    fixture.drained(0).await;
    running.stop().await;
    let mut counts = seen.counts().await;
    for job in first {
        *counts.entry(job.key).or_default() += 1;
    }
    assert_eq!(counts.len(), 101, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_loses_all_data() {
    let (mut fixture, running, probe) = at_work().await;
    for _ in 0..3 {
        let _: String = fixture.server().run(&["FLUSHALL"]).await;
        works(&fixture, &probe).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_is_lost_while_sets_are_in_work() {
    let mut fixture = Fixture::redis().await;
    fixture.queue.push(STAGE, jobs(0..30)).await.unwrap();
    let (probe, seen) = Probe::new(|job| match job.key {
        2 => Verdict::Retry {
            after: Duration::ZERO,
            code: "test",
        },
        3 => Verdict::Dead { code: "test" },
        _ => Verdict::Done,
    });
    let probe = probe.held();
    let running = fixture.start(pool(1, 10, SHORT), &probe);
    seen.set().await;
    let _: String = fixture.server().run(&["FLUSHALL"]).await;
    probe.open();
    works(&fixture, &probe).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_forgets_its_scripts() {
    let (mut fixture, running, probe) = at_work().await;
    for _ in 0..3 {
        let _: String = fixture.server().run(&["SCRIPT", "FLUSH"]).await;
        let soon = vec![(Duration::from_millis(1), job(5))];
        fixture.queue.push_delayed(STAGE, soon).await.unwrap();
        works(&fixture, &probe).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_not_there_yet() {
    let server = Server::absent(&[]);
    let queue = queue::open(&settings(&server.url())).await.unwrap();
    let mut fixture = Fixture {
        queue,
        server: Some(server),
    };
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    let refused = fixture.queue.push(STAGE, jobs([1])).await;
    assert!(matches!(refused, Err(queue::QueueError::Unavailable(_))));
    fixture.server().go().await;
    until("a push is accepted", async || {
        fixture.queue.push(STAGE, jobs([2])).await.is_ok()
    })
    .await;
    assert_eq!(seen.keys(1).await, [2]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_ends_on_time_though_the_server_is_away() {
    let (mut fixture, running, _probe) = at_work().await;
    fixture.server().kill();
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_full_or_read_only_for_a_while() {
    let (mut fixture, running, probe) = at_work().await;
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    let room = ["CONFIG", "SET", "maxmemory", "0"];
    let replica = ["REPLICAOF", "127.0.0.1", "1"];
    let primary = ["REPLICAOF", "NO", "ONE"];
    for (trouble, over) in [(&full[..], &room[..]), (&replica[..], &primary[..])] {
        let _: String = fixture.server().run(trouble).await;
        let refused = fixture.queue.push(STAGE, jobs([1])).await;
        assert!(
            matches!(refused, Err(queue::QueueError::Unavailable(_))),
            "{trouble:?}"
        );
        let _: String = fixture.server().run(over).await;
        works(&fixture, &probe).await;
    }
    running.stop().await;
}

/// A retry and a dead job need room; without it they stay where they are until there is some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_loses_no_retry() {
    let mut fixture = Fixture::redis().await;
    fixture.queue.push(STAGE, jobs([1, 2])).await.unwrap();
    let (probe, seen) = Probe::new(|job| match (job.key, job.attempt) {
        (1, 0) => Verdict::Retry {
            after: Duration::ZERO,
            code: "test",
        },
        (2, _) => Verdict::Dead { code: "test" },
        _ => Verdict::Done,
    });
    let probe = probe.held();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    seen.set().await;
    let _: String = fixture.server().run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let _: String = fixture.server().run(&["CONFIG", "RESETSTAT"]).await;
    probe.open();
    until("both were tried in vain", async || {
        let stats: String = fixture.server().run(&["INFO", "errorstats"]).await;
        stats.contains("errorstat_OOM")
    })
    .await;
    assert_eq!(fixture.depth().await.in_flight, 2);
    let _: String = fixture.server().run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(seen.set().await[0].attempt, 1);
    fixture.drained(1).await;
    running.stop().await;
}

#[tokio::test]
async fn an_unusable_url_is_said_at_once() {
    for url in [
        "amqp://localhost",
        "",
        "redis://user:secret@host:port/x",
        "memory",
    ] {
        let Err(error) = queue::open(&settings(url)).await else {
            panic!("{url:?} was accepted")
        };
        assert!(matches!(error, queue::QueueError::Settings(_)), "{url:?}");
        assert!(!error.to_string().contains("secret"));
    }
}
