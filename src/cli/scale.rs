//! `tsms scale`: how wide each queue is worked on, and changing it while everything runs.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use serde_json::json;
use tsms::{
    config::Config,
    domain::time::Timestamp,
    stage::Stage,
    store::{Staff, Store},
};

use super::{Failure, Setup, fail::Exit, print};

/// Part of the server's connections that sets of jobs may take, in percent; the ingresses, people and
/// backups need the rest.
const BUDGET_PERCENT: u64 = 80;

/// See how many sets of jobs each worker process works on at a time, and change it live.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Without a subcommand: the present state.\n\nExamples:\n  tsms scale\n  \
    tsms scale set processing 6 --reason 'Christmas'\n  tsms scale history"
)]
pub(super) struct ScaleArgs {
    #[command(subcommand)]
    command: Option<ScaleCommand>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum ScaleCommand {
    /// Set how many sets of jobs of a queue each worker process works on at a time.
    #[command(
        after_help = "Every worker process follows within fleet.control_interval_ms, and so does one that is started\n\
        later. Exit code 6 when the connections to the database would not suffice."
    )]
    Set {
        /// The queue.
        #[arg(value_name = "QUEUE")]
        queue: Stage,
        /// Sets at a time in one process; the settings say how many at most.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        width: u32,
        /// Why, for whoever reads the history.
        #[arg(long)]
        reason: String,
    },
    /// The last changes with who made them and why, newest first.
    History {
        /// Most rows.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(setup: &Setup, args: ScaleArgs) -> Result<(), Failure> {
    let (config, store) = (setup.config()?, setup.store().await?);
    match args.command {
        None => show(&config, &store, args.json).await,
        Some(ScaleCommand::Set { queue, width, reason }) => {
            set(&config, &store, queue, width.into(), &reason).await
        }
        Some(ScaleCommand::History { limit, json }) => history(&store, limit.into(), json).await,
    }
}

/// What each queue is worked on with: the width asked for, and the workers that are alive.
struct State {
    widths: HashMap<String, u64>,
    staff: Vec<Staff>,
}

impl State {
    async fn read(config: &Config, store: &Store) -> Result<Self, Failure> {
        let alive = Timestamp::now().minus(config.fleet.lease_ms.duration());
        Ok(Self {
            widths: store.widths().await?.into_iter().collect(),
            staff: store.staff(alive).await?,
        })
    }

    fn width(&self, config: &Config, stage: Stage) -> u64 {
        let default = || u64::try_from(config.pool(stage).concurrency).unwrap_or(u64::MAX);
        self.widths.get(stage.name()).copied().unwrap_or_else(default)
    }

    fn staff(&self, stage: Stage) -> (u64, u64) {
        let found = self.staff.iter().find(|staff| staff.queue == stage.name());
        found.map_or((0, 0), |staff| (staff.processes, staff.concurrency))
    }
}

async fn show(config: &Config, store: &Store, json: bool) -> Result<(), Failure> {
    let state = State::read(config, store).await?;
    let mut rows = Vec::new();
    for stage in Stage::ALL {
        let (processes, sets) = state.staff(stage);
        let width = state.width(config, stage);
        let asked = state.widths.contains_key(stage.name());
        if json {
            print::json(&json!({
                "queue": stage.name(), "width": width, "set": asked, "processes": processes, "sets": sets,
            }))?;
        } else {
            let origin = if asked { "set" } else { "settings" };
            rows.push([
                stage.name().to_owned(),
                width.to_string(),
                origin.to_owned(),
                processes.to_string(),
                sets.to_string(),
            ]);
        }
    }
    if !json {
        print::table(["queue", "width", "from", "processes", "sets"], &rows)?;
    }
    Ok(())
}

async fn set(config: &Config, store: &Store, stage: Stage, width: u64, reason: &str) -> Result<(), Failure> {
    let most = u64::try_from(config.fleet.max_concurrency).unwrap_or(u64::MAX);
    if width > most {
        let words = format!("a width of {width} is above fleet.max_concurrency ({most})");
        return Err(Failure::usage(words));
    }
    let state = State::read(config, store).await?;
    // Each set that is worked on holds at most one connection.
    let pool = u64::from(config.database.max_connections);
    if width > pool {
        let words = format!(
            "{width} sets in a process would wait for its {pool} connections (database.max_connections)"
        );
        return Err(Failure::new(Exit::Failed, words));
    }
    if let Some(server) = server_connections(store).await? {
        let others = Stage::ALL.into_iter().filter(|other| *other != stage);
        let others: u64 = others.map(|other| state.staff(other).1).sum();
        let wanted = others.saturating_add(state.staff(stage).0.saturating_mul(width));
        if wanted.saturating_mul(100) > server.saturating_mul(BUDGET_PERCENT) {
            let words = format!(
                "all workers together would work on {wanted} sets at a time, and the database takes {server} connections, \
                 of which {BUDGET_PERCENT} % are for workers"
            );
            return Err(Failure::new(Exit::Failed, words));
        }
    }
    let default = u64::try_from(config.pool(stage).concurrency).unwrap_or(u64::MAX);
    let was = store.set_width(stage.name(), width, default, reason).await?;
    Ok(print::line(format_args!(
        "{stage}: {was} to {width} sets in each process"
    ))?)
}

/// Connections that the server takes; SQLite has no server.
async fn server_connections(store: &Store) -> Result<Option<u64>, Failure> {
    let checkup = store.checkup().await?;
    let most = checkup.settings.get("max_connections");
    Ok(most.and_then(|most| most.parse().ok()))
}

async fn history(store: &Store, limit: usize, json: bool) -> Result<(), Failure> {
    let moves = store.width_moves(limit).await?;
    if json {
        return moves.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = moves
        .into_iter()
        .map(|step| {
            [
                step.at.to_rfc3339(0),
                step.queue,
                step.was.to_string(),
                step.becomes.to_string(),
                step.actor,
                step.reason,
            ]
        })
        .collect();
    Ok(print::table(
        ["at", "queue", "was", "becomes", "who", "why"],
        &rows,
    )?)
}
