//! What one ingress process is told to forget, every other one forgets too; and what they write down
//! behind the requests.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, interval};
use tsms::{
    config::Millis,
    domain::time::Timestamp,
    fleet::{Fleet, Roles},
    store,
};

use crate::{
    access::granted,
    world::{DEADLINE, Tier, World, issue},
};

/// Answers about tokens come from the feed of changes here, never from a short memory.
const LONG_MEMORY: &str =
    "[auth]\nrotation_overlap_ms = 1\nblind_ttl_ms = 3600000\nwatch_patience_ms = 3600000";

async fn revocation(tier: Tier) {
    let world = World::start_with(tier, LONG_MEMORY).await;
    let ingress = Roles {
        ingress: true,
        ..Roles::default()
    };
    let other_store = store::open(&world.config.database).await.unwrap();
    let mut config = (*world.config).clone();
    config.ingress.identity_ttl_ms = Millis::new(3_600_000);
    let other = Fleet::start(Arc::new(config), other_store, world.queue.clone(), &ingress)
        .await
        .unwrap();
    let base = format!("http://{}", other.ingress.unwrap());
    let stop = other.stopper();
    let running = tokio::spawn(other.run());

    let terminal = Some(world.till().terminal_id);
    let (id, token) = issue(&world.store, terminal, &[]).await;
    for base in [&world.base, &base] {
        world.until_at(base, &token, 200).await;
    }
    world.store.revoke_token(id, Timestamp::now()).await.unwrap();
    for base in [&world.base, &base] {
        world.until_at(base, &token, 401).await;
    }

    // A replaced token that comes back after its overlap (a millisecond here) ends its family everywhere.
    let (family, old) = issue(&world.store, terminal, &[]).await;
    world.until_at(&base, &old, 200).await;
    let new = granted(&world.refresh(&old).await);
    assert_eq!(world.me(&new).await.status, 200);
    world.until_at(&base, &new, 200).await;
    world.until(&old, 401).await;
    for base in [&world.base, &base] {
        world.until_at(base, &new, 401).await;
    }
    let events = world.store.list_events(None, 100).await.unwrap();
    let reuse = events.iter().find(|event| event.kind == "token_reuse").unwrap();
    assert_eq!(
        (reuse.subject.clone(), reuse.count),
        (format!("family:{family}"), 1)
    );
    assert_eq!(reuse.address, "127.0.0.1");
    stop.cancel();
    running.await.unwrap().unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ingress_hears_of_a_revocation_embedded() {
    revocation(Tier::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ingress_hears_of_a_revocation_fleet() {
    revocation(Tier::Fleet).await;
}

/// Nothing of it is on the way of a request; it is there soon after.
async fn behind(tier: Tier) {
    let world = World::start_with(tier, "[auth]\nwrite_behind_ms = 50").await;
    let (id, token) = issue(&world.store, Some(world.till().terminal_id), &[]).await;
    assert_eq!(world.me(&token).await.status, 200);
    for _ in 0..3 {
        assert_eq!(world.me("garbage").await.status, 401);
    }
    let deadline = Instant::now() + DEADLINE;
    let mut turn = interval(Duration::from_millis(20));
    loop {
        turn.tick().await;
        let used = world.store.token(id).await.unwrap().last_used_at;
        let events = world.store.list_events(None, 10).await.unwrap();
        let refused: i64 = events
            .iter()
            .filter(|event| {
                (event.kind.as_str(), event.subject.as_str()) == ("token_malformed", "address:127.0.0.1")
            })
            .map(|event| event.count)
            .sum();
        if used.is_some() && refused == 3 {
            break;
        }
        assert!(Instant::now() < deadline, "{used:?} {events:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_and_events_are_written_behind_embedded() {
    behind(Tier::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_and_events_are_written_behind_fleet() {
    behind(Tier::Fleet).await;
}
