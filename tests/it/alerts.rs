//! People are told what is wrong, by a real mail server and a receiver that checks signatures.

use std::{process::Stdio, time::Duration};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout},
    sync::mpsc,
};
use tsms::{
    domain::{checksum::Version, time::Timestamp},
    standin::sink::mode::{Answer, Mode},
    store::NewEvent,
};

use crate::{
    bodies::{flawed, flawed_batch, sale},
    world::{DEADLINE, Tier, World},
};

const SECRET: &[u8; 32] = b"a secret of the receiver's, 32 b";

/// The mail server, and what it took.
struct MailServer {
    port: u16,
    mails: Lines<BufReader<ChildStdout>>,
    _server: Child,
}

impl MailServer {
    async fn start(args: &[&str]) -> Self {
        let mut server = tokio::process::Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/notify/smtp.py"))
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut mails = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = mails.next_line().await.unwrap().unwrap().parse().unwrap();
        Self {
            port,
            mails,
            _server: server,
        }
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.mails.next_line()).await;
        let line = line.expect("no further mail came").unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The first mail whose text has all of `words`.
    async fn with(&mut self, words: &[&str]) -> Value {
        let mut passed = Vec::new();
        loop {
            assert!(passed.len() < 40, "no mail with {words:?} among {passed:#?}");
            let mail = self.next().await;
            let text = mail["text"].as_str().unwrap();
            if words.iter().all(|word| text.contains(word)) {
                return mail;
            }
            passed.push(text.to_owned());
        }
    }
}

/// Takes what is posted and signed; a wrong signature ends in the test's hands as `null`.
async fn receiver() -> (String, mpsc::Receiver<Value>) {
    let (told, heard) = mpsc::channel(64);
    let take = async |State(told): State<mpsc::Sender<Value>>, headers: HeaderMap, body: Bytes| {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
        mac.update(&body);
        let expected = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
        let sent: i64 = header("webhook-timestamp").parse().unwrap();
        let fresh = (Timestamp::now().as_micros() / 1_000_000 - sent).abs() < 300;
        let genuine = fresh && header("webhook-signature").split(' ').any(|one| one == expected);
        let message = if genuine {
            serde_json::from_slice(&body).unwrap()
        } else {
            Value::Null
        };
        told.send(message).await.unwrap();
        StatusCode::NO_CONTENT
    };
    let app = Router::new().route("/alerts", post(take)).with_state(told);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/alerts", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, heard)
}

fn settings(port: u16, url: &str, more: &str) -> String {
    format!(
        "[alerts]\ninterval_ms = 100\nsettle_ms = 4000\ncool_down_ms = 2000\nper_hour = 1000\nfailures = 5\n\
         batch_failures = 5\nbacklog_age_ms = 3000\nsecurity_events = 3\nsilent_ms = 60000\n\
         email_to = \"ops@example.com, Finance <finance@example.com>\"\nemail_from = \"TSMS <tsms@example.com>\"\n\
         smtp_host = \"127.0.0.1\"\nsmtp_port = {port}\nsmtp_security = \"none\"\nretry_min_ms = 1\nretry_max_ms = 50\n\
         webhook_url = \"{url}\"\nwebhook_secret = \"whsec_{}\"\n{more}\n",
        BASE64.encode(SECRET)
    )
}

/// Makes everything go wrong that people want to be told of.
async fn trouble(world: &World) {
    // Sales of a terminal, all of them invalid, and five of them in one batch.
    let bad = flawed_batch(world.till(), 6, 1);
    assert_eq!(world.post(world.till(), bad).await.status, 202);
    let event = NewEvent {
        kind: "token_reuse",
        subject: "token:7".to_owned(),
        count: 1,
        first_at: Timestamp::now(),
        last_at: Timestamp::now(),
        address: "203.0.113.9".to_owned(),
        request_id: String::new(),
    };
    world.store.count_events(&[event]).await.unwrap();
    // A till that fell silent two minutes ago.
    let long_ago = Timestamp::now().minus(Duration::from_secs(120));
    let silent = world.tills[3].terminal_id;
    world.store.touch_terminals(&[silent], long_ago).await.unwrap();
    // A web application that is away.
    world.sink.set_mode(Mode::always(Answer::Status(503)));
    let good = sale(world.till(), Version::V21, 2);
    assert_eq!(world.post(world.till(), good.body).await.status, 202);
}

/// Waits until alerts of five kinds were posted.
async fn five_kinds(posted: &mut mpsc::Receiver<Value>) {
    let mut kinds = std::collections::BTreeSet::new();
    while kinds.len() < 5 {
        let heard = tokio::time::timeout(DEADLINE, posted.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(heard["type"], "tsms.alerts", "a wrong signature, or {heard}");
        for alert in heard["alerts"].as_array().unwrap() {
            kinds.insert(alert["kind"].as_str().unwrap().to_owned());
        }
    }
}

async fn everything_is_told(tier: Tier) {
    let mut mail = MailServer::start(&["--refuse", "1"]).await;
    let (url, mut posted) = receiver().await;
    let world = World::start_with(tier, &settings(mail.port, &url, "")).await;
    trouble(&world).await;
    let mut waiting = vec![
        format!("raised failure_rate terminal:{}: ", world.till().terminal_id),
        "raised batch_failure submission:".to_owned(),
        "raised security token_reuse token:7".to_owned(),
        format!(
            "raised silent_terminal terminal:{}: SN-2-2",
            world.tills[3].terminal_id
        ),
        "raised breaker_open sink:webapp".to_owned(),
    ];
    let mut ids = std::collections::BTreeSet::new();
    while !waiting.is_empty() {
        let one = mail.next().await;
        assert_eq!(one["from"], "tsms@example.com");
        assert_eq!(
            one["to"],
            serde_json::json!(["ops@example.com", "finance@example.com"])
        );
        assert!(
            one["subject"].as_str().unwrap().starts_with("[TSMS live] "),
            "{one}"
        );
        assert!(ids.insert(one["id"].as_str().unwrap().to_owned()), "twice: {one}");
        let text = one["text"].as_str().unwrap().to_owned();
        waiting.retain(|line| !text.contains(line));
        assert!(ids.len() < 40, "never told: {waiting:?}; the last mail: {text}");
    }
    // What the receiver of the webhook heard is the same, signed.
    five_kinds(&mut posted).await;
    // The web application is back: the breaker's end is told, the rest is not over.
    world.sink.set_mode(Mode::OK);
    mail.with(&["cleared breaker_open sink:webapp"]).await;
    // A queue that nobody works on.
    let pause = ["--minutes", "10", "--owner", "J. Cruz", "--reason", "a test"];
    let (code, said) = world
        .operator(&[&["queue", "pause", "audit"], &pause[..]].concat())
        .await;
    assert_eq!(code, Some(0), "{said}");
    // Workers hear of the pause a moment later, so sales keep coming until one waits.
    let selling = async {
        let mut turn = tokio::time::interval(Duration::from_millis(250));
        for seed in 3..1000 {
            turn.tick().await;
            let good = sale(world.till(), Version::V21, seed);
            assert_eq!(world.post(world.till(), good.body).await.status, 202);
        }
    };
    tokio::select! {
        // Raised, or still there where a busy machine had raised it before.
        _ = mail.with(&[" backlog_age queue:audit: the oldest job"]) => {}
        () = selling => panic!("the queue is not held"),
    }
    let (code, said) = world.operator(&["queue", "resume", "audit"]).await;
    assert_eq!(code, Some(0), "{said}");
    mail.with(&["cleared backlog_age queue:audit"]).await;
    world.drain().await;
    let open = world.store.open_alerts(100).await.unwrap();
    assert!(
        open.iter()
            .any(|alert| alert.subject.starts_with("token_reuse token:7 "))
    );
    // Its own command line tells the same.
    let told = world.store.messages(0, 1000).await.unwrap().len();
    let (code, said) = world.operator(&["notify", "alerts", "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.lines().count() >= 4, "{said}");
    let (code, said) = world.operator(&["notify", "list"]).await;
    assert_eq!(code, Some(0), "{said}");
    // What is not over goes on to be told meanwhile.
    let told_by_now = world.store.messages(0, 1000).await.unwrap().len();
    assert!(
        (told..=told_by_now).contains(&(said.lines().count() - 1)),
        "{said}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_told_on_the_embedded_tier() {
    everything_is_told(Tier::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_told_on_the_fleet_tier() {
    everything_is_told(Tier::Fleet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_tries_whether_messages_arrive() {
    let mut mail = MailServer::start(&["--refuse", "1"]).await;
    let (url, mut posted) = receiver().await;
    let world = World::start_with(Tier::Embedded, &settings(mail.port, &url, "max_attempts = 3")).await;
    let (code, said) = world.operator(&["notify", "test"]).await;
    assert_eq!(code, Some(6), "{said}");
    assert!(
        said.contains("email: not taken (smtp_4xx)") && said.contains("webhook: taken"),
        "{said}"
    );
    // The scheduler tries again what was not taken.
    let first = mail.next().await;
    assert!(
        first["subject"]
            .as_str()
            .unwrap()
            .contains("a test: nothing is wrong"),
        "{first}"
    );
    let (code, said) = world.operator(&["notify", "test"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(mail.next().await["id"], first["id"]);
    for _ in 0..2 {
        let heard = tokio::time::timeout(DEADLINE, posted.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(heard["type"], "tsms.test");
    }
    // Nobody there: it is given up in the end, and the log says why.
    drop(mail);
    let (code, _) = world.operator(&["notify", "test"]).await;
    assert_eq!(code, Some(6));
    let given_up = async {
        loop {
            let messages = world.store.messages(0, 100).await.unwrap();
            if messages.iter().any(|one| one.state == "FAILED") {
                return messages;
            }
            tokio::task::yield_now().await;
        }
    };
    let messages = tokio::time::timeout(DEADLINE, given_up).await.unwrap();
    let failed = messages.iter().find(|one| one.state == "FAILED").unwrap();
    assert_eq!(
        (failed.attempts, failed.last_code.as_deref()),
        (3, Some("network"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_way_to_reach_people_the_record_still_knows() {
    let world = World::start_with(
        Tier::Embedded,
        "[alerts]\ninterval_ms = 100\nsettle_ms = 4000\nfailures = 1",
    )
    .await;
    let bad = flawed(world.till(), Version::V21, 1);
    assert_eq!(world.post(world.till(), bad.body).await.status, 202);
    let known = async {
        loop {
            let open = world.store.open_alerts(10).await.unwrap();
            if let Some(alert) = open.first() {
                return alert.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let alert = tokio::time::timeout(DEADLINE, known).await.unwrap();
    assert_eq!(alert.subject, format!("terminal:{}", world.till().terminal_id));
    assert_eq!(alert.told_at, None);
    let (code, said) = world.operator(&["notify", "test"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(world.store.messages(0, 10).await.unwrap().is_empty());
    world.stop().await;
}
