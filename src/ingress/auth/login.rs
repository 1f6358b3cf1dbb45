//! `POST /api/v1/auth/terminal`: the tills of today show serial number and key, and get a token.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Attempt, Grant, LOGIN, NamesTill, Success, usual_abilities};
use crate::{
    domain::{network::Networks, time::Timestamp, token},
    ingress::{
        App,
        caller::Till,
        deadline::Deadline,
        error::Error,
        security::{Kind, Trail, Who},
    },
    store::{Known, NewToken, Origin, StoreError},
};

/// A till that logs in.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = LoginRequest)]
pub(in crate::ingress) struct Request {
    /// Its serial number.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    serial_number: String,
    /// Its key.
    api_key: String,
}

impl NamesTill for Request {
    fn serial_number(&self) -> &str {
        &self.serial_number
    }
}

/// Log in.
///
/// For tills of today: serial number and key for a token. A wrong serial number, a wrong key, and a
/// terminal or tenant that is switched off are one answer.
// And the same work: one read and one keyed hash.
#[utoipa::path(
    post,
    path = LOGIN,
    operation_id = "logIn",
    tag = "tokens",
    request_body(content = Request, content_type = "application/json"),
    responses((status = 200, description = "A token.", body = Success<Grant>)),
    extensions(("x-problems" = json!([
        "invalid_fields", "authentication_failed", "rate_limited", "blocked", "store_unavailable",
    ]))),
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    deadline: Deadline,
    Attempt { form, trail }: Attempt<Request>,
) -> Result<Json<Success<Grant>>, Error> {
    let known = deadline
        .bound(app.store.terminal_by_serial(&form.serial_number), || {
            app.answer_late()
        })
        .await?
        .map_err(|error| app.store_failed(&error))?;
    let stored = known.as_ref().and_then(|known| known.key.as_ref());
    let fits = app.keyring.is_key(&form.serial_number, &form.api_key, stored);
    let known = known.ok_or_else(|| refuse(&app, trail.address(), &trail))?;
    let now = Timestamp::now();
    if !fits || !known.tenant.active || !known.terminal.usable(now) {
        return Err(refuse(&app, Who::Terminal(known.terminal.id), &trail));
    }
    let (plain, end) = deadline
        .bound(grant(&app, &known, &form.api_key, now), || app.answer_late())
        .await?
        .map_err(|error| app.store_failed(&error))?;
    let till = Till {
        terminal: known.terminal,
        tenant: known.tenant,
    };
    let grant = Grant::new(&till, plain, usual_abilities(), end);
    Ok(Json(Success::of(grant)))
}

fn refuse(app: &App, who: Who, trail: &Trail) -> Error {
    app.events.saw(Kind::LoginFailed, who, trail);
    Error::AuthenticationFailed
}

async fn grant(
    app: &App,
    known: &Known,
    api_key: &str,
    now: Timestamp,
) -> Result<(String, Option<Timestamp>), StoreError> {
    let terminal = &known.terminal;
    let stored_under = known.key.as_ref().map(|key| key.key.as_str());
    if stored_under != Some(app.keyring.newest()) {
        let hashed = app.keyring.hash_key(&terminal.serial_number, api_key);
        app.store.set_terminal_key(terminal.id, Some(&hashed)).await?;
    }
    let auth = &app.config.auth;
    let (plain, hashed) = app.credentials.make(token::Kind::Terminal);
    let end = Some(now.plus(auth.token_ttl_ms.duration()));
    let new = NewToken {
        hashed,
        terminal_id: Some(terminal.id),
        name: "logged in".to_owned(),
        abilities: usual_abilities(),
        expires_at: end,
        networks: Networks::default(),
        origin: Origin::Login,
    };
    let others_end = now.plus(auth.rotation_overlap_ms.duration());
    app.store.log_in(terminal.id, &new, now, others_end).await?;
    Ok((plain, end))
}
