//! How tills get, keep and look at their tokens. Answers have the shape that tills of today know:
//! `success` and `data`.

mod login;
mod me;
mod refresh;
mod register;

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{App, caller::Till, error::Error, form::Form, quota, security::Trail};
use crate::domain::{ability, time::Timestamp};

pub(super) const REGISTER: &str = "/api/v1/auth/register";
pub(super) const LOGIN: &str = "/api/v1/auth/terminal";
pub(super) const REFRESH: &str = "/api/v1/auth/refresh";
pub(super) const ME: &str = "/api/v1/auth/me";
pub(super) const INTROSPECT: &str = "/api/v1/tokens/introspect";

/// Seconds between two heartbeats that a till is asked for.
const HEARTBEAT_SECONDS: u32 = 300;

/// The routes of this folder.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(register::register))
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh))
        .routes(routes!(me::me))
        .routes(routes!(me::introspect))
}

/// A body that says which till it is about.
pub(super) trait NamesTill {
    fn serial_number(&self) -> &str;
}

/// An attempt to get a token by a secret, before anything of the secret is looked at: where it comes
/// from and for which till. Attempts are counted by these two.
pub(super) struct Attempt<T> {
    pub(super) form: T,
    pub(super) trail: Trail,
}

impl<T: DeserializeOwned + NamesTill + Send> FromRequest<Arc<App>> for Attempt<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let trail = Trail::of(&parts).ok_or(Error::Internal)?;
        let extensions = parts.extensions.clone();
        let request = Request::from_parts(parts, body);
        let Form(form) = Form::<T>::from_request(request, app).await?;
        super::form::text("serial_number", form.serial_number(), 255)?;
        let serial = form.serial_number().to_owned();
        quota::attempt(app, trail.client, &serial, &extensions).await?;
        Ok(Self { form, trail })
    }
}

/// What is answered to a request that succeeded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Success<T> {
    /// Always true.
    success: bool,
    data: T,
}

impl<T> Success<T> {
    pub(super) const fn of(data: T) -> Self {
        Self { success: true, data }
    }
}

/// What a till is told about itself.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TerminalConfig {
    /// Always false: TSMS does not count guests.
    supports_guest_count: bool,
    /// Whether results are posted to a callback URL.
    notifications_enabled: bool,
    /// Seconds between two heartbeats.
    heartbeat_threshold: u32,
}

impl TerminalConfig {
    fn of(till: &Till) -> Self {
        Self {
            supports_guest_count: false,
            notifications_enabled: till.terminal.callback_url.is_some(),
            heartbeat_threshold: HEARTBEAT_SECONDS,
        }
    }
}

/// A token for a till. It is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Grant {
    serial_number: String,
    terminal_id: i64,
    tenant_id: i64,
    /// Always null; kept for tills that read it.
    #[schema(required)]
    machine_number: Option<u32>,
    access_token: String,
    #[schema(pattern = "^Bearer$")]
    token_type: &'static str,
    /// Seconds until the token ends; null when it never does.
    #[schema(required)]
    expires_in: Option<u64>,
    abilities: Vec<String>,
    terminal_config: TerminalConfig,
}

impl Grant {
    fn new(till: &Till, token: String, abilities: Vec<String>, end: Option<Timestamp>) -> Self {
        Self {
            serial_number: till.terminal.serial_number.clone(),
            terminal_id: till.terminal.id,
            tenant_id: till.tenant.id,
            machine_number: None,
            access_token: token,
            token_type: "Bearer",
            expires_in: end.map(|end| end.since(Timestamp::now()).as_secs()),
            abilities,
            terminal_config: TerminalConfig::of(till),
        }
    }
}

fn usual_abilities() -> Vec<String> {
    ability::USUAL.iter().map(|word| (*word).to_owned()).collect()
}
