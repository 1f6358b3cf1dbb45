//! What is in Redis, and what it costs.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::timeout;
use tsms::{outcome::Verdict, stage::Stage};

use crate::{
    harness::{DEADLINE, Fixture, LONG, Probe, STAGE, job, jobs, pool, settings, until},
    server::Server,
};

/// A10: of finished jobs nothing is left, delayed, retried and handed back ones included, and of a
/// pool that stopped not even its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_jobs_leave_nothing_behind() {
    let mut fixture = Fixture::redis().await;
    // The second round finds the keys of the first.
    let mut sizes = Vec::new();
    for _ in 0..2 {
        fixture.queue.push(STAGE, jobs(0..3000)).await.unwrap();
        let delayed = (0..100).map(|key| (Duration::from_millis(1), job(key)));
        fixture
            .queue
            .push_delayed(STAGE, delayed.collect())
            .await
            .unwrap();
        let (probe, _seen) = Probe::new(|job| match (job.key % 10, job.attempt) {
            (0, 0) => Verdict::Retry {
                after: Duration::from_millis(1),
                code: "test",
            },
            _ => Verdict::Done,
        });
        let running = fixture.start(pool(2, 100, LONG), &probe);
        fixture.drained(0).await;
        running.stop().await;
        let keys: BTreeSet<String> = fixture.server().run(&["KEYS", "*"]).await;
        let lanes = ["test:{processing}:crowd", "test:{processing}:ready"];
        assert!(keys.iter().eq(lanes), "{keys:?}");
        for lane in lanes {
            let groups: redis::Value = fixture.server().run(&["XINFO", "CONSUMERS", lane, "pool"]).await;
            assert_eq!(groups, redis::Value::Array(Vec::new()));
            let size: u64 = fixture.server().run(&["MEMORY", "USAGE", lane]).await;
            sizes.push(size);
        }
    }
    assert!(sizes.iter().all(|size| *size < 4096), "{sizes:?}");
    assert_eq!(sizes[..2], sizes[2..]);
}

/// The names of killed workers go too, as soon as they hold nothing and were silent for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_names_are_removed_and_live_jobs_are_not() {
    let mut fixture = Fixture::redis().await;
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe.clone().held());
    fixture.queue.push(STAGE, jobs([1])).await.unwrap();
    seen.set().await;
    let ready = "test:{processing}:ready";
    for name in ["dead-1", "dead-2"] {
        let words = ["XGROUP", "CREATECONSUMER", ready, "pool", name];
        let _: u64 = fixture.server().run(&words).await;
    }
    let tidy = include_str!("../../src/queue/scripts/tidy.lua");
    // "-1": however short the silence.
    let words = ["EVAL", tidy, "1", ready, "pool", "me", "-1", "100"];
    let removed: u64 = fixture.server().run(&words).await;
    assert_eq!(removed, 2);
    assert_eq!(fixture.depth().await.in_flight, 1);
    running.crash().await;
}

/// Commands that cost no more in a deep queue than in a shallow one, and those of the test itself.
const CHEAP: [&str; 25] = [
    "blpop",
    "client|id",
    "client|setinfo",
    "client|unblock",
    "config|resetstat",
    "evalsha",
    "exec",
    "info",
    "multi",
    "script|load",
    "select",
    "time",
    "xack",
    "xautoclaim",
    "xclaim",
    "xdel",
    "xgroup|create",
    "xgroup|delconsumer",
    "xlen",
    "xpending",
    "xrange",
    "xreadgroup",
    "zcard",
    "zrange",
    "zrangebyscore",
];

/// A12: taking does not get dearer with the backlog: the same few commands whatever the depth, and
/// none that looks at every job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_does_not_make_taking_dearer() {
    let mut fixture = Fixture::redis().await;
    let mut costs = Vec::new();
    let mut all = 0;
    for backlog in [5_000, 50_000] {
        fixture.queue.push(STAGE, jobs(0..backlog)).await.unwrap();
        let _: String = fixture.server().run(&["CONFIG", "RESETSTAT"]).await;
        let (probe, _seen) = Probe::done();
        let running = fixture.start(pool(2, 500, LONG), &probe);
        let pushed = backlog.unsigned_abs();
        all += pushed;
        // By the activity, not by the depth: asking would count.
        let mut activity = fixture.queue.activity();
        let settled = activity.wait_for(|settled| *settled == all);
        timeout(DEADLINE, settled).await.unwrap().unwrap();
        let calls = fixture.server().calls().await;
        running.stop().await;
        let names = calls.keys().filter(|name| !CHEAP.contains(&name.as_str()));
        let names: Vec<_> = names.collect();
        assert!(names.is_empty(), "unexpected commands: {names:?}");
        let total: u64 = calls.values().sum();
        costs.push(total * 1000 / pushed);
    }
    // Commands for a thousand jobs: a handful for each set of up to 500, and a few to begin with.
    assert!(costs[1] <= 20, "{costs:?}");
    assert!(costs[1] <= costs[0], "{costs:?}");
}

/// A13: on a cluster, where Redis itself refuses commands and scripts over keys of two slots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_is_fit_for_a_cluster() {
    let server = Server::cluster().await;
    let queue = tsms::queue::open(&settings(&server.url())).await.unwrap();
    let mut fixture = Fixture {
        queue,
        server: Some(server),
    };

    let mut slots = BTreeSet::new();
    for stage in Stage::ALL {
        let (probe, seen) = Probe::new(|job| match (job.key, job.attempt) {
            (1, 0) => Verdict::Retry {
                after: Duration::from_millis(1),
                code: "test",
            },
            (2, _) => Verdict::Dead { code: "test" },
            _ => Verdict::Done,
        });
        let probe = probe.held();
        fixture.queue.push(stage, jobs(0..6)).await.unwrap();
        let delayed = vec![(Duration::from_millis(1), job(9)), (LONG, job(10))];
        fixture.queue.push_delayed(stage, delayed).await.unwrap();
        let running = fixture.start_on(stage, pool(1, 3, LONG), &probe);
        seen.set().await;
        until("a set waits", async || {
            fixture.queue.depth(stage).await.unwrap().in_flight >= 6
        })
        .await;
        running.stop.cancel();
        probe.open();
        running.stop().await;
        let again = fixture.start_on(stage, pool(1, 3, LONG), &probe);
        until("the queue is worked off", async || {
            let depth = fixture.queue.depth(stage).await.unwrap();
            (depth.ready, depth.in_flight, depth.delayed, depth.parked) == (0, 0, 1, 1)
        })
        .await;
        again.stop().await;
        let keys: Vec<String> = fixture.server().run(&["KEYS", &format!("*{{{stage}}}*")]).await;
        let mut of_stage = BTreeSet::new();
        for key in &keys {
            let slot: u64 = fixture.server().run(&["CLUSTER", "KEYSLOT", key]).await;
            of_stage.insert(slot);
        }
        assert_eq!(of_stage.len(), 1, "{keys:?}");
        slots.extend(of_stage);
    }
    assert_eq!(slots.len(), Stage::ALL.len(), "queues spread over a cluster");
}

/// A14: no client's clock has a part in leases or delays: what runs on Redis asks the server for the
/// time, and what runs here never asks the system for it.
#[test]
fn only_the_server_tells_the_time() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/queue");
    let files = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty());
        files
            .into_iter()
            .map(|path| (std::fs::read_to_string(&path).unwrap(), path))
    };
    for (text, path) in files("redis") {
        for clock in ["SystemTime", "Timestamp::now", "jiff"] {
            assert!(!text.contains(clock), "{}: {clock}", path.display());
        }
    }
    for (text, path) in files("scripts") {
        for clock in ["os.time", "os.clock", "os.date"] {
            assert!(!text.contains(clock), "{}: {clock}", path.display());
        }
        let uses_now = text.contains("local now");
        assert_eq!(
            uses_now,
            text.contains("redis.call('TIME')"),
            "{}",
            path.display()
        );
    }
}
