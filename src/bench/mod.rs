//! `tsms bench`: a private tier, a load, and what came of it. The outside world again, like
//! [`crate::standin`]: nothing else in the program uses it.
//!
//! The tier runs as child processes of the same program, with every stage, every limit and the
//! durability as shipped. Sales are signed before the clock runs, the load takes a thread of its own,
//! and the stand-in web application keeps the ledger of what arrived. `docs/performance.md` tells
//! what each figure means.

mod backlog;
mod bare;
pub(crate) mod client;
mod connections;
mod database;
mod delivery;
mod fairness;
mod fixed;
mod growth;
mod load;
mod meter;
mod process;
mod redis_info;
mod report;
mod restart;
mod roles;
mod saturation;
mod scrape;
mod servers;
mod sinks;
mod tier;
mod tills;
mod tokens;
mod yardstick;

use std::{
    io,
    num::NonZero,
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant},
};

pub use bare::serve as serve_bare;
pub use report::{Machine, ProcessFigures, Quantiles, Report, Scenario};
pub use tier::Kind as Tier;

use crate::{
    config::ConfigError,
    standin::sim::{MakeError, SimTerminal},
    store::StoreError,
};

/// Connections that warm the tier up.
const WARM_UP_CONNECTIONS: usize = 16;

/// Older than this no reading of a gauge is: `ops.gauge_interval_ms` and a little.
const GAUGES: Duration = Duration::from_millis(1300);

/// How long the last jobs may take once everything has arrived.
const SETTLE: Duration = Duration::from_secs(60);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which tier.
    pub tier: Tier,
    /// A file with further settings for the tier.
    pub config: Option<PathBuf>,
    /// Where the data goes; the disk under it decides much.
    pub folder: PathBuf,
    /// Tenants registered.
    pub tenants: usize,
    /// Terminals registered.
    pub terminals: usize,
    /// The scenarios, in order.
    pub scenarios: Vec<Kind>,
    /// How long each fixed rate and each saturation lasts.
    pub seconds: u64,
    /// Sales of a burst; also the most that warm a tier up.
    pub most_sales: usize,
    /// Sales of the backlog.
    pub backlog: usize,
    /// Sales by which the tables grow.
    pub growth: usize,
    /// What MariaDB has for pages, and for its log, in GiB.
    pub database_gib: usize,
    /// Single sales while idle.
    pub singles: usize,
    /// Connections kept open and silent, at most.
    pub idle_connections: u64,
    /// How long each yardstick is measured.
    pub yardstick_seconds: u64,
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The machine without TSMS: flushes to disk, a bare handler, bare inserts.
    Yardsticks,
    /// Single sales with idle time between them.
    Idle,
    /// Single sales at 300 and 1,000 a second with statuses and voids between them, then the same in batches of ten.
    Fixed,
    /// As many sales as the tier takes, from 64 and from 256 connections.
    Saturation,
    /// A number of sales as fast as they are taken.
    Burst,
    /// Sales that piled up while no worker ran.
    Backlog,
    /// Connections that are open and silent.
    Connections,
    /// Quiet tenants alone, and beside one that sends a thousand times as much.
    Fairness,
    /// Burst after burst, to see what the size of the tables costs.
    Growth,
    /// Fifty sinks, then the same with five that hang.
    Sinks,
    /// Every role restarted, one after the other, under load.
    Restart,
    /// Tokens read and replaced while sales come.
    Tokens,
}

/// The bench could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program that it needs is not there.
    #[error("{0} is needed ({2}); Debian has it in the package {1}")]
    Missing(String, &'static str, #[source] io::Error),
    /// A process ended by itself.
    #[error("{0} ended by itself ({1}); it said:\n{2}")]
    Ended(String, ExitStatus, String),
    /// A process did not get ready.
    #[error("{0} did not get ready")]
    NotReady(String),
    /// A part of the bench itself broke.
    #[error("a thread of the bench broke")]
    Broken,
    /// Files, processes or connections fail.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The settings for the tier cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A sink cannot be made.
    #[error("a sink of the tier: {0}")]
    Sink(String),
    /// The record of the tier fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database of the tier fails.
    #[error("the database of the bench: {0}")]
    Database(#[from] database::Error),
    /// A sale cannot be made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// An answer is not what it should be.
    #[error("an answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A bench under way.
struct Bench {
    options: Options,
    tier: tier::Tier,
    tills: Vec<SimTerminal>,
    report: Report,
    /// Told what goes on.
    listener: fn(&str),
}

/// Measures, and tells `listener` what goes on meanwhile. Drop the future to stop: every process
/// that it started ends with it.
///
/// # Errors
/// See [`BenchError`]. Refused or missing sales are results, not errors.
pub async fn run(options: Options, listener: fn(&str)) -> Result<Report, BenchError> {
    listener("starting the servers");
    let report = Report::new(&options);
    let tier = tier::Tier::prepare(&options).await?;
    listener("registering terminals");
    let tills = tills::register(&tier.store, &tier.credentials, options.tenants, options.terminals).await?;
    let scenarios = options.scenarios.clone();
    let mut bench = Bench {
        options,
        tier,
        tills,
        report,
        listener,
    };
    bench.tier.start_roles().await?;
    bench.say_processes();
    // What starts cold is a measure of the start.
    bench.warm_up(WARM_UP_CONNECTIONS).await?;
    for scenario in scenarios {
        bench.play(scenario).await?;
    }
    (bench.report.complaints, bench.report.first_complaints) = bench.tier.complaints();
    bench.tier.stop_all().await?;
    Ok(bench.report)
}

impl Bench {
    async fn play(&mut self, scenario: Kind) -> Result<(), BenchError> {
        match scenario {
            Kind::Yardsticks => self.yardsticks().await?,
            Kind::Idle => self.idle().await?,
            Kind::Fixed => {
                for rate in [300, 1000] {
                    self.fixed(rate).await?;
                    self.batches(rate).await?;
                }
            }
            Kind::Saturation => {
                for connections in [64, 256] {
                    self.saturation(connections, self.options.seconds).await?;
                }
            }
            Kind::Burst => self.burst().await?,
            Kind::Backlog => self.backlog().await?,
            Kind::Connections => self.connections().await?,
            Kind::Fairness => self.fairness().await?,
            Kind::Growth => self.growth().await?,
            Kind::Sinks => self.sinks().await?,
            Kind::Restart => self.restarts().await?,
            Kind::Tokens => self.tokens().await?,
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        (self.listener)(what);
    }

    /// Who runs, for a profiler.
    fn say_processes(&self) {
        let all = self
            .tier
            .processes
            .iter()
            .map(|process| format!("{} {}", process.name, process.pid()));
        self.say(&format!("processes: {}", all.collect::<Vec<_>>().join(", ")));
    }

    /// Waits until no job is left of what has arrived already: the audit of the last deliveries.
    async fn settle(&self) -> Result<(), BenchError> {
        let deadline = Instant::now() + SETTLE;
        loop {
            tokio::time::sleep(GAUGES).await;
            if self.tier.left().await?.jobs == 0 || Instant::now() > deadline {
                return Ok(());
            }
        }
    }

    /// Keeps what a scenario found, unless a process died meanwhile.
    async fn done(&mut self, mut scenario: Scenario) -> Result<(), BenchError> {
        self.tier.check()?;
        let (held, left) = (self.tier.delivered().await?, self.tier.left().await?);
        for (what, count) in [
            ("delivered twice, without effect", held.duplicates),
            ("delivered with other content", held.conflicts),
            ("delivered under a second id", held.clashes),
            ("breaches of the delivery contract", held.complaints),
            ("jobs left in the queues", left.jobs),
            ("jobs parked as poison", left.parked),
            ("dead letters", left.dead),
        ] {
            if count > 0 {
                scenario.failures.insert(what.to_owned(), count);
            }
        }
        self.say(&scenario.summary());
        self.report.scenarios.push(scenario);
        Ok(())
    }
}

impl Report {
    fn new(options: &Options) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            tier: options.tier,
            machine: Machine::here(options),
            servers: match options.tier {
                Tier::Embedded => vec!["SQLite WAL, synchronous=FULL; queues in memory".to_owned()],
                Tier::Fleet => servers::settings(options.database_gib),
            },
            tenants: options.tenants,
            terminals: options.terminals,
            yardsticks: std::collections::BTreeMap::new(),
            scenarios: Vec::new(),
            complaints: 0,
            first_complaints: Vec::new(),
        }
    }
}

impl Machine {
    fn here(options: &Options) -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let memory = read("/proc/meminfo");
        let memory = memory
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse::<u64>().ok());
        let load = read("/proc/loadavg");
        let mounts = read("/proc/mounts");
        let file_system = mounts
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ').skip(1);
                let (point, kind) = (words.next()?, words.next()?);
                options.folder.starts_with(point).then_some((point.len(), kind))
            })
            .max_by_key(|(length, _)| *length)
            .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned());
        Self {
            cores: std::thread::available_parallelism().map_or(1, NonZero::get),
            memory_mib: memory.unwrap_or_default() / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system,
            load_at_start: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }
}
