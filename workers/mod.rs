//! The worker fleet: one file a stage. A worker sees the domain, the store, its settings and its
//! outcome type; never a queue, never another worker.

mod audit;
mod forwarding;
mod notification;
mod processing;
mod validation;

use std::sync::Arc;

use crate::{
    config::Config,
    outcome::Outcome,
    queue::Job,
    stage::Stage,
    store::{Store, StoreError},
};

/// What a worker may use.
#[derive(Clone)]
pub struct Ctx {
    /// The record.
    pub store: Store,
    /// The settings.
    pub config: Arc<Config>,
    /// Terminals and tenants, cached.
    pub directory: validation::Directory,
    /// The way out to the web application.
    pub webapp: forwarding::WebApp,
    /// The way out to terminals' callback addresses.
    pub callbacks: notification::Callbacks,
}

/// A worker cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the workers: {0}")]
pub struct SetupError(pub String);

impl Ctx {
    /// Sets up what the workers share.
    ///
    /// # Errors
    /// The HTTP client cannot be built, or the endpoint is not a URL.
    pub fn new(store: Store, config: Arc<Config>) -> Result<Self, SetupError> {
        let _ = (store, config);
        todo!("workers")
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

/// A job of `stage` kills its workers or was judged dead: gives its row up, so that a person sees it
/// and the sweeper leaves it alone.
///
/// # Errors
/// The record cannot be reached.
pub async fn bury(stage: Stage, ctx: &Ctx, key: i64, reason: &str) -> Result<(), StoreError> {
    let _ = (stage, ctx, key, reason);
    todo!("workers")
}
