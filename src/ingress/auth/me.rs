//! `GET /api/v1/auth/me` and `GET /api/v1/tokens/introspect`: what a token is, for who holds it.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::{Extensions, request::Parts};
use serde::Serialize;
use utoipa::ToSchema;

use super::{INTROSPECT, ME, Success, TerminalConfig};
use crate::{
    domain::{directory::TerminalStatus, time::Timestamp},
    ingress::{App, caller, caller::Bearer, contract::schema, deadline::Deadline, error::Error, quota},
};

/// A token and the terminal behind it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::ingress) struct Me {
    token: Token,
    /// Null for an administrator's token.
    #[schema(required)]
    terminal: Option<Terminal>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyToken)]
struct Token {
    id: i64,
    abilities: Vec<String>,
    #[schema(schema_with = schema::instant)]
    issued_at: String,
    /// Null when it never ends.
    #[schema(schema_with = schema::instant_or_null)]
    expires_at: Option<String>,
    /// Once its successor is in use: when it stops.
    #[schema(schema_with = schema::instant_or_null)]
    retires_at: Option<String>,
    /// Networks it may be used from; anywhere when empty.
    networks: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyTerminal)]
struct Terminal {
    terminal_id: i64,
    serial_number: String,
    status: TerminalStatus,
    tenant_id: i64,
    tenant_code: String,
    tenant_name: String,
    timezone: String,
    terminal_config: TerminalConfig,
}

/// What the token is.
///
/// Facts of the token and its terminal, which must be in use.
#[utoipa::path(
    get,
    path = ME,
    operation_id = "me",
    tag = "tokens",
    responses((status = 200, description = "The token is good.", body = Success<Me>)),
    security(("bearer" = [])),
    extensions(("x-problems" = json!(["terminal_inactive", "rate_limited", "blocked"]))),
)]
pub(super) async fn me(
    State(app): State<Arc<App>>,
    Bearer(known): Bearer,
    extensions: Extensions,
) -> Result<Json<Success<Me>>, Error> {
    let till = match &known.till {
        Some(_) => Some(known.usable_till(Timestamp::now())?),
        None => None,
    };
    if let Some(till) = &till {
        quota::till(&app, till, &extensions).await?;
    }
    let (identity, life) = (&known.identity, &known.identity.life);
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let token = Token {
        id: identity.token_id,
        abilities: identity.abilities.clone(),
        issued_at: identity.created_at.to_string(),
        expires_at: text(life.expires_at),
        retires_at: text(life.retires_at),
        networks: identity.networks.to_string(),
    };
    let terminal = till.map(|till| Terminal {
        terminal_id: till.terminal.id,
        serial_number: till.terminal.serial_number.clone(),
        status: till.terminal.status,
        tenant_id: till.tenant.id,
        tenant_code: till.tenant.code.clone(),
        tenant_name: till.tenant.name.clone(),
        timezone: till.tenant.timezone.clone(),
        terminal_config: TerminalConfig::of(&till),
    });
    Ok(Json(Success::of(Me { token, terminal })))
}

/// A token as the old system shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::ingress) struct Introspection {
    /// Always true: whatever is not good is a 401.
    active: bool,
    terminal_id: i64,
    /// The serial number.
    terminal_uid: String,
    tenant_id: i64,
    /// Always null; kept for tills that read it.
    #[schema(required)]
    provider_id: Option<i64>,
    abilities: Vec<String>,
    #[schema(schema_with = schema::instant_or_null)]
    expires_at: Option<String>,
    #[schema(schema_with = schema::instant_or_null)]
    last_used_at: Option<String>,
    #[schema(schema_with = schema::instant)]
    issued_at: String,
}

/// Whether the token is good.
///
/// In the form of the existing system. Everything that is not good is the same 401: missing, malformed,
/// unknown, expired, revoked, an administrator's, of a terminal that is switched off.
#[utoipa::path(
    get,
    path = INTROSPECT,
    operation_id = "introspect",
    tag = "tokens",
    responses((status = 200, description = "The token is good.", body = Success<Introspection>)),
    security(("bearer" = [])),
    extensions(("x-problems" = json!(["invalid_token", "rate_limited", "blocked"]))),
)]
pub(super) async fn introspect(
    State(app): State<Arc<App>>,
    deadline: Deadline,
    mut parts: Parts,
) -> Result<Json<Success<Introspection>>, Error> {
    let known = caller::bearer(&mut parts, &app).await.map_err(collapsed)?;
    let till = known.usable_till(Timestamp::now()).map_err(collapsed)?;
    quota::till(&app, &till, &parts.extensions).await?;
    let row = deadline
        .bound(app.store.token(known.identity.token_id), || app.answer_late())
        .await?
        .map_err(|error| app.store_failed(&error))?;
    Ok(Json(Success::of(Introspection {
        active: true,
        terminal_id: till.terminal.id,
        terminal_uid: till.terminal.serial_number.clone(),
        tenant_id: till.tenant.id,
        provider_id: None,
        abilities: row.abilities,
        expires_at: row.expires_at.map(|at| at.to_string()),
        last_used_at: row.last_used_at.map(|at| at.to_string()),
        issued_at: row.created_at.to_string(),
    })))
}

fn collapsed(error: Error) -> Error {
    match error {
        Error::Unauthenticated
        | Error::NetworkRefused
        | Error::TerminalRequired
        | Error::TerminalInactive => Error::TokenInvalid,
        other => other,
    }
}
