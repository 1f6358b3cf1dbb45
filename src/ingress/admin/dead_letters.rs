//! `/api/v1/admin/dead-letters`: what was given up, by cause, and every try that failed.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Query, State},
};
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, DeadLetters, List, Page, RowId, refused};
use crate::{
    domain::{
        ability,
        dead_letter::{Filter, Letter},
    },
    ingress::{App, contract::schema, error::Error},
    letters::{self, Cause, MOST_TRIES},
    store::Try,
};

const LETTERS: &str = "/api/v1/admin/dead-letters";
const CAUSES: &str = "/api/v1/admin/dead-letters/causes";
const LETTER: &str = "/api/v1/admin/dead-letters/{id}";

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(causes))
        .routes(routes!(show))
}

/// Which letters are meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// `all`, which is also what is meant unless given, or terms that must all hold, with commas between:
    /// `id=`, `stage=`, `tenant=` (its id), `code=`, `cause=`.
    #[param(
        rename = "where",
        max_length = 500,
        pattern = "^(all|(id=[1-9][0-9]{0,17}|stage=[a-z]{1,16}|tenant=[1-9][0-9]{0,17}|code=[a-z_]{1,64}|cause=[0-9a-f]{12})(,(id=[1-9][0-9]{0,17}|stage=[a-z]{1,16}|tenant=[1-9][0-9]{0,17}|code=[a-z_]{1,64}|cause=[0-9a-f]{12})){0,3})$"
    )]
    #[serde(rename = "where")]
    terms: Option<String>,
}

impl FromRequestParts<Arc<App>> for Which {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Query(which) = Query::<Self>::from_request_parts(parts, app)
            .await
            .map_err(|_| Error::InvalidQuery)?;
        which.filter()?;
        Ok(which)
    }
}

impl Which {
    fn filter(&self) -> Result<Filter, Error> {
        let terms = self.terms.as_deref().unwrap_or("all");
        terms.parse().map_err(|_| Error::InvalidQuery)
    }
}

/// Something that was given up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct View {
    id: i64,
    /// A fingerprint that letters of one cause share.
    cause: String,
    /// Where: `validation`, `processing`, `forwarding`, `reversal`.
    stage: String,
    /// The row that was given up: a submission (validation), a void or refund (reversal), else a sale.
    subject_id: i64,
    tenant_id: i64,
    /// Why, as a fixed word.
    code: String,
    /// Why, for a person.
    detail: String,
    #[schema(schema_with = schema::instant)]
    created_at: String,
}

impl From<Letter> for View {
    fn from(letter: Letter) -> Self {
        Self {
            cause: letter.cause(),
            id: letter.id,
            stage: letter.stage,
            subject_id: letter.subject_id,
            tenant_id: letter.tenant_id,
            code: letter.code,
            detail: letter.detail,
            created_at: letter.created_at.to_string(),
        }
    }
}

/// A try to forward that failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailedTry)]
pub(super) struct TryView {
    attempt: u32,
    #[schema(schema_with = schema::instant)]
    sent_at: String,
    /// Until the answer was read, in milliseconds.
    took_ms: u32,
    /// To which sink.
    sink: String,
    batch_id: String,
    /// Sales in that batch.
    sales: u32,
    /// Why it failed.
    code: String,
    /// The status of the answer; null where there was none.
    #[schema(required)]
    status: Option<u16>,
    /// SHA-256 of the JSON that was sent, in hex.
    request_sha256: String,
    /// SHA-256 of the answer, as far as it was read; null where there was none.
    #[schema(required)]
    answer_sha256: Option<String>,
}

impl From<Try> for TryView {
    fn from(one: Try) -> Self {
        Self {
            request_sha256: one.request_sha256(),
            answer_sha256: one.answer_sha256(),
            attempt: one.attempt,
            sent_at: one.sent_at.to_string(),
            took_ms: one.took_ms,
            sink: one.sink,
            batch_id: one.batch_id,
            sales: one.sales,
            code: one.code,
            status: one.status,
        }
    }
}

/// A dead letter with its tries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterWithTries)]
pub(super) struct Whole {
    letter: View,
    /// The request that brought it in (a void or refund: its sale), as in `X-Request-Id`; null where the record has none.
    #[schema(required)]
    request_id: Option<String>,
    /// The trace which that request is a part of; null where it is a part of none.
    #[schema(required, pattern = "^[0-9a-f]{32}$")]
    trace_id: Option<String>,
    /// The newest first.
    tries: Vec<TryView>,
}

/// Letters of one cause.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterCause)]
pub(super) struct CauseView {
    /// Its fingerprint; `others` for all beyond a thousand causes.
    cause: String,
    stage: String,
    code: String,
    /// How many there are.
    letters: u64,
    #[schema(schema_with = schema::instant)]
    oldest: String,
    #[schema(schema_with = schema::instant)]
    newest: String,
    /// What one of them says.
    example: String,
}

impl From<Cause> for CauseView {
    fn from(cause: Cause) -> Self {
        Self {
            cause: cause.cause,
            stage: cause.stage,
            code: cause.code,
            letters: cause.letters,
            oldest: cause.oldest.to_string(),
            newest: cause.newest.to_string(),
            example: cause.example,
        }
    }
}

/// Letters by cause.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterCauses)]
pub(super) struct Causes {
    /// How many letters are meant: what a redrive with the same terms would look at.
    letters: u64,
    /// Whether every letter was looked at; `redrive.scan` bounds what one request does.
    complete: bool,
    /// Most letters first.
    items: Vec<CauseView>,
}

/// List dead letters.
///
/// By id, a page at a time. A page may be short of its limit and still have a `next`: one request looks at
/// `redrive.scan` letters at most.
#[utoipa::path(
    get,
    path = LETTERS,
    operation_id = "listDeadLetters",
    tag = "administration",
    params(Which, Page),
    responses((status = 200, description = "One page.", body = List<View>)),
    security(("bearer" = [ability::ADMIN_LETTERS])),
    extensions(("x-problems" = json!(["invalid_query", "rate_limited"]))),
)]
async fn list(
    State(app): State<Arc<App>>,
    admin: Admin<DeadLetters>,
    which: Which,
    page: Page,
) -> Result<Json<List<View>>, Error> {
    let (filter, scan) = (which.filter()?, app.config.redrive.scan);
    let page = letters::page(&admin.store, &filter, page.after, page.limit(), scan).await;
    let page = page.map_err(|error| refused(&app, &error))?;
    Ok(Json(List {
        items: page.found.into_iter().map(View::from).collect(),
        next: page.more,
    }))
}

/// Count dead letters by cause.
///
/// Also what a redrive would do, before it is ordered: it counts what its terms mean.
#[utoipa::path(
    get,
    path = CAUSES,
    operation_id = "countDeadLetters",
    tag = "administration",
    params(Which),
    responses((status = 200, description = "Most letters first.", body = Causes)),
    security(("bearer" = [ability::ADMIN_LETTERS])),
    extensions(("x-problems" = json!(["invalid_query", "rate_limited"]))),
)]
async fn causes(
    State(app): State<Arc<App>>,
    admin: Admin<DeadLetters>,
    which: Which,
) -> Result<Json<Causes>, Error> {
    let looked = letters::causes(&admin.store, &which.filter()?, app.config.redrive.scan).await;
    let looked = looked.map_err(|error| refused(&app, &error))?;
    Ok(Json(Causes {
        letters: looked.found.iter().map(|cause| cause.letters).sum(),
        complete: looked.more.is_none(),
        items: looked.found.into_iter().map(CauseView::from).collect(),
    }))
}

/// Show a dead letter.
///
/// With every try to forward that failed, by digest.
#[utoipa::path(
    get,
    path = LETTER,
    operation_id = "showDeadLetter",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    responses((status = 200, description = "The letter and its tries.", body = Whole)),
    security(("bearer" = [ability::ADMIN_LETTERS])),
    extensions(("x-problems" = json!(["rate_limited"]))),
)]
async fn show(
    State(app): State<Arc<App>>,
    admin: Admin<DeadLetters>,
    RowId(id): RowId,
) -> Result<Json<Whole>, Error> {
    let found = async {
        let letter = admin.store.dead_letter(id).await?;
        let tries = admin.store.tries_of(&letter, MOST_TRIES).await?;
        let origin = letters::origin(&admin.store, &letter).await?;
        Ok((letter, origin, tries))
    };
    let (letter, origin, tries) = found.await.map_err(|error| refused(&app, &error))?;
    Ok(Json(Whole {
        letter: letter.into(),
        request_id: origin.request_id,
        trace_id: origin.trace_id,
        tries: tries.into_iter().map(TryView::from).collect(),
    }))
}
