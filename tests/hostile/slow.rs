//! Bodies that come a byte at a time, over both versions, and what they hold meanwhile.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::{Body, Client};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{LIMIT, ROUTE, Server};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long the server lets a request take here.
const SHORT: &str = "400";
/// Between two bytes.
const PACE: Duration = Duration::from_millis(20);
/// As many bodies of unknown length as there is memory for.
const SLOW_ONES: usize = 8;

async fn server() -> Server {
    Server::start_with(&[
        ("TSMS__INGRESS__REQUEST_TIMEOUT_MS", SHORT),
        (
            "TSMS__INGRESS__BODY_BUDGET_BYTES",
            &(SLOW_ONES * LIMIT).to_string(),
        ),
    ])
    .await
}

/// White space for ever, a byte at a time: what could still become a body.
fn dribble() -> Body {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let bytes = stream::unfold(pace, async |mut pace| {
        pace.tick().await;
        let byte = Frame::data(Bytes::from_static(b" "));
        Some((Ok::<_, Infallible>(byte), pace))
    });
    Body::wrap(StreamBody::new(bytes))
}

async fn is_late(server: &Server, client: &Client) {
    let answer = server.request(client).body(dribble()).send();
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 408);
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document["code"], "body_timeout", "{document}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_a_byte_at_a_time_is_ended_in_http_1() {
    let server = server().await;
    let head = format!(
        "POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100000\r\n\r\n",
        server.till.token
    );
    let mut connection = TcpStream::connect(&server.address).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = connection.into_split();
    let dribbling = tokio::spawn(async move {
        let mut pace = interval(PACE);
        loop {
            pace.tick().await;
            if writer.write_all(b" ").await.is_err() {
                return;
            }
        }
    });
    let mut answer = String::new();
    // The event is the end of the connection; a reset after the answer is one.
    timeout(PATIENCE, reader.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap_or_default();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.contains("\"body_timeout\""), "{answer}");
    dribbling.abort();
}

/// As many slow bodies as there is memory for are in nobody's way for longer than the time limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_give_back_what_they_held_in_both_versions() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let server = server().await;
    for (seed, client) in [
        (7, Client::builder().http1_only().build().unwrap()),
        (8, Client::builder().http2_prior_knowledge().build().unwrap()),
    ] {
        let slow = (0..SLOW_ONES).map(|_| is_late(&server, &client));
        futures::future::join_all(slow).await;
        let good = server.signed(seed, |_| {}).to_string();
        let answer = server.request(&client).body(good).send().await.unwrap();
        assert_eq!(answer.status(), 202);
    }
}
