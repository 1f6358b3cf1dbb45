//! The thin HTTP ingress: authenticate, read, commit, answer 202. Nothing slower belongs here.
//!
//! A submission passes `listen` (the connection) → `observe` (id, deadline, log) → `linger` →
//! `body` (headers) → `caller` (token) → `body` (bytes) → `submit` (content, owner) → `commit` →
//! `enqueue`. A void or refund goes by `reverse` and `pass_on` instead. Whatever goes wrong on the way is
//! a row of the table in `error`.

mod allow;
mod body;
mod caller;
mod client_addr;
mod commit;
pub mod contract;
mod deadline;
mod enqueue;
mod error;
#[cfg(test)]
mod fixture;
mod heartbeat;
mod linger;
mod listen;
mod observe;
pub mod ops;
mod pass_on;
mod problem;
mod request_id;
mod retry_after;
mod reverse;
mod sandbox;
mod status;
mod submit;
mod tls;

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use utoipa::openapi::OpenApi;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};
use uuid::Uuid;

use crate::{
    config::Config,
    domain::{
        json::{Duplicates, Limits},
        payload::Bounds,
    },
    queue::Queue,
    store::{Store, StoreError},
};
use error::Error;

/// The ingress cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("ingress: {0}")]
pub struct IngressError(pub String);

/// How long the last commits and pushes may take once no request is under way any more; with the
/// default drain it ends before a supervisor's usual 30 s are over.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// What the handlers share.
struct App {
    config: Arc<Config>,
    store: Store,
    identities: caller::Identities,
    committer: commit::Committer,
    pass_on: pass_on::PassOn,
    beats: heartbeat::Beats,
    body_budget: Arc<Semaphore>,
    /// Places for voids and refunds under way.
    reversals: Semaphore,
    sandbox: Arc<Semaphore>,
    bounds: Bounds,
    retry_after: retry_after::RetryAfter,
}

impl App {
    fn new(config: Arc<Config>, store: Store, queue: &Queue, committer: commit::Committer) -> Self {
        let settings = &config.ingress;
        let bounds = Bounds {
            json: Limits {
                depth: settings.max_depth,
                nodes: settings.max_values,
                duplicates: Duplicates::Refuse,
            },
            batch: settings.max_batch,
            max_errors: settings.max_errors,
        };
        Self {
            identities: caller::Identities::new(settings),
            committer,
            pass_on: pass_on::PassOn::start(queue, settings.enqueue_queue),
            beats: heartbeat::Beats::new(&config.heartbeat),
            reversals: Semaphore::new(settings.reversal_slots.min(Semaphore::MAX_PERMITS)),
            body_budget: Arc::new(Semaphore::new(
                settings.body_budget_bytes.min(Semaphore::MAX_PERMITS),
            )),
            sandbox: Arc::new(Semaphore::new(settings.sandbox_concurrency)),
            bounds,
            retry_after: retry_after::RetryAfter::new(settings),
            store,
            config,
        }
    }

    /// Back-pressure: come back when about what waits now is done.
    fn overloaded(&self) -> Error {
        Error::Overloaded {
            retry_after: self.retry_after.about(self.committer.ahead()),
        }
    }

    fn store_unavailable(&self) -> Error {
        Error::StoreUnavailable {
            retry_after: self.retry_after.soon(),
        }
    }

    fn answer_late(&self) -> Error {
        Error::AnswerLate {
            retry_after: self.retry_after.soon(),
        }
    }

    /// A read of the record failed: the log gets the reason, the client the advice.
    fn store_failed(&self, error: &StoreError) -> Error {
        tracing::error!(%error, "the record cannot be read");
        match error {
            StoreError::Unavailable(_) => self.store_unavailable(),
            _ => Error::Internal,
        }
    }
}

/// Serves on `listener` until `stop`, then finishes requests under way (for at most `fleet.drain_ms`)
/// and flushes what is committed to the queue.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    config: Arc<Config>,
    store: Store,
    queue: Queue,
    stop: CancellationToken,
) -> Result<(), IngressError> {
    let (committer, pipeline) = commit::start(&config.ingress, store.clone(), queue.clone());
    let app = Arc::new(App::new(Arc::clone(&config), store.clone(), &queue, committer));
    let beats = app.beats.clone();
    let ops = ops::Ops::new(&config, store.clone(), queue, stop.clone(), ops::Needs::Record);
    let router = router(app, ops);
    let (drain, notice) = (config.fleet.drain_ms, config.ingress.drain_notice_ms);
    let drain = drain.duration().saturating_sub(notice.duration());
    let tls = tls::Tls::open(&config.ingress)?;
    let bounds = listen::Bounds::new(&config.ingress, drain, tls.clone());
    let watching = tls.map(|tls| {
        let every = config.ingress.tls_reload_ms.duration();
        AbortOnDropHandle::new(tokio::spawn(async move { tls.watch(every).await }))
    });
    let writing = beats
        .clone()
        .write_behind(store.clone(), config.heartbeat.flush_ms.duration());
    let writing = AbortOnDropHandle::new(tokio::spawn(writing));
    // First /readyz says so, then nobody is let in: a load balancer needs the time between the two.
    let leave = CancellationToken::new();
    let notice = notice.duration();
    let _told = AbortOnDropHandle::new(tokio::spawn({
        let leave = leave.clone();
        async move {
            stop.cancelled().await;
            tokio::time::sleep(notice).await;
            leave.cancel();
        }
    }));
    let served = listen::serve(listener, router, bounds, leave).await;
    drop((watching, writing));
    pipeline.flush(FLUSH_LIMIT).await;
    let written = tokio::time::timeout(FLUSH_LIMIT, beats.flush(&store)).await;
    if written.is_err() {
        tracing::warn!("stopped before the last heartbeats were written");
    }
    served
}

const SUBMIT: &str = "/api/v1/transactions/official";
const TRANSACTION: &str = "/api/v1/transactions/{id}/status";
const VOID: &str = "/api/v1/transactions/{id}/void";
const REFUND: &str = "/api/v1/transactions/{id}/refund";
const HEARTBEAT: &str = "/api/v1/heartbeat";
const SUBMISSION: &str = "/api/v1/submissions/{uuid}";

fn status_url(transaction_id: Uuid) -> String {
    format!("/api/v1/transactions/{transaction_id}/status")
}

fn submission_url(submission_uuid: Uuid) -> String {
    format!("/api/v1/submissions/{submission_uuid}")
}

/// The routes for tills. A route is added with its document or not at all: `tests/tidy.rs` refuses
/// axum's own way.
fn tills() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(submit::submit).layer(middleware::from_fn(linger::linger)))
        .routes(routes!(reverse::void))
        .routes(routes!(reverse::refund))
        .routes(routes!(heartbeat::heartbeat))
        .routes(routes!(status::transaction))
        .routes(routes!(status::submission))
        .merge(sandbox::api())
}

/// What the handlers of all routes say about themselves.
fn documented() -> OpenApi {
    let mut routes: OpenApiRouter = OpenApiRouter::default();
    for api in [
        tills().into_openapi(),
        ops::api(Arc::default()).into_openapi(),
        contract::pages::<()>().into_openapi(),
    ] {
        routes.get_openapi_mut().merge(api);
    }
    routes.into_openapi()
}

fn router(app: Arc<App>, ops: Arc<ops::Ops>) -> Router {
    let limit = app.config.ingress.request_timeout_ms.duration();
    let routes: Router = tills().with_state(app).merge(contract::pages()).into();
    frame(routes.merge(ops::routes(ops)), limit)
}

/// What is the same around all routes: problem documents for unknown paths and methods, and
/// [`observe`]. A request may take `limit`.
fn frame(routes: Router, limit: Duration) -> Router {
    routes
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(limit, observe::observe))
}

#[cfg(test)]
mod tests;
