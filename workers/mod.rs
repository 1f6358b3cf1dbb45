//! The worker fleet: one file a stage. A worker sees the domain, the store, its settings and its
//! outcome type; never a queue, never another worker.
//!
//! Every worker takes a set of jobs, commits what it finds with a handful of multi-row statements,
//! and only then names the jobs that follow. A set that comes twice changes nothing, and names the
//! follow-up jobs again, for the first run may have died before they were enqueued.

mod alerts;
pub(crate) mod audit;
mod directory;
mod forwarding;
mod notification;
mod outbound;
mod processing;
pub mod reconcile;
mod schedule;
mod traces;
mod validation;

use std::sync::Arc;

use bytes::Bytes;

pub use alerts::Outlet;
pub use directory::Directory;
pub use forwarding::{Breakers, Left, Sinks};
pub use notification::{Callbacks, receiver as callback_receiver};
pub use traces::Exporter;

use crate::{
    config::Config,
    domain::{sale::Transaction, time::Timestamp, work::AuditEvent},
    outcome::Outcome,
    queue::Job,
    stage::Stage,
    store::{Store, StoreError},
    telemetry::traces::Tracer,
};

/// What a worker may use.
#[derive(Clone)]
pub struct Ctx {
    /// The record.
    pub store: Store,
    /// The settings.
    pub config: Arc<Config>,
    /// Terminals and tenants, cached.
    pub directory: Directory,
    /// The ways out to web applications.
    pub sinks: Sinks,
    /// What sets of forwarding left under way.
    pub left: Left,
    /// Whether a sink may be called.
    pub breakers: Breakers,
    /// The way out to terminals' callback addresses.
    pub callbacks: Callbacks,
    /// Where steps of traces are told; `None`: nowhere.
    pub tracer: Option<Tracer>,
}

/// A worker cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the workers: {0}")]
pub struct SetupError(pub String);

impl Ctx {
    /// Sets up what the workers share.
    ///
    /// # Errors
    /// The HTTP client cannot be built, or the endpoint of the settings is not a URL.
    pub fn new(store: Store, config: Arc<Config>) -> Result<Self, SetupError> {
        Ok(Self {
            directory: Directory::new(store.clone(), &config.fleet),
            sinks: Sinks::new(store.clone(), Arc::clone(&config))?,
            left: Left::default(),
            breakers: Breakers::new(store.clone(), &config.forwarding),
            callbacks: Callbacks::new(&config)?,
            tracer: None,
            store,
            config,
        })
    }
}

/// Runs one set of jobs of a stage. An error means the set as a whole could not be worked on for a
/// passing reason: nothing was lost, all of it is tried again.
///
/// # Errors
/// The record cannot be reached.
pub async fn run(stage: Stage, ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    match stage {
        Stage::Validation => validation::run(ctx, jobs).await,
        Stage::Processing => processing::run(ctx, jobs).await,
        Stage::Forwarding => forwarding::run(ctx, jobs).await,
        Stage::Audit => audit::run(ctx, jobs).await,
        Stage::Notification => notification::run(ctx, jobs).await,
    }
}

/// The code of a dead letter whose job was set aside rather than judged.
const PARKED: &str = "parked";

/// A job of `stage` kills its workers or was judged dead: gives its row up, so that a person sees it
/// and the sweeper leaves it alone. A row that has ended already stays as it is.
///
/// Audit and notification have nothing to give up: their rows are what they are, and only their own
/// work is missing. The sweeper tries it again.
///
/// # Errors
/// The record cannot be reached.
pub async fn bury(stage: Stage, ctx: &Ctx, key: i64, reason: &str) -> Result<(), StoreError> {
    let now = Timestamp::now();
    match stage {
        Stage::Validation => ctx.store.bury_submission(key, PARKED, reason, now).await,
        Stage::Processing => ctx.store.bury_transaction(key, PARKED, reason, now).await,
        Stage::Forwarding => forwarding::bury(ctx, key, reason, now).await,
        Stage::Audit | Stage::Notification => {
            tracing::error!(stage = stage.name(), key, reason, "a job was set aside");
            Ok(())
        }
    }
}

/// A job about a transaction, for the stage that follows.
fn follow_up(row: &Transaction, request_id: &str, now: Timestamp, body: Bytes) -> Job {
    Job {
        key: row.id,
        tenant_id: row.tenant_id,
        attempt: 0,
        enqueued_at: now,
        request_id: request_id.to_owned(),
        body,
    }
}

/// The job that writes events of one transaction to the audit log; none without events.
pub(crate) fn audit_job(events: &[AuditEvent], request_id: &str, now: Timestamp) -> Option<Job> {
    let first = events.first()?;
    Some(Job {
        key: first.transaction_id,
        tenant_id: first.tenant_id,
        attempt: 0,
        enqueued_at: now,
        request_id: request_id.to_owned(),
        body: AuditEvent::encode(events),
    })
}
