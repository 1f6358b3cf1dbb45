//! `tsms scale`: how wide each queue is worked on, and changing it while everything runs.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tsms::{
    config::Config,
    domain::time::Timestamp,
    scheduler::budget::Budget,
    stage::Stage,
    store::{NewWidth, Staff, Store, StoreError, Width},
};

use super::{Failure, Setup, fail::Exit, print};

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
        /// How long the autoscaler leaves it, instead of `autoscaler.pin_ms`; 0 lets it have it at once.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=525_600))]
        pin_minutes: Option<u32>,
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
        Some(ScaleCommand::Set {
            queue,
            width,
            reason,
            pin_minutes,
        }) => {
            let wish = Wish {
                width: width.into(),
                pin_minutes,
                reason,
            };
            set(&config, &store, queue, wish).await
        }
        Some(ScaleCommand::History { limit, json }) => history(&store, limit.into(), json).await,
    }
}

/// What each queue is worked on with: the width asked for, and the workers that are alive.
pub(super) struct State {
    widths: Vec<Width>,
    staff: Vec<Staff>,
}

impl State {
    pub(super) async fn read(config: &Config, store: &Store) -> Result<Self, StoreError> {
        let alive = Timestamp::now().minus(config.fleet.lease_ms.duration());
        Ok(Self {
            widths: store.widths().await?,
            staff: store.staff(alive).await?,
        })
    }

    /// The width that somebody set.
    fn asked(&self, stage: Stage) -> Option<&Width> {
        self.widths.iter().find(|width| width.queue == stage.name())
    }

    /// The width that each process is to have, set or from the settings.
    pub(super) fn width(&self, config: &Config, stage: Stage) -> u64 {
        self.asked(stage)
            .map_or_else(|| config.width(stage), |width| width.concurrency)
    }

    /// The processes that are alive, and the sets that they work on at a time together.
    pub(super) fn staff(&self, stage: Stage) -> (u64, u64) {
        let found = self.staff.iter().find(|staff| staff.queue == stage.name());
        found.map_or((0, 0), |staff| (staff.processes, staff.concurrency))
    }
}

async fn show(config: &Config, store: &Store, json: bool) -> Result<(), Failure> {
    let (state, now) = (State::read(config, store).await?, Timestamp::now());
    let mut rows = Vec::new();
    for stage in Stage::ALL {
        let (processes, sets) = state.staff(stage);
        let asked = state.asked(stage);
        let width = state.width(config, stage);
        let pinned = asked.map(|width| width.pinned_until).filter(|until| *until > now);
        let pinned = pinned.map(|until| until.to_rfc3339(0));
        if json {
            print::json(&json!({
                "queue": stage.name(), "width": width, "set": asked.is_some(), "pinned_until": pinned,
                "processes": processes, "sets": sets,
            }))?;
        } else {
            let origin = if asked.is_some() { "set" } else { "settings" };
            rows.push([
                stage.name().to_owned(),
                width.to_string(),
                origin.to_owned(),
                pinned.unwrap_or_default(),
                processes.to_string(),
                sets.to_string(),
            ]);
        }
    }
    if !json {
        print::table(
            ["queue", "width", "from", "pinned until", "processes", "sets"],
            &rows,
        )?;
    }
    Ok(())
}

/// What is asked for.
struct Wish {
    width: u64,
    pin_minutes: Option<u32>,
    reason: String,
}

async fn set(config: &Config, store: &Store, stage: Stage, wish: Wish) -> Result<(), Failure> {
    let most = u64::try_from(config.fleet.max_concurrency).unwrap_or(u64::MAX);
    if wish.width > most {
        let words = format!(
            "a width of {} is above fleet.max_concurrency ({most})",
            wish.width
        );
        return Err(Failure::usage(words));
    }
    let state = State::read(config, store).await?;
    let budget = Budget::read(config, store, state.staff).await?;
    if let Err(refused) = budget.allows(stage, wish.width) {
        return Err(Failure::new(Exit::Failed, refused.to_string()));
    }
    let pin = wish
        .pin_minutes
        .map_or(config.autoscaler.pin_ms.duration(), |minutes| {
            Duration::from_secs(u64::from(minutes) * 60)
        });
    let was = store
        .set_width(&NewWidth {
            queue: stage.name(),
            concurrency: wish.width,
            default: config.width(stage),
            pinned_until: Timestamp::now().plus(pin),
            reason: &wish.reason,
        })
        .await?;
    Ok(print::line(format_args!(
        "{stage}: {was} to {} sets in each process",
        wish.width
    ))?)
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
