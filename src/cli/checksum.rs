//! `tsms checksum`.

use clap::Subcommand;
use std::path::PathBuf;

use super::Failure;

/// Debug payload checksums.
#[derive(Subcommand)]
pub(super) enum ChecksumCommand {
    /// Print.
    Compute {
        /// The body.
        file: PathBuf,
    },
}

pub(super) fn run(_: &ChecksumCommand) -> Result<(), Failure> {
    Ok(())
}
