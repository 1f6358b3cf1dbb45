//! `/api/v1/admin/limits`: who was refused most, and a person's orders about it.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{FromRequestParts, Query, State},
};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, Limits, List, Page, RowId, order_end, page_rows, refused, time_text};
use crate::{
    domain::{
        ability,
        orders::{self, OrderKind, Subject},
        time::Timestamp,
    },
    ingress::{
        App,
        contract::schema,
        error::Error,
        form::{Form, text, wrong},
    },
    store::{self, NewOrder, Store, StoreError},
};

const REFUSED: &str = "/api/v1/admin/limits";
const ORDERS: &str = "/api/v1/admin/limits/orders";
const LIFT: &str = "/api/v1/admin/limits/orders/{id}/lift";

const HOUR: Duration = Duration::from_secs(3600);
/// Hours that can be looked back on; the counts are kept a little longer.
const MOST_HOURS: u32 = 24;

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(top))
        .routes(routes!(list, give))
        .routes(routes!(lift))
}

/// How far back, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Back {
    /// Hours, the present one included; 24 unless given.
    #[param(minimum = 1, maximum = 24)]
    hours: Option<u32>,
    /// Most rows; at most `admin.page_rows`, which is also what is meant unless given.
    #[param(minimum = 1)]
    limit: Option<usize>,
}

impl FromRequestParts<Arc<App>> for Back {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Query(back) = Query::<Self>::from_request_parts(parts, app)
            .await
            .map_err(|_| Error::InvalidQuery)?;
        let hours = back.hours.unwrap_or(MOST_HOURS);
        if !(1..=MOST_HOURS).contains(&hours) {
            return Err(Error::InvalidQuery);
        }
        Ok(Self {
            hours: Some(hours),
            limit: Some(page_rows(app, back.limit)?),
        })
    }
}

/// Requests that one limit refused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Refused {
    /// The limit that was full, such as `terminal`.
    limit: String,
    /// Whose; null where that is not known.
    #[schema(required)]
    tenant_id: Option<i64>,
    /// Who: a row id, an address, or a digest of a serial number.
    identifier: String,
    /// How many.
    refused: u64,
}

/// Those who were refused most.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MostRefused {
    items: Vec<Refused>,
}

impl From<store::Refused> for Refused {
    fn from(row: store::Refused) -> Self {
        Self {
            limit: row.class,
            tenant_id: Some(row.tenant_id).filter(|id| *id != 0),
            identifier: row.identifier,
            refused: row.refused,
        }
    }
}

/// An order about a terminal, a tenant or an address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitOrder)]
pub(super) struct Order {
    id: i64,
    /// `block`: every request is refused. `allow`: it is not held to its own limits.
    #[schema(pattern = "^(block|allow)$")]
    order: &'static str,
    /// `terminal:7`, `tenant:3`, `address:192.0.2.1`.
    subject: String,
    /// Who answers for it.
    owner: String,
    /// Why.
    reason: String,
    #[schema(schema_with = schema::instant)]
    created_at: String,
    /// When it ends by itself.
    #[schema(schema_with = schema::instant)]
    ends_at: String,
    /// When a person ended it before; null if nobody did.
    #[schema(required, format = DateTime)]
    lifted_at: Option<String>,
}

impl From<orders::Order> for Order {
    fn from(row: orders::Order) -> Self {
        Self {
            id: row.id,
            order: row.kind.word(),
            subject: row.subject.to_string(),
            owner: row.owner,
            reason: row.reason,
            created_at: row.created_at.to_string(),
            ends_at: row.ends_at.to_string(),
            lifted_at: time_text(row.lifted_at),
        }
    }
}

/// An order to be given.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LimitOrderToGive)]
pub(super) struct OrderToGive {
    /// `block`: refuse every request. `allow`: do not hold it to its own limits; what is kept for everybody
    /// still counts.
    #[schema(pattern = "^(block|allow)$")]
    order: String,
    /// `terminal:` or `tenant:` with a row id, or `address:` with an IP address.
    #[schema(
        max_length = 64,
        pattern = "^((terminal|tenant):[1-9][0-9]{0,17}|address:[0-9a-fA-F.:]+)$"
    )]
    subject: String,
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

/// Show who was refused most.
///
/// By the limit that was full, those with the most refusals first.
#[utoipa::path(
    get,
    path = REFUSED,
    operation_id = "listRefused",
    tag = "administration",
    params(Back),
    responses((status = 200, description = "The most refused.", body = MostRefused)),
    security(("bearer" = [ability::ADMIN_LIMITS])),
    extensions(("x-problems" = json!(["invalid_query"]))),
)]
async fn top(
    State(app): State<Arc<App>>,
    admin: Admin<Limits>,
    back: Back,
) -> Result<Json<MostRefused>, Error> {
    let hours = back.hours.unwrap_or(1).saturating_sub(1);
    let since = Timestamp::now().minus(HOUR.saturating_mul(hours));
    let rows = admin.store.top_refused(since, back.limit.unwrap_or(1)).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Refused::from).collect();
    Ok(Json(MostRefused { items }))
}

/// List orders about limits.
///
/// By id, a page at a time, those that ended included.
#[utoipa::path(
    get,
    path = ORDERS,
    operation_id = "listLimitOrders",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "One page.", body = List<Order>)),
    security(("bearer" = [ability::ADMIN_LIMITS])),
    extensions(("x-problems" = json!(["invalid_query"]))),
)]
async fn list(
    State(app): State<Arc<App>>,
    admin: Admin<Limits>,
    page: Page,
) -> Result<Json<List<Order>>, Error> {
    let rows = admin.store.list_orders(page.after, page.limit()).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Order::from).collect();
    Ok(Json(List::of(items, page.limit(), |order| order.id)))
}

/// Block somebody, or let him through.
///
/// Every ingress knows it within `limits.refresh_ms`. Who is blocked is told 429 and to come back.
#[utoipa::path(
    post,
    path = ORDERS,
    operation_id = "giveLimitOrder",
    tag = "administration",
    request_body(content = OrderToGive, content_type = "application/json"),
    responses((status = 201, description = "Given.", body = Order)),
    security(("bearer" = [ability::ADMIN_LIMITS])),
    extensions(("x-problems" = json!(["invalid_fields", "unstorable"]))),
)]
async fn give(
    State(app): State<Arc<App>>,
    admin: Admin<Limits>,
    Form(form): Form<OrderToGive>,
) -> Result<(StatusCode, Json<Order>), Error> {
    let kind = OrderKind::from_word(&form.order).ok_or_else(|| wrong("order", "must be block or allow"))?;
    let subject: Subject = form
        .subject
        .parse()
        .map_err(|error: orders::NotASubject| wrong("subject", error.to_string()))?;
    text("owner", &form.owner, 100)?;
    text("reason", &form.reason, 500)?;
    let ends_at = order_end(&form.ends_at, Timestamp::now())?;
    let order = NewOrder {
        kind,
        subject,
        owner: form.owner,
        reason: form.reason,
        ends_at,
    };
    let given = async {
        exists(&admin.store, subject).await?;
        let id = admin.store.give_order(&order).await?;
        admin.store.order(id).await
    };
    let order = given.await.map_err(|error| match error {
        StoreError::Missing(what @ ("tenant" | "terminal")) => {
            wrong("subject", format!("there is no such {what}"))
        }
        error => refused(&app, &error),
    })?;
    Ok((StatusCode::CREATED, Json(order.into())))
}

/// End an order before its time.
///
/// Every ingress knows it within `limits.refresh_ms`. Of an order that was lifted already the first time
/// stands.
#[utoipa::path(
    post,
    path = LIFT,
    operation_id = "liftLimitOrder",
    tag = "administration",
    params(("id" = i64, Path, description = "Row id of the order.", minimum = 1)),
    responses((status = 200, description = "As it is now.", body = Order)),
    security(("bearer" = [ability::ADMIN_LIMITS])),
)]
async fn lift(
    State(app): State<Arc<App>>,
    admin: Admin<Limits>,
    RowId(id): RowId,
) -> Result<Json<Order>, Error> {
    let lifted = async {
        admin.store.lift_order(id, Timestamp::now()).await?;
        admin.store.order(id).await
    };
    let order = lifted.await.map_err(|error| refused(&app, &error))?;
    Ok(Json(order.into()))
}

/// An order about nobody is a slip of the pen.
async fn exists(store: &Store, subject: Subject) -> Result<(), StoreError> {
    match subject {
        Subject::Tenant(id) => store.tenant(id).await.map(|_| ()),
        Subject::Terminal(id) => match store.terminals(&[id]).await?.is_empty() {
            false => Ok(()),
            true => Err(StoreError::Missing("terminal")),
        },
        Subject::Address(_) => Ok(()),
    }
}
