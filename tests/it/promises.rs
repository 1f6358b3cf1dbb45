//! Promises that are about what does not happen.

use std::collections::BTreeMap;

use tsms::domain::checksum::Version;

use crate::{bodies::sale, on_both_tiers, world::{Tier, World}};

on_both_tiers!(a_submission_costs_one_insert_and_no_read);

/// The submit path reads no database but its commit: of the statements that a warm submission
/// causes before its answer, the only one is the insert.
async fn a_submission_costs_one_insert_and_no_read(world: World) {
    let till = world.till();
    // The first one fills the caches (identity, id block).
    assert_eq!(world.post(till, sale(till, Version::V21, 1).body).await.status, 202);
    world.drain().await;
    let before: BTreeMap<_, _> = world.store.statements().into_iter().collect();
    let sent = 20;
    for seed in 0..sent {
        assert_eq!(world.post(till, sale(till, Version::V21, 100 + seed).body).await.status, 202);
    }
    let after: BTreeMap<_, _> = world.store.statements().into_iter().collect();
    let grown = |name: &str| after.get(name).copied().unwrap_or(0) - before.get(name).copied().unwrap_or(0);
    let inserts = grown("submissions.insert");
    assert!((1..=sent).contains(&inserts), "{inserts} inserts for {sent} submissions");
    for name in after.keys() {
        let of_the_ingress = ["identity", "tokens.", "terminals.", "tenants.", "submissions.select", "submissions.existing"];
        if of_the_ingress.iter().any(|part| name.contains(part)) {
            assert_eq!(grown(name), 0, "{name} was sent while submitting");
        }
    }
    world.stop().await;
}

/// With no worker running, everything a submission does to the record is its own commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_workers_the_commit_is_the_only_statement() {
    for tier in [Tier::Embedded, Tier::Fleet] {
        let world = World::start_with(tier, "").await;
        world.drain().await;
        world.stop().await;
    }
}
