//! `/api/v1/admin/sinks`: where sales are forwarded to.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, List, Page, RowId, Sinks, refused};
use crate::{
    config::Secret,
    domain::{ability, compression::Compression, sink},
    ingress::{
        App,
        contract::schema,
        error::Error,
        form::{Form, given, whole, wrong},
    },
    sinks::{self, SinkError},
    store::StoreError,
};

const SINKS: &str = "/api/v1/admin/sinks";
const SINK: &str = "/api/v1/admin/sinks/{id}";
const DISABLE: &str = "/api/v1/admin/sinks/{id}/disable";

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(show, change))
        .routes(routes!(disable))
}

/// A web application that sales are forwarded to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sink {
    id: i64,
    /// Unique, never changes.
    name: String,
    /// The tenant whose sales it takes; null: of every tenant without a sink of its own.
    #[schema(required)]
    tenant_id: Option<i64>,
    /// The environment it belongs to; others do not send to it.
    environment: String,
    /// Where batches are posted.
    endpoint: String,
    /// Whether it has a bearer token. The token itself is never shown.
    has_token: bool,
    /// How long one POST may take, answer included.
    timeout_ms: u32,
    /// Most sales in one POST.
    batch_size: u32,
    /// Whether its certificate is verified.
    verify_ssl: bool,
    /// Whether sales are sent; off, those that are its own wait.
    enabled: bool,
    /// The form of a batch.
    schema_version: String,
    /// Certificates in PEM that are trusted besides the usual ones; null for none.
    #[schema(required)]
    ca: Option<String>,
    /// Whether it may have an address of a private network or of the server itself.
    allow_private: bool,
    /// How batches are compressed.
    #[schema(pattern = "^(none|gzip|zstd)$")]
    compression: &'static str,
    /// Whether batches are signed; see its secrets.
    signed: bool,
    /// How often it was changed; 1 at first.
    version: i64,
    #[schema(schema_with = schema::instant)]
    created_at: String,
    #[schema(schema_with = schema::instant)]
    changed_at: String,
}

impl From<sink::Sink> for Sink {
    fn from(row: sink::Sink) -> Self {
        let settings = row.settings;
        Self {
            id: row.id,
            name: row.name,
            tenant_id: row.tenant_id,
            environment: row.environment,
            endpoint: settings.endpoint,
            has_token: settings.token.is_some(),
            timeout_ms: settings.timeout_ms,
            batch_size: settings.batch_size,
            verify_ssl: settings.verify_ssl,
            enabled: settings.enabled,
            schema_version: settings.schema_version,
            ca: settings.ca,
            allow_private: settings.allow_private,
            compression: settings.compression.word(),
            signed: settings.signing.is_some(),
            version: row.version,
            created_at: row.created_at.to_string(),
            changed_at: row.changed_at.to_string(),
        }
    }
}

/// A sink to be made; what is left out is as in the settings of the server.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SinkToMake {
    /// What it is called, for good. `webapp` is the one of the settings.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,39}$")]
    name: String,
    /// The tenant whose sales it takes; unless given, of every tenant without a sink of its own.
    #[schema(minimum = 1)]
    tenant_id: Option<i64>,
    /// The environment it belongs to; that of the server unless given.
    #[schema(pattern = "^[a-z0-9]{1,12}$")]
    environment: Option<String>,
    /// Where batches are posted.
    #[schema(max_length = 1000, pattern = "^https?://")]
    endpoint: String,
    /// Bearer token. It is kept sealed and never shown again.
    #[schema(min_length = 1, max_length = 1000, pattern = "^[!-~]+$")]
    token: Option<String>,
    /// How long one POST may take, answer included.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 100, maximum = 120_000)]
    timeout_ms: Option<u32>,
    /// Most sales in one POST.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 500)]
    batch_size: Option<u32>,
    /// Whether its certificate is verified.
    verify_ssl: Option<bool>,
    /// Whether sales are sent.
    enabled: Option<bool>,
    /// The form of a batch.
    #[schema(pattern = r"^2\.0$")]
    schema_version: Option<String>,
    /// Certificates in PEM that are trusted besides the usual ones.
    #[schema(max_length = 6000, pattern = "^-----BEGIN CERTIFICATE-----")]
    ca: Option<String>,
    /// Whether it may have an address of a private network or of the server itself.
    allow_private: Option<bool>,
    /// How batches are compressed.
    #[schema(pattern = "^(none|gzip|zstd)$")]
    compression: Option<String>,
}

/// What of a sink changes; what is left out stays, null takes away.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ChangeOfSink {
    /// Where batches are posted.
    #[schema(max_length = 1000, pattern = "^https?://")]
    endpoint: Option<String>,
    /// Bearer token; null takes it away. It is kept sealed and never shown again.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1000, pattern = "^[!-~]+$")]
    token: Option<Option<String>>,
    /// How long one POST may take, answer included.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 100, maximum = 120_000)]
    timeout_ms: Option<u32>,
    /// Most sales in one POST.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 500)]
    batch_size: Option<u32>,
    /// Whether its certificate is verified.
    verify_ssl: Option<bool>,
    /// Whether sales are sent.
    enabled: Option<bool>,
    /// The form of a batch.
    #[schema(pattern = r"^2\.0$")]
    schema_version: Option<String>,
    /// Certificates in PEM that are trusted besides the usual ones; null takes them away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 6000, pattern = "^-----BEGIN CERTIFICATE-----")]
    ca: Option<Option<String>>,
    /// Whether it may have an address of a private network or of the server itself.
    allow_private: Option<bool>,
    /// How batches are compressed.
    #[schema(pattern = "^(none|gzip|zstd)$")]
    compression: Option<String>,
}

/// List sinks.
///
/// By id, a page at a time. The sink of the settings, `webapp`, is not among them.
#[utoipa::path(
    get,
    path = SINKS,
    operation_id = "listSinks",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "One page.", body = List<Sink>)),
    security(("bearer" = [ability::ADMIN_SINKS])),
    extensions(("x-problems" = json!(["invalid_query"]))),
)]
async fn list(
    State(app): State<Arc<App>>,
    admin: Admin<Sinks>,
    page: Page,
) -> Result<Json<List<Sink>>, Error> {
    let rows = admin.store.list_sinks(page.after, page.limit()).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Sink::from).collect();
    Ok(Json(List::of(items, page.limit(), |sink| sink.id)))
}

/// Show a sink.
#[utoipa::path(
    get,
    path = SINK,
    operation_id = "showSink",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    responses((status = 200, description = "The sink.", body = Sink)),
    security(("bearer" = [ability::ADMIN_SINKS])),
)]
async fn show(
    State(app): State<Arc<App>>,
    admin: Admin<Sinks>,
    RowId(id): RowId,
) -> Result<Json<Sink>, Error> {
    let sink = admin.store.sink(id).await;
    let sink = sink.map_err(|error| refused(&app, &error))?;
    Ok(Json(sink.into()))
}

/// Make a sink.
///
/// Every forwarding worker sends to it within `forwarding.sinks_refresh_ms`. A tenant has one in an
/// environment, and so have all tenants without one of their own.
#[utoipa::path(
    post,
    path = SINKS,
    operation_id = "createSink",
    tag = "administration",
    request_body(content = SinkToMake, content_type = "application/json"),
    responses((status = 201, description = "Made.", body = Sink)),
    security(("bearer" = [ability::ADMIN_SINKS])),
    extensions(("x-problems" = json!(["invalid_fields", "already_exists", "unstorable"]))),
)]
async fn create(
    State(app): State<Arc<App>>,
    admin: Admin<Sinks>,
    Form(new): Form<SinkToMake>,
) -> Result<(StatusCode, Json<Sink>), Error> {
    let change = sink::Change {
        timeout_ms: new.timeout_ms,
        batch_size: new.batch_size,
        verify_ssl: new.verify_ssl,
        enabled: new.enabled,
        schema_version: new.schema_version,
        ca: new.ca.map(Some),
        allow_private: new.allow_private,
        compression: coding(new.compression)?,
        ..sink::Change::default()
    };
    let token = new.token.map(|token| Some(Secret::new(token)));
    let wish = sinks::Wish {
        name: new.name,
        tenant_id: new.tenant_id,
        environment: new.environment,
        endpoint: new.endpoint,
    };
    let made = sinks::create(&admin.store, &app.config, wish, &change, token).await;
    let sink = made.map_err(|error| match error {
        SinkError::Store(StoreError::Missing("tenant")) => wrong("tenant_id", "there is no such tenant"),
        error => not_so(&app, "token", &error),
    })?;
    Ok((StatusCode::CREATED, Json(sink.into())))
}

/// Change a sink.
///
/// Every forwarding worker knows it within `forwarding.sinks_refresh_ms`; a batch under way ends as it
/// began.
#[utoipa::path(
    patch,
    path = SINK,
    operation_id = "changeSink",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    request_body(content = ChangeOfSink, content_type = "application/json"),
    responses((status = 200, description = "As it is now.", body = Sink)),
    security(("bearer" = [ability::ADMIN_SINKS])),
    extensions(("x-problems" = json!(["invalid_fields", "unstorable"]))),
)]
async fn change(
    State(app): State<Arc<App>>,
    admin: Admin<Sinks>,
    RowId(id): RowId,
    Form(form): Form<ChangeOfSink>,
) -> Result<Json<Sink>, Error> {
    let change = sink::Change {
        endpoint: form.endpoint,
        timeout_ms: form.timeout_ms,
        batch_size: form.batch_size,
        verify_ssl: form.verify_ssl,
        enabled: form.enabled,
        schema_version: form.schema_version,
        ca: form.ca,
        allow_private: form.allow_private,
        compression: coding(form.compression)?,
        ..sink::Change::default()
    };
    let token = form.token.map(|token| token.map(Secret::new));
    let changed = sinks::change(&admin.store, &app.config, id, change, token).await;
    let sink = changed.map_err(|error| not_so(&app, "token", &error))?;
    Ok(Json(sink.into()))
}

/// Disable a sink.
///
/// Its sales wait in the record until it is enabled again (`PATCH` with `enabled`); they go to no other
/// sink meanwhile.
#[utoipa::path(
    post,
    path = DISABLE,
    operation_id = "disableSink",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    responses((status = 200, description = "As it is now.", body = Sink)),
    security(("bearer" = [ability::ADMIN_SINKS])),
)]
async fn disable(
    State(app): State<Arc<App>>,
    admin: Admin<Sinks>,
    RowId(id): RowId,
) -> Result<Json<Sink>, Error> {
    let off = sink::Change {
        enabled: Some(false),
        ..sink::Change::default()
    };
    let sink = admin.store.change_sink(id, &off).await;
    let sink = sink.map_err(|error| refused(&app, &error))?;
    Ok(Json(sink.into()))
}

fn coding(word: Option<String>) -> Result<Option<Compression>, Error> {
    let coding = word.map(|word| word.parse());
    coding
        .transpose()
        .map_err(|_| wrong("compression", "must be none, gzip or zstd"))
}

/// Why a sink was not made or changed; where its secrets cannot be sealed, `member` is named.
pub(super) fn not_so(app: &App, member: &'static str, error: &SinkError) -> Error {
    match error {
        SinkError::Wrong(member) => wrong(member.member, member.reason.clone()),
        SinkError::Key(error) => {
            tracing::error!(%error, "the secrets of a sink cannot be sealed or opened");
            wrong(
                member,
                "cannot be kept: secrets.key of the server is not set or cannot be used",
            )
        }
        SinkError::SecretsInUse => Error::SecretsInUse,
        SinkError::ChangedMeanwhile => Error::ChangedMeanwhile,
        SinkError::NoSecret(error) => {
            tracing::error!(%error, "no secret can be made");
            Error::Internal
        }
        SinkError::Store(error) => refused(app, error),
    }
}
