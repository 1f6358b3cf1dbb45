//! The workers and the sweeper over a real record and the stand-in web application, stage by stage,
//! with every set worked twice, at once or again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod breaker;
mod bulkhead;
mod claimed;
mod decide;
mod forward;
mod notify;
mod record;
mod sinks;
mod sweep;
mod tries;
mod unreachable;
mod world;
