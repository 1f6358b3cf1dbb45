//! `tsms contract`: what TSMS promises its clients, as the files in `docs/`.

use std::io::Write as _;

use clap::Subcommand;
use tsms::ingress::contract;

use super::Failure;

/// Print the OpenAPI document or the table of error codes.
#[derive(Subcommand)]
pub(super) enum ContractCommand {
    /// Print the OpenAPI 3.1 document, as the ingress serves it at /openapi.json.
    #[command(after_help = "Example:\n  tsms contract openapi > docs/openapi.json")]
    Openapi,
    /// Print the error codes with their meaning, as docs/errors.md holds them.
    #[command(after_help = "Example:\n  tsms contract errors > docs/errors.md")]
    Errors,
}

pub(super) fn run(command: &ContractCommand) -> Result<(), Failure> {
    let text = match command {
        ContractCommand::Openapi => contract::openapi(),
        ContractCommand::Errors => contract::errors_page(),
    };
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
