//! What opens the breaker: a web application that fails as a whole, and nothing that it says about sales.

use std::sync::Arc;

use tsms::{
    config::{Config, Millis},
    stage::Stage,
    standin::sink::mode::Mode,
    workers,
};

use crate::{
    unreachable::{expired, nameless, refused},
    world::World,
};

/// What the web application does to one batch, and whether that is a failure of its own.
const MATRIX: [(&str, bool); 27] = [
    ("ok", false),
    ("empty+apply", false),
    ("scramble", false),
    ("partial:1:retry", false),
    ("partial:1:missing", false),
    ("partial:1:rejected", false),
    ("status:400", false),
    ("status:401", false),
    ("status:403", false),
    ("status:404", false),
    ("status:408", false),
    ("status:409", false),
    ("status:413", false),
    ("status:422", false),
    ("status:425", false),
    ("busy:1", false),
    ("redirect", false),
    ("huge:2000000", false),
    ("status:500", true),
    ("status:500+apply", true),
    ("status:503", true),
    ("html", true),
    ("garbled", true),
    ("reset", true),
    ("reset+apply", true),
    ("hang", true),
    ("drip:1000", true),
];

/// One failure opens it, and it stays open.
fn hair_trigger(config: &mut Config) {
    config.forwarding.breaker_failures = 1;
    config.forwarding.breaker_open_ms = Millis::new(3_600_000);
    config.forwarding.timeout_ms = Millis::new(500);
}

async fn is_open(world: &World) -> bool {
    let breaker = world.store.breaker("webapp").await.unwrap();
    breaker.is_some_and(|breaker| breaker.open)
}

#[tokio::test]
async fn what_a_web_application_says_of_sales_opens_no_breaker_and_its_own_failures_do() {
    for (text, opens) in MATRIX {
        let world = World::new(hair_trigger).await;
        let mode: Mode = text.parse().unwrap();
        world.sink.set_mode(mode);
        let jobs = world.due_sales(0, 2, 1).await;
        world.run(Stage::Forwarding, &jobs).await;
        assert_eq!(is_open(&world).await, opens, "{text}");
        // What comes after it is held back, or is not.
        let asked = || world.sink.summary().requests.values().sum::<u64>();
        let before = asked();
        let more = world.due_sales(0, 1, 2).await;
        let outcome = world.run(Stage::Forwarding, &more).await;
        let held = outcome
            .verdicts
            .iter()
            .any(|verdict| verdict.code() == "breaker_open");
        assert_eq!((held, asked() == before), (opens, opens), "{text}");
    }
}

#[tokio::test]
async fn one_that_cannot_be_reached_opens_it() {
    for endpoint in [refused().await, nameless(), expired(Arc::default()).await] {
        let world = World::new(hair_trigger).await;
        let away = world.other(|config| config.forwarding.endpoint = endpoint.clone());
        let jobs = world.due_sales(0, 1, 1).await;
        workers::run(Stage::Forwarding, &away, &jobs).await.unwrap();
        assert!(is_open(&world).await, "{endpoint}");
    }
}
