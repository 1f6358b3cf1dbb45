//! The routes: which handler answers at which path, and what is the same around all of them.

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware};
use utoipa::openapi::OpenApi;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};
use uuid::Uuid;

use super::{
    App, admin, auth, contract, error::Error, heartbeat, linger, observe, ops, reverse, sandbox, status,
    submit,
};
use crate::telemetry::traces::Tracer;

pub(super) const SUBMIT: &str = "/api/v1/transactions/official";
pub(super) const TRANSACTION: &str = "/api/v1/transactions/{id}/status";
pub(super) const VOID: &str = "/api/v1/transactions/{id}/void";
pub(super) const REFUND: &str = "/api/v1/transactions/{id}/refund";
pub(super) const HEARTBEAT: &str = "/api/v1/heartbeat";
pub(super) const SUBMISSION: &str = "/api/v1/submissions/{uuid}";

pub(super) fn status_url(transaction_id: Uuid) -> String {
    format!("/api/v1/transactions/{transaction_id}/status")
}

pub(super) fn submission_url(submission_uuid: Uuid) -> String {
    format!("/api/v1/submissions/{submission_uuid}")
}

/// The routes for tills. A route is added with its document or not at all: `tests/tidy.rs` refuses
/// axum's own way.
fn tills(bounds: linger::Bounds) -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(submit::submit).layer(middleware::from_fn_with_state(bounds, linger::linger)))
        .routes(routes!(reverse::void))
        .routes(routes!(reverse::refund))
        .routes(routes!(heartbeat::heartbeat))
        .routes(routes!(status::transaction))
        .routes(routes!(status::submission))
        .merge(sandbox::api(bounds))
}

/// What the handlers of all routes say about themselves.
pub(super) fn documented() -> OpenApi {
    let mut routes: OpenApiRouter = OpenApiRouter::default();
    for api in [
        tills(linger::Bounds::default()).into_openapi(),
        auth::api().into_openapi(),
        admin::api().into_openapi(),
        ops::api(Arc::default()).into_openapi(),
        contract::pages::<()>().into_openapi(),
    ] {
        routes.get_openapi_mut().merge(api);
    }
    routes.into_openapi()
}

pub(super) fn router(app: Arc<App>, ops: Arc<ops::Ops>, tracer: Option<Tracer>) -> Router {
    let limit = app.config.ingress.request_timeout_ms.duration();
    let bounds = linger::Bounds::of(&app.config.ingress);
    let routes: Router = tills(bounds)
        .merge(auth::api())
        .merge(admin::api())
        .with_state(app)
        .merge(contract::pages())
        .into();
    framed(routes.merge(ops::routes(ops)), observe::Frame { limit, tracer })
}

/// What is the same around all routes: problem documents for unknown paths and methods, and
/// [`observe`]. A request may take `limit` and is not traced.
pub(super) fn frame(routes: Router, limit: Duration) -> Router {
    framed(routes, observe::Frame { limit, tracer: None })
}

fn framed(routes: Router, frame: observe::Frame) -> Router {
    routes
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(frame, observe::observe))
}
