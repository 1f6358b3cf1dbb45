//! What one ingress process is told to forget, every other one forgets too.

use std::sync::Arc;

use tsms::{
    config::Millis,
    domain::time::Timestamp,
    fleet::{Fleet, Roles},
    store,
};

use crate::{
    access::granted,
    world::{Tier, World, issue},
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
