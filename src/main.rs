//! The `tsms` program: one binary, roles and tools as subcommands.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
