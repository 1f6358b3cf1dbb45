//! `tsms reconcile`: what a web application holds of a day, against the record.

use clap::Args;
use serde::Serialize;
use tsms::{
    config::Config,
    domain::{control::LOST, day::Day, dead_letter::Filter, sink, time::Timestamp},
    store::{LostItem, RedriveKind, Store},
    workers::reconcile::{self, Compared, Difference, Kind, Problem, Report, Wanted},
};

use super::{
    Exit, Failure, Setup,
    dlq::{Pace, drive},
    print,
};

/// Sales given up in one call.
const LOST_AT_ONCE: usize = 500;

/// Compare what the web application holds of a day with the record, down to the sales.
#[derive(Args)]
#[command(
    after_help = "The web application is asked for control totals (count, sums, digest) of every tenant's day and,\n\
        where they differ, of smaller and smaller ranges; docs/webapp-contract.md describes its side. Sales whose\n\
        delivery is under way are no difference. The day is the business day in each tenant's time zone.\n\n\
        --repair makes what the web application took and does not hold due again, by way of a dead letter and a\n\
        run of `tsms dlq`: with the same ids, so that nothing is doubled. It changes no amount and takes nothing away.\n\n\
        Exit code 0: both sides hold the same; 6: they do not (or did not, before --repair).\n\n\
        Examples:\n  tsms reconcile --day 2026-11-25\n  tsms reconcile --day 2026-11-25 --tenant 7 --repair --rate 50"
)]
pub(super) struct ReconcileArgs {
    /// The sink: `webapp` is the one of `[forwarding]`, the others are those of `tsms sinks list`.
    #[arg(long, default_value = sink::DEFAULT, value_name = "NAME")]
    sink: String,
    /// The business day, e.g. 2026-11-25.
    #[arg(long)]
    day: Day,
    /// This tenant only, by its id.
    #[arg(long, value_name = "ID")]
    tenant: Option<i64>,
    /// Send again what it took and does not hold.
    #[arg(long, conflicts_with = "json")]
    repair: bool,
    #[command(flatten)]
    pace: Pace,
    /// One JSON object a line: tenants, then differences, then the sum of it.
    #[arg(long)]
    json: bool,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct Summary<'a> {
    sink: &'a str,
    day: String,
    tenants: usize,
    differences: usize,
    under_way: u64,
    requests: usize,
}

pub(super) async fn run(setup: &Setup, args: ReconcileArgs) -> Result<(), Failure> {
    let config = setup.config()?;
    let store = setup.store().await?;
    let report = compare(&store, &config, &args).await?;
    if args.json {
        tell_json(&report, &args)?;
    } else {
        tell(&report, &args)?;
    }
    if args.repair {
        repair(&store, &report, &args).await?;
    }
    if report.differences.is_empty() {
        Ok(())
    } else {
        let count = report.differences.len();
        let words = format!("{count} sales differ between {} and the record", args.sink);
        Err(Failure::new(Exit::Failed, words))
    }
}

async fn compare(store: &Store, config: &Config, args: &ReconcileArgs) -> Result<Report, Failure> {
    let wanted = Wanted {
        sink: &args.sink,
        day: args.day,
        tenant_id: args.tenant,
    };
    let failed = |problem: Problem| match problem {
        Problem::Store(error) => Failure::from(error),
        Problem::NoTenant | Problem::NoSink => Failure::new(Exit::Missing, problem.to_string()),
        Problem::NoAddress => Failure::usage(problem.to_string()),
        other => Failure::new(Exit::Unexpected, other.to_string()),
    };
    reconcile::run(store, config, wanted).await.map_err(failed)
}

fn tell_json(report: &Report, args: &ReconcileArgs) -> Result<(), Failure> {
    report.tenants.iter().try_for_each(print::json)?;
    report.differences.iter().try_for_each(print::json)?;
    print::json(&Summary {
        sink: &args.sink,
        day: args.day.to_string(),
        tenants: report.tenants.len(),
        differences: report.differences.len(),
        under_way: report.under_way,
        requests: report.requests,
    })
}

fn tell(report: &Report, args: &ReconcileArgs) -> Result<(), Failure> {
    let row = |one: &Compared| {
        let word = if one.equal { "equal" } else { "differs" };
        [
            one.tenant_id.to_string(),
            one.tenant.clone(),
            one.sales.to_string(),
            one.amount.clone(),
            one.net.clone(),
            one.sink_sales.to_string(),
            one.sink_amount.clone(),
            one.sink_net.clone(),
            one.under_way.to_string(),
            word.to_owned(),
        ]
    };
    let rows: Vec<_> = report.tenants.iter().map(row).collect();
    let header = [
        "tenant",
        "code",
        "sales",
        "amount",
        "net",
        "its sales",
        "its amount",
        "its net",
        "under way",
        "digest",
    ];
    print::table(header, &rows)?;
    if !report.differences.is_empty() {
        let rows: Vec<_> = (report.differences.iter())
            .map(|one| {
                let line =
                    |held: Option<_>| held.map_or_else(|| "nothing".to_owned(), |held| format!("{held}"));
                [
                    one.tenant_id.to_string(),
                    one.tsms_id.to_string(),
                    one.kind.word().to_owned(),
                    line(one.expected),
                    line(one.held),
                    one.note.clone(),
                ]
            })
            .collect();
        print::line("")?;
        print::table(["tenant", "sale", "what", "should hold", "holds", "note"], &rows)?;
    }
    let tenants = report.tenants.len();
    let differences = report.differences.len();
    Ok(print::line(format_args!(
        "{} on {}: {tenants} tenants, {differences} differences, {} under way, {} requests",
        args.sink, args.day, report.under_way, report.requests
    ))?)
}

/// Makes dead letters of what was lost, and brings them back.
async fn repair(store: &Store, report: &Report, args: &ReconcileArgs) -> Result<(), Failure> {
    let lost: Vec<LostItem> = (report.differences.iter())
        .filter_map(|difference| difference.lost())
        .collect();
    let detail = format!(
        "reconciled with {} for {}: it took this and lost it",
        args.sink, args.day
    );
    let given_up = |one: &Difference| one.kind == Kind::GivenUp;
    if lost.is_empty() && !report.differences.iter().any(given_up) {
        return Ok(print::line("nothing has to be sent again")?);
    }
    let mut letters = 0;
    for lost in lost.chunks(LOST_AT_ONCE) {
        letters += store.give_up_lost(lost, &detail, Timestamp::now()).await?;
    }
    // What an earlier run gave up and did not bring back comes along.
    let filter: Filter = match format!("code={LOST}").parse() {
        Ok(filter) => filter,
        Err(error) => return Err(Failure::new(Exit::Unexpected, format!("{error}"))),
    };
    let reason = format!("reconciliation with {} for {}", args.sink, args.day);
    let order = store
        .start_redrive(RedriveKind::Retry, &filter, &reason, args.pace.rate)
        .await?;
    tracing::info!(letters, order, "what the web application lost is brought back");
    drive(store, order).await
}
