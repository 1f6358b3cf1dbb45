//! `/api/v1/admin/security-events` and `/api/v1/admin/actions`: what should not have happened, and
//! who changed what.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, List, Page, Security, refused};
use crate::{
    domain::ability,
    ingress::{App, contract::schema, error::Error},
    store::{ActionRow, EventRow},
};

const EVENTS: &str = "/api/v1/admin/security-events";
const ACTIONS: &str = "/api/v1/admin/actions";

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(events))
        .routes(routes!(actions))
}

/// The events of one kind and subject within one hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecurityEvent)]
pub(super) struct Event {
    kind: String,
    /// `token:7`, `family:7`, `terminal:3`, `address:203.0.113.9`, or `other`.
    subject: String,
    count: i64,
    #[schema(schema_with = schema::instant)]
    first_at: String,
    #[schema(schema_with = schema::instant)]
    last_at: String,
    /// Where the last one came from.
    address: String,
    /// The last one's request.
    request_id: String,
}

/// The newest events; those of more than a page are read from the record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecurityEvents)]
pub(super) struct Events {
    items: Vec<Event>,
}

/// A change, and who made it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminAction)]
pub(super) struct Action {
    id: i64,
    #[schema(schema_with = schema::instant)]
    at: String,
    /// `token:7`, `cli:ana`, `system`.
    actor: String,
    /// Such as `token.revoked`.
    action: String,
    subject_kind: String,
    subject_id: i64,
    detail: String,
    address: String,
    request_id: String,
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        Self {
            kind: row.kind,
            subject: row.subject,
            count: row.count,
            first_at: row.first_at.to_string(),
            last_at: row.last_at.to_string(),
            address: row.address,
            request_id: row.request_id,
        }
    }
}

impl From<ActionRow> for Action {
    fn from(row: ActionRow) -> Self {
        Self {
            id: row.id,
            at: row.at.to_string(),
            actor: row.actor,
            action: row.action,
            subject_kind: row.subject_kind,
            subject_id: row.subject_id,
            detail: row.detail,
            address: row.address,
            request_id: row.request_id,
        }
    }
}

/// List security events.
///
/// What should not have happened, the newest first, counted by hour, kind and subject.
#[utoipa::path(
    get,
    path = EVENTS,
    operation_id = "listSecurityEvents",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "The newest.", body = Events)),
    security(("bearer" = [ability::ADMIN_SECURITY])),
    extensions(("x-problems" = json!(["invalid_query"]))),
)]
async fn events(
    State(app): State<Arc<App>>,
    admin: Admin<Security>,
    page: Page,
) -> Result<Json<Events>, Error> {
    let rows = admin.store.list_events(None, page.limit()).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Event::from).collect();
    Ok(Json(Events { items }))
}

/// List administrative actions.
///
/// Who changed what, by id, a page at a time.
#[utoipa::path(
    get,
    path = ACTIONS,
    operation_id = "listActions",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "One page.", body = List<Action>)),
    security(("bearer" = [ability::ADMIN_SECURITY])),
    extensions(("x-problems" = json!(["invalid_query"]))),
)]
async fn actions(
    State(app): State<Arc<App>>,
    admin: Admin<Security>,
    page: Page,
) -> Result<Json<List<Action>>, Error> {
    let rows = admin.store.list_actions(page.after, page.limit()).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Action::from).collect();
    Ok(Json(List::of(items, page.limit(), |action| action.id)))
}
