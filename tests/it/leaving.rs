//! An ingress that is told to stop says so, goes on for as long as a load balancer needs to hear it, and
//! finishes what is under way.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};
use tsms::domain::checksum::Version;

use crate::{
    bodies::sale,
    world::{Answer, DEADLINE, Tier, World},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_closes_after_the_notice_and_what_is_under_way_is_finished() {
    let world = World::start_with(Tier::Embedded, "[ingress]\ndrain_notice_ms = 3000\n").await;
    let (till, address) = (world.till(), world.base.trim_start_matches("http://"));
    let body = sale(till, Version::V21, 1).body;
    let head = format!(
        "POST /api/v1/transactions/official HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        till.token,
        body.len()
    );
    let mut under_way = TcpStream::connect(address).await.unwrap();
    let (first, second) = body.split_at(body.len() / 2);
    under_way
        .write_all(&[head.as_bytes(), first].concat())
        .await
        .unwrap();

    world.leave();
    let told = async {
        let ready = || Answer::of(world.http.get(format!("{}/readyz", world.base)));
        while ready().await.status != 503 {}
    };
    timeout(DEADLINE, told)
        .await
        .expect("/readyz says that it leaves");
    // Who comes now is still served: the load balancer has not heard of it yet.
    let answer = world.post(till, sale(till, Version::V21, 2).body).await;
    assert_eq!(answer.status, 202, "{answer:?}");

    let closed = async {
        let mut turn = interval(Duration::from_millis(20));
        while TcpStream::connect(address).await.is_ok() {
            turn.tick().await;
        }
    };
    timeout(DEADLINE, closed).await.expect("the door closes");
    under_way.write_all(second).await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, under_way.read_to_string(&mut answer))
        .await
        .expect("the connection ends")
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    world.end().await;
}
