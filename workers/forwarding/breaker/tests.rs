use std::time::Instant;

use super::*;
use crate::{
    config::{Config, Layers, Millis, Secret},
    domain::breaker::Force,
    store,
};

const SINK: &str = "webapp";
/// How long a call may take.
const CALL: Duration = Duration::from_secs(30);

/// Two processes with one record.
struct Fleet {
    here: Breakers,
    there: Breakers,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Fleet {
    async fn new(change: impl FnOnce(&mut config::Forwarding)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config: Config = Layers::read(None, Vec::new()).unwrap().config().unwrap();
        let url = format!("sqlite:{}", folder.path().join("tsms.db").display());
        config.database.url = Secret::new(url);
        let store = store::open(&config.database).await.unwrap();
        store.migrate().await.unwrap();
        let mut settings = config.forwarding;
        settings.breaker_open_ms = Millis::new(3_600_000);
        change(&mut settings);
        Self {
            here: Breakers::new(store.clone(), &settings),
            there: Breakers::new(store.clone(), &settings),
            store,
            _folder: folder,
        }
    }
}

async fn call(breakers: &Breakers, health: Health) {
    let permit = breakers.permit(SINK, CALL).await.unwrap();
    permit.tell(health, "http_5xx").await;
}

async fn may(breakers: &Breakers) -> bool {
    breakers.permit(SINK, CALL).await.is_some()
}

#[tokio::test]
async fn failures_in_a_row_open_it_for_every_process() {
    let fleet = Fleet::new(|settings| settings.breaker_failures = 3).await;
    for health in [
        Health::Ill,
        Health::Ill,
        Health::Well,
        Health::Ill,
        Health::Busy,
        Health::Ill,
    ] {
        call(&fleet.here, health).await;
    }
    assert!(may(&fleet.here).await, "never three in a row");
    call(&fleet.here, Health::Ill).await;
    assert!(!may(&fleet.here).await);
    fleet.there.look().await;
    assert!(!may(&fleet.there).await, "agreed");
    let events = fleet.store.breaker_history(0, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].detail, "webapp: too many failures, the last: http_5xx");
}

#[tokio::test]
async fn one_call_tries_and_closes_it_for_every_process() {
    let fleet = Fleet::new(|settings| {
        settings.breaker_failures = 1;
        settings.breaker_open_ms = Millis::new(0);
    })
    .await;
    call(&fleet.here, Health::Ill).await;
    fleet.there.look().await;
    let probe = fleet.there.permit(SINK, CALL).await.unwrap();
    assert!(!may(&fleet.here).await && !may(&fleet.there).await);
    probe.tell(Health::Busy, "http_429").await;
    fleet.here.look().await;
    let probe = fleet.here.permit(SINK, CALL).await.unwrap();
    assert!(!may(&fleet.there).await, "still not closed");
    probe.tell(Health::Well, "ok").await;
    fleet.there.look().await;
    for process in [&fleet.here, &fleet.there] {
        let both = (process.permit(SINK, CALL).await, process.permit(SINK, CALL).await);
        assert!(both.0.is_some() && both.1.is_some());
    }
}

#[tokio::test]
async fn a_part_of_failures_opens_it_too() {
    let fleet = Fleet::new(|settings| {
        settings.breaker_window_ms = Millis::new(1_000);
        settings.breaker_min_calls = 10;
    })
    .await;
    // Never two failures in a row, and not opened before a window is over.
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut calls = 0_u32;
    while may(&fleet.here).await {
        let health = if calls.is_multiple_of(3) {
            Health::Well
        } else {
            Health::Ill
        };
        call(&fleet.here, health).await;
        calls += 1;
        assert!(Instant::now() < deadline, "never opened");
    }
    assert!(calls > 10);
}

#[tokio::test]
async fn an_order_holds_whatever_the_sink_does() {
    let fleet = Fleet::new(|settings| settings.breaker_failures = 1).await;
    let order = |open| Force {
        open,
        until: Timestamp::now().plus(Duration::from_secs(3600)),
        owner: "J. Cruz".to_owned(),
        reason: "a test".to_owned(),
    };
    let force = async |open| {
        fleet
            .store
            .force_breaker(SINK, &order(open), Timestamp::now())
            .await
            .unwrap();
        fleet.here.look().await;
    };
    force(true).await;
    assert!(!may(&fleet.here).await);
    force(false).await;
    for _ in 0..3 {
        call(&fleet.here, Health::Ill).await;
    }
    assert!(may(&fleet.here).await);
    fleet.store.release_breaker(SINK, Timestamp::now()).await.unwrap();
    fleet.here.look().await;
    call(&fleet.here, Health::Ill).await;
    assert!(!may(&fleet.here).await, "failures count again");
}
