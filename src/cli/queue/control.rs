//! Pausing, resuming, looking into and draining queues: orders are rows, which every worker process
//! reads.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, interval};
use tsms::{
    domain::{
        hold::Hold,
        time::Timestamp,
        trace::{self, TraceContext},
    },
    queue::Queue,
    stage::{STAGES, Stage},
    store::{NewHold, Store},
};

use crate::cli::{
    Failure, Setup,
    directory::{Page, find_tenant},
    fail::Exit,
    print,
};

const MINUTE: Duration = Duration::from_secs(60);
/// How often a queue that is drained is looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Args)]
#[group(id = "what", required = true, multiple = true, args = ["queue", "tenant"])]
pub(in crate::cli) struct PauseArgs {
    /// The queue; every queue when only a tenant is given.
    #[arg(value_name = "QUEUE")]
    queue: Option<Stage>,
    /// Only the work of this tenant, by id or code.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Args)]
struct OrderArgs {
    /// When it ends by itself; at most 7 days.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: u32,
    /// Who answers for it.
    #[arg(long)]
    owner: String,
    /// Why, for whoever finds it.
    #[arg(long)]
    reason: String,
}

#[derive(Args)]
#[group(id = "what", required = true, multiple = true, args = ["queue", "tenant"])]
pub(in crate::cli) struct ResumeArgs {
    /// The queue, as it was given to `pause`.
    #[arg(value_name = "QUEUE")]
    queue: Option<Stage>,
    /// The tenant, as it was given to `pause`.
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Args)]
pub(in crate::cli) struct DrainArgs {
    /// The queue to be emptied.
    #[arg(value_name = "QUEUE")]
    queue: Stage,
    #[command(flatten)]
    order: OrderArgs,
}

pub(super) async fn pause(setup: &Setup, args: PauseArgs) -> Result<(), Failure> {
    let store = setup.store().await?;
    let tenant = tenant(&store, args.tenant.as_deref()).await?;
    let (id, ends_at) = hold(&store, args.queue, tenant, &args.order).await?;
    let (what, end) = (subject(args.queue, tenant), ends_at.to_rfc3339(0));
    Ok(print::line(format_args!(
        "hold {id}: {what} stands still until {end}"
    ))?)
}

async fn hold(
    store: &Store,
    queue: Option<Stage>,
    tenant_id: Option<i64>,
    order: &OrderArgs,
) -> Result<(i64, Timestamp), Failure> {
    let ends_at = Timestamp::now().plus(MINUTE.saturating_mul(order.minutes));
    let hold = NewHold {
        queue: queue.map(|stage| stage.name().to_owned()),
        tenant_id,
        owner: order.owner.clone(),
        reason: order.reason.clone(),
        ends_at,
    };
    Ok((store.hold_queue(&hold).await?, ends_at))
}

pub(super) async fn resume(setup: &Setup, args: ResumeArgs) -> Result<(), Failure> {
    let store = setup.store().await?;
    let tenant = tenant(&store, args.tenant.as_deref()).await?;
    let lifted = store.lift_holds(args.queue.map(Stage::name), tenant).await?;
    let what = subject(args.queue, tenant);
    if lifted == 0 {
        let words = format!("nothing holds {what} (`tsms queue holds` lists what was paused)");
        return Err(Failure::new(Exit::Missing, words));
    }
    Ok(print::line(format_args!("{what} goes on"))?)
}

pub(super) async fn holds(setup: &Setup, page: &Page) -> Result<(), Failure> {
    let store = setup.store().await?;
    let holds = store.list_holds(page.after, page.limit.into()).await?;
    if page.json {
        return holds.iter().try_for_each(print::json);
    }
    let now = Timestamp::now();
    let rows: Vec<_> = holds
        .iter()
        .map(|hold| {
            [
                hold.id.to_string(),
                hold.queue.clone().unwrap_or_else(|| "every queue".to_owned()),
                hold.tenant_id.map_or("-".to_owned(), |id| id.to_string()),
                state(hold, now),
                hold.owner.clone(),
                hold.reason.clone(),
            ]
        })
        .collect();
    Ok(print::table(
        ["id", "queue", "tenant", "state", "owner", "reason"],
        &rows,
    )?)
}

fn state(hold: &Hold, now: Timestamp) -> String {
    let end = hold.ends_at.to_rfc3339(0);
    match hold.lifted_at {
        Some(at) => format!("resumed {}", at.to_rfc3339(0)),
        None if hold.stands(now) => format!("until {end}"),
        None => format!("ended {end}"),
    }
}

pub(super) async fn peek(
    setup: &Setup,
    queue: &Queue,
    (stage, limit): (Stage, usize),
    word: Option<&str>,
    json: bool,
) -> Result<(), Failure> {
    let only = match word {
        Some(word) => Some(find_tenant(&setup.store().await?, word).await?.id),
        None => None,
    };
    let jobs = queue.peek(stage, limit).await?;
    let jobs = jobs
        .iter()
        .filter(|job| only.is_none_or(|tenant| tenant == job.tenant_id));
    if json {
        return jobs.into_iter().try_for_each(|job| {
            print::json(&json!({
                "queue": stage.name(), "key": job.key, "tenant_id": job.tenant_id, "attempt": job.attempt,
                "enqueued_at": job.enqueued_at.to_string(), "request_id": trace::request_id(&job.request_id),
                "trace_id": trace::context(&job.request_id).map(TraceContext::trace_id),
                "body_bytes": job.body.len(),
            }))
        });
    }
    let rows: Vec<_> = jobs
        .map(|job| {
            [
                job.key.to_string(),
                job.tenant_id.to_string(),
                job.attempt.to_string(),
                job.enqueued_at.to_rfc3339(0),
                trace::request_id(&job.request_id).to_owned(),
                trace::context(&job.request_id).map_or_else(String::new, TraceContext::trace_id),
            ]
        })
        .collect();
    Ok(print::table(
        ["key", "tenant", "attempt", "enqueued at", "request", "trace"],
        &rows,
    )?)
}

pub(super) async fn drain(setup: &Setup, queue: &Queue, args: DrainArgs) -> Result<(), Failure> {
    let store = setup.store().await?;
    let before = STAGES.iter().filter(|spec| spec.next.contains(&args.queue));
    for spec in before {
        let (id, _) = hold(&store, Some(spec.stage), None, &args.order).await?;
        print::line(format_args!("hold {id}: {} stands still", spec.name))?;
    }
    let deadline = Instant::now() + MINUTE.saturating_mul(args.order.minutes);
    let mut turn = interval(LOOK);
    loop {
        turn.tick().await;
        let depth = queue.depth(args.queue).await?;
        let left = depth.ready + depth.in_flight + depth.delayed;
        if left == 0 {
            return Ok(print::line(format_args!("{} is empty", args.queue))?);
        }
        if Instant::now() >= deadline {
            let words = format!("{left} jobs are left in {}", args.queue);
            return Err(Failure::new(Exit::Failed, words));
        }
    }
}

async fn tenant(store: &Store, word: Option<&str>) -> Result<Option<i64>, Failure> {
    match word {
        Some(word) => Ok(Some(find_tenant(store, word).await?.id)),
        None => Ok(None),
    }
}

fn subject(queue: Option<Stage>, tenant: Option<i64>) -> String {
    let queue = queue.map_or("every queue", Stage::name);
    match tenant {
        Some(id) => format!("tenant {id} in {queue}"),
        None => queue.to_owned(),
    }
}
