//! The scheduler role: what must happen once in the fleet rather than once a process.

pub(crate) mod duty;
pub(crate) mod overview;
pub mod retention;
pub mod sweeper;
