//! Answers that are lost on their way, and a server that lets nobody in for a while. (A7)

use redis::Value;
use tsms::queue;

use crate::{
    harness::{Fixture, LONG, Probe, STAGE, jobs, pool, settings, until},
    server::Server,
};

/// The server has given jobs to a pool, but its answer never arrives: they are taken up again with the
/// next connection, however long their lease is, and those in work are not done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_an_answer_that_was_lost_do_not_wait_for_their_lease() {
    let mut fixture = Fixture::redis().await;
    let (probe, seen) = Probe::done();
    let probe = probe.held();
    fixture.queue.push(STAGE, jobs(0..20)).await.unwrap();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    assert_eq!(seen.set().await.len(), 10);
    // The reader takes one set ahead, and has no place for another.
    until("the next set is taken", async || {
        fixture.depth().await.in_flight == 20
    })
    .await;
    fixture.queue.push(STAGE, jobs(20..25)).await.unwrap();
    let stream = format!("test:{{{STAGE}}}:ready");
    let held: Vec<Vec<Value>> = fixture
        .server()
        .run(&["XPENDING", &stream, "pool", "-", "+", "1"])
        .await;
    let name: String = redis::from_redis_value(held[0][1].clone()).unwrap();
    // As the pool itself would ask, and then not hear.
    let read = ["XREADGROUP", "GROUP", "pool", &name, "STREAMS", &stream, ">"];
    let _: Value = fixture.server().run(&read).await;
    assert_eq!(fixture.depth().await.in_flight, 25);
    let cut = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    let _: u64 = fixture.server().run(&cut).await;
    probe.open();
    fixture.drained(0).await;
    running.stop().await;
    let counts = seen.counts().await;
    // The first set was seen above.
    assert_eq!(
        counts.keys().copied().collect::<Vec<i64>>(),
        Vec::from_iter(10..25)
    );
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

/// A password that is wrong for a while, as when it is changed at the server first: the process comes
/// back by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_refused_for_a_while() {
    let server = Server::start().await;
    let _: String = server
        .run(&["ACL", "SETUSER", "till", "on", ">right", "~*", "+@all"])
        .await;
    let url = server.url().replace("redis://", "redis://till:right@");
    let queue = queue::open(&settings(&url)).await.unwrap();
    let mut fixture = Fixture {
        queue,
        server: Some(server),
    };
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    fixture.queue.push(STAGE, jobs([1])).await.unwrap();
    assert_eq!(seen.keys(1).await, [1]);

    let _: String = fixture
        .server()
        .run(&["ACL", "SETUSER", "till", "resetpass", ">other"])
        .await;
    let _: u64 = fixture.server().run(&["CLIENT", "KILL", "USER", "till"]).await;
    until("the server refuses", async || {
        let refused = fixture.queue.push(STAGE, jobs([2])).await;
        matches!(refused, Err(queue::QueueError::Unavailable(why)) if why.contains("authentication"))
    })
    .await;
    let _: String = fixture.server().run(&["ACL", "SETUSER", "till", ">right"]).await;
    until("a push is accepted", async || {
        fixture.queue.push(STAGE, jobs([3])).await.is_ok()
    })
    .await;
    assert_eq!(seen.keys(1).await, [3]);
    running.stop().await;
}
