//! Real connections on loopback. Every wait is for an event.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{
    extract::State,
    middleware,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::JoinHandle,
};

mod deadlines;
mod encrypted;
mod frames;

use super::*;
use crate::ingress::{client_addr::ClientAddr, error::Error, fixture, frame, linger};

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), IngressError>>,
}

fn ample() -> Bounds {
    Bounds::new(&fixture::settings(), fixture::PATIENCE, None)
}

async fn server(routes: Router, bounds: Bounds) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router = frame(routes, fixture::PATIENCE);
    let serving = tokio::spawn(serve(listener, router, bounds, stop.clone()));
    Server {
        address,
        stop,
        serving,
    }
}

impl Server {
    /// A connection that has sent `text`.
    async fn say(&self, text: &str) -> TcpStream {
        let mut stream = fixture::soon(TcpStream::connect(self.address)).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn stopped(self) {
        self.stop.cancel();
        fixture::soon(self.serving).await.unwrap().unwrap();
    }
}

/// Everything until the server closes the connection.
async fn all(mut stream: TcpStream) -> std::io::Result<String> {
    let mut text = String::new();
    fixture::soon(stream.read_to_string(&mut text)).await?;
    Ok(text)
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nx-request-id: r-7\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_silent_or_dawdling_connection_is_closed() {
    let bounds = Bounds {
        idle: Duration::from_millis(100),
        head: Duration::from_millis(100),
        ..ample()
    };
    let server = server(Router::new().route("/", get(async || "hello")), bounds).await;
    // Nothing at all; the first letter of POST and of HTTP/2's preface; half a head.
    for text in ["", "P", "GET / HTTP/1.1\r\nhost:"] {
        let answer = all(server.say(text).await).await.unwrap();
        assert!(!answer.contains("hello"), "{text:?} gave {answer:?}");
    }
    let kept_open = server.say(GET).await;
    assert!(
        all(kept_open).await.unwrap().contains("hello"),
        "and so is one that stays idle"
    );
    server.stopped().await;
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_role_stops() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&entered), Arc::clone(&leave));
    let slow = async |State((entered, leave)): State<(Arc<Notify>, Arc<Notify>)>| {
        entered.notify_one();
        leave.notified().await;
        "finished"
    };
    let server = server(Router::new().route("/", get(slow)).with_state(signals), ample()).await;
    let (busy, idle) = (server.say(GET).await, server.say("").await);
    fixture::soon(entered.notified()).await;
    server.stop.cancel();
    assert_eq!(
        all(idle).await.unwrap(),
        "",
        "an idle connection is not waited for"
    );
    leave.notify_one();
    let answer = all(busy).await.unwrap();
    assert!(answer.ends_with("finished"), "{answer}");
    server.stopped().await;
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_stop() {
    let entered = Arc::new(Notify::new());
    let stuck = async |State(entered): State<Arc<Notify>>| {
        entered.notify_one();
        std::future::pending::<()>().await;
    };
    let bounds = Bounds {
        drain: Duration::from_millis(50),
        ..ample()
    };
    let server = server(
        Router::new()
            .route("/", get(stuck))
            .with_state(Arc::clone(&entered)),
        bounds,
    )
    .await;
    let _connection = server.say(GET).await;
    fixture::soon(entered.notified()).await;
    server.stopped().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    #[derive(Default)]
    struct Load {
        now: AtomicUsize,
        most: AtomicUsize,
    }
    let load = Arc::new(Load::default());
    let handler = async |State(load): State<Arc<Load>>| {
        let now = load.now.fetch_add(1, Ordering::SeqCst) + 1;
        load.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        load.now.fetch_sub(1, Ordering::SeqCst);
        "served"
    };
    let bounds = Bounds {
        connections: 2,
        ..ample()
    };
    let server = server(
        Router::new()
            .route("/", get(handler))
            .with_state(Arc::clone(&load)),
        bounds,
    )
    .await;
    let clients = (0..8).map(|_| async { all(server.say(GET_AND_CLOSE).await).await.unwrap() });
    for answer in futures::future::join_all(clients).await {
        assert!(answer.ends_with("served"), "{answer}");
    }
    assert_eq!(load.most.load(Ordering::SeqCst), 2);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_refused_in_the_middle_of_its_body_still_reads_why() {
    let refuse = async || Error::BodyTooLarge { limit: 1 };
    let bounds = linger::Bounds::of(&fixture::settings());
    let route = post(refuse).layer(middleware::from_fn_with_state(bounds, linger::linger));
    let server = server(Router::new().route("/", route), ample()).await;
    // More than the buffers of both sockets hold, so that the client is still writing when refused.
    let length = 15 * 1024 * 1024;
    let mut client = server
        .say(&format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
    client.write_all(&vec![b' '; length]).await.unwrap();
    let answer = all(client).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains(r#""code":"body_too_large""#), "{answer}");
    server.stopped().await;
}

#[tokio::test]
async fn a_handler_sees_the_peer_or_whom_a_trusted_proxy_vouches_for() {
    let who = async |client: ClientAddr| client.0.to_string();
    let asked = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: 198.51.100.7\r\n\r\n";
    for (trusted, client) in [("", "127.0.0.1"), ("127.0.0.0/8", "198.51.100.7")] {
        let mut settings = fixture::settings();
        settings.trusted_proxies = trusted.parse().unwrap();
        let bounds = Bounds {
            proxies: Proxies::new(&settings).into(),
            ..ample()
        };
        let server = server(Router::new().route("/", get(who)), bounds).await;
        let answer = all(server.say(asked).await).await.unwrap();
        assert!(answer.ends_with(client), "{trusted:?}: {answer}");
        server.stopped().await;
    }
}
