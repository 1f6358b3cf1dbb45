//! `/api/v1/admin/redrives`: dead letters brought back, or discarded, at a set rate.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, DeadLetters, List, Page, RowId, refused};
use crate::{
    domain::{
        ability,
        dead_letter::{Filter, MOST_RATE},
    },
    ingress::{
        App,
        contract::schema,
        error::Error,
        form::{Form, text, whole, wrong},
    },
    store::{Redrive, RedriveKind, RedriveState},
};

const REDRIVES: &str = "/api/v1/admin/redrives";
const REDRIVE: &str = "/api/v1/admin/redrives/{id}";
const PAUSE: &str = "/api/v1/admin/redrives/{id}/pause";
const RESUME: &str = "/api/v1/admin/redrives/{id}/resume";

/// Letters a second unless given.
const USUAL_RATE: u32 = 100;
/// Longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(list, start))
        .routes(routes!(show))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// An order about dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Redrive)]
pub(super) struct View {
    id: i64,
    /// `retry`: what was given up is due again. `discard`: it stays given up, and nobody need look again.
    #[schema(value_type = String, pattern = "^(retry|discard)$")]
    kind: RedriveKind,
    /// Which letters.
    #[serde(rename = "where")]
    terms: String,
    reason: String,
    #[schema(value_type = String, pattern = "^(running|paused|done)$")]
    state: RedriveState,
    /// Letters moved so far.
    moved: u64,
    /// Letters that matched and stayed: they cannot be brought back.
    kept: u64,
    /// Most letters moved in a second.
    rate: u32,
    #[schema(schema_with = schema::instant)]
    created_at: String,
}

impl From<Redrive> for View {
    fn from(row: Redrive) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            terms: row.filter,
            reason: row.reason,
            state: row.state,
            moved: row.moved,
            kept: row.kept,
            rate: row.rate,
            created_at: row.created_at.to_string(),
        }
    }
}

/// An order to be given.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RedriveToStart)]
pub(super) struct ToStart {
    /// `retry` or `discard`.
    #[schema(pattern = "^(retry|discard)$")]
    kind: String,
    /// Which letters: `all`, or terms that must all hold, with commas between: `id=`, `stage=`, `tenant=`
    /// (its id), `code=`, `cause=`. Count them first.
    #[serde(rename = "where")]
    #[schema(
        max_length = 500,
        pattern = "^(all|(id=[1-9][0-9]{0,17}|stage=[a-z]{1,16}|tenant=[1-9][0-9]{0,17}|code=[a-z_]{1,64}|cause=[0-9a-f]{12})(,(id=[1-9][0-9]{0,17}|stage=[a-z]{1,16}|tenant=[1-9][0-9]{0,17}|code=[a-z_]{1,64}|cause=[0-9a-f]{12})){0,3})$"
    )]
    terms: String,
    /// Why, for whoever looks at it later.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    reason: String,
    /// Most letters a second; 100 unless given.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000)]
    rate: Option<u32>,
}

/// How a redrive goes on.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RedriveToResume)]
pub(super) struct ToResume {
    /// Most letters a second from now on; as it was unless given.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10_000)]
    rate: Option<u32>,
}

fn checked(rate: Option<u32>) -> Result<Option<u32>, Error> {
    match rate {
        Some(rate) if !(1..=MOST_RATE).contains(&rate) => Err(wrong("rate", "must be 1 to 10000")),
        rate => Ok(rate),
    }
}

/// List redrives.
#[utoipa::path(
    get,
    path = REDRIVES,
    operation_id = "listRedrives",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "One page, by id.", body = List<View>)),
    security(("bearer" = [ability::ADMIN_LETTERS])),
    extensions(("x-problems" = json!(["invalid_query", "rate_limited"]))),
)]
async fn list(
    State(app): State<Arc<App>>,
    admin: Admin<DeadLetters>,
    page: Page,
) -> Result<Json<List<View>>, Error> {
    let rows = admin.store.redrives(page.after, page.limit()).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(View::from).collect();
    Ok(Json(List::of(items, page.limit(), |row| row.id)))
}

/// Start a redrive.
///
/// It is about the letters there are now. The scheduler drives it at its rate, however often it is started
/// anew; nothing is brought back twice.
#[utoipa::path(
    post,
    path = REDRIVES,
    operation_id = "startRedrive",
    tag = "administration",
    request_body(content = ToStart, content_type = "application/json"),
    responses((status = 201, description = "Under way.", body = View)),
    security(("bearer" = [ability::ADMIN_LETTERS])),
    extensions(("x-problems" = json!(["invalid_fields", "unstorable", "rate_limited"]))),
)]
async fn start(
    State(app): State<Arc<App>>,
    admin: Admin<DeadLetters>,
    Form(form): Form<ToStart>,
) -> Result<(StatusCode, Json<View>), Error> {
    let kind = match form.kind.as_str() {
        "retry" => RedriveKind::Retry,
        "discard" => RedriveKind::Discard,
        _ => return Err(wrong("kind", "must be retry or discard")),
    };
    let filter: Filter = form.terms.parse().map_err(|_| {
        wrong(
            "where",
            "must be all, or terms of id, stage, tenant, code or cause",
        )
    })?;
    text("reason", &form.reason, LONGEST_REASON)?;
    let rate = checked(form.rate)?.unwrap_or(USUAL_RATE);
    let started = async {
        let id = admin
            .store
            .start_redrive(kind, &filter, &form.reason, rate)
            .await?;
        admin.store.redrive(id).await
    };
    let row = started.await.map_err(|error| refused(&app, &error))?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Show a redrive.
#[utoipa::path(
    get,
    path = REDRIVE,
    operation_id = "showRedrive",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    responses((status = 200, description = "How far it has come.", body = View)),
    security(("bearer" = [ability::ADMIN_LETTERS])),
    extensions(("x-problems" = json!(["rate_limited"]))),
)]
async fn show(
    State(app): State<Arc<App>>,
    admin: Admin<DeadLetters>,
    RowId(id): RowId,
) -> Result<Json<View>, Error> {
    let row = admin.store.redrive(id).await;
    let row = row.map_err(|error| refused(&app, &error))?;
    Ok(Json(row.into()))
}

/// Pause a redrive.
///
/// It stops after the letters it is at. One that is done is not found.
#[utoipa::path(
    post,
    path = PAUSE,
    operation_id = "pauseRedrive",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    responses((status = 200, description = "As it is now.", body = View)),
    security(("bearer" = [ability::ADMIN_LETTERS])),
    extensions(("x-problems" = json!(["rate_limited"]))),
)]
async fn pause(
    State(app): State<Arc<App>>,
    admin: Admin<DeadLetters>,
    RowId(id): RowId,
) -> Result<Json<View>, Error> {
    let paused = async {
        admin.store.pause_redrive(id, true).await?;
        admin.store.redrive(id).await
    };
    let row = paused.await.map_err(|error| refused(&app, &error))?;
    Ok(Json(row.into()))
}

/// Resume a redrive.
///
/// At another rate, if one is given. One that is done is not found.
#[utoipa::path(
    post,
    path = RESUME,
    operation_id = "resumeRedrive",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    request_body(content = ToResume, content_type = "application/json"),
    responses((status = 200, description = "As it is now.", body = View)),
    security(("bearer" = [ability::ADMIN_LETTERS])),
    extensions(("x-problems" = json!(["invalid_fields", "rate_limited"]))),
)]
async fn resume(
    State(app): State<Arc<App>>,
    admin: Admin<DeadLetters>,
    RowId(id): RowId,
    Form(form): Form<ToResume>,
) -> Result<Json<View>, Error> {
    let rate = checked(form.rate)?;
    let resumed = async {
        if let Some(rate) = rate {
            admin.store.set_redrive_rate(id, rate).await?;
        }
        admin.store.pause_redrive(id, false).await?;
        admin.store.redrive(id).await
    };
    let row = resumed.await.map_err(|error| refused(&app, &error))?;
    Ok(Json(row.into()))
}
