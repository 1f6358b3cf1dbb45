//! Answers that are lost on their way, and a server that lets nobody in for a while. (A7)

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use redis::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tsms::queue::{self, Job};

use crate::{
    harness::{Fixture, LONG, Probe, STAGE, job, jobs, pool, settings, until},
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

/// The server takes a push, but its answer never arrives, and it is made again. Of the two jobs one has no body:
/// a body may say that a sale is claimed for its job, and there may be one such job only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_answer_was_lost_is_made_again_without_bodies() {
    let server = Server::start().await;
    let queue = queue::open(&settings(&losing_a_push(server.url()).await))
        .await
        .unwrap();
    let fixture = Fixture {
        queue,
        server: Some(server),
    };
    let bodies = [&b"one"[..], b"two"];
    let pushed = bodies.map(|body| Job {
        body: Bytes::from_static(body),
        ..job(1)
    });
    fixture.queue.push(STAGE, pushed.to_vec()).await.unwrap();
    let (probe, seen) = Probe::done();
    let running = fixture.start(pool(1, 10, LONG), &probe);
    let found = seen.set().await;
    let found: Vec<&[u8]> = found.iter().map(|job| &job.body[..]).collect();
    assert_eq!(found, [b"one", b"two", &b""[..], b""]);
    running.stop().await;
}

/// The address of a way to the server at `url` on which the answer to the first push is lost.
async fn losing_a_push(url: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = format!("redis://{}", listener.local_addr().unwrap());
    let lose = Arc::new(AtomicBool::new(true));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let address = url.split('/').nth(2).unwrap_or_default().to_owned();
            tokio::spawn(pass(client, address, Arc::clone(&lose)));
        }
    });
    way
}

/// Passes on what both sides say until either ends, or until the answer that is to be lost has come.
async fn pass(mut client: TcpStream, address: String, lose: Arc<AtomicBool>) {
    let mut server = TcpStream::connect(address).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            Ok(length @ 1..) = client.read(&mut asked) => {
                server.write_all(&asked[..length]).await.unwrap();
                let is_push = asked[..length].windows(4).any(|word| word == b"XADD");
                if is_push && lose.swap(false, Ordering::SeqCst) {
                    let length = server.read(&mut answered).await.unwrap();
                    assert_ne!(length, 0, "the push was answered");
                    return;
                }
            }
            Ok(length @ 1..) = server.read(&mut answered) => {
                client.write_all(&answered[..length]).await.unwrap();
            }
            else => return,
        }
    }
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
