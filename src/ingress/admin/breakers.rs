//! `/api/v1/admin/breakers`: whether sales go out to each sink, and a person's orders about it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
};
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, Breakers, List, Page, order_end, refused};
use crate::{
    domain::{
        ability,
        breaker::{self, Force},
        time::Timestamp,
    },
    ingress::{
        App,
        contract::schema,
        error::Error,
        form::{Form, text, wrong},
    },
    sinks,
    store::ActionRow,
};

const BREAKERS: &str = "/api/v1/admin/breakers";
const HISTORY: &str = "/api/v1/admin/breakers/history";
const FORCE: &str = "/api/v1/admin/breakers/{sink}/force";
const RELEASE: &str = "/api/v1/admin/breakers/{sink}/release";

/// Longest name of a sink, in characters.
const LONGEST_NAME: usize = 64;
/// Breakers in one answer; more than there are sinks.
const MOST_BREAKERS: usize = 10_000;

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(history))
        .routes(routes!(force))
        .routes(routes!(release))
}

/// The name of a sink in a path. What cannot be one is of no sink.
pub(super) struct SinkName(String);

impl FromRequestParts<Arc<App>> for SinkName {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Path(name) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| Error::NotFound)?;
        if name.len() > LONGEST_NAME || !name.is_ascii() {
            return Err(Error::NotFound);
        }
        Ok(Self(name))
    }
}

/// The breaker of a sink.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Breaker)]
pub(super) struct View {
    /// The sink's name; `webapp` is the one of the settings.
    sink: String,
    /// `closed`, `forced_closed`: sales go out. `open`, `forced_open`: nothing is sent. `half_open`,
    /// `probing`: one call in the whole fleet may try, or is trying.
    #[schema(pattern = "^(closed|forced_closed|open|forced_open|half_open|probing)$")]
    state: &'static str,
    /// When it last opened or closed; null if it never did.
    #[schema(required, format = DateTime)]
    changed_at: Option<String>,
    /// While it is open: when one call may try.
    #[schema(required, format = DateTime)]
    open_until: Option<String>,
    /// Why it last opened; empty if nobody knows.
    cause: String,
    /// The order that holds now; null for none.
    #[schema(required)]
    force: Option<ForceView>,
}

/// An order about a breaker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakerOrder)]
pub(super) struct ForceView {
    #[schema(pattern = "^(open|closed)$")]
    state: &'static str,
    /// Who answers for it.
    owner: String,
    /// Why.
    reason: String,
    /// When it ends by itself.
    #[schema(schema_with = schema::instant)]
    ends_at: String,
}

impl View {
    fn of(row: breaker::Breaker, now: Timestamp) -> Self {
        let state = row.stance(now).word();
        let happened = row.changed_at.as_micros() != 0;
        let stands = row.force.filter(|force| force.until > now);
        Self {
            state,
            changed_at: happened.then(|| row.changed_at.to_string()),
            open_until: row.open.then(|| row.open_until.to_string()),
            cause: row.cause,
            sink: row.sink,
            force: stands.map(|force| ForceView {
                state: if force.open { "open" } else { "closed" },
                owner: force.owner,
                reason: force.reason,
                ends_at: force.until.to_string(),
            }),
        }
    }
}

/// Every breaker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakerList)]
pub(super) struct All {
    items: Vec<View>,
}

/// Something that happened to a breaker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakerEvent)]
pub(super) struct Event {
    id: i64,
    #[schema(schema_with = schema::instant)]
    at: String,
    /// `breaker.opened`, `breaker.closed`, `breaker.forced_open`, `breaker.forced_closed`, `breaker.released`.
    action: String,
    /// `system` where it happened by itself.
    actor: String,
    /// The sink, and why.
    detail: String,
}

impl From<ActionRow> for Event {
    fn from(row: ActionRow) -> Self {
        Self {
            id: row.id,
            at: row.at.to_string(),
            action: row.action,
            actor: row.actor,
            detail: row.detail,
        }
    }
}

/// An order to be given.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = BreakerOrderToGive)]
pub(super) struct OrderToGive {
    /// `open`: nothing is sent. `closed`: everything is sent, whatever the sink does.
    #[schema(pattern = "^(open|closed)$")]
    state: String,
    /// Who answers for it.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    owner: String,
    /// Why, for whoever finds it.
    #[schema(
        min_length = 1,
        max_length = 500,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    reason: String,
    /// When it ends, UTC: in the future, and at most 30 days from now.
    #[schema(format = DateTime)]
    ends_at: String,
}

/// List the breakers.
///
/// One for each sink, `webapp` of the settings among them, and for each that is gone and ever failed.
#[utoipa::path(
    get,
    path = BREAKERS,
    operation_id = "listBreakers",
    tag = "administration",
    responses((status = 200, description = "All of them.", body = All)),
    security(("bearer" = [ability::ADMIN_BREAKERS])),
    extensions(("x-problems" = json!(["rate_limited"]))),
)]
async fn list(State(app): State<Arc<App>>, admin: Admin<Breakers>) -> Result<Json<All>, Error> {
    let rows = sinks::breakers(&admin.store, MOST_BREAKERS).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let now = Timestamp::now();
    let items = rows.into_iter().map(|row| View::of(row, now)).collect();
    Ok(Json(All { items }))
}

/// List what happened to breakers.
///
/// By id, a page at a time: when each opened, why, and when it closed; and who ordered what.
#[utoipa::path(
    get,
    path = HISTORY,
    operation_id = "listBreakerEvents",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "One page.", body = List<Event>)),
    security(("bearer" = [ability::ADMIN_BREAKERS])),
    extensions(("x-problems" = json!(["invalid_query", "rate_limited"]))),
)]
async fn history(
    State(app): State<Arc<App>>,
    admin: Admin<Breakers>,
    page: Page,
) -> Result<Json<List<Event>>, Error> {
    let rows = admin.store.breaker_history(page.after, page.limit()).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Event::from).collect();
    Ok(Json(List::of(items, page.limit(), |event| event.id)))
}

/// Hold a breaker open or closed.
///
/// Every worker follows within `fleet.control_interval_ms`. When the order ends, a breaker that was held
/// open lets one call try; one that was held closed counts failures again.
#[utoipa::path(
    post,
    path = FORCE,
    operation_id = "forceBreaker",
    tag = "administration",
    params(("sink" = String, Path, description = "Name of the sink, such as `webapp`.")),
    request_body(content = OrderToGive, content_type = "application/json"),
    responses((status = 200, description = "As it is now.", body = View)),
    security(("bearer" = [ability::ADMIN_BREAKERS])),
    extensions(("x-problems" = json!(["invalid_fields", "unstorable", "rate_limited"]))),
)]
async fn force(
    State(app): State<Arc<App>>,
    admin: Admin<Breakers>,
    SinkName(sink): SinkName,
    Form(form): Form<OrderToGive>,
) -> Result<Json<View>, Error> {
    let open = match form.state.as_str() {
        "open" => true,
        "closed" => false,
        _ => return Err(wrong("state", "must be open or closed")),
    };
    text("owner", &form.owner, 100)?;
    text("reason", &form.reason, 500)?;
    let now = Timestamp::now();
    let force = Force {
        open,
        until: order_end(&form.ends_at, now)?,
        owner: form.owner,
        reason: form.reason,
    };
    let forced = async {
        sinks::breaker(&admin.store, &sink).await?;
        admin.store.force_breaker(&sink, &force, now).await
    };
    let row = forced.await.map_err(|error| refused(&app, &error))?;
    Ok(Json(View::of(row, now)))
}

/// End an order before its time.
///
/// Every worker follows within `fleet.control_interval_ms`. Without an order nothing changes.
#[utoipa::path(
    post,
    path = RELEASE,
    operation_id = "releaseBreaker",
    tag = "administration",
    params(("sink" = String, Path, description = "Name of the sink, such as `webapp`.")),
    responses((status = 200, description = "As it is now.", body = View)),
    security(("bearer" = [ability::ADMIN_BREAKERS])),
    extensions(("x-problems" = json!(["rate_limited"]))),
)]
async fn release(
    State(app): State<Arc<App>>,
    admin: Admin<Breakers>,
    SinkName(sink): SinkName,
) -> Result<Json<View>, Error> {
    let now = Timestamp::now();
    let released = sinks::release_breaker(&admin.store, &sink, now).await;
    let row = released.map_err(|error| refused(&app, &error))?;
    Ok(Json(View::of(row, now)))
}
