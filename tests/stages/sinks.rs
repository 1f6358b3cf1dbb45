//! Each sale goes to the sink of its tenant, and a change of a sink is seen by the next thing that is sent.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};
use tsms::{
    config::{Config, Millis, Secret},
    domain::sink::{Change, Sink},
    outcome::Verdict,
    sinks::{self, Wish},
    stage::Stage,
    standin::sink::{
        SinkHandle,
        mode::{Answer, Mode},
    },
    store::Store,
    workers,
};

use crate::world::{World, web_application};

async fn add(world: &World, name: &str, tenant_id: Option<i64>, endpoint: String, token: &str) -> Sink {
    let wish = Wish {
        name: name.to_owned(),
        tenant_id,
        environment: None,
        endpoint,
    };
    let private = Change {
        allow_private: Some(true),
        ..Change::default()
    };
    let token = Some(Some(Secret::new(token)));
    sinks::create(&world.store, &world.config, wish, &private, token)
        .await
        .unwrap()
}

async fn set(store: &Store, config: &Config, id: i64, edit: impl FnOnce(&mut Change)) {
    let mut change = Change::default();
    edit(&mut change);
    sinks::change(store, config, id, change, None).await.unwrap();
}

fn held(sink: &SinkHandle) -> u64 {
    sink.summary().distinct
}

#[tokio::test]
async fn sales_go_to_the_sink_of_their_tenant() {
    let world = World::new(|_| ()).await;
    // Read once before there is a sink: what is made later must be seen.
    world
        .run(Stage::Forwarding, &world.due_sales(0, 2, 1).await)
        .await;
    assert_eq!(held(&world.sink), 2);
    let (own, at_own) = web_application("token-of-the-tenant", &world.stop).await;
    let (rest, at_rest) = web_application("token-for-the-rest", &world.stop).await;
    let tenant = world.tills[0].tenant_id;
    let sink = add(&world, "own", Some(tenant), at_own, "token-of-the-tenant").await;
    let mut jobs = world.due_sales(0, 3, 2).await;
    jobs.extend(world.due_sales(2, 4, 3).await);
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(outcome.verdicts, vec![Verdict::Done; 7]);
    assert_eq!(
        (held(&own), held(&world.sink)),
        (3, 6),
        "the others' go to the one of the settings"
    );

    let all = add(&world, "rest", None, at_rest, "token-for-the-rest").await;
    let mut jobs = world.due_sales(0, 1, 4).await;
    jobs.extend(world.due_sales(2, 1, 5).await);
    world.run(Stage::Forwarding, &jobs).await;
    assert_eq!((held(&own), held(&rest), held(&world.sink)), (4, 1, 6));

    for id in [sink.id, all.id] {
        world.store.remove_sink(id).await.unwrap();
    }
    let mut jobs = world.due_sales(0, 1, 6).await;
    jobs.extend(world.due_sales(2, 1, 7).await);
    world.run(Stage::Forwarding, &jobs).await;
    assert_eq!((held(&own), held(&rest), held(&world.sink)), (4, 1, 8));
    for sink in [&own, &rest, &world.sink] {
        assert_eq!(sink.summary().complaints, 0, "{:?}", sink.summary());
    }
}

#[tokio::test]
async fn a_sink_of_another_environment_is_not_ours() {
    let world = World::new(|_| ()).await;
    let (other, endpoint) = web_application("token", &world.stop).await;
    let wish = Wish {
        name: "other".to_owned(),
        tenant_id: None,
        environment: Some("test".to_owned()),
        endpoint,
    };
    let token = Some(Some(Secret::new("token")));
    sinks::create(&world.store, &world.config, wish, &Change::default(), token)
        .await
        .unwrap();
    world
        .run(Stage::Forwarding, &world.due_sales(0, 2, 1).await)
        .await;
    assert_eq!((held(&other), held(&world.sink)), (0, 2));
}

#[tokio::test]
async fn sales_of_a_disabled_sink_wait_untouched_and_hold_up_nobody() {
    let world = World::new(|_| ()).await;
    let (own, endpoint) = web_application("token", &world.stop).await;
    let sink = add(&world, "own", Some(world.tills[0].tenant_id), endpoint, "token").await;
    set(&world.store, &world.config, sink.id, |change| {
        change.enabled = Some(false)
    })
    .await;
    let mut jobs = world.due_sales(0, 3, 1).await;
    jobs.extend(world.due_sales(2, 2, 2).await);
    let statements = |name: &str| {
        let sent = world.store.statements();
        sent.iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, count)| *count)
    };
    let before = statements("forwards.claim");
    let alone = world.run(Stage::Forwarding, &jobs[..3]).await;
    assert_eq!(
        statements("forwards.claim"),
        before,
        "what cannot be sent is not claimed"
    );
    assert!(
        alone
            .verdicts
            .iter()
            .all(|verdict| verdict.code() == "sink_disabled")
    );
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    let codes: Vec<_> = outcome.verdicts.iter().map(Verdict::code).collect();
    assert_eq!(codes[..3], ["sink_disabled"; 3]);
    assert_eq!(outcome.verdicts[3..], [Verdict::Done, Verdict::Done]);
    assert_eq!((held(&own), held(&world.sink)), (0, 2));

    set(&world.store, &world.config, sink.id, |change| {
        change.enabled = Some(true)
    })
    .await;
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(outcome.verdicts, vec![Verdict::Done; 5]);
    assert_eq!((held(&own), held(&world.sink)), (3, 2));
}

#[tokio::test]
async fn without_any_sink_sales_wait() {
    let world = World::new(|config| config.forwarding.endpoint = String::new()).await;
    let jobs = world.due_sales(0, 2, 1).await;
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert!(outcome.verdicts.iter().all(|verdict| verdict.code() == "no_sink"));
    let (rest, endpoint) = web_application("token", &world.stop).await;
    add(&world, "rest", None, endpoint, "token").await;
    world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(held(&rest), 2);
}

#[tokio::test]
async fn a_token_that_cannot_be_opened_keeps_its_sink_from_being_used() {
    let world = World::new(|_| ()).await;
    let (own, endpoint) = web_application("token", &world.stop).await;
    add(&world, "own", Some(world.tills[0].tenant_id), endpoint, "token").await;
    let jobs = world.due_sales(0, 2, 1).await;
    let stranger = world.other(|config| {
        config.secrets.key = Secret::new("another key, also of at least 32 characters");
    });
    let outcome = workers::run(Stage::Forwarding, &stranger, &jobs).await.unwrap();
    assert!(
        outcome
            .verdicts
            .iter()
            .all(|verdict| verdict.code() == "sink_unusable")
    );
    // After a rotation, the older key still opens it.
    let rotated = world.other(|config| {
        let both = format!(
            "a newer key of thirty-two characters,{}",
            config.secrets.key.reveal()
        );
        config.secrets.key = Secret::new(both);
    });
    let outcome = workers::run(Stage::Forwarding, &rotated, &jobs).await.unwrap();
    assert_eq!(outcome.verdicts, vec![Verdict::Done; 2]);
    assert_eq!((held(&own), held(&world.sink)), (2, 0));
}

/// An address that speaks TLS with a certificate of its own, in front of `inner`; and the certificate.
async fn behind_tls(inner: &str) -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let settings = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_, rest) = inner.split_once("//").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let (address, path) = (address.to_owned(), path.to_owned());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(connection).await else {
                    return;
                };
                let mut inner = TcpStream::connect(address).await.unwrap();
                tokio::io::copy_bidirectional(&mut outer, &mut inner).await.ok();
            });
        }
    });
    (format!("https://localhost:{port}/{path}"), cert.pem())
}

#[tokio::test]
async fn a_certificate_is_verified_unless_it_is_given_or_told_otherwise() {
    let world = World::new(|config| config.forwarding.breaker_failures = 100).await;
    let (own, endpoint) = web_application("token", &world.stop).await;
    let (endpoint, pem) = behind_tls(&endpoint).await;
    let sink = add(&world, "own", Some(world.tills[0].tenant_id), endpoint, "token").await;
    let jobs = world.due_sales(0, 2, 1).await;
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert!(
        outcome.verdicts.iter().all(|verdict| verdict.code() == "connect"),
        "{:?}",
        outcome.verdicts
    );
    assert_eq!(held(&own), 0);
    set(&world.store, &world.config, sink.id, |change| {
        change.ca = Some(Some(pem))
    })
    .await;
    world.forward_to_the_end(&jobs).await;
    assert_eq!(held(&own), 2);
    let unverified = |change: &mut Change| {
        change.ca = Some(None);
        change.verify_ssl = Some(false);
    };
    set(&world.store, &world.config, sink.id, unverified).await;
    world
        .run(Stage::Forwarding, &world.due_sales(0, 1, 2).await)
        .await;
    assert_eq!(held(&own), 3);
}

#[tokio::test]
async fn each_sink_has_a_breaker_of_its_own() {
    let world = World::new(|config| {
        config.forwarding.breaker_failures = 1;
        config.forwarding.breaker_open_ms = Millis::new(3_600_000);
    })
    .await;
    let (own, endpoint) = web_application("token", &world.stop).await;
    add(&world, "own", Some(world.tills[0].tenant_id), endpoint, "token").await;
    own.set_mode(Mode::always(Answer::Status(503)));
    let mut codes = Vec::new();
    for seed in [1, 2] {
        let jobs = world.due_sales(0, 1, seed).await;
        codes.push(world.run(Stage::Forwarding, &jobs).await.verdicts[0].code());
    }
    assert_eq!(codes, ["http_5xx", "breaker_open"]);
    let others = world.due_sales(2, 2, 3).await;
    let outcome = world.run(Stage::Forwarding, &others).await;
    assert_eq!(outcome.verdicts, vec![Verdict::Done; 2]);
    assert!(world.store.breaker("own").await.unwrap().unwrap().open);
    assert_eq!((held(&own), held(&world.sink)), (0, 2));
}
