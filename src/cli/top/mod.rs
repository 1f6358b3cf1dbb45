//! `tsms top`: the queues, breakers, dead letters, pauses and busiest tenants on one screen, live.
//!
//! [`reader`] looks and makes a [`frame`], [`tables`] says what of it a person sees, [`view`] lays that out
//! on a screen, [`terminal`] has the screen and the keys, [`json`] is the same for scripts.

mod frame;
mod json;
mod pace;
mod reader;
mod tables;
mod terminal;
mod view;

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    time::Duration,
};

use super::{Failure, Setup, fail::Exit, print};
use frame::{Frame, Source};
use reader::Reader;

/// Watch the queues, their rates and ages, breakers, dead letters, pauses and the busiest tenants, live.
#[derive(clap::Args)]
#[command(
    after_help = "Keys: p stops and starts refreshing; q, Esc or Ctrl-C ends.\n\nWith queues in memory the figures of \
    the queues come from the /metrics of `tsms up`, where\ningress.listen says. What cannot be read is said on the \
    screen, and tried again.\n\nExit codes of --once and --json: 3 when the database, 4 when the queues could not be \
    read; what\ncould is printed all the same.\n\nExamples:\n  tsms top\n  tsms top --once\n  tsms top --json | jq \
    '.queues[] | {queue, ready, oldest_age_seconds}'"
)]
pub(super) struct Args {
    /// From one look to the next; rates are over up to ten seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=60))]
    every: u16,
    /// Print it once, as text, and end: after two looks, for a rate takes two.
    #[arg(long)]
    once: bool,
    /// The same as one JSON document; docs/operations.md has its members.
    #[arg(long)]
    json: bool,
    /// Where `tsms up` serves /metrics, if not at ingress.listen.
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<SocketAddr>,
}

pub(super) async fn run(setup: &Setup, args: Args) -> Result<(), Failure> {
    let every = Duration::from_secs(args.every.into());
    let live = !args.once && !args.json;
    if live && !io::stdout().is_terminal() {
        return Err(Failure::usage(
            "the output is not a terminal: `tsms top --once` prints the same once, --json for scripts",
        ));
    }
    let mut reader = Reader::new(setup.config()?, args.metrics).await?;
    if live {
        return terminal::run(reader, every).await;
    }
    // The first look is there to count from.
    reader.read().await;
    tokio::time::sleep(every).await;
    let frame = reader.read().await;
    if args.json {
        print::json(&json::document(&frame))?;
    } else {
        text(&frame)?;
    }
    verdict(&frame)
}

fn text(frame: &Frame) -> io::Result<()> {
    print::line(tables::title(frame))?;
    for fault in tables::faults(frame) {
        print::line(fault)?;
    }
    for section in tables::all(frame) {
        print::line(format_args!("\n{}", section.title))?;
        if section.rows.is_empty() {
            print::line("  none")?;
            continue;
        }
        let rows = section.rows.iter().map(|row| row.cells.as_slice());
        print::columns(&section.names(), rows)?;
    }
    Ok(())
}

/// What could not be read makes a script's run a failure; it was told above which.
fn verdict(frame: &Frame) -> Result<(), Failure> {
    let Some(fault) = frame.faults.first() else {
        return Ok(());
    };
    let exit = match fault.source {
        Source::Queues => Exit::Queue,
        Source::Record => Exit::Database,
    };
    Err(Failure::new(exit, fault.to_string()))
}
