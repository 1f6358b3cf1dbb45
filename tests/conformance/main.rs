//! The queue's conformance suite: what every backend must do, on the in-memory queue and on Redis;
//! what only Redis can get wrong; and the same faults against `apalis-redis` as released, whose
//! failures are listed, so that the day one of them is mended is seen.
//!
//! The letters A1 to A14 are the faults that were found in `apalis-redis` and made this project write
//! its own backend; each test names those it guards against.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod broken;
mod common;
mod crash;
mod fairness;
mod harness;
mod layout;
mod lost;
mod poison;
mod server;
mod stop;
mod upstream;
