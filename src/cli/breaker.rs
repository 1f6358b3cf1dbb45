//! `tsms breaker`: whether sales go out to each sink, what happened to that, and a person's orders.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tsms::{
    domain::{
        breaker::{self, Breaker, Force},
        time::Timestamp,
    },
    sinks,
    store::{ActionRow, Store},
};

use super::{Failure, Setup, directory::Page, print};

const MINUTE: Duration = Duration::from_secs(60);
/// Breakers that are listed; more than there are sinks.
const MOST_BREAKERS: usize = 10_000;

/// See whether sales go out to each sink; hold a breaker open or closed for a while.
#[derive(Subcommand)]
pub(super) enum BreakerCommand {
    /// Every breaker and what holds it.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Send nothing to a sink until an end. Nothing is lost and no attempt is counted.
    #[command(
        after_help = "Every worker process follows within fleet.control_interval_ms. When the order ends, one call\n\
        tries, and if it is answered everything goes out again.\n\nExample:\n  \
        tsms breaker open --minutes 30 --owner 'J. Cruz' --reason 'web application moves'"
    )]
    Open(OrderArgs),
    /// Send to a sink until an end, whatever it answers. Failed attempts count.
    #[command(
        after_help = "Example:\n  tsms breaker close --minutes 5 --owner 'J. Cruz' --reason 'it is up again, do not wait'"
    )]
    Close(OrderArgs),
    /// End an order before its time.
    Release {
        /// Name of the sink.
        #[arg(long, default_value = breaker::DEFAULT_SINK)]
        sink: String,
    },
    /// What happened to breakers, in order of id.
    History {
        #[command(flatten)]
        page: Page,
    },
}

#[derive(Args)]
pub(super) struct OrderArgs {
    /// Name of the sink.
    #[arg(long, default_value = breaker::DEFAULT_SINK)]
    sink: String,
    /// When it ends; at most 30 days.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=43_200))]
    minutes: u32,
    /// Who answers for it.
    #[arg(long)]
    owner: String,
    /// Why, for whoever finds it.
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(setup: &Setup, command: BreakerCommand) -> Result<(), Failure> {
    let store = setup.store().await?;
    match command {
        BreakerCommand::List { json } => {
            let breakers = sinks::breakers(&store, MOST_BREAKERS).await?;
            list(&breakers, json)
        }
        BreakerCommand::Open(args) => force(&store, true, args).await,
        BreakerCommand::Close(args) => force(&store, false, args).await,
        BreakerCommand::Release { sink } => {
            let now = Timestamp::now();
            let breaker = sinks::release_breaker(&store, &sink, now).await?;
            Ok(print::line(format_args!(
                "{sink}: {}",
                breaker.stance(now).word()
            ))?)
        }
        BreakerCommand::History { page } => {
            let events = store.breaker_history(page.after, page.limit.into()).await?;
            history(events, page.json)
        }
    }
}

async fn force(store: &Store, open: bool, args: OrderArgs) -> Result<(), Failure> {
    let OrderArgs {
        sink,
        minutes,
        owner,
        reason,
    } = args;
    sinks::breaker(store, &sink).await?;
    let now = Timestamp::now();
    let force = Force {
        open,
        until: now.plus(MINUTE.saturating_mul(minutes)),
        owner,
        reason,
    };
    let breaker = store.force_breaker(&sink, &force, now).await?;
    let (word, end) = (breaker.stance(now).word(), force.until.to_rfc3339(0));
    Ok(print::line(format_args!("{sink}: {word} until {end}"))?)
}

fn list(breakers: &[Breaker], json: bool) -> Result<(), Failure> {
    let now = Timestamp::now();
    if json {
        return breakers.iter().try_for_each(|breaker| {
            print::json(&json!({
                "sink": breaker.sink,
                "state": breaker.stance(now).word(),
                "changed_at": breaker.changed_at,
                "open_until": breaker.open_until,
                "cause": breaker.cause,
                "force": breaker.force,
            }))
        });
    }
    let rows: Vec<_> = breakers
        .iter()
        .map(|breaker| {
            let since = match breaker.changed_at {
                never if never.as_micros() == 0 => "-".to_owned(),
                at => at.to_rfc3339(0),
            };
            let state = breaker.stance(now).word().to_owned();
            [breaker.sink.clone(), state, since, why(breaker, now)]
        })
        .collect();
    Ok(print::table(["sink", "state", "since", "why"], &rows)?)
}

/// Why it is as it is: an order that stands, or what the sink did last.
pub(super) fn why(breaker: &Breaker, now: Timestamp) -> String {
    match &breaker.force {
        Some(force) if force.until > now => format!(
            "{}: {} (until {})",
            force.owner,
            force.reason,
            force.until.to_rfc3339(0)
        ),
        _ => breaker.cause.clone(),
    }
}

fn history(events: Vec<ActionRow>, json: bool) -> Result<(), Failure> {
    if json {
        return events.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = events
        .into_iter()
        .map(|event| {
            let at = event.at.to_rfc3339(0);
            [event.id.to_string(), at, event.action, event.actor, event.detail]
        })
        .collect();
    Ok(print::table(["id", "at", "what", "who", "sink, why"], &rows)?)
}
