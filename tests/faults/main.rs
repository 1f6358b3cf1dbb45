//! The runbooks, carried out: each page of `docs/operations/` has a scenario here that makes its symptom on a
//! real fleet, waits for its alert in a real Prometheus, types the commands of the page (taken out of the page,
//! so that the two cannot drift) and sees the trouble end.
//!
//! In a page a block marked ` ```sh look ` or ` ```promql look ` must show the trouble, one marked
//! ` ```sh cure ` must end it. A scenario uses every block of its page, in order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a failed expectation is a failed test"
)]

/// What the integration tests have for a fleet of processes.
#[path = "../it"]
#[allow(dead_code, unused_imports, reason = "the scenarios use a part of it")]
mod it {
    pub(crate) mod answer;
    pub(crate) mod bodies;
    pub(crate) mod contract;
    pub(crate) mod left;
    pub(crate) mod procfile;
    pub(crate) mod world;
}
#[path = "../support/mariadb.rs"]
mod mariadb;
#[path = "../support/servers.rs"]
mod servers;

use it::{answer, bodies, contract, left, procfile, world};

mod coverage;
mod database;
mod disk;
mod forwarding;
mod pages;
mod processes;
mod prometheus;
mod queues;
mod redis;
mod security;
mod server;
mod site;
mod supervisor;
mod tls;

/// Makes the test of a site: its pages one after the other, each with its scenario.
macro_rules! scenarios {
    ($start:expr, { $($page:ident => $scenario:path),+ $(,)? }) => {
        /// The pages that have their scenario here.
        pub(crate) const PAGES: &[&str] = &[$(stringify!($page)),+];

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn the_pages_show_the_trouble_and_end_it() {
            let mut site = $start.await;
            $(
                site.open(stringify!($page));
                $scenario(&mut site).await;
                site.close();
            )+
            site.stop().await;
        }
    };
}
pub(crate) use scenarios;
