//! `/api/v1/admin/tokens`
//!
//! Nobody gets more by this than he has: an administrator's token can only make, rotate or revoke
//! administrators' tokens whose abilities it has itself, and what it makes lasts no longer and works
//! from nowhere else than itself.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, List, Page, RowId, Tokens, refused, time, time_text};
use crate::{
    credentials::Wish,
    domain::{ability, network::Networks, time::Timestamp},
    ingress::{
        App,
        contract::schema,
        error::Error,
        form::{Form, text, wrong},
        identities::Known,
    },
    store::{Holder, Origin, Replaced, StoreError, TokenRow},
};

/// Most abilities of a token.
pub(in crate::ingress) const MOST_ABILITIES: usize = 16;

const TOKENS: &str = "/api/v1/admin/tokens";
const TOKEN: &str = "/api/v1/admin/tokens/{id}";
const ROTATE: &str = "/api/v1/admin/tokens/{id}/rotate";
const REVOKE: &str = "/api/v1/admin/tokens/{id}/revoke";

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(list, issue))
        .routes(routes!(show))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
}

/// A token as listed: never its text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    id: i64,
    /// The first token of its line of successors.
    family_id: i64,
    /// The token it replaces.
    #[schema(required)]
    parent_id: Option<i64>,
    /// Null for an administrator's.
    #[schema(required)]
    terminal_id: Option<i64>,
    name: String,
    /// By a person, by an enrolment code, or by a terminal's key.
    #[schema(value_type = String, pattern = "^(issued|enrolled|login)$")]
    origin: Origin,
    abilities: Vec<String>,
    /// Networks it may be used from; anywhere when empty.
    networks: String,
    #[schema(schema_with = schema::instant)]
    created_at: String,
    #[schema(schema_with = schema::instant_or_null)]
    expires_at: Option<String>,
    /// Once its successor is in use: when it stops.
    #[schema(schema_with = schema::instant_or_null)]
    retires_at: Option<String>,
    #[schema(schema_with = schema::instant_or_null)]
    revoked_at: Option<String>,
    /// True to about a minute.
    #[schema(schema_with = schema::instant_or_null)]
    last_used_at: Option<String>,
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id,
            family_id: row.family_id,
            parent_id: row.parent_id,
            terminal_id: row.terminal_id,
            name: row.name,
            origin: row.origin,
            abilities: row.abilities,
            networks: row.networks,
            created_at: row.created_at.to_string(),
            expires_at: time_text(row.expires_at),
            retires_at: time_text(row.retires_at),
            revoked_at: time_text(row.revoked_at),
            last_used_at: time_text(row.last_used_at),
        }
    }
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TokenToMake {
    /// The terminal it is for; an administrator's unless given.
    terminal_id: Option<i64>,
    /// What a person calls it.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    name: String,
    /// What it may do; the usual for a terminal unless given, and required for an administrator.
    #[serde(default)]
    #[schema(schema_with = schema::abilities)]
    abilities: Vec<String>,
    /// When it ends, UTC; never unless given.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Where it may be used from, such as `10.1.0.0/16, 192.0.2.7`; anywhere unless given.
    networks: Option<String>,
}

/// How a token is to be revoked.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Revocation {
    /// With all that it replaced and all that replaced it.
    #[serde(default)]
    family: bool,
}

/// A new token; its text is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Issued {
    id: i64,
    token: String,
    #[schema(schema_with = schema::instant_or_null)]
    expires_at: Option<String>,
}

/// List tokens.
///
/// By id, a page at a time; those of one terminal where `terminal_id` is given.
#[utoipa::path(
    get,
    path = TOKENS,
    operation_id = "listTokens",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "One page.", body = List<Token>)),
    security(("bearer" = [ability::ADMIN_TOKENS])),
    extensions(("x-problems" = json!(["invalid_query"]))),
)]
async fn list(
    State(app): State<Arc<App>>,
    admin: Admin<Tokens>,
    page: Page,
) -> Result<Json<List<Token>>, Error> {
    let rows = admin
        .store
        .list_tokens(page.terminal_id, page.after, page.limit())
        .await
        .map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Token::from).collect();
    Ok(Json(List::of(items, page.limit(), |token| token.id)))
}

/// Show a token.
///
/// Never its text.
#[utoipa::path(
    get,
    path = TOKEN,
    operation_id = "showToken",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    responses((status = 200, description = "The token.", body = Token)),
    security(("bearer" = [ability::ADMIN_TOKENS])),
)]
async fn show(
    State(app): State<Arc<App>>,
    admin: Admin<Tokens>,
    RowId(id): RowId,
) -> Result<Json<Token>, Error> {
    let row = admin.store.token(id).await;
    let row = row.map_err(|error| refused(&app, &error))?;
    Ok(Json(row.into()))
}

/// Make a token.
///
/// An administrator gives others no more than he has: abilities, end and networks lie within his own.
#[utoipa::path(
    post,
    path = TOKENS,
    operation_id = "issueToken",
    tag = "administration",
    request_body(content = TokenToMake, content_type = "application/json"),
    responses((status = 201, description = "The token; its text is shown here and never again.", body = Issued)),
    security(("bearer" = [ability::ADMIN_TOKENS])),
    extensions(("x-problems" = json!(["invalid_fields", "unstorable"]))),
)]
async fn issue(
    State(app): State<Arc<App>>,
    admin: Admin<Tokens>,
    Form(form): Form<TokenToMake>,
) -> Result<(StatusCode, Json<Issued>), Error> {
    let wish = wish(&admin.known, form)?;
    let expires_at = time_text(wish.expires_at);
    let made = app.credentials_for(&admin.store).issue(wish).await;
    let (id, token) = made.map_err(|error| match error {
        StoreError::Missing(_) => wrong("terminal_id", "there is no such terminal"),
        error => refused(&app, &error),
    })?;
    let issued = Issued {
        id,
        token,
        expires_at,
    };
    Ok((StatusCode::CREATED, Json(issued)))
}

/// What is wished for, if `by` may give it.
fn wish(by: &Known, form: TokenToMake) -> Result<Wish, Error> {
    text("name", &form.name, 255)?;
    let known: &[&str] = match form.terminal_id {
        Some(_) => &ability::OF_TERMINALS,
        None => &ability::OF_ADMINS,
    };
    let fits = form.abilities.len() <= MOST_ABILITIES
        && form.abilities.iter().all(|word| known.contains(&word.as_str()));
    if !fits || (form.terminal_id.is_none() && form.abilities.is_empty()) {
        return Err(wrong("abilities", format!("must be of: {}", known.join(" "))));
    }
    let mut networks: Networks = form
        .networks
        .as_deref()
        .unwrap_or_default()
        .parse()
        .map_err(|error| wrong("networks", format!("{error}")))?;
    let mut expires_at = form
        .expires_at
        .as_deref()
        .map(|text| time("expires_at", text))
        .transpose()?;
    if form.terminal_id.is_none() {
        within(by, &form.abilities)?;
        let own = &by.identity;
        expires_at = expires_at.into_iter().chain(own.life.expires_at).min();
        if networks.is_empty() {
            networks = own.networks.clone();
        } else if !own.networks.is_empty() && !own.networks.cover(&networks) {
            return Err(wrong(
                "networks",
                "must lie within those of the token that makes it",
            ));
        }
    }
    Ok(Wish {
        terminal_id: form.terminal_id,
        name: form.name,
        abilities: form.abilities,
        expires_at,
        networks,
    })
}

/// Refuses where `by` lacks one of `abilities` of an administrator.
fn within(by: &Known, abilities: &[String]) -> Result<(), Error> {
    let lacking = ability::OF_ADMINS
        .into_iter()
        .find(|word| abilities.iter().any(|asked| asked == word) && !by.identity.may(word));
    match lacking {
        Some(ability) => Err(Error::AbilityMissing { ability }),
        None => Ok(()),
    }
}

/// Replace a token.
///
/// The old one is good for `auth.rotation_overlap_ms` longer.
#[utoipa::path(
    post,
    path = ROTATE,
    operation_id = "rotateToken",
    tag = "administration",
    params(("id" = i64, Path, description = "Row id of the token.", minimum = 1)),
    responses((status = 201, description = "The successor; its text is shown here and never again.", body = Issued)),
    security(("bearer" = [ability::ADMIN_TOKENS])),
    extensions(("x-problems" = json!(["token_replaced", "token_ended"]))),
)]
async fn rotate(
    State(app): State<Arc<App>>,
    admin: Admin<Tokens>,
    RowId(id): RowId,
) -> Result<(StatusCode, Json<Issued>), Error> {
    let row = admin.store.token(id).await;
    let row = row.map_err(|error| refused(&app, &error))?;
    within(&admin.known, &row.abilities)?;
    let overlap = app.config.auth.rotation_overlap_ms.duration();
    let holder = Holder::Person(Timestamp::now().plus(overlap));
    let credentials = app.credentials_for(&admin.store);
    let replaced = credentials.replace(id, row.terminal_id, holder).await;
    let (replaced, token) = replaced.map_err(|error| refused(&app, &error))?;
    match replaced {
        Replaced::By(id, end) => {
            let issued = Issued {
                id,
                token,
                expires_at: time_text(end),
            };
            Ok((StatusCode::CREATED, Json(issued)))
        }
        Replaced::Already => Err(Error::TokenReplaced),
        Replaced::Refused(_) => Err(Error::TokenEnded),
    }
}

/// Revoke a token.
///
/// Holds at every ingress within a second.
#[utoipa::path(
    post,
    path = REVOKE,
    operation_id = "revokeToken",
    tag = "administration",
    params(("id" = i64, Path, description = "Row id of the token.", minimum = 1)),
    request_body(content = Revocation, content_type = "application/json"),
    responses((status = 200, description = "As it is now.", body = Token)),
    security(("bearer" = [ability::ADMIN_TOKENS])),
    extensions(("x-problems" = json!(["invalid_fields"]))),
)]
async fn revoke(
    State(app): State<Arc<App>>,
    admin: Admin<Tokens>,
    RowId(id): RowId,
    Form(form): Form<Revocation>,
) -> Result<Json<Token>, Error> {
    let row = admin.store.token(id).await;
    let row = row.map_err(|error| refused(&app, &error))?;
    within(&admin.known, &row.abilities)?;
    let now = Timestamp::now();
    let revoked = if form.family {
        let revoked = admin.store.revoke_family(row.family_id, now, None).await;
        revoked.map(|_| ())
    } else {
        admin.store.revoke_token(id, now).await
    };
    revoked.map_err(|error| refused(&app, &error))?;
    let row = admin.store.token(id).await;
    let row = row.map_err(|error| refused(&app, &error))?;
    Ok(Json(row.into()))
}
