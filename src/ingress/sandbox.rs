//! `POST /api/v1/checksum/sandbox`: what TSMS would hash, for whoever writes a till. Keeps nothing.

use std::sync::Arc;

use axum::{Json, extract::State, middleware};
use http::Extensions;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

use super::{App, body::SandboxBody, caller::Bearer, deadline::Deadline, error::Error, linger, quota};
use crate::domain::{
    checksum_report::{self, Report},
    json::{Duplicates, Limits},
};

const SANDBOX: &str = "/api/v1/checksum/sandbox";

/// The routes of this file.
pub(super) fn api(bounds: linger::Bounds) -> OpenApiRouter<Arc<App>> {
    let layer = middleware::from_fn_with_state(bounds, linger::linger);
    OpenApiRouter::default().routes(routes!(sandbox).layer(layer))
}

/// Compare checksums.
///
/// Shows for every level of a body the text that is hashed and its hash in every version of the rule,
/// whether the checksum sent fits, and, if not, where the text that the till hashed first differs.
/// Nothing is kept, and nothing is asked of the body but that it is JSON: post the very bytes that were
/// refused. To compare a text that the till hashed, post an object of two members: `payload`, the body,
/// and `hashed`, an object of the texts by JSON pointer of their level (empty for the body itself).
#[utoipa::path(
    post,
    path = SANDBOX,
    operation_id = "checksumSandbox",
    tag = "checksum",
    request_body(content = ref("#/components/schemas/AnyJson"), description = "At most 64 KiB, not compressed.", content_type = "application/json"),
    responses((status = 200, description = "What is hashed.", body = Report)),
    security(("bearer" = [])),
    extensions(("x-problems" = json!(["rate_limited", "blocked", "overloaded"]))),
)]
async fn sandbox(
    State(app): State<Arc<App>>,
    Bearer(known): Bearer,
    deadline: Deadline,
    extensions: Extensions,
    body: SandboxBody,
) -> Result<Json<Report>, Error> {
    if let Some(till) = &known.till {
        quota::till(&app, till, &extensions).await?;
    }
    let limits = Limits {
        duplicates: Duplicates::LastWins,
        ..app.bounds.json
    };
    // Held until the work is done, also when the client has gone: it is the bound on that work.
    let permit = Arc::clone(&app.sandbox)
        .try_acquire_owned()
        .map_err(|_| app.overloaded())?;
    let work = tokio::task::spawn_blocking(move || {
        let _held = permit;
        checksum_report::sandbox(&body.0, &limits)
    });
    let report = deadline.bound(work, || app.answer_late()).await?;
    report
        .map_err(|_| Error::Internal)?
        .map(Json)
        .map_err(Error::Json)
}
