use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use uuid::Uuid;

use super::*;
use crate::bench::client;

/// A server that answers request number n of all its connections as `answer` says, after a pause.
async fn server(answer: fn(usize) -> (u16, Duration)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let number = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let number = number.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                    let (status, pause) = answer(number.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                    tokio::time::sleep(pause).await;
                    let body = r#"{"code":"told_to"}"#;
                    let length = body.len();
                    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
                    if status == 0 || stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn requests(count: usize) -> Arc<Vec<Request>> {
    let request = |_| Request {
        bytes: client::get("/", None).into(),
        sale: Uuid::nil(),
        till: 0,
    };
    Arc::new((0..count).map(request).collect())
}

fn a_closed_loop(address: SocketAddr, connections: usize, count: usize) -> Closed {
    Closed {
        address,
        connections,
        requests: requests(count),
        repeat: false,
        limit: Duration::from_secs(60),
        expect: 202,
    }
}

#[tokio::test]
async fn a_closed_loop_sends_each_request_until_it_is_taken() {
    // Every third answer is "later", and one connection is dropped without an answer.
    let address = server(|number| match number {
        10 => (0, Duration::ZERO),
        _ if number % 3 == 0 => (503, Duration::ZERO),
        _ => (202, Duration::ZERO),
    })
    .await;
    let tally = closed(a_closed_loop(address, 4, 50)).await.unwrap();
    assert_eq!((tally.good, tally.latency.count()), (50, 50));
    assert_eq!(tally.failures["connection: unexpected end of file"], 1);
    assert!(tally.failures["503 told_to"] >= 16, "{:?}", tally.failures);
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again() {
    let address = server(|_| (422, Duration::ZERO)).await;
    let tally = closed(a_closed_loop(address, 2, 5)).await.unwrap();
    assert_eq!((tally.good, tally.failures["422 told_to"]), (0, 5));
}

#[tokio::test]
async fn nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let tally = closed(a_closed_loop(address, 2, 5)).await.unwrap();
    assert_eq!(tally.good, 0);
    assert_eq!(tally.failures.values().sum::<u64>(), 2, "{:?}", tally.failures);
}

fn a_stream(count: usize, rate: u32) -> Stream {
    Stream {
        name: "x",
        requests: requests(count),
        rate,
        offset: Duration::ZERO,
        connections: 1,
        expect: 200,
        tries: 1,
    }
}

/// The first answer takes 300 ms on the only connection; the others are due in the first 100 ms and
/// are answered at once when it is their turn. Their waiting is theirs.
#[tokio::test]
async fn a_stall_counts_for_everyone_who_was_due_meanwhile() {
    const STALL: Duration = Duration::from_millis(300);
    let address = server(|number| (200, if number == 0 { STALL } else { Duration::ZERO })).await;
    let tally = open(address, vec![a_stream(10, 100)]).await.unwrap().remove(0);
    assert_eq!((tally.good, tally.lag.count()), (10, 10));
    let best = tally.latency.quantile(100);
    assert!(best >= STALL - Duration::from_millis(100), "{best:?}");
}

/// A stream without requests costs next to nothing, whatever the thread that it shares has done.
#[tokio::test]
async fn the_thread_of_several_streams_is_counted_once() {
    let address = server(|_| (200, Duration::ZERO)).await;
    let streams = vec![a_stream(500, 10_000), a_stream(0, 1)];
    let tallies = open(address, streams).await.unwrap();
    assert_eq!((tallies[0].good, tallies[1].good), (500, 0));
    assert!(
        tallies[1].cpu < tallies[0].cpu / 2,
        "{:?} and {:?}",
        tallies[0].cpu,
        tallies[1].cpu
    );
}

#[test]
fn the_schedule_does_not_drift() {
    assert_eq!(due(0, 300), Duration::ZERO);
    assert_eq!(due(300, 300), Duration::from_secs(1));
    assert_eq!(due(300_000_001, 1000), Duration::from_millis(300_000_001));
}
