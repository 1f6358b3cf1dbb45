//! The tills against an ingress whose answers the test scripts.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};

use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::domain::checksum::Digest;

const PATIENCE: Duration = Duration::from_secs(20);

/// An ingress that answers each new submission by its script and then 202.
#[derive(Clone, Default)]
struct Ingress {
    script: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    /// Bodies in the order they came, with their tokens.
    came: Arc<Mutex<Vec<(String, Bytes)>>>,
    reached: Arc<tokio::sync::Notify>,
}

impl Ingress {
    fn scripted(answers: &[(u16, &'static str)]) -> Self {
        let this = Self::default();
        this.script.lock().unwrap().extend(answers);
        this
    }

    async fn start(&self) -> SocketAddr {
        let router = Router::new()
            .route(SUBMIT_PATH, post(take))
            .with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn came(&self) -> Vec<(String, Bytes)> {
        self.came.lock().unwrap().clone()
    }
}

async fn take(State(ingress): State<Ingress>, headers: HeaderMap, body: Bytes) -> Response {
    let token = headers["authorization"].to_str().unwrap().to_owned();
    assert_eq!(headers["content-type"], "application/json");
    ingress.came.lock().unwrap().push((token, body));
    ingress.reached.notify_one();
    let next = ingress.script.lock().unwrap().pop_front();
    let (status, body) = next.unwrap_or((202, "taken"));
    let status = StatusCode::from_u16(status).unwrap();
    ([("retry-after", "0")], (status, body)).into_response()
}

fn options(ingress: SocketAddr, count: u64) -> SimOptions {
    SimOptions {
        rate: 2000,
        count,
        replay_share: 0,
        retry: RetryPolicy {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(5),
            ..RetryPolicy::default()
        },
        ..SimOptions::new(format!("http://{ingress}/"), vec![terminal(1), terminal(2)], 42)
    }
}

async fn play(options: SimOptions) -> SimReport {
    run(options, Arc::default(), CancellationToken::new())
        .await
        .unwrap()
}

#[tokio::test]
async fn every_submission_is_sent_once_and_recorded() {
    let ingress = Ingress::default();
    let address = ingress.start().await;
    let report = play(options(address, 200)).await;
    assert_eq!((report.sent, report.accepted, report.unknown), (200, 200, 0));
    assert_eq!(report.records.len(), 200);
    let came: HashMap<Bytes, String> = ingress
        .came()
        .into_iter()
        .map(|(token, body)| (body, token))
        .collect();
    assert_eq!(came.len(), 200);
    for (body, token) in &came {
        let digest: Digest = Sha256::digest(body).into();
        let record = report
            .records
            .iter()
            .find(|record| record.body_digest == digest)
            .unwrap();
        assert_eq!(token, &format!("Bearer token-{}", record.terminal_id));
    }
    let sales: u64 = report
        .records
        .iter()
        .map(|record| record.sales.len() as u64)
        .sum();
    assert_eq!(report.sales_accepted, sales);
    for version in Version::ALL {
        assert!(report.records.iter().any(|record| record.version == version));
    }
    assert!(report.records.iter().any(|record| record.sales.len() > 1));
    assert!(
        report
            .records
            .iter()
            .flat_map(|record| &record.sales)
            .any(|sale| !sale.valid)
    );
    assert!(report.to_string().contains("submissions sent 200, accepted 200"));
}

#[tokio::test]
async fn the_same_seed_plays_the_same_sales() {
    let address = Ingress::default().start().await;
    let (one, two) = (play(options(address, 30)).await, play(options(address, 30)).await);
    let sales = |report: &SimReport| {
        let mut sales: Vec<_> = report
            .records
            .iter()
            .flat_map(|record| record.sales.clone())
            .collect();
        sales.sort_by_key(|sale| sale.transaction_id);
        sales
    };
    assert_eq!(sales(&one), sales(&two));
    let mut other = options(address, 30);
    other.seed = 43;
    assert_ne!(sales(&one), sales(&play(other).await));
}

#[tokio::test]
async fn a_till_sends_the_same_bytes_until_it_is_told() {
    let ingress = Ingress::scripted(&[(503, ""), (429, ""), (500, ""), (502, "")]);
    let address = ingress.start().await;
    let report = play(options(address, 1)).await;
    assert_eq!((report.accepted, report.retries), (1, 4));
    assert_eq!(report.records[0].tries, 5);
    let came = ingress.came();
    assert_eq!(came.len(), 5);
    assert!(came.iter().all(|one| *one == came[0]));
}

#[tokio::test]
async fn a_till_outlasts_an_ingress_that_is_away() {
    // A port that is ours although nothing listens on it yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    let counters = Arc::new(Counters::default());
    let run = tokio::spawn(run(
        options(address, 1),
        Arc::clone(&counters),
        CancellationToken::new(),
    ));
    let turned_away = async {
        while Counters::read(&counters.retries) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, turned_away).await.unwrap();
    let router = Router::new().route(SUBMIT_PATH, post(async || StatusCode::ACCEPTED));
    let listener = socket.listen(16).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(run.await.unwrap().unwrap().accepted, 1);
}

#[tokio::test]
async fn refusals_are_final_and_counted_by_code() {
    let problem = r#"{"status":422,"code":"checksum_mismatch"}"#;
    let ingress = Ingress::scripted(&[(422, problem), (422, problem), (401, "")]);
    let address = ingress.start().await;
    let report = play(options(address, 4)).await;
    assert_eq!((report.sent, report.accepted, report.retries), (4, 1, 0));
    assert_eq!(report.refused["422 checksum_mismatch"], 2);
    assert_eq!(report.refused["401 "], 1);
}

#[tokio::test]
async fn a_replay_that_is_answered_otherwise_is_told() {
    for (answers, differ) in [
        (&[(202, "one"), (202, "one")][..], 0),
        (&[(202, "one"), (202, "two")][..], 1),
        (&[(202, "one"), (409, "one")][..], 1),
    ] {
        let ingress = Ingress::scripted(answers);
        let address = ingress.start().await;
        let mut options = options(address, 1);
        options.replay_share = 1000;
        let report = play(options).await;
        assert_eq!((report.replays, report.replays_differ), (1, differ));
        let came = ingress.came();
        assert_eq!(came[0], came[1]);
        assert_eq!(report.records.len(), 1);
    }
}

#[tokio::test]
async fn stopping_leaves_the_outcome_unknown_and_giving_up_too() {
    let never: Vec<(u16, &str)> = vec![(503, ""); 10_000];
    let ingress = Ingress::scripted(&never);
    let address = ingress.start().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(options(address, u64::MAX), Arc::default(), stop.clone()));
    ingress.reached.notified().await;
    stop.cancel();
    let report = running.await.unwrap().unwrap();
    assert!(report.sent > 0);
    assert_eq!((report.accepted, report.unknown), (0, report.sent));

    let mut impatient = options(address, 1);
    impatient.retry.give_up = Duration::ZERO;
    let report = play(impatient).await;
    assert_eq!((report.unknown, report.records[0].tries), (1, 1));
}

#[tokio::test]
async fn the_ledger_file_holds_every_record_also_those_memory_has_no_room_for() {
    let address = Ingress::default().start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.jsonl");
    let mut options = options(address, 20);
    options.ledger_capacity = 5;
    options.ledger_file = Some(file.clone());
    let report = play(options.clone()).await;
    assert_eq!((report.records.len(), report.records_left_out), (5, 15));
    let kept = read_ledger(&file).unwrap();
    assert_eq!(kept.len(), 20);
    assert_eq!(kept[..5], report.records);
    options.seed = 1;
    play(options).await;
    assert_eq!(read_ledger(&file).unwrap().len(), 40);
}

#[tokio::test]
async fn the_duration_bounds_the_schedule() {
    let address = Ingress::default().start().await;
    let mut options = options(address, u64::MAX);
    options.rate = 1000;
    options.duration = Duration::from_millis(20);
    assert_eq!(play(options).await.sent, 20);
}

#[test]
fn the_schedule_is_exact_over_days() {
    assert_eq!(nanoseconds(3, 2), Duration::from_millis(1500));
    assert_eq!(
        nanoseconds(500 * 86_400 * 30, 500),
        Duration::from_secs(86_400 * 30)
    );
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    for spoil in [
        (|options| options.terminals.clear()) as fn(&mut SimOptions),
        |options| options.rate = 0,
        |options| options.max_in_flight = 0,
    ] {
        let mut options = options(address, 1);
        spoil(&mut options);
        let refused = run(options, Arc::default(), CancellationToken::new()).await;
        assert!(matches!(refused, Err(SimError::Options(_))));
    }
}
