//! `tsms queue`: what waits, what was set aside, what is paused, and making the queues again from the
//! record.

mod control;

use clap::Subcommand;
use serde_json::json;
use tsms::{
    domain::{
        time::Timestamp,
        trace::{self, TraceContext},
    },
    queue::{self, Queue},
    scheduler::sweeper,
    stage::Stage,
};

use super::{Failure, Setup, directory::Page, print};

/// Look at the queues, or make them again from the record.
#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// Jobs in each queue: ready, in flight, delayed, parked, and the age of the oldest.
    Depth {
        /// One JSON object, queue by queue.
        #[arg(long)]
        json: bool,
    },
    /// Enqueue everything in the record that is due, whatever the queues hold. Doubles are harmless.
    #[command(
        after_help = "The scheduler does this by itself for what stands still; this does it at once,\n\
        e.g. after Redis lost its data.\n\nExample:\n  tsms queue rebuild --json"
    )]
    Rebuild {
        /// One JSON object: jobs by stage.
        #[arg(long)]
        json: bool,
    },
    /// The oldest jobs of a queue, those under way included; they stay where they are.
    Peek {
        /// The queue.
        #[arg(value_name = "QUEUE")]
        queue: Stage,
        /// Only jobs of this tenant, by id or code.
        #[arg(long)]
        tenant: Option<String>,
        /// Jobs looked at in each lane.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Let a queue, or the work of one tenant, stand still until an end. Nothing is lost.
    #[command(
        after_help = "Every worker process knows it within fleet.control_interval_ms, on either tier. What runs is\n\
        finished. Jobs of a tenant that is paused are looked at again every 30 seconds.\n\nExamples:\n  \
        tsms queue pause forwarding --minutes 30 --owner 'J. Cruz' --reason 'web application moves'\n  \
        tsms queue pause --tenant CC-012 --minutes 60 --owner 'J. Cruz' --reason 'wrong prices'"
    )]
    Pause(control::PauseArgs),
    /// Let what was paused go on before its time.
    Resume(control::ResumeArgs),
    /// List what was paused, in order of id, what ended included.
    Holds {
        #[command(flatten)]
        page: Page,
    },
    /// Pause the queues before this one and wait until it is empty. Exit code 6 if it is not in time.
    #[command(
        after_help = "What was paused stays so until its end: go on with `tsms queue resume`.\n\nExample:\n  \
        tsms queue drain forwarding --minutes 10 --owner 'J. Cruz' --reason 'web application moves'"
    )]
    Drain(control::DrainArgs),
    /// Jobs that were set aside, newest first, with the reason of each.
    Parked {
        /// Only this stage.
        stage: Option<Stage>,
        /// Most jobs of each stage.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(setup: &Setup, command: QueueCommand) -> Result<(), Failure> {
    let command = match command {
        QueueCommand::Pause(args) => return control::pause(setup, args).await,
        QueueCommand::Resume(args) => return control::resume(setup, args).await,
        QueueCommand::Holds { page } => return control::holds(setup, &page).await,
        other => other,
    };
    let config = setup.config()?;
    if config.check_fleet().is_err() {
        return Err(Failure::usage(
            "queue.url is memory:, and that queue is inside the process of `tsms up`: its /metrics tell its depth, \
             and it makes its queue again from the record whenever it starts",
        ));
    }
    let queue = queue::open(&config.queue).await?;
    queue.ping().await?;
    match command {
        QueueCommand::Depth { json } => depth(&queue, json).await,
        QueueCommand::Rebuild { json } => {
            let store = setup.store().await?;
            rebuild(sweeper::rebuild(&store, &queue, &config.sweeper).await?, json)
        }
        QueueCommand::Parked { stage, limit, json } => parked(&queue, stage, limit.into(), json).await,
        QueueCommand::Peek {
            queue: stage,
            tenant,
            limit,
            json,
        } => control::peek(setup, &queue, (stage, limit.into()), tenant.as_deref(), json).await,
        QueueCommand::Drain(args) => control::drain(setup, &queue, args).await,
        // Dealt with above: they need no queue server.
        QueueCommand::Pause(_) | QueueCommand::Resume(_) | QueueCommand::Holds { .. } => Ok(()),
    }
}

async fn depth(queue: &Queue, json: bool) -> Result<(), Failure> {
    let mut members = serde_json::Map::new();
    let mut rows = Vec::new();
    for stage in Stage::ALL {
        let depth = queue.depth(stage).await?;
        let age = depth
            .oldest
            .map(|oldest| Timestamp::now().since(oldest).as_secs());
        let figures = [depth.ready, depth.in_flight, depth.delayed, depth.parked];
        let [ready, in_flight, delayed, parked] = figures;
        members.insert(
            stage.name().to_owned(),
            json!({ "class": stage.spec().class.name(), "ready": ready, "in_flight": in_flight,
                    "delayed": delayed, "parked": parked, "oldest_age_seconds": age }),
        );
        let [ready, in_flight, delayed, parked] = figures.map(|figure| figure.to_string());
        let age = age.map_or_else(|| "-".to_owned(), |age| format!("{age} s"));
        let class = stage.spec().class.name().to_owned();
        rows.push([
            stage.name().to_owned(),
            class,
            ready,
            in_flight,
            delayed,
            parked,
            age,
        ]);
    }
    if json {
        return print::json(&members);
    }
    let header = [
        "queue",
        "class",
        "ready",
        "in flight",
        "delayed",
        "parked",
        "oldest",
    ];
    Ok(print::table(header, &rows)?)
}

fn rebuild(rebuilt: sweeper::Rebuilt, json: bool) -> Result<(), Failure> {
    if json {
        let members = rebuilt
            .jobs
            .into_iter()
            .map(|(stage, jobs)| (stage.name().to_owned(), jobs.into()));
        return print::json(&members.collect::<serde_json::Map<_, _>>());
    }
    let rows: Vec<_> = rebuilt
        .jobs
        .into_iter()
        .map(|(stage, jobs)| [stage.name().to_owned(), jobs.to_string()])
        .collect();
    Ok(print::table(["queue", "enqueued"], &rows)?)
}

async fn parked(queue: &Queue, stage: Option<Stage>, limit: usize, json: bool) -> Result<(), Failure> {
    let stages = stage.map_or_else(|| Stage::ALL.to_vec(), |stage| vec![stage]);
    let mut rows = Vec::new();
    for stage in stages {
        for (job, reason) in queue.parked(stage, limit).await? {
            if json {
                print::json(&json!({
                    "queue": stage.name(), "key": job.key, "tenant_id": job.tenant_id, "reason": reason,
                    "attempt": job.attempt, "enqueued_at": job.enqueued_at.to_string(),
                    "request_id": trace::request_id(&job.request_id),
                    "trace_id": trace::context(&job.request_id).map(TraceContext::trace_id),
                }))?;
            } else {
                let since = job.enqueued_at.to_rfc3339(0);
                rows.push([
                    stage.name().to_owned(),
                    job.key.to_string(),
                    job.tenant_id.to_string(),
                    since,
                    reason,
                ]);
            }
        }
    }
    if !json {
        print::table(["queue", "key", "tenant", "enqueued at", "reason"], &rows)?;
    }
    Ok(())
}
