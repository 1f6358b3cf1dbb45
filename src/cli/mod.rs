//! The command line. Each command is a file; what they share is how they fail ([`fail`]) and how
//! they print ([`print`]).

mod bench;
mod breaker;
mod capacity;
mod checksum;
mod config;
mod contract;
mod demo;
mod directory;
mod dlq;
mod doctor;
mod enrolment;
mod fail;
mod limits;
mod metrics;
mod notify;
mod print;
mod queue;
mod reconcile;
mod roles;
mod scale;
mod sim;
mod sink;
mod sinks;
mod token;
mod top;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tsms::{
    config::{Config, Layers, Origin, Secret},
    credentials::Credentials,
    store::{Actor, Store},
};

use fail::{Exit, Failure};

const AFTER_HELP: &str = "\
Examples:
  tsms up --demo                   everything in one process, with simulated sales to look at
  tsms up                          everything in one process, for real; prints an admin token once
  tsms config show --origin        every setting, and where its value comes from
  tsms migrate && tsms ingress     a fleet: one process a role (see the Procfile); needs
                                   TSMS__DATABASE__URL=mysql://… and TSMS__QUEUE__URL=redis://…

Exit codes:
  0  done                          4  queue unavailable
  1  something unexpected          5  no such thing, or it exists already
  2  wrong usage or settings       6  a check failed
  3  database unavailable";

/// Takes sales from point-of-sale terminals, checks them, keeps them, and hands them to a web application.
#[derive(Parser)]
#[command(name = "tsms", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// Settings that go over the defaults; `TSMS__SECTION__KEY` in the environment goes over both.
    #[arg(long, global = true, env = "TSMS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Args),
    Ingress(roles::IngressArgs),
    Worker(roles::WorkerArgs),
    Scheduler(roles::SchedulerArgs),
    /// Bring the schema of the database up to date; safe to run from many machines at once.
    Migrate,
    #[command(subcommand)]
    Tenant(directory::TenantCommand),
    #[command(subcommand)]
    Terminal(directory::TerminalCommand),
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    Reconcile(reconcile::ReconcileArgs),
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    #[command(subcommand)]
    Breaker(breaker::BreakerCommand),
    #[command(subcommand)]
    Limits(limits::LimitsCommand),
    #[command(subcommand)]
    Sinks(sinks::SinksCommand),
    Scale(scale::ScaleArgs),
    Top(top::Args),
    Doctor(doctor::Args),
    #[command(subcommand)]
    Metrics(metrics::MetricsCommand),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(subcommand)]
    Checksum(checksum::ChecksumCommand),
    #[command(subcommand)]
    Contract(contract::ContractCommand),
    Sink(sink::Args),
    Sim(sim::Args),
    Bench(bench::Args),
    Capacity(capacity::Args),
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    match start(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let setup = Setup { file: cli.config };
    if let Command::Worker(_) = &cli.command {
        // Before the runtime has threads: each inherits it.
        roles::yield_to_tills(&setup)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(setup, cli.command))
}

async fn run(setup: Setup, command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(&setup, args).await,
        Command::Ingress(args) => roles::ingress(&setup, args).await,
        Command::Worker(args) => roles::worker(&setup, args).await,
        Command::Scheduler(args) => roles::scheduler(&setup, args).await,
        Command::Migrate => roles::migrate(&setup).await,
        Command::Tenant(command) => directory::tenant(&setup, command).await,
        Command::Terminal(command) => directory::terminal(&setup, command).await,
        Command::Token(command) => token::run(&setup, command).await,
        Command::Queue(command) => queue::run(&setup, command).await,
        Command::Dlq(command) => dlq::run(&setup, command).await,
        Command::Reconcile(args) => reconcile::run(&setup, args).await,
        Command::Notify(command) => notify::run(&setup, command).await,
        Command::Breaker(command) => breaker::run(&setup, command).await,
        Command::Limits(command) => limits::run(&setup, command).await,
        Command::Sinks(command) => sinks::run(&setup, command).await,
        Command::Scale(args) => scale::run(&setup, args).await,
        Command::Top(args) => top::run(&setup, args).await,
        Command::Doctor(args) => doctor::run(&setup, &args).await,
        Command::Metrics(command) => metrics::run(&command),
        Command::Config(command) => config::run(&setup, &command),
        Command::Checksum(command) => checksum::run(&setup, &command),
        Command::Contract(command) => contract::run(&command),
        Command::Sink(args) => sink::run(&setup, args).await,
        Command::Sim(args) => sim::run(&setup, args).await,
        Command::Bench(args) => bench::run(&setup, args).await,
        Command::Capacity(args) => capacity::run(&setup, &args),
    }
}

/// Where a command gets its settings from.
struct Setup {
    file: Option<PathBuf>,
}

impl Setup {
    fn layers(&self) -> Result<Layers, Failure> {
        Ok(Layers::read(self.file.as_deref(), Layers::environment()?)?)
    }

    /// The settings, checked. A database that nobody named is the file in `fleet.data_dir`, for
    /// every command alike.
    fn config(&self) -> Result<Config, Failure> {
        let layers = self.layers()?;
        let mut config = layers.config()?;
        if layers.origin("database.url") == Some(&Origin::Default) {
            let file = config.fleet.data_dir.join("tsms.db");
            config.database.url = Secret::new(format!("sqlite:{}", file.display()));
        }
        Ok(config)
    }

    /// The record, for a command that looks or changes something and goes.
    async fn store(&self) -> Result<Store, Failure> {
        let config = self.config()?;
        let store = tsms::store::open(&config.database).await?;
        store.ping().await.map_err(unmigrated)?;
        Ok(store.acting_as(actor()))
    }

    /// A maker of tokens for `store`.
    fn credentials(&self, store: Store) -> Result<Credentials, Failure> {
        Ok(Credentials::of(&self.config()?, store)?)
    }
}

/// Who sits at the command line, for the record of changes.
fn actor() -> Actor {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    Actor {
        name: format!("cli:{user}"),
        address: String::new(),
        request_id: String::new(),
    }
}

/// A record that answers but is not ready has no schema, or an old one.
fn unmigrated(error: tsms::store::StoreError) -> Failure {
    let failure = Failure::from(error);
    Failure::new(
        Exit::Database,
        format!("{failure} (is the schema up to date? `tsms migrate`)"),
    )
}
