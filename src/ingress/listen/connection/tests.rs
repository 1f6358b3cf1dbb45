//! The turn of a connection inside hyper, seen from the side of the server.

use axum::routing::get;
use tokio::net::TcpListener;

use super::*;
use crate::ingress::{fixture, frame};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_quiet_connection_leaves_hyper_and_comes_back_with_its_next_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    let routes = Router::new().route("/", get(async || "hello"));
    let settings = fixture::settings();
    let mut bounds = Bounds::new(&settings, fixture::PATIENCE, None);
    // A look every quarter of it.
    bounds.head = Duration::from_millis(20);
    let connection = Connection {
        peer: peer.ip(),
        router: frame(routes, fixture::PATIENCE),
        bounds: Arc::new(bounds),
        stop: CancellationToken::new(),
    };
    let mut stream = Stream::Plain(accepted);
    for _ in 0..3 {
        client.write_all(GET).await.unwrap();
        let turn = fixture::soon(connection.turn(stream, Bytes::new())).await;
        let Turn::Quiet {
            stream: back,
            ahead,
            served,
        } = turn
        else {
            panic!("the connection ended");
        };
        assert!(served && ahead.is_empty());
        stream = back;
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            let mut piece = [0; 1024];
            let read = fixture::soon(client.read(&mut piece)).await.unwrap();
            assert!(read > 0, "closed early");
            answer.extend_from_slice(&piece[..read]);
        }
    }
}
