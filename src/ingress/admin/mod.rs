//! The admin API under `/api/v1/admin`: from allowed networks only, by tokens with the ability of the
//! area, every change put down to its token.
//!
//! Who adds an area implements [`Area`] for it, takes [`Admin`] in its handlers, and merges its routes
//! in [`api`].

mod breakers;
mod dead_letters;
mod limits;
mod records;
mod redrives;
mod sink_secrets;
mod sinks;
mod tenants;
mod terminals;
mod tokens;

pub(super) use tokens::MOST_ABILITIES;

use std::{marker::PhantomData, sync::Arc};

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::{
    App, caller,
    error::Error,
    identities::Known,
    quota,
    security::{Kind, Trail},
};
use crate::{
    domain::{ability, orders::MOST_LASTING, time::Timestamp},
    store::{Actor, Store, StoreError},
};

/// Every admin route.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .merge(tenants::api())
        .merge(terminals::api())
        .merge(tokens::api())
        .merge(limits::api())
        .merge(sinks::api())
        .merge(sink_secrets::api())
        .merge(dead_letters::api())
        .merge(redrives::api())
        .merge(breakers::api())
        .merge(records::api())
}

/// A part of the admin API with an ability of its own.
pub(super) trait Area: Send + Sync {
    /// What a token needs.
    const ABILITY: &'static str;
    /// Whether requests count against `limits.control`.
    const COUNTED: bool = false;
}

/// Tenants.
pub(super) struct Tenants;
/// Terminals, their keys and enrolment codes.
pub(super) struct Terminals;
/// Tokens.
pub(super) struct Tokens;
/// Rate limits.
pub(super) struct Limits;
/// Sinks.
pub(super) struct Sinks;
/// The breakers of the sinks.
pub(super) struct Breakers;
/// Dead letters and redrives.
pub(super) struct DeadLetters;
/// Security events, and who changed what.
pub(super) struct Security;

impl Area for Tenants {
    const ABILITY: &'static str = ability::ADMIN_TENANTS;
}
impl Area for Terminals {
    const ABILITY: &'static str = ability::ADMIN_TERMINALS;
}
impl Area for Tokens {
    const ABILITY: &'static str = ability::ADMIN_TOKENS;
}
impl Area for Limits {
    const ABILITY: &'static str = ability::ADMIN_LIMITS;
}
impl Area for Sinks {
    const ABILITY: &'static str = ability::ADMIN_SINKS;
}
impl Area for Breakers {
    const ABILITY: &'static str = ability::ADMIN_BREAKERS;
    const COUNTED: bool = true;
}
impl Area for DeadLetters {
    const ABILITY: &'static str = ability::ADMIN_LETTERS;
    const COUNTED: bool = true;
}
impl Area for Security {
    const ABILITY: &'static str = ability::ADMIN_SECURITY;
}

/// The caller of an admin endpoint.
pub(super) struct Admin<A> {
    /// The token.
    pub(super) known: Arc<Known>,
    /// The record, with changes put down to the token.
    pub(super) store: Store,
    area: PhantomData<A>,
}

impl<A: Area> FromRequestParts<Arc<App>> for Admin<A> {
    type Rejection = Error;

    /// The network first: from elsewhere, nobody is told anything about tokens.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let trail = Trail::of(parts).ok_or(Error::Internal)?;
        if !app.config.admin.allow.hold(trail.client) {
            app.events.saw(Kind::AdminNetwork, trail.address(), &trail);
            return Err(Error::NetworkRefused);
        }
        let known = caller::known(parts, app).await?;
        if !known.identity.may(A::ABILITY) {
            return Err(Error::AbilityMissing { ability: A::ABILITY });
        }
        if A::COUNTED {
            quota::control(app, known.identity.token_id, &parts.extensions).await?;
        }
        let actor = Actor {
            name: format!("token:{}", known.identity.token_id),
            address: trail.client.to_string(),
            request_id: trail.request_id.to_string(),
        };
        Ok(Self {
            known,
            store: app.store.acting_as(actor),
            area: PhantomData,
        })
    }
}

/// The row id in a path.
pub(super) struct RowId(pub(super) i64);

impl<S: Send + Sync> FromRequestParts<S> for RowId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::NotFound)?;
        // Its own form and no other: no sign, no leading zero.
        let id = text.parse::<i64>().ok().filter(|id| *id > 0);
        id.filter(|id| id.to_string() == text)
            .map(Self)
            .ok_or(Error::NotFound)
    }
}

/// Which part of a list is wanted; what else a list can be narrowed by is optional and by row id.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only rows with a greater id: `next` of the page before.
    #[param(required = false, minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    after: i64,
    /// Most rows; at most `admin.page_rows`, which is also what is meant unless given.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// Only those of this tenant, where the list has tenants.
    #[param(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    tenant_id: Option<i64>,
    /// Only those of this terminal, where the list has terminals.
    #[param(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    terminal_id: Option<i64>,
}

impl FromRequestParts<Arc<App>> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Query(mut page) = Query::<Self>::from_request_parts(parts, app)
            .await
            .map_err(|_| Error::InvalidQuery)?;
        let ids = [page.tenant_id, page.terminal_id];
        if page.after < 0 || ids.into_iter().flatten().any(|id| id < 1) {
            return Err(Error::InvalidQuery);
        }
        page.limit = Some(page_rows(app, page.limit)?);
        Ok(page)
    }
}

/// How many rows a page has that was asked for with `limit`.
fn page_rows(app: &App, limit: Option<usize>) -> Result<usize, Error> {
    let most = app.config.admin.page_rows;
    let rows = limit.unwrap_or(most);
    if (1..=most).contains(&rows) {
        Ok(rows)
    } else {
        Err(Error::InvalidQuery)
    }
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(1)
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    items: Vec<T>,
    /// `after` of the next page; null on the last one.
    #[schema(required)]
    next: Option<i64>,
}

impl<T> List<T> {
    /// A page that was asked for with `limit`; `id` tells the row id of an item.
    fn of(items: Vec<T>, limit: usize, id: impl Fn(&T) -> i64) -> Self {
        let next = items.last().filter(|_| items.len() == limit).map(id);
        Self { items, next }
    }
}

/// Why the record did not do what an administrator wants.
fn refused(app: &App, error: &StoreError) -> Error {
    match error {
        StoreError::Exists(what) => Error::AlreadyExists { what },
        StoreError::Missing(_) => Error::NotFound,
        StoreError::Unfit(_) => Error::Unstorable,
        error => app.store_failed(error),
    }
}

/// Reads when an order ends: after `now`, and not too long after it.
fn order_end(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let ends_at = time("ends_at", text)?;
    if ends_at <= now || ends_at > now.plus(MOST_LASTING) {
        return Err(super::form::wrong(
            "ends_at",
            "must be in the future, and at most 30 days from now",
        ));
    }
    Ok(ends_at)
}

fn time_text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// Reads a time of a body.
fn time(name: &'static str, text: &str) -> Result<Timestamp, Error> {
    Timestamp::parse(text).map_err(|error| super::form::wrong(name, error.to_string()))
}
