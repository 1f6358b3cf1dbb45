//! The scheduler role: what must happen once in the fleet rather than once a process.

pub mod retention;
pub mod sweeper;
