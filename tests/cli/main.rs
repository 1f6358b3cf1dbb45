//! The program as a person or a script meets it: help, exit codes, what goes to which output. Needs
//! no servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bench;
mod capacity;
mod checksum;
mod config;
mod directory;
mod dlq;
mod help;
mod limits;
mod run;
mod sinks;
mod top;
