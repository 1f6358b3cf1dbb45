//! `/metrics`, `/livez`, `/readyz`: on the ingress, and on a port of its own for every other role.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    middleware,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

use super::{IngressError, allow, frame, listen};
use crate::{config::Config, domain::network::Networks, queue::Queue, store::Store, telemetry::metrics};

/// The routes of this file.
pub(super) const PATHS: [&str; 3] = [METRICS, LIVE, READY];
const METRICS: &str = "/metrics";
const LIVE: &str = "/livez";
const READY: &str = "/readyz";

/// How long the record or the queue may take to give a sign of life.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// Most connections to the port of a role without an ingress: a scraper, a prober and a person.
const OPS_CONNECTIONS: usize = 64;

/// Serves the three routes alone until `stop`. `/readyz` is 503 from the moment `draining` is cancelled.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    config: Arc<Config>,
    store: Store,
    queue: Queue,
    draining: CancellationToken,
    stop: CancellationToken,
) -> Result<(), IngressError> {
    let ops = Ops::new(&config, store, queue, draining, Needs::RecordAndQueue);
    let limit = config.ingress.request_timeout_ms.duration();
    let router = frame(routes(ops), limit);
    let bounds = listen::Bounds {
        connections: OPS_CONNECTIONS,
        ..listen::Bounds::new(&config.ingress, PING_LIMIT, None)
    };
    listen::serve(listener, router, bounds, stop).await
}

/// What a role cannot work without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// The ingress: it accepts sales while the queue is away.
    Record,
    /// Every other role.
    RecordAndQueue,
}

/// What the routes look at.
pub(super) struct Ops {
    store: Store,
    queue: Queue,
    draining: CancellationToken,
    needs: Needs,
    /// Who may read the metrics.
    readers: Arc<Networks>,
    reuse: Duration,
    /// The last result. Held while a new one is made, so that many probers cause one look.
    last: Mutex<Option<(Instant, Health)>>,
}

impl Ops {
    pub(super) fn new(
        config: &Config,
        store: Store,
        queue: Queue,
        draining: CancellationToken,
        needs: Needs,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            queue,
            draining,
            needs,
            readers: Arc::new(config.ingress.metrics_allow.clone()),
            reuse: config.ops.ready_cache_ms.duration(),
            last: Mutex::new(None),
        })
    }

    async fn health(&self) -> Health {
        let mut last = self.last.lock().await;
        if let Some((at, health)) = *last
            && at.elapsed() < self.reuse
        {
            return health;
        }
        let (store, queue) = tokio::join!(
            tokio::time::timeout(PING_LIMIT, self.store.ping()),
            tokio::time::timeout(PING_LIMIT, self.queue.ping()),
        );
        let health = Health {
            record: matches!(store, Ok(Ok(()))),
            queue: matches!(queue, Ok(Ok(()))),
        };
        *last = Some((Instant::now(), health));
        health
    }
}

/// Who gave a sign of life.
#[derive(Clone, Copy, Debug)]
struct Health {
    record: bool,
    queue: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct Liveness {
    #[schema(pattern = "^ok$")]
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    #[schema(pattern = "^(ready|unready|draining)$")]
    status: &'static str,
    #[schema(pattern = "^(ok|unavailable)$")]
    record: &'static str,
    #[schema(pattern = "^(ok|unavailable)$")]
    queue: &'static str,
}

fn judge(health: Health, needs: Needs, draining: bool) -> (StatusCode, Readiness) {
    let word = |alive| if alive { "ok" } else { "unavailable" };
    let ready = !draining && health.record && (health.queue || needs == Needs::Record);
    let (status, summary) = match (draining, ready) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, true) => (StatusCode::OK, "ready"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
    };
    let readiness = Readiness {
        status: summary,
        record: word(health.record),
        queue: word(health.queue),
    };
    (status, readiness)
}

/// The routes of this file. Who may read the metrics is decided before they are.
pub(super) fn api(readers: Arc<Networks>) -> OpenApiRouter<Arc<Ops>> {
    let guarded = middleware::from_fn_with_state(readers, allow::only);
    OpenApiRouter::default()
        .routes(routes!(metrics_text).layer(guarded))
        .routes(routes!(live))
        .routes(routes!(ready))
}

/// The routes, served.
pub(super) fn routes(ops: Arc<Ops>) -> Router {
    api(Arc::clone(&ops.readers)).with_state(ops).into()
}

/// Metrics.
///
/// For Prometheus. Every name is explained in `docs/operations.md`.
#[utoipa::path(
    get,
    path = METRICS,
    operation_id = "metrics",
    tag = "operations",
    responses((status = 200, description = "The text format, version 0.0.4.", body = String,
        content_type = "text/plain; version=0.0.4; charset=utf-8")),
    extensions(("x-problems" = json!(["network_refused"]))),
)]
async fn metrics_text() -> Response {
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (format, metrics::render()).into_response()
}

/// Alive is who answers.
///
/// What is behind is `/readyz`'s matter.
#[utoipa::path(
    get,
    path = LIVE,
    operation_id = "live",
    tag = "operations",
    responses((status = 200, description = "Alive.", body = Liveness)),
)]
async fn live() -> Json<Liveness> {
    Json(Liveness { status: "ok" })
}

/// Ready is who can do its work.
///
/// An ingress needs the record, every other role the record and the queue.
#[utoipa::path(
    get,
    path = READY,
    operation_id = "ready",
    tag = "operations",
    responses(
        (status = 200, description = "Ready.", body = Readiness),
        (status = 503, description = "Not ready, or draining.", body = Readiness),
    ),
)]
async fn ready(State(ops): State<Arc<Ops>>) -> Response {
    let health = ops.health().await;
    let (status, readiness) = judge(health, ops.needs, ops.draining.is_cancelled());
    (status, Json(readiness)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ingress_is_ready_without_its_queue_and_nobody_is_while_draining() {
        let status =
            |record, queue, needs, draining| judge(Health { record, queue }, needs, draining).0.as_u16();
        assert_eq!(status(true, true, Needs::Record, false), 200);
        assert_eq!(status(true, false, Needs::Record, false), 200);
        assert_eq!(status(false, true, Needs::Record, false), 503);
        assert_eq!(status(true, false, Needs::RecordAndQueue, false), 503);
        assert_eq!(status(true, true, Needs::RecordAndQueue, false), 200);
        assert_eq!(status(true, true, Needs::Record, true), 503);
    }
}
