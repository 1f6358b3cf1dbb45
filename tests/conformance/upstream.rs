//! The faults A1 to A14 against `apalis-redis` 1.0 as released. All of them are expected to show; one
//! that no longer does fails the test, and with it the reason to keep a backend of our own is to be
//! looked at again.

use std::{fmt::Write as _, time::Duration};

use apalis_core::{
    backend::{Metrics, TaskSink, ext::BackendExt},
    error::BoxDynError,
    task::builder::TaskBuilder,
    worker::{builder::WorkerBuilder, context::WorkerContext},
};
use apalis_redis::{Config, RedisStorage};
use futures::future::{BoxFuture, FutureExt, LocalBoxFuture, join_all};
use redis::aio::ConnectionManagerConfig;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::{
    harness::{DEADLINE, until},
    server::Server,
};

/// How long something that must not happen is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a case found: `Err` is the fault, in words.
type Found = Result<(), String>;

/// One of the faults.
struct Fault {
    name: &'static str,
    cause: &'static str,
    shows: Shows,
}

enum Shows {
    /// The case, and words that its finding has in it.
    As(fn() -> LocalBoxFuture<'static, Found>, &'static str),
    /// It cannot be shown here, and why.
    NotRun(&'static str),
}

const FAULTS: [Fault; 14] = [
    Fault {
        name: "A1 a backlog of 9,000 due jobs",
        cause: "every push is scheduled, and a fetch unpacks all due jobs at once; Lua takes 7,999",
        shows: Shows::As(|| backlog().boxed_local(), "0 of 9000 were worked on"),
    },
    Fault {
        name: "A2 one idempotency key pushed 5 times",
        cause: "no time to live is sent as 0, which deletes the key at once",
        shows: Shows::As(|| idempotency().boxed_local(), "worked on 5 times"),
    },
    Fault {
        name: "A3 at most 2 attempts",
        cause: "handle_results.lua has 25 written into it",
        shows: Shows::As(|| max_attempts().boxed_local(), "attempted a third time"),
    },
    Fault {
        name: "A4 the first retry after a second",
        cause: "without an interval a worker looks only at heartbeats, every 30 s",
        shows: Shows::As(|| first_retry().boxed_local(), "not within 3 s"),
    },
    Fault {
        name: "A5 a payload that is no job",
        cause: "an error of the codec ends the worker",
        shows: Shows::As(|| undecodable().boxed_local(), "the worker ended"),
    },
    Fault {
        name: "A6 a panic",
        cause: "nothing catches it unless a layer is added",
        shows: Shows::As(|| panic().boxed_local(), "the worker ended"),
    },
    Fault {
        name: "A7 a killed connection",
        cause: "any error of the backend ends the worker",
        shows: Shows::As(|| killed_connection().boxed_local(), "the worker ended"),
    },
    Fault {
        name: "A8 a crashed worker started again under its name",
        cause: "register_worker.lua refuses a name it saw within the heartbeat interval",
        shows: Shows::As(|| same_name().boxed_local(), "still active within threshold"),
    },
    Fault {
        name: "A9 a clean stop",
        cause: "poll_close removes the wrong member, so the name stays",
        shows: Shows::As(|| clean_stop().boxed_local(), "1 name stayed"),
    },
    Fault {
        name: "A10 finished jobs",
        cause: "payloads and the set of done jobs are never trimmed",
        shows: Shows::As(|| leftovers().boxed_local(), "50 payloads of 50 finished jobs"),
    },
    Fault {
        name: "A11 the figures of a queue",
        cause: "a set is counted as if it were a sorted set",
        shows: Shows::As(|| figures().boxed_local(), "could not be read"),
    },
    Fault {
        name: "A12 the cost of taking",
        cause: "each lock is an LREM over the whole list",
        shows: Shows::As(|| cost().boxed_local(), "50 LREM for 50 jobs"),
    },
    Fault {
        name: "A13 a cluster",
        cause: "keys have no hash tag",
        shows: Shows::As(|| cluster().boxed_local(), "CrossSlot"),
    },
    Fault {
        name: "A14 a fast clock of a client",
        cause: "keep_alive.lua and reenqueue_orphaned.lua take the client's time",
        shows: Shows::NotRun("two processes on one host share a clock; read in its source"),
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listed_fault_still_shows() {
    let findings = join_all(FAULTS.iter().map(|fault| async move {
        match fault.shows {
            Shows::As(case, _) => timeout(DEADLINE, case()).await.ok(),
            Shows::NotRun(_) => None,
        }
    }))
    .await;
    let mut changed = String::new();
    for (fault, finding) in FAULTS.iter().zip(findings) {
        let news = match (&fault.shows, finding) {
            (Shows::As(_, words), Some(Err(seen))) if seen.contains(words) => continue,
            (Shows::NotRun(why), _) => {
                assert!(!why.is_empty());
                continue;
            }
            (Shows::As(..), Some(Ok(()))) => "is mended".to_owned(),
            (Shows::As(..), Some(Err(seen))) => format!("shows otherwise: {seen}"),
            (Shows::As(..), None) => "did not come to an end".to_owned(),
        };
        writeln!(changed, "{}: {news} (listed cause: {})", fault.name, fault.cause).unwrap();
    }
    assert!(changed.is_empty(), "apalis-redis has changed:\n{changed}");
}

/// A queue of numbers.
struct Bench {
    server: Server,
    storage: RedisStorage<i64>,
}

type Worked = mpsc::UnboundedReceiver<i64>;
type Running = JoinHandle<Result<(), String>>;

impl Bench {
    /// Heartbeats every second, so that what waits for one does not take the test's time.
    async fn new() -> Self {
        Self::with(Server::start().await, Duration::from_secs(1)).await
    }

    async fn with(server: Server, heartbeat: Duration) -> Self {
        let manager = ConnectionManagerConfig::new().set_response_timeout(Some(DEADLINE));
        let connection = server
            .client()
            .get_connection_manager_with_config(manager)
            .await
            .unwrap();
        let config = Config::default().queue("bench").heartbeat_interval(heartbeat);
        let storage = RedisStorage::new(connection).with_config(config);
        Self { server, storage }
    }

    async fn push(&mut self, keys: impl IntoIterator<Item = i64>) {
        let keys: Vec<i64> = keys.into_iter().collect();
        for some in keys.chunks(500) {
            self.storage.push_bulk(some.to_vec()).await.unwrap();
        }
    }

    /// Starts a worker that polls often; `fail` makes a job fail.
    fn start(&self, context: &WorkerContext, fail: fn(i64) -> bool) -> (Running, Worked) {
        let (send, worked) = mpsc::unbounded_channel();
        let worker = WorkerBuilder::new(context.clone())
            .backend(self.storage.clone().poll_with_interval(Duration::from_millis(50)))
            .build(handler(send, fail));
        let run = async move { worker.run().await.map_err(|error| error.to_string()) };
        (tokio::spawn(run.boxed()), worked)
    }

    async fn length(&self, command: &str, key: &str) -> u64 {
        self.server.run(&[command, key]).await
    }
}

fn handler(
    send: mpsc::UnboundedSender<i64>,
    fail: fn(i64) -> bool,
) -> impl FnMut(i64) -> BoxFuture<'static, Result<(), BoxDynError>> + Clone + Send + 'static {
    move |key| {
        let send = send.clone();
        async move {
            send.send(key)?;
            if fail(key) {
                Err("failed by the test".into())
            } else {
                Ok(())
            }
        }
        .boxed()
    }
}

fn never(_: i64) -> bool {
    false
}

fn always(_: i64) -> bool {
    true
}

/// The jobs that come until there are `count` or patience is over.
async fn wait_for(worked: &mut Worked, count: usize) -> usize {
    let mut seen = 0;
    let wait = async {
        while seen < count && worked.recv().await.is_some() {
            seen += 1;
        }
    };
    // Too few is an answer too.
    drop(timeout(PATIENCE, wait).await);
    seen
}

/// Whether the worker ends though nobody stopped it.
async fn lives(running: Running) -> Found {
    match timeout(PATIENCE, running).await {
        Ok(ended) => Err(format!("the worker ended: {ended:?}")),
        Err(_) => Ok(()),
    }
}

async fn backlog() -> Found {
    let mut bench = Bench::new().await;
    bench.push(0..9000).await;
    let (_running, mut worked) = bench.start(&WorkerContext::new("a1"), never);
    match wait_for(&mut worked, 9000).await {
        9000 => Ok(()),
        some => Err(format!("{some} of 9000 were worked on")),
    }
}

async fn idempotency() -> Found {
    let mut bench = Bench::new().await;
    for _ in 0..5 {
        let task = TaskBuilder::new(7).idempotency_key("seven").build();
        bench.storage.push_task(task).await.unwrap();
    }
    let (_running, mut worked) = bench.start(&WorkerContext::new("a2"), never);
    match wait_for(&mut worked, 5).await {
        1 => Ok(()),
        times => Err(format!("worked on {times} times")),
    }
}

async fn max_attempts() -> Found {
    let mut bench = Bench::new().await;
    let task = TaskBuilder::new(1).max_attempts(2).build();
    bench.storage.push_task(task).await.unwrap();
    let (_running, mut worked) = bench.start(&WorkerContext::new("a3"), always);
    let mut seen = 0;
    // The pauses are one and two seconds.
    for _ in 0..3 {
        seen += wait_for(&mut worked, 1).await;
    }
    match seen {
        2 => Ok(()),
        3 => Err("attempted a third time".to_owned()),
        other => Err(format!("attempted {other} times")),
    }
}

async fn first_retry() -> Found {
    let mut bench = Bench::with(Server::start().await, Config::default().heartbeat_interval).await;
    bench.push([1]).await;
    let (send, mut worked) = mpsc::unbounded_channel();
    let worker = WorkerBuilder::new("a4")
        .backend(bench.storage.clone())
        .build(handler(send, always));
    let _running = tokio::spawn(async move { worker.run().await.map_err(|error| error.to_string()) }.boxed());
    assert_eq!(wait_for(&mut worked, 1).await, 1);
    match wait_for(&mut worked, 1).await {
        1 => Ok(()),
        _ => Err("not within 3 s".to_owned()),
    }
}

async fn undecodable() -> Found {
    let mut bench = Bench::new().await;
    bench.push([1]).await;
    let ids: Vec<String> = bench.server.run(&["HKEYS", "bench:data"]).await;
    let _: u64 = bench
        .server
        .run(&["HSET", "bench:data", &ids[0], "no number"])
        .await;
    bench.push([2]).await;
    let (running, _worked) = bench.start(&WorkerContext::new("a5"), never);
    lives(running).await
}

async fn panic() -> Found {
    let mut bench = Bench::new().await;
    bench.push([1]).await;
    let (running, _worked) = bench.start(&WorkerContext::new("a6"), |_| panic!("by the test"));
    lives(running).await
}

async fn killed_connection() -> Found {
    let mut bench = Bench::new().await;
    let (running, mut worked) = bench.start(&WorkerContext::new("a7"), never);
    bench.push([1]).await;
    assert_eq!(wait_for(&mut worked, 1).await, 1);
    let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    let _: u64 = bench.server.run(&kill).await;
    lives(running).await
}

async fn same_name() -> Found {
    let bench = Bench::with(Server::start().await, DEADLINE).await;
    let (running, _worked) = bench.start(&WorkerContext::new("a8"), never);
    until("the worker is known", async || {
        bench.length("ZCARD", "bench:workers").await == 1
    })
    .await;
    running.abort();
    let (again, _worked) = bench.start(&WorkerContext::new("a8"), never);
    lives(again).await
}

async fn clean_stop() -> Found {
    let mut bench = Bench::new().await;
    let context = WorkerContext::new("a9");
    let (running, mut worked) = bench.start(&context, never);
    bench.push([1]).await;
    assert_eq!(wait_for(&mut worked, 1).await, 1);
    context.stop().unwrap();
    running.await.unwrap()?;
    match bench.length("ZCARD", "bench:workers").await {
        0 => Ok(()),
        stayed => Err(format!("{stayed} name stayed")),
    }
}

/// Works off 50 jobs.
async fn fifty_done() -> Bench {
    let mut bench = Bench::new().await;
    bench.push(0..50).await;
    let (_running, mut worked) = bench.start(&WorkerContext::new("fifty"), never);
    assert_eq!(wait_for(&mut worked, 50).await, 50);
    until("all are acknowledged", async || {
        let inflight: u64 = bench.server.run(&["SCARD", "bench:inflight:fifty"]).await;
        inflight == 0
    })
    .await;
    bench
}

async fn leftovers() -> Found {
    match fifty_done().await.length("HLEN", "bench:data").await {
        0 => Ok(()),
        some => Err(format!("{some} payloads of 50 finished jobs")),
    }
}

async fn figures() -> Found {
    let figures = fifty_done().await.storage.fetch_by_queue().await;
    figures
        .map(|_| ())
        .map_err(|error| format!("could not be read: {error}"))
}

async fn cost() -> Found {
    let calls = fifty_done().await.server.calls().await;
    match calls.get("lrem") {
        None => Ok(()),
        Some(calls) => Err(format!("{calls} LREM for 50 jobs")),
    }
}

async fn cluster() -> Found {
    let server = Server::cluster().await;
    let mut bench = Bench::with(server, DEADLINE).await;
    match bench.storage.push(1).await {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("{error:?}")),
    }
}
