//! The `tsms` program: one binary, roles and tools as subcommands.

mod cli;

use std::process::ExitCode;

/// Sets of jobs and rows are many short-lived allocations of every size on every core.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
