//! The scheduler role: what must happen once in the fleet rather than once a process.

pub mod alerts;
pub mod autoscaler;
pub mod budget;
pub(crate) mod duty;
mod findings;
pub(crate) mod overview;
pub mod redrives;
pub mod retention;
pub mod sweeper;
