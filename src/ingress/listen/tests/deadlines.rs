//! Clients that take their time, and what is no HTTP at all. The limits are tiny and every wait is for
//! the end that must come.

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

fn hasty() -> Bounds {
    Bounds {
        idle: Duration::from_millis(80),
        head: Duration::from_millis(80),
        handshake: Duration::from_millis(80),
        ..ample()
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello").post(async |body: String| body))
}

#[tokio::test]
async fn a_head_that_does_not_end_is_answered_and_closed() {
    let bounds = Bounds {
        head: Duration::from_millis(80),
        ..ample()
    };
    let server = server(hello(), bounds).await;
    for start in [
        "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
        // The second request of a connection, come with the first one.
        "GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n",
    ] {
        let answer = all(server.say(start).await).await.unwrap();
        assert!(answer.contains("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains(r#""code":"headers_timeout""#), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    server.stopped().await;
}

/// A till that connects ahead of its first sale has the time of silence, not that of a head.
#[tokio::test]
async fn a_new_connection_may_be_silent_for_longer_than_a_head_may_take() {
    let bounds = Bounds {
        head: Duration::from_millis(80),
        ..ample()
    };
    let server = server(hello(), bounds).await;
    let mut silent = server.say("").await;
    // Opened after it, and closed when the time of a head is over.
    all(server.say("P").await).await.unwrap();
    silent.write_all(GET_AND_CLOSE.as_bytes()).await.unwrap();
    let answer = all(silent).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer:?}");
    server.stopped().await;
}

#[tokio::test]
async fn what_is_no_request_gets_a_problem_document() {
    let bounds = Bounds {
        head_bytes: 8192,
        ..ample()
    };
    let server = server(hello(), bounds).await;
    let long = "x".repeat(20_000);
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    for (text, status, code) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "malformed_request"),
        (
            "GET / HTTP/1.1\r\nhost: x\r\nna me: y\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5x\r\n\r\n".to_owned(),
            400,
            "malformed_request",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"),
            431,
            "headers_too_large",
        ),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), 431, "headers_too_large"),
    ] {
        // After a good request of the same connection, and alone.
        for before in ["", GET] {
            let answer = all(server.say(&format!("{before}{text}")).await).await.unwrap();
            let last = answer.rfind("HTTP/1.1 ").map_or("", |at| answer.split_at(at).1);
            assert!(last.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(last.contains(&format!(r#""code":"{code}""#)), "{answer}");
            assert!(last.contains("x-request-id: "), "{answer}");
            assert_eq!(answer.contains("hello"), !before.is_empty(), "{answer}");
        }
    }
    server.stopped().await;
}

#[tokio::test]
async fn one_address_gets_no_more_than_its_share_of_connections() {
    let bounds = Bounds { each: 2, ..ample() };
    let server = server(hello(), bounds).await;
    let mut first = server.say(GET).await;
    let mut byte = [0];
    fixture::soon(first.read_exact(&mut byte)).await.unwrap();
    let mut second = server.say(GET).await;
    fixture::soon(second.read_exact(&mut byte)).await.unwrap();
    let third = server.say("").await;
    assert_eq!(all(third).await.unwrap_or_default(), "", "closed at once");
    drop(first);
    // The place is free once the server has seen the end of the first connection.
    let again = async {
        loop {
            let answer = all(server.say(GET_AND_CLOSE).await).await.unwrap_or_default();
            if answer.ends_with("hello") {
                return;
            }
        }
    };
    fixture::soon(again).await;
    server.stopped().await;
}

type Http2 = hyper::client::conn::http2::SendRequest<axum::body::Body>;

async fn http2(server: &Server) -> (Http2, JoinHandle<hyper::Result<()>>) {
    let stream = server.say("").await;
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    (client, tokio::spawn(connection))
}

async fn ask(client: &mut Http2) -> hyper::Result<http::Response<Incoming>> {
    let request = http::Request::get("http://x/")
        .body(axum::body::Body::empty())
        .unwrap();
    fixture::soon(client.send_request(request)).await
}

#[tokio::test]
async fn an_idle_connection_of_http_2_is_told_to_go() {
    let server = server(hello(), hasty()).await;
    let (mut client, connection) = http2(&server).await;
    assert_eq!(ask(&mut client).await.unwrap().status(), 200);
    fixture::soon(connection).await.unwrap().unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn a_client_of_http_2_that_never_asks_is_closed() {
    let server = server(hello(), hasty()).await;
    for start in ["PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = server.say(start).await;
        let mut rest = Vec::new();
        fixture::soon(stream.read_to_end(&mut rest))
            .await
            .unwrap_or_default();
        assert!(!rest.windows(5).any(|piece| piece == b"hello"));
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_stop_lets_requests_of_http_2_finish_and_sends_the_client_away() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&entered), Arc::clone(&leave));
    let slow = async |State((entered, leave)): State<(Arc<Notify>, Arc<Notify>)>| {
        entered.notify_one();
        leave.notified().await;
        "finished"
    };
    let server = server(Router::new().route("/", get(slow)).with_state(signals), ample()).await;
    let (mut client, connection) = http2(&server).await;
    let asking = tokio::spawn(async move { ask(&mut client).await });
    fixture::soon(entered.notified()).await;
    server.stop.cancel();
    leave.notify_one();
    assert_eq!(fixture::soon(asking).await.unwrap().unwrap().status(), 200);
    fixture::soon(connection).await.unwrap().unwrap();
    server.stopped().await;
}
