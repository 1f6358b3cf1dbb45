//! The whole system on both tiers: the real router, store, queues and workers on random ports,
//! against a stand-in web application whose answers the test sets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a failed expectation is a failed test"
)]

#[path = "../support/mariadb.rs"]
mod mariadb;
#[path = "../support/servers.rs"]
mod servers;

mod access;
mod administration;
mod alerts;
mod answer;
mod autoscaler;
mod bodies;
mod breakers;
mod callbacks;
mod collector;
mod contract;
mod control;
mod doctor;
mod fairness;
mod faults;
mod journey;
mod leaving;
mod left;
mod letters;
mod limits;
mod matrix;
mod misbehaviour;
mod mixed;
mod pressure;
mod processes;
mod procfile;
mod promises;
mod reconcile;
mod redrive;
mod refusals;
mod reversals;
mod revocation;
mod rolling;
mod sandbox;
mod sight;
mod signatures;
mod sinks;
mod supervised;
mod top;
mod trace;
mod traces;
mod voids;
mod webapp;
mod world;

/// Makes two tests of one scenario: on the embedded tier and on the fleet tier.
macro_rules! on_both_tiers {
    ($($scenario:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario($crate::world::World::start($crate::world::Tier::Embedded).await).await;
            })+
        }
        mod fleet {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario($crate::world::World::start($crate::world::Tier::Fleet).await).await;
            })+
        }
    };
}
pub(crate) use on_both_tiers;
