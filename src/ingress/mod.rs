//! The thin HTTP ingress: authenticate, read, commit, answer 202. Nothing slower belongs here.
//!
//! A submission passes `listen` (the connection) → `observe` (id, deadline, log) → `linger` →
//! `body` (headers) → `caller` (token) → `quota` (rate limits) → `gate` (back-pressure) → `body`
//! (bytes) → `submit` (content, owner) → `commit` → `enqueue`. A void or refund goes by `reverse` and
//! `pass_on` instead. Whatever goes wrong on the way is a row of the table in `error`.

mod admin;
mod allow;
mod auth;
mod behind;
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
mod form;
mod gate;
mod heartbeat;
mod identities;
mod linger;
mod listen;
mod observe;
pub mod ops;
mod orders;
mod pass_on;
mod problem;
mod quota;
mod refusals;
mod request_id;
mod retry_after;
mod reverse;
mod routes;
mod sandbox;
mod seats;
mod security;
mod status;
mod submit;
mod tls;
mod traced;
mod upkeep;
mod watch;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    config::Config,
    credentials::Credentials,
    domain::{
        json::{Duplicates, Limits},
        keyring::Keyring,
        payload::Bounds,
    },
    limits::Limiter,
    queue::Queue,
    store::{Store, StoreError},
    telemetry::traces::Tracer,
};
pub use tls::certificate_end;

use error::Error;
use routes::{
    HEARTBEAT, REFUND, SUBMISSION, SUBMIT, TRANSACTION, VOID, frame, router, status_url, submission_url,
};

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
    keyring: Keyring,
    credentials: Credentials,
    identities: identities::Identities,
    sightings: Arc<behind::Sightings>,
    events: Arc<security::SecurityLog>,
    limiter: Limiter,
    orders: Arc<orders::Orders>,
    refusals: Arc<refusals::Refusals>,
    gate: Arc<gate::Gate>,
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
    fn new(
        config: Arc<Config>,
        keyring: Keyring,
        store: Store,
        queue: &Queue,
        limiter: Limiter,
        committer: commit::Committer,
    ) -> Self {
        let (settings, auth) = (&config.ingress, &config.auth);
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
            credentials: Credentials::new(store.clone(), keyring.clone(), &auth.environment),
            keyring,
            identities: identities::Identities::new(settings, auth.blind_ttl_ms.duration()),
            sightings: Arc::new(behind::Sightings::new(
                auth.sighting_capacity,
                auth.sighting_ms.duration(),
            )),
            events: Arc::new(security::SecurityLog::new(auth.event_capacity)),
            limiter,
            orders: Arc::default(),
            refusals: Arc::default(),
            gate: Arc::new(gate::Gate::new(&config.gate)),
            committer,
            pass_on: pass_on::PassOn::start(queue, settings.enqueue_bodies),
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

    /// A maker of tokens whose changes are put down as those of `store` are.
    fn credentials_for(&self, store: &Store) -> Credentials {
        let environment = &self.config.auth.environment;
        Credentials::new(store.clone(), self.keyring.clone(), environment)
    }

    /// Back-pressure: come back when about what waits now is done.
    fn overloaded(&self) -> Error {
        Error::Overloaded {
            retry_after: self.retry_after.about(self.committer.ahead()),
        }
    }

    /// A closed gate: come back when about what waits now is done.
    fn gate_closed(&self, wait: Duration) -> Error {
        Error::Overloaded {
            retry_after: self.retry_after.about(wait),
        }
    }

    /// Back-pressure on one tenant.
    fn tenant_busy(&self) -> Error {
        Error::TenantBusy {
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
    tracer: Option<Tracer>,
    stop: CancellationToken,
) -> Result<(), IngressError> {
    // Requests under way are counted to the last, so these tasks outlive `stop`.
    let tasks_stop = CancellationToken::new();
    let _tasks_end = tasks_stop.clone().drop_guard();
    let (committer, pipeline) = commit::start(&config.ingress, store.clone(), queue.clone());
    let keyring = config
        .keyring()
        .map_err(|error| IngressError(error.to_string()))?;
    warn_of_lost_peppers(&keyring, &store).await;
    let limiter = Limiter::start(&config.limits, &config.queue, &tasks_stop)
        .map_err(|error| IngressError(error.to_string()))?;
    let app = Arc::new(App::new(
        Arc::clone(&config),
        keyring,
        store.clone(),
        &queue,
        limiter,
        committer.clone(),
    ));
    let beats = app.beats.clone();
    let ops = ops::Ops::new(
        &config,
        store.clone(),
        queue.clone(),
        stop.clone(),
        ops::Needs::Record,
    );
    let attendants = attend(&app, &config);
    let upkeep = upkeep::Upkeep {
        store: store.clone(),
        limiter: app.limiter.clone(),
        orders: Arc::clone(&app.orders),
        refusals: Arc::clone(&app.refusals),
        settings: config.limits,
    };
    let upkeep = tokio::spawn(upkeep.run(tasks_stop.clone()));
    let gate = gate::watch(
        Arc::clone(&app.gate),
        queue,
        committer,
        config.gate,
        tasks_stop.clone(),
    );
    tokio::spawn(gate);
    let router = router(app, ops, tracer);
    let (drain, notice) = (config.fleet.drain_ms, config.ingress.drain_notice_ms);
    let drain = drain.duration().saturating_sub(notice.duration());
    let tls = tls::Tls::open(&config.ingress)?;
    let bounds = listen::Bounds::new(&config.ingress, drain, tls.clone());
    let watching = tls.map(|tls| {
        let every = config.ingress.tls_reload_ms.duration();
        AbortOnDropHandle::new(tokio::spawn(async move { tls.watch(every).await }))
    });
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
    let served = tokio::select! {
        served = listen::serve(listener, router, bounds, leave) => served,
        () = beats.clone().write_behind(store.clone(), config.heartbeat.flush_ms.duration()) => Ok(()),
    };
    drop(watching);
    tasks_stop.cancel();
    pipeline.flush(FLUSH_LIMIT).await;
    attendants.leave().await;
    let written = tokio::time::timeout(FLUSH_LIMIT, beats.flush(&store)).await;
    if written.is_err() {
        tracing::warn!("stopped before the last heartbeats were written");
    }
    if tokio::time::timeout(FLUSH_LIMIT, upkeep).await.is_err() {
        tracing::debug!("the last refusals are not in the record");
    }
    served
}

/// The tasks beside the requests; they outlive the last of them.
struct Attendants {
    stop: CancellationToken,
    tasks: TaskTracker,
}

fn attend(app: &App, config: &Config) -> Attendants {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(watch::follow(
        app.store.clone(),
        app.identities.clone(),
        config.auth.clone(),
        stop.clone(),
    ));
    tasks.spawn(behind::write(
        app.store.clone(),
        Arc::clone(&app.sightings),
        Arc::clone(&app.events),
        config.auth.write_behind_ms.duration(),
        stop.clone(),
    ));
    tasks.close();
    Attendants { stop, tasks }
}

impl Attendants {
    async fn leave(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

/// Tokens that hang on a pepper that is not given look like unknown ones: a person must be told.
async fn warn_of_lost_peppers(keyring: &Keyring, store: &Store) {
    match store.tokens_by_pepper().await {
        Ok(counts) => {
            for (pepper, tokens) in counts.iter().filter(|(pepper, _)| !keyring.knows(pepper)) {
                tracing::error!(
                    pepper,
                    tokens,
                    "auth.pepper lacks a pepper that tokens are hashed with"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "cannot see which peppers tokens are hashed with"),
    }
}

#[cfg(test)]
mod tests;
