//! TSMS, the Tenant Sales Management System: takes sales from point-of-sale terminals, checks them,
//! keeps them, and hands them to a web application. `docs/architecture.md` walks one sale through.

pub mod bench;
pub mod config;
pub mod credentials;
pub mod doctor;
pub mod domain;
pub mod fleet;
pub mod ingress;
pub mod letters;
pub mod limits;
pub mod link;
pub mod outcome;
pub mod queue;
pub mod runner;
pub mod scheduler;
pub mod sinks;
pub mod stage;
pub mod standin;
pub mod store;
pub mod telemetry;

#[path = "../workers/mod.rs"]
pub mod workers;
