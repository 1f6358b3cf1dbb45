//! `/api/v1/admin/terminals` and `/api/v1/admin/enrolments`

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Admin, List, Page, RowId, Terminals, refused, time, time_text};
use crate::{
    domain::directory::{self, TerminalStatus},
    ingress::{
        App,
        error::Error,
        form::{Form, given, text, wrong},
    },
    store::{NewTerminal, Store, StoreError, TerminalChange},
};

/// Shortest key that is taken from a client, in characters.
const SHORTEST_KEY: usize = 16;
/// Longest key.
const LONGEST_KEY: usize = 255;
/// Longest life of an enrolment code, in seconds: a year.
const LONGEST_ENROLMENT: u32 = 366 * 24 * 3600;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/admin/terminals", get(list).post(create))
        .route("/api/v1/admin/terminals/{id}", get(show).patch(change))
        .route("/api/v1/admin/terminals/{id}/key", post(set_key))
        .route("/api/v1/admin/enrolments", post(enrol))
}

/// A terminal.
#[derive(Debug, Serialize)]
pub(super) struct Terminal {
    id: i64,
    tenant_id: i64,
    serial_number: String,
    status: TerminalStatus,
    /// When it stops being accepted; null for never.
    expires_at: Option<String>,
    /// Where results are posted.
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
#[derive(Debug, Deserialize)]
pub(super) struct TerminalToMake {
    /// The tenant it stands in.
    tenant_id: i64,
    /// Its serial number, unique.
    serial_number: String,
    /// Where results are posted.
    callback_url: Option<String>,
    /// When it stops being accepted, UTC.
    expires_at: Option<String>,
}

/// What of a terminal changes; what is left out stays, null takes away.
#[derive(Debug, Deserialize)]
pub(super) struct ChangeOfTerminal {
    /// `active`, `inactive`, or `revoked`, which is for ever.
    status: Option<String>,
    /// When it stops being accepted, UTC; null for never.
    #[serde(default, deserialize_with = "given")]
    expires_at: Option<Option<String>>,
    /// Where results are posted; null for nowhere.
    #[serde(default, deserialize_with = "given")]
    callback_url: Option<Option<String>>,
}

/// A key for a terminal.
#[derive(Debug, Deserialize)]
pub(super) struct KeyToSet {
    /// The key it has already, of 16 to 255 characters; a new one is made unless given.
    api_key: Option<String>,
}

/// A key as it was set; it is shown here and never again.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    serial_number: String,
    api_key: String,
}

/// A till that shall register itself.
#[derive(Debug, Deserialize)]
pub(super) struct Enrol {
    /// The tenant it will stand in.
    tenant_id: i64,
    /// Its serial number.
    serial_number: String,
    /// How long the code is good, in seconds; `auth.enrolment_ttl_ms` unless given.
    lasts_seconds: Option<u32>,
}

/// An enrolment code; it is shown here and never again.
#[derive(Debug, Serialize)]
pub(super) struct Enrolment {
    enrolment_code: String,
    tenant_id: i64,
    serial_number: String,
    expires_at: String,
}

async fn one(store: &Store, id: i64) -> Result<directory::Terminal, StoreError> {
    let found = store.terminals(&[id]).await?.pop();
    found
        .map(|(terminal, _)| terminal)
        .ok_or(StoreError::Missing("terminal"))
}

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

async fn show(
    State(app): State<Arc<App>>,
    admin: Admin<Terminals>,
    RowId(id): RowId,
) -> Result<Json<Terminal>, Error> {
    let terminal = one(&admin.store, id).await;
    let terminal = terminal.map_err(|error| refused(&app, &error))?;
    Ok(Json(terminal.into()))
}

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
