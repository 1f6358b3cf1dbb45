//! `tsms dlq`: look at dead letters by cause, bring them back at a set rate, or discard them.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tsms::{
    domain::{
        dead_letter::{Filter, Letter, MOST_RATE},
        time::Timestamp,
    },
    letters::{self, MOST_TRIES, Origin},
    store::{Redrive, RedriveKind, RedriveState, Store, Try},
};

use super::{Failure, Setup, directory::Page, print};

/// A command that waits for its turn looks this often whether its run was paused.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Look at what was given up, bring it back or discard it.
#[derive(Subcommand)]
pub(super) enum DlqCommand {
    /// How many dead letters there are of each cause, most first, with one of them.
    List {
        #[command(flatten)]
        which: Which,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// The letters themselves; of a single one (`--where id=…`) also its request and trace, and the tries that failed.
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        page: Page,
    },
    /// Send again what was given up. Without --yes it only tells how many that would be.
    #[command(
        after_help = "Sales, voids and refunds that the web application did not take are due again at once, with the\n\
        same ids and fresh attempts; what was set aside before it was validated or decided goes through\n\
        that stage again as if new. The scheduler finds them. A sale that was voided meanwhile stays. A\n\
        run whose command was killed goes on by the scheduler, until `tsms dlq pause`; `tsms dlq resume`\n\
        lets it go on. Nothing is brought back twice.\n\n\
        Example:\n  tsms dlq retry --where code=webapp_refused,tenant=7 --rate 50 --reason 'VAT rule fixed' --yes"
    )]
    Retry {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        pace: Pace,
        /// Why, for whoever looks at it later.
        #[arg(long, default_value = "")]
        reason: String,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// Put letters away for good; what they are about stays given up. Without --yes it only counts.
    Discard {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        pace: Pace,
        /// Why, for whoever looks for the sale later.
        #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: String,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// Runs of retry and discard, in order of id, and how far they have come.
    Runs {
        #[command(flatten)]
        page: Page,
    },
    /// Stop a run after the letters it is at; it can be resumed.
    Pause {
        /// Its id.
        run: i64,
    },
    /// Go on with a run that was paused or killed.
    Resume {
        /// Its id.
        run: i64,
        #[command(flatten)]
        pace: Pace,
    },
}

#[derive(Args)]
pub(super) struct Which {
    /// `all`, or terms that must all hold: id=, stage=, tenant= (id), code=, cause=, with commas between.
    #[arg(long = "where", value_name = "TERMS", default_value = "all")]
    filter: Filter,
}

#[derive(Args, Clone, Copy)]
pub(super) struct Pace {
    /// Most letters a second, for every command that goes on with the run.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_RATE)))]
    pub(super) rate: u32,
}

pub(super) async fn run(setup: &Setup, command: DlqCommand) -> Result<(), Failure> {
    let store = setup.store().await?;
    match command {
        DlqCommand::List { which, json } => list(&store, &which.filter, json).await,
        DlqCommand::Show { which, page } => show(&store, &which.filter, &page).await,
        DlqCommand::Retry {
            which,
            pace,
            reason,
            yes,
        } => order(&store, RedriveKind::Retry, &which.filter, &reason, pace, yes).await,
        DlqCommand::Discard {
            which,
            pace,
            reason,
            yes,
        } => order(&store, RedriveKind::Discard, &which.filter, &reason, pace, yes).await,
        DlqCommand::Runs { page } => runs(&store, &page).await,
        DlqCommand::Pause { run } => {
            store.pause_redrive(run, true).await?;
            Ok(print::line(format_args!("run {run} is paused"))?)
        }
        DlqCommand::Resume { run, pace } => {
            store.set_redrive_rate(run, pace.rate).await?;
            store.pause_redrive(run, false).await?;
            drive(&store, run).await
        }
    }
}

async fn list(store: &Store, filter: &Filter, json: bool) -> Result<(), Failure> {
    let causes = letters::causes(store, filter, usize::MAX).await?.found;
    if json {
        return causes.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = causes
        .into_iter()
        .map(|one| {
            [
                one.cause,
                one.stage,
                one.code,
                one.letters.to_string(),
                one.oldest.to_rfc3339(0),
                one.newest.to_rfc3339(0),
                brief(&one.example),
            ]
        })
        .collect();
    let header = ["cause", "stage", "code", "letters", "oldest", "newest", "example"];
    Ok(print::table(header, &rows)?)
}

async fn show(store: &Store, filter: &Filter, page: &Page) -> Result<(), Failure> {
    let limit = usize::from(page.limit);
    let letters = letters::page(store, filter, page.after, limit, usize::MAX)
        .await?
        .found;
    let (origin, tries) = match letters.as_slice() {
        [only] => (
            letters::origin(store, only).await?,
            store.tries_of(only, MOST_TRIES).await?,
        ),
        _ => Default::default(),
    };
    if page.json {
        return match letters.as_slice() {
            [letter] => {
                print::json(&One { letter, origin })?;
                tries.iter().try_for_each(print::json)
            }
            letters => letters.iter().try_for_each(print::json),
        };
    }
    let rows: Vec<_> = letters
        .into_iter()
        .map(|letter| {
            [
                letter.id.to_string(),
                letter.cause(),
                letter.stage,
                letter.subject_id.to_string(),
                letter.tenant_id.to_string(),
                letter.code,
                letter.created_at.to_rfc3339(0),
                brief(&letter.detail),
            ]
        })
        .collect();
    let header = ["id", "cause", "stage", "row", "tenant", "code", "since", "detail"];
    print::table(header, &rows)?;
    if let Some(request) = &origin.request_id {
        let trace = origin.trace_id.as_deref().unwrap_or("none");
        print::line(format_args!("\nrequest {request}, trace {trace}"))?;
    }
    if tries.is_empty() {
        return Ok(());
    }
    print::line(format_args!(""))?;
    tell_tries(&tries)
}

/// A single letter, as JSON.
#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    letter: &'a Letter,
    #[serde(flatten)]
    origin: Origin,
}

fn tell_tries(tries: &[Try]) -> Result<(), Failure> {
    let rows: Vec<_> = tries
        .iter()
        .map(|one| {
            [
                one.attempt.to_string(),
                one.sent_at.to_rfc3339(3),
                format!("{} ms", one.took_ms),
                one.sink.clone(),
                one.code.clone(),
                one.status.map_or_else(String::new, |status| status.to_string()),
                format!("{} ({} sales)", one.batch_id, one.sales),
                one.request_sha256(),
                one.answer_sha256().unwrap_or_default(),
            ]
        })
        .collect();
    let header = [
        "try",
        "sent",
        "took",
        "sink",
        "why",
        "status",
        "batch",
        "sha256 of the request",
        "of the answer",
    ];
    Ok(print::table(header, &rows)?)
}

/// The beginning of a text, on one line.
fn brief(text: &str) -> String {
    text.chars()
        .take(80)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

async fn order(
    store: &Store,
    kind: RedriveKind,
    filter: &Filter,
    reason: &str,
    pace: Pace,
    yes: bool,
) -> Result<(), Failure> {
    if yes {
        let run = store.start_redrive(kind, filter, reason, pace.rate).await?;
        print::line(format_args!("run {run}: {filter}"))?;
        return drive(store, run).await;
    }
    let mut letters = 0_u64;
    letters::each(store, filter, 0, usize::MAX, |_| {
        letters += 1;
        true
    })
    .await?;
    Ok(print::line(format_args!(
        "{letters} letters match {filter}; nothing is changed without --yes"
    ))?)
}

/// Goes on with a run until it is done or paused. The pace is the run's, however many commands share it.
pub(super) async fn drive(store: &Store, run: i64) -> Result<(), Failure> {
    loop {
        let now = Timestamp::now();
        let order = store.redrive_step(run, usize::MAX, now).await?;
        match order.state {
            RedriveState::Running => {}
            RedriveState::Paused => return tell(&order, "paused"),
            RedriveState::Done => return tell(&order, "done"),
        }
        // Letters that are only looked at cost the web application nothing: the next step may be at once.
        tokio::time::sleep(order.next_at.since(now).min(LONGEST_WAIT)).await;
    }
}

fn tell(order: &Redrive, state: &str) -> Result<(), Failure> {
    Ok(print::line(format_args!(
        "run {} is {state}: {} letters moved, {} kept",
        order.id, order.moved, order.kept
    ))?)
}

async fn runs(store: &Store, page: &Page) -> Result<(), Failure> {
    let orders = store.redrives(page.after, page.limit.into()).await?;
    if page.json {
        return orders.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = orders
        .into_iter()
        .map(|order| {
            [
                order.id.to_string(),
                format!("{:?}", order.kind).to_lowercase(),
                format!("{:?}", order.state).to_lowercase(),
                order.moved.to_string(),
                order.kept.to_string(),
                order.rate.to_string(),
                order.created_at.to_rfc3339(0),
                order.filter,
                order.reason,
            ]
        })
        .collect();
    let header = [
        "run", "what", "state", "moved", "kept", "rate", "since", "where", "reason",
    ];
    Ok(print::table(header, &rows)?)
}
