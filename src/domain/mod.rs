//! What a sale is, without any notion of where it is kept or how it travels.

pub mod ability;
pub mod audit;
pub mod breaker;
pub mod capacity;
pub mod checksum;
pub mod checksum_report;
pub mod control;
pub mod day;
pub mod dead_letter;
mod decimal;
pub mod directory;
pub mod forward;
pub mod hold;
pub mod json;
pub mod keyring;
pub mod money;
pub mod network;
pub mod orders;
pub mod payload;
pub mod reversal;
pub mod rotation;
pub mod rules;
pub mod sale;
pub mod time;
pub mod token;
pub mod trace;
pub mod work;
