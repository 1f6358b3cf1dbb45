//! The roles of a fleet, each in a process of its own: ingress, worker, scheduler; and migrate.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc};

use rustix::process::{getpriority_process, setpriority_process};
use tsms::{
    config::Config,
    fleet::{Fleet, Roles, stop_on_signal},
    queue,
    stage::Stage,
    store,
    telemetry::logs,
};

use super::{Failure, Setup, print, unmigrated};

/// Take sales over HTTP: authenticate, commit, answer 202.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  tsms ingress\n  tsms ingress --listen 0.0.0.0:8080\n\n\
    Serves /metrics, /livez and /readyz too. SIGTERM drains: /readyz turns 503, requests under way finish."
)]
pub(super) struct IngressArgs {
    /// Where to listen, instead of ingress.listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Work on the queues of one or more stages.
#[derive(clap::Args)]
#[command(
    after_help = "Stages: validation (high), processing, forwarding (standard), audit, notification (low).\n\n\
    Examples:\n  tsms worker forwarding --concurrency 8\n  \
    tsms worker audit notification --ops-listen 127.0.0.1:0\n\n\
    Start as many of a stage as you like, on as many machines; they share its queue.\n\
    SIGTERM drains for up to fleet.drain_ms and hands back what is left."
)]
pub(super) struct WorkerArgs {
    /// The stages to work on.
    #[arg(required = true, value_name = "STAGE")]
    stages: Vec<Stage>,
    /// Sets of jobs worked on at the same time, for each stage given, instead of `stage.<name>.concurrency`.
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroUsize>,
    /// Where /metrics, /livez and /readyz are served, instead of ops.listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,
}

/// Sweep: enqueue again whatever is due and not moving. More than one does no harm.
#[derive(clap::Args)]
pub(super) struct SchedulerArgs {
    /// Where /metrics, /livez and /readyz are served, instead of ops.listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,
}

pub(super) async fn ingress(setup: &Setup, args: IngressArgs) -> Result<(), Failure> {
    let mut config = setup.config()?;
    config.ingress.listen = args.listen.unwrap_or(config.ingress.listen);
    let roles = Roles {
        ingress: true,
        ..Roles::default()
    };
    serve(config, &roles).await
}

/// Makes this process as nice as workers shall be. On a machine that is busy the tills then get their answers
/// first; the work waits in the queues, is done in larger sets, and so costs less.
pub(super) fn yield_to_tills(setup: &Setup) -> Result<(), Failure> {
    let nice = i32::from(setup.config()?.fleet.worker_nice);
    if getpriority_process(None).is_ok_and(|now| now < nice) {
        // Where a sandbox refuses it the work is done all the same.
        setpriority_process(None, nice).ok();
    }
    Ok(())
}

pub(super) async fn worker(setup: &Setup, args: WorkerArgs) -> Result<(), Failure> {
    let mut config = setup.config()?;
    config.ops.listen = args.ops_listen.unwrap_or(config.ops.listen);
    let mut stages = args.stages;
    stages.sort_unstable();
    stages.dedup();
    if let Some(concurrency) = args.concurrency {
        for stage in &stages {
            if let Some(pool) = config.stage.get_mut(stage.name()) {
                pool.concurrency = concurrency.get();
            }
        }
    }
    let roles = Roles {
        stages,
        ..Roles::default()
    };
    serve(config, &roles).await
}

pub(super) async fn scheduler(setup: &Setup, args: SchedulerArgs) -> Result<(), Failure> {
    let mut config = setup.config()?;
    config.ops.listen = args.ops_listen.unwrap_or(config.ops.listen);
    let roles = Roles {
        scheduler: true,
        ..Roles::default()
    };
    serve(config, &roles).await
}

/// Runs roles that share the database and the queue with other processes.
async fn serve(config: Config, roles: &Roles) -> Result<(), Failure> {
    config.check_fleet()?;
    if roles.ingress {
        config.keyring()?;
    }
    logs::start(&config.log);
    let store = store::open(&config.database).await?;
    store.ping().await.map_err(unmigrated)?;
    let queue = queue::open(&config.queue).await?;
    let fleet = Fleet::start(Arc::new(config), store, queue, roles).await?;
    stop_on_signal(fleet.stopper())?;
    Ok(fleet.run().await?)
}

pub(super) async fn migrate(setup: &Setup) -> Result<(), Failure> {
    let store = store::open(&setup.config()?.database).await?;
    store.migrate().await?;
    print::line("the schema is up to date")?;
    Ok(())
}
