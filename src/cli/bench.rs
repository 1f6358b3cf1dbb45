//! `tsms bench`: what this program does on this machine.

use std::{net::SocketAddr, path::PathBuf};

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};
use tsms::bench::{self, BenchError, Kind, Options, Tier};

use super::{Exit, Failure, Setup, print};

/// Measure: start a private tier with a load and a stand-in web application, and tell what came of it.
#[derive(clap::Args)]
#[command(
    after_help = "Everything runs on loopback ports, in a folder of its own that is removed at the end; durability,\n\
    limits and stages are as shipped. TSMS__… in the environment and --config change the tier that is\n\
    measured, except for its database, its queue and its web application. The fleet tier needs mariadbd and\n\
    redis-server. docs/performance.md tells what the figures mean.\n\n\
    Examples:\n  tsms bench --quick\n  tsms bench --tier fleet --json fleet.json\n  \
    tsms bench --scenario saturation --seconds 60"
)]
pub(super) struct Args {
    /// What is measured: everything in one process, or a process a role with MariaDB and Redis.
    #[arg(long, value_enum, default_value = "embedded")]
    tier: TierWord,
    /// What is measured of it; all unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<ScenarioWord>,
    /// Small counts: about a minute, to see that it works.
    #[arg(long)]
    quick: bool,
    /// How long each fixed rate and each saturation lasts.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Tenants registered.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: Option<u32>,
    /// Terminals registered, each with a token.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    terminals: Option<u32>,
    /// Sales of the backlog.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=5_000_000))]
    backlog: Option<u32>,
    /// Sales by which the tables grow; 1,000,000 take some 4 GB.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=20_000_000))]
    growth: Option<u32>,
    /// What MariaDB has for pages, and as much again on disk for its log, in GiB.
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u32).range(1..=256))]
    database_gib: Option<u32>,
    /// Where the data goes meanwhile; the disk under it decides much.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Write everything found to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Be the bare handler that the bench compares with, until killed.
    #[arg(long, value_name = "ADDR", hide = true)]
    bare: Option<SocketAddr>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TierWord {
    Embedded,
    Fleet,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScenarioWord {
    /// The machine without TSMS: flushes to disk, a bare handler, bare inserts.
    Yardsticks,
    /// Single sales with idle time between them.
    Idle,
    /// 300 and 1,000 sales a second, with statuses asked meanwhile; then in batches of ten.
    Fixed,
    /// As many as it takes, from 64 and from 256 connections.
    Saturation,
    /// 100,000 sales as fast as they are taken.
    Burst,
    /// Sales that piled up while no worker ran.
    Backlog,
    /// 10,000 connections, open and silent.
    Connections,
    /// Quiet tenants alone, then beside one that sends a thousand times as much, then beside its backlog.
    Fairness,
    /// Burst after burst, to see what the size of the tables costs.
    Growth,
    /// Fifty sinks, then the same with five that hang.
    Sinks,
    /// Every role restarted, one after the other, under load.
    Restart,
    /// Tokens read and replaced while 300 sales a second come.
    Tokens,
}

impl ScenarioWord {
    const fn kind(self) -> Kind {
        match self {
            Self::Yardsticks => Kind::Yardsticks,
            Self::Idle => Kind::Idle,
            Self::Fixed => Kind::Fixed,
            Self::Saturation => Kind::Saturation,
            Self::Burst => Kind::Burst,
            Self::Backlog => Kind::Backlog,
            Self::Connections => Kind::Connections,
            Self::Fairness => Kind::Fairness,
            Self::Growth => Kind::Growth,
            Self::Sinks => Kind::Sinks,
            Self::Restart => Kind::Restart,
            Self::Tokens => Kind::Tokens,
        }
    }
}

pub(super) async fn run(setup: &Setup, args: Args) -> Result<(), Failure> {
    if let Some(address) = args.bare {
        return Ok(bench::serve_bare(address).await?);
    }
    let options = options(setup, &args);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let report = tokio::select! {
        report = bench::run(options, tell) => report?,
        _ = terminate.recv() => return Err(stopped()),
        _ = interrupt.recv() => return Err(stopped()),
    };
    if let Some(file) = args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(print::line(report)?)
}

fn options(setup: &Setup, args: &Args) -> Options {
    let number = |given: Option<u32>, quick: u32, usual: u32| {
        let number = given.unwrap_or(if args.quick { quick } else { usual });
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let scenarios: Vec<Kind> = if args.scenario.is_empty() {
        ScenarioWord::value_variants()
            .iter()
            .map(|word| word.kind())
            .collect()
    } else {
        args.scenario.iter().map(|word| word.kind()).collect()
    };
    Options {
        tier: match args.tier {
            TierWord::Embedded => Tier::Embedded,
            TierWord::Fleet => Tier::Fleet,
        },
        config: setup.file.clone(),
        folder: args.dir.clone().unwrap_or_else(std::env::temp_dir),
        tenants: number(args.tenants, 10, 100),
        terminals: number(args.terminals, 200, 10_000),
        scenarios,
        seconds: args.seconds.unwrap_or(if args.quick { 2 } else { 30 }),
        most_sales: number(None, 500, 100_000),
        backlog: number(args.backlog, 2000, 100_000),
        growth: number(args.growth, 2000, 1_000_000),
        database_gib: number(args.database_gib, 1, 4),
        singles: number(None, 20, 200),
        idle_connections: if args.quick { 200 } else { 10_000 },
        yardstick_seconds: if args.quick { 1 } else { 5 },
    }
}

/// Tells a person what goes on; standard output is for the result.
#[expect(
    clippy::print_stderr,
    reason = "progress of minutes of work, beside the result"
)]
fn tell(what: &str) {
    eprintln!("{what}");
}

fn stopped() -> Failure {
    Failure::new(
        Exit::Unexpected,
        "stopped before the end; nothing was measured to its end",
    )
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Config(error) => error.into(),
            BenchError::Store(error) => error.into(),
            BenchError::Missing(..) => Self::usage(error.to_string()),
            other => Self::new(Exit::Unexpected, other.to_string()),
        }
    }
}
