//! A web application that cannot be reached at all: nothing is lost, and each try is counted once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tsms::{
    domain::sale::ForwardState,
    outcome::Verdict,
    stage::Stage,
    standin::sink::mode::{Answer, Mode},
    workers,
};

use crate::world::{World, stripped};

/// A port of this machine on which nobody listens.
pub(crate) async fn refused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    format!("http://{address}/bulk")
}

/// A host whose name cannot be looked up: a label is longer than names may be, so that no server is asked.
pub(crate) fn nameless() -> String {
    format!("http://{}.invalid/bulk", "x".repeat(64))
}

/// A server whose certificate ran out; counts those who went on to speak HTTP all the same.
pub(crate) async fn expired(spoken: Arc<AtomicU64>) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wish = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    wish.not_before = rcgen::date_time_ymd(2020, 1, 1);
    wish.not_after = rcgen::date_time_ymd(2020, 2, 1);
    let certificate = wish.self_signed(&key).unwrap();
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if acceptor.accept(stream).await.is_ok() {
                spoken.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    format!("https://localhost:{port}/bulk")
}

#[tokio::test]
async fn sales_wait_for_a_web_application_that_cannot_be_reached() {
    let spoken = Arc::new(AtomicU64::new(0));
    for endpoint in [refused().await, nameless(), expired(Arc::clone(&spoken)).await] {
        let world = World::new(|_| ()).await;
        let jobs = world.due_sales(0, 6, 1).await;
        let away = world.other(|config| config.forwarding.endpoint = endpoint.clone());
        // Until three tries have come to nothing; a try that is not due yet is none.
        while world.attempts(&jobs).await < 3 {
            let outcome = workers::run(Stage::Forwarding, &away, &stripped(&jobs))
                .await
                .unwrap();
            for verdict in &outcome.verdicts {
                let again = matches!(verdict, Verdict::Retry { .. } | Verdict::Done);
                assert!(again, "{endpoint}: {verdict:?}");
            }
        }
        assert!(world.all(&jobs, ForwardState::Pending).await, "{endpoint}");
        assert_eq!(world.sink.summary().requests.values().sum::<u64>(), 0);
        // The settings are mended.
        world.forward_to_the_end(&jobs).await;
        assert_eq!(
            world.states(&jobs).await,
            vec![(ForwardState::Forwarded, 4); 6],
            "{endpoint}"
        );
        let summary = world.sink.summary();
        assert_eq!(
            (summary.distinct, summary.duplicates),
            (6, 0),
            "{endpoint}: {summary}"
        );
    }
    assert_eq!(
        spoken.load(Ordering::Relaxed),
        0,
        "an expired certificate was believed"
    );
}

#[tokio::test]
async fn a_day_of_failures_is_one_attempt_each_and_no_dead_letter() {
    let world = World::new(|config| {
        config.forwarding.breaker_failures = 1000;
        config.forwarding.breaker_min_calls = 1000;
    })
    .await;
    let jobs = world.due_sales(0, 6, 1).await;
    // One less than the schedule has, which lasts for more than a day.
    let failures = u64::from(world.config.forwarding.max_attempts) - 1;
    world
        .sink
        .set_mode(Mode::always(Answer::Status(503)).times(failures));
    world.forward_to_the_end(&jobs).await;
    let last = world.config.forwarding.max_attempts;
    assert_eq!(
        world.states(&jobs).await,
        vec![(ForwardState::Forwarded, last); 6]
    );
    let summary = world.sink.summary();
    assert_eq!((summary.distinct, summary.duplicates), (6, 0), "{summary}");
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
}
