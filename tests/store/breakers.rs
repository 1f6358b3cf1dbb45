//! The breakers of sinks: agreed by all, tried by one.

use std::time::Duration;

use futures::future::join_all;
use tsms::{
    domain::breaker::{Force, Stance},
    store::{Probed, Store, StoreError},
};

use crate::{base::Base, fixtures::after};

const SINK: &str = "webapp";
const LEASE: Duration = Duration::from_secs(30);
const WORKERS: i64 = 16;

async fn stance(store: &Store, at: u64) -> Stance {
    let breaker = store.breaker(SINK).await.unwrap().unwrap();
    breaker.stance(after(at))
}

async fn events(store: &Store) -> Vec<String> {
    let events = store.breaker_history(0, 100).await.unwrap();
    events.into_iter().map(|event| event.action).collect()
}

/// How many of `WORKERS` that ask at once get the place at the door.
async fn probes(store: &Store, at: u64) -> Vec<i64> {
    let asked = (1..=WORKERS).map(|token| async move {
        let taken = store.take_probe(SINK, token, after(at), LEASE).await.unwrap();
        taken.then_some(token)
    });
    join_all(asked).await.into_iter().flatten().collect()
}

pub(crate) async fn one_of_many_opens_it_and_one_tries(base: &Base) {
    let store = base.store().await;
    assert_eq!(store.breaker(SINK).await.unwrap(), None);
    let opened = (0..WORKERS).map(|_| store.open_breaker(SINK, after(10), "http_5xx", after(0)));
    let opened = join_all(opened).await;
    assert_eq!(opened.into_iter().filter(|one| *one.as_ref().unwrap()).count(), 1);
    assert_eq!(stance(&store, 9).await, Stance::Open);
    assert_eq!(probes(&store, 9).await, [0_i64; 0], "its time is not over");

    let first = probes(&store, 10).await;
    assert_eq!(first.len(), 1, "one in the whole fleet");
    assert_eq!(stance(&store, 39).await, Stance::Probing);
    assert_eq!(probes(&store, 39).await, [0_i64; 0]);
    let second = probes(&store, 40).await;
    assert_eq!(second.len(), 1, "the first one died");
    let ended = |token, found, at| store.end_probe(SINK, token, found, after(at));
    if first != second {
        assert!(!ended(first[0], Probed::Well, 41).await.unwrap(), "it came late");
    }
    assert!(ended(second[0], Probed::Ill(after(50)), 41).await.unwrap());
    assert_eq!(stance(&store, 49).await, Stance::Open);
    let third = probes(&store, 50).await;
    assert!(ended(third[0], Probed::Well, 51).await.unwrap());
    assert!(!ended(third[0], Probed::Well, 52).await.unwrap(), "once");
    assert_eq!(stance(&store, 51).await, Stance::Closed);
    assert_eq!(events(&store).await, ["breaker.opened", "breaker.closed"]);
    assert!(
        store
            .open_breaker(SINK, after(70), "timeout", after(60))
            .await
            .unwrap()
    );
    let breaker = store.breaker(SINK).await.unwrap().unwrap();
    assert_eq!(
        (breaker.cause.as_str(), breaker.changed_at),
        ("timeout", after(60))
    );
}

pub(crate) async fn a_persons_order_goes_over_what_the_sink_does(base: &Base) {
    let store = base.store().await;
    let order = |open, until| Force {
        open,
        until: after(until),
        owner: "J. Cruz".to_owned(),
        reason: "it moves".to_owned(),
    };
    let missing = store.release_breaker(SINK, after(0)).await;
    assert!(matches!(missing, Err(StoreError::Missing(_))), "{missing:?}");
    let long = Force {
        reason: "x".repeat(501),
        ..order(true, 9)
    };
    let unfit = store.force_breaker(SINK, &long, after(0)).await;
    assert!(matches!(unfit, Err(StoreError::Unfit(_))), "{unfit:?}");

    let forced = store
        .force_breaker(SINK, &order(true, 100), after(0))
        .await
        .unwrap();
    assert_eq!(forced.force, Some(order(true, 100)));
    assert_eq!(stance(&store, 99).await, Stance::ForcedOpen);
    assert_eq!(probes(&store, 99).await, [0_i64; 0]);
    assert_eq!(
        stance(&store, 100).await,
        Stance::HalfOpen,
        "one call tries when it ends"
    );
    let released = store.release_breaker(SINK, after(20)).await.unwrap();
    assert_eq!(released.stance(after(20)), Stance::HalfOpen);
    let again = store.release_breaker(SINK, after(30)).await.unwrap();
    assert_eq!(again, released, "nothing to release");

    store
        .force_breaker(SINK, &order(false, 200), after(30))
        .await
        .unwrap();
    assert_eq!(stance(&store, 31).await, Stance::ForcedClosed);
    let opened = store
        .open_breaker(SINK, after(90), "http_5xx", after(40))
        .await
        .unwrap();
    assert!(!opened, "a person wants it closed");
    assert_eq!(stance(&store, 200).await, Stance::Closed);
    assert!(
        store
            .open_breaker(SINK, after(300), "http_5xx", after(201))
            .await
            .unwrap()
    );
    let expected = [
        "breaker.forced_open",
        "breaker.released",
        "breaker.forced_closed",
        "breaker.opened",
    ];
    assert_eq!(events(&store).await, expected);
}
