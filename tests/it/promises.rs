//! Promises that are about what does not happen.

use std::collections::BTreeMap;

use tsms::{domain::checksum::Version, fleet::Roles};

use crate::{
    bodies::sale,
    world::{Tier, World},
};

/// The figures for `/metrics` are read seldom, or their statements would be counted too.
const QUIET: &str = "gauge_interval_ms = 3600000";

/// The submit path reads no database but its commit: with no other role running, twenty submissions
/// are twenty inserts and nothing else, ids for them aside (one statement a block).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_costs_one_insert_and_no_read() {
    for tier in [Tier::Embedded, Tier::Fleet] {
        let ingress = Roles {
            ingress: true,
            ..Roles::default()
        };
        let world = World::start_roles(tier, QUIET, &ingress).await;
        let till = world.till();
        // The first one finds the token's identity.
        assert_eq!(
            world.post(till, sale(till, Version::V21, 1).body).await.status,
            202
        );
        let before = statements(&world);
        for seed in 0..20 {
            assert_eq!(
                world
                    .post(till, sale(till, Version::V21, 100 + seed).body)
                    .await
                    .status,
                202
            );
        }
        // Beside the requests: the feed of revocations and the orders about limits are read, uses are
        // written down, and the ingress says that it lives.
        let beside = [
            "id_blocks.take",
            "auth_epoch.read",
            "auth_changes.since",
            "tokens.touch",
            "terminals.touch",
            "limit_orders.standing",
            "ingress_beats.insert",
            "ingress_beats.update",
            "ingress_beats.count",
        ];
        let sent: Vec<(&str, u64)> = statements(&world)
            .into_iter()
            .map(|(name, count)| (name, count - before.get(name).copied().unwrap_or(0)))
            .filter(|(name, count)| *count > 0 && !beside.contains(name))
            // The feed tells that the token was made a moment ago, which has it looked up once more.
            .filter(|one| *one != ("tokens.identity", 1))
            .collect();
        assert_eq!(sent, [("submissions.insert", 20)], "{tier:?}");
        world.end().await;
    }
}

fn statements(world: &World) -> BTreeMap<&'static str, u64> {
    world.store.statements().into_iter().collect()
}
