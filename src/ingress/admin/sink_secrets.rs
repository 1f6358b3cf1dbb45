//! `/api/v1/admin/sinks/{id}/secrets`: what signs the batches that are sent to a sink.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Admin, RowId, Sinks,
    sinks::{Sink, not_so},
};
use crate::{
    domain::{ability, webhook::Scheme},
    ingress::{
        App,
        error::Error,
        form::{Form, wrong},
    },
    sinks::{self, Keep},
};

const SECRETS: &str = "/api/v1/admin/sinks/{id}/secrets";
const RETIRE: &str = "/api/v1/admin/sinks/{id}/secrets/retire";

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(add))
        .routes(routes!(retire))
}

/// A secret to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SecretToMake {
    /// How it signs: `hmac`, where both sides know it, or `ed25519`, where the receiver has a public key.
    #[schema(pattern = "^(hmac|ed25519)$")]
    scheme: String,
}

/// Which secrets stay.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SecretsToKeep {
    /// `newest`: one of each scheme. `none`: batches are not signed any more.
    #[schema(pattern = "^(newest|none)$")]
    keep: String,
}

/// A secret that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SecretMade {
    /// `hmac` or `ed25519`.
    #[schema(pattern = "^(hmac|ed25519)$")]
    scheme: &'static str,
    /// What the receiver checks with: the secret (`whsec_…`), never shown again, or the public key
    /// (`whpk_…`).
    given: String,
    /// The sink.
    sink: Sink,
}

/// Make a secret of a sink.
///
/// It signs every batch from now on, beside those that do already, two of a scheme at most: give it to
/// the receiver, then retire the older one.
#[utoipa::path(
    post,
    path = SECRETS,
    operation_id = "addSinkSecret",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    request_body(content = SecretToMake, content_type = "application/json"),
    responses((status = 201, description = "Made.", body = SecretMade)),
    security(("bearer" = [ability::ADMIN_SINKS])),
    extensions(("x-problems" = json!(["invalid_fields", "secrets_in_use", "changed_meanwhile"]))),
)]
async fn add(
    State(app): State<Arc<App>>,
    admin: Admin<Sinks>,
    RowId(id): RowId,
    Form(form): Form<SecretToMake>,
) -> Result<(StatusCode, Json<SecretMade>), Error> {
    let scheme: Scheme = form
        .scheme
        .parse()
        .map_err(|_| wrong("scheme", "must be hmac or ed25519"))?;
    let made = sinks::add_secret(&admin.store, &app.config, id, scheme).await;
    let (sink, made) = made.map_err(|error| not_so(&app, "scheme", &error))?;
    let made = SecretMade {
        scheme: scheme.word(),
        given: made.given,
        sink: sink.into(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Retire secrets of a sink.
///
/// Those that are not kept sign nothing from now on.
#[utoipa::path(
    post,
    path = RETIRE,
    operation_id = "retireSinkSecrets",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    request_body(content = SecretsToKeep, content_type = "application/json"),
    responses((status = 200, description = "As it is now.", body = Sink)),
    security(("bearer" = [ability::ADMIN_SINKS])),
    extensions(("x-problems" = json!(["invalid_fields", "changed_meanwhile"]))),
)]
async fn retire(
    State(app): State<Arc<App>>,
    admin: Admin<Sinks>,
    RowId(id): RowId,
    Form(form): Form<SecretsToKeep>,
) -> Result<Json<Sink>, Error> {
    let keep = match form.keep.as_str() {
        "newest" => Keep::Newest,
        "none" => Keep::None,
        _ => return Err(wrong("keep", "must be newest or none")),
    };
    let sink = sinks::retire_secrets(&admin.store, &app.config, id, keep).await;
    let sink = sink.map_err(|error| not_so(&app, "keep", &error))?;
    Ok(Json(sink.into()))
}
