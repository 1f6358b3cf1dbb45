//! `/api/v1/admin/terminals` and `/api/v1/admin/enrolments`

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, List, Page, RowId, Terminals, refused, time, time_text};
use crate::{
    domain::{
        ability,
        directory::{self, TerminalStatus},
    },
    ingress::{
        App,
        contract::schema,
        error::Error,
        form::{Form, given, text, whole, wrong},
    },
    store::{NewTerminal, Store, StoreError, TerminalChange},
};

/// Shortest key that is taken from a client, in characters.
const SHORTEST_KEY: usize = 16;
/// Longest key.
const LONGEST_KEY: usize = 255;
/// Longest life of an enrolment code, in seconds: a year.
const LONGEST_ENROLMENT: u32 = 366 * 24 * 3600;

const TERMINALS: &str = "/api/v1/admin/terminals";
const TERMINAL: &str = "/api/v1/admin/terminals/{id}";
const KEY: &str = "/api/v1/admin/terminals/{id}/key";
const ENROLMENTS: &str = "/api/v1/admin/enrolments";

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(show, change))
        .routes(routes!(set_key))
        .routes(routes!(enrol))
}

/// A terminal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Terminal {
    id: i64,
    tenant_id: i64,
    serial_number: String,
    status: TerminalStatus,
    /// When it stops being accepted; null for never.
    #[schema(schema_with = schema::instant_or_null)]
    expires_at: Option<String>,
    /// Where results are posted; null for nowhere.
    #[schema(required)]
    callback_url: Option<String>,
}

impl From<directory::Terminal> for Terminal {
    fn from(row: directory::Terminal) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            serial_number: row.serial_number,
            status: row.status,
            expires_at: time_text(row.expires_at),
            callback_url: row.callback_url,
        }
    }
}

/// A terminal to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TerminalToMake {
    /// The tenant it stands in.
    tenant_id: i64,
    /// Its serial number, unique.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    serial_number: String,
    /// Where results are posted.
    #[schema(max_length = 2000, pattern = r"^https?://[^\u0000-\u001f\u007f-\u009f]*$")]
    callback_url: Option<String>,
    /// When it stops being accepted, UTC.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// What of a terminal changes; what is left out stays, null takes away.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ChangeOfTerminal {
    /// `active`, `inactive`, or `revoked`, which is for ever.
    #[schema(pattern = "^(active|inactive|revoked)$")]
    status: Option<String>,
    /// When it stops being accepted, UTC; null for never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<String>>,
    /// Where results are posted; null for nowhere.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 2000, pattern = r"^https?://[^\u0000-\u001f\u007f-\u009f]*$")]
    callback_url: Option<Option<String>>,
}

/// A key for a terminal.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct KeyToSet {
    /// The key it has already; a new one is made unless given.
    #[schema(
        min_length = 16,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    api_key: Option<String>,
}

/// A key as it was set; it is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TerminalKey)]
pub(super) struct Key {
    serial_number: String,
    api_key: String,
}

/// A till that shall register itself.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Enrol {
    /// The tenant it will stand in.
    tenant_id: i64,
    /// Its serial number.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    serial_number: String,
    /// How long the code is good, in seconds, at most a year of 366 days; `auth.enrolment_ttl_ms` unless
    /// given.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 31_622_400)]
    lasts_seconds: Option<u32>,
}

/// An enrolment code; it is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Enrolment {
    enrolment_code: String,
    tenant_id: i64,
    serial_number: String,
    #[schema(schema_with = schema::instant)]
    expires_at: String,
}

async fn one(store: &Store, id: i64) -> Result<directory::Terminal, StoreError> {
    let found = store.terminals(&[id]).await?.pop();
    found
        .map(|(terminal, _)| terminal)
        .ok_or(StoreError::Missing("terminal"))
}

/// List terminals.
///
/// By id, a page at a time; those of one tenant where `tenant_id` is given.
#[utoipa::path(
    get,
    path = TERMINALS,
    operation_id = "listTerminals",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "One page.", body = List<Terminal>)),
    security(("bearer" = [ability::ADMIN_TERMINALS])),
    extensions(("x-problems" = json!(["invalid_query"]))),
)]
async fn list(
    State(app): State<Arc<App>>,
    admin: Admin<Terminals>,
    page: Page,
) -> Result<Json<List<Terminal>>, Error> {
    let rows = admin
        .store
        .list_terminals(page.tenant_id, page.after, page.limit())
        .await
        .map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Terminal::from).collect();
    Ok(Json(List::of(items, page.limit(), |terminal| terminal.id)))
}

/// Show a terminal.
#[utoipa::path(
    get,
    path = TERMINAL,
    operation_id = "showTerminal",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    responses((status = 200, description = "The terminal.", body = Terminal)),
    security(("bearer" = [ability::ADMIN_TERMINALS])),
)]
async fn show(
    State(app): State<Arc<App>>,
    admin: Admin<Terminals>,
    RowId(id): RowId,
) -> Result<Json<Terminal>, Error> {
    let terminal = one(&admin.store, id).await;
    let terminal = terminal.map_err(|error| refused(&app, &error))?;
    Ok(Json(terminal.into()))
}

/// Make a terminal.
///
/// It can do nothing before it has a token, a key or an enrolment code.
#[utoipa::path(
    post,
    path = TERMINALS,
    operation_id = "createTerminal",
    tag = "administration",
    request_body(content = TerminalToMake, content_type = "application/json"),
    responses((status = 201, description = "Made.", body = Terminal)),
    security(("bearer" = [ability::ADMIN_TERMINALS])),
    extensions(("x-problems" = json!(["invalid_fields", "already_exists", "unstorable"]))),
)]
async fn create(
    State(app): State<Arc<App>>,
    admin: Admin<Terminals>,
    Form(new): Form<TerminalToMake>,
) -> Result<(StatusCode, Json<Terminal>), Error> {
    text("serial_number", &new.serial_number, 255)?;
    if let Some(url) = &new.callback_url {
        callback(url)?;
    }
    let expires_at = new.expires_at.as_deref().map(|text| time("expires_at", text));
    let new = NewTerminal {
        tenant_id: new.tenant_id,
        serial_number: new.serial_number,
        callback_url: new.callback_url,
        expires_at: expires_at.transpose()?,
    };
    let terminal = admin.store.create_terminal(&new).await;
    let terminal = terminal.map_err(|error| match error {
        StoreError::Missing(_) => wrong("tenant_id", "there is no such tenant"),
        error => refused(&app, &error),
    })?;
    Ok((StatusCode::CREATED, Json(terminal.into())))
}

/// Change a terminal.
///
/// What is left out stays, null takes away. Switching it off holds at every ingress within a second.
#[utoipa::path(
    patch,
    path = TERMINAL,
    operation_id = "changeTerminal",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    request_body(content = ChangeOfTerminal, content_type = "application/json"),
    responses((status = 200, description = "As it is now.", body = Terminal)),
    security(("bearer" = [ability::ADMIN_TERMINALS])),
    extensions(("x-problems" = json!(["invalid_fields", "terminal_revoked", "unstorable"]))),
)]
async fn change(
    State(app): State<Arc<App>>,
    admin: Admin<Terminals>,
    RowId(id): RowId,
    Form(change): Form<ChangeOfTerminal>,
) -> Result<Json<Terminal>, Error> {
    if let Some(Some(url)) = &change.callback_url {
        callback(url)?;
    }
    let expires_at = match &change.expires_at {
        Some(Some(text)) => Some(Some(time("expires_at", text)?)),
        Some(None) => Some(None),
        None => None,
    };
    let change = TerminalChange {
        status: change.status.as_deref().map(status).transpose()?,
        expires_at,
        callback_url: change.callback_url,
    };
    let before = one(&admin.store, id).await;
    let before = before.map_err(|error| refused(&app, &error))?;
    match admin.store.update_terminal(id, &change).await {
        Err(StoreError::Missing(_)) if before.status == TerminalStatus::Revoked => {
            return Err(Error::TerminalRevoked);
        }
        changed => changed.map_err(|error| refused(&app, &error))?,
    }
    let terminal = one(&admin.store, id).await;
    let terminal = terminal.map_err(|error| refused(&app, &error))?;
    Ok(Json(terminal.into()))
}

/// Set the key of a terminal.
///
/// With it the till logs in. The one before it is good no longer.
#[utoipa::path(
    post,
    path = KEY,
    operation_id = "setTerminalKey",
    tag = "administration",
    params(("id" = i64, Path, description = "Row id of the terminal.", minimum = 1)),
    request_body(content = KeyToSet, content_type = "application/json"),
    responses((status = 200, description = "The key; it is shown here and never again.", body = Key)),
    security(("bearer" = [ability::ADMIN_TERMINALS])),
    extensions(("x-problems" = json!(["invalid_fields", "unstorable"]))),
)]
async fn set_key(
    State(app): State<Arc<App>>,
    admin: Admin<Terminals>,
    RowId(id): RowId,
    Form(key): Form<KeyToSet>,
) -> Result<Json<Key>, Error> {
    if let Some(key) = &key.api_key {
        text("api_key", key, LONGEST_KEY)?;
        if key.chars().count() < SHORTEST_KEY {
            return Err(wrong(
                "api_key",
                format!("must have at least {SHORTEST_KEY} characters"),
            ));
        }
    }
    let set = async {
        let terminal = one(&admin.store, id).await?;
        let credentials = app.credentials_for(&admin.store);
        let api_key = credentials.set_key(&terminal, key.api_key).await?;
        Ok::<_, StoreError>(Key {
            serial_number: terminal.serial_number,
            api_key,
        })
    };
    let key = set.await.map_err(|error| refused(&app, &error))?;
    Ok(Json(key))
}

/// Make an enrolment code.
///
/// With it the till of that serial number registers itself, once.
#[utoipa::path(
    post,
    path = ENROLMENTS,
    operation_id = "enrol",
    tag = "administration",
    request_body(content = Enrol, content_type = "application/json"),
    responses((status = 201, description = "The code; it is shown here and never again.", body = Enrolment)),
    security(("bearer" = [ability::ADMIN_TERMINALS])),
    extensions(("x-problems" = json!(["invalid_fields", "already_exists", "unstorable"]))),
)]
async fn enrol(
    State(app): State<Arc<App>>,
    admin: Admin<Terminals>,
    Form(form): Form<Enrol>,
) -> Result<(StatusCode, Json<Enrolment>), Error> {
    text("serial_number", &form.serial_number, 255)?;
    let lasts = match form.lasts_seconds {
        None => app.config.auth.enrolment_ttl_ms.duration(),
        Some(seconds) if (1..=LONGEST_ENROLMENT).contains(&seconds) => Duration::from_secs(seconds.into()),
        Some(_) => {
            return Err(wrong(
                "lasts_seconds",
                format!("must be 1 to {LONGEST_ENROLMENT}"),
            ));
        }
    };
    let credentials = app.credentials_for(&admin.store);
    let made = credentials
        .enrol(form.tenant_id, &form.serial_number, lasts)
        .await;
    let (enrolment_code, end) = made.map_err(|error| match error {
        StoreError::Missing(_) => wrong("tenant_id", "there is no such tenant"),
        error => refused(&app, &error),
    })?;
    let enrolment = Enrolment {
        enrolment_code,
        tenant_id: form.tenant_id,
        serial_number: form.serial_number,
        expires_at: end.to_string(),
    };
    Ok((StatusCode::CREATED, Json(enrolment)))
}

fn status(word: &str) -> Result<TerminalStatus, Error> {
    match word {
        "active" => Ok(TerminalStatus::Active),
        "inactive" => Ok(TerminalStatus::Inactive),
        "revoked" => Ok(TerminalStatus::Revoked),
        _ => Err(wrong("status", "must be active, inactive or revoked")),
    }
}

fn callback(url: &str) -> Result<(), Error> {
    text("callback_url", url, 2000)?;
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(());
    }
    Err(wrong("callback_url", "must start with https:// or http://"))
}
