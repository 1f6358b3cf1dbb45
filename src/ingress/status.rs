//! What became of a sale or a submission, for the terminal that sent it, true from the instant of
//! the 202.

mod listed;
mod words;

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
};
use http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use self::{listed::SubmissionStatus, words::SaleState};
use super::{
    App, SUBMISSION, TRANSACTION,
    caller::{READ, Reader},
    contract::schema,
    deadline::Deadline,
    error::Error,
};
use crate::{
    domain::{
        money::Money,
        reversal::{Reversal, ReversalKind},
        sale::{Finding, ForwardState, ValidationStatus},
        time::Timestamp,
    },
    store::{StoreError, SubmissionView, TransactionView},
};

/// Most transaction ids the record looks up in one call.
const LOOKUP_IDS: usize = 500;

/// The `{id}` of a path: a UUID in its usual form and nothing else, never a row number.
pub(super) struct PathId(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::NotFound)?;
        let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
        match Uuid::try_parse(&text) {
            Ok(id) if hyphenated => Ok(Self(id)),
            _ => Err(Error::NotFound),
        }
    }
}

/// What became of a sale.
///
/// True from the instant of the 202. Only the terminal that sent the sale sees it. The answer changes
/// as the sale moves on.
#[utoipa::path(
    get,
    path = TRANSACTION,
    operation_id = "saleStatus",
    tag = "sales",
    params(("id" = Uuid, Path, description = "Its `transaction_id`.")),
    responses((status = 200, description = "The sale as it stands.", body = TransactionStatus)),
    security(("bearer" = [READ])),
)]
pub(super) async fn transaction(
    State(app): State<Arc<App>>,
    Reader(till): Reader,
    PathId(id): PathId,
    deadline: Deadline,
) -> Result<Json<TransactionStatus>, Error> {
    let found = deadline
        .bound(find(&app, till.terminal.id, id), || app.answer_late())
        .await?
        .map_err(|error| app.store_failed(&error))?;
    found.map(Json).ok_or(Error::NotFound)
}

/// Reads in an order that leaves no gap: the row, then the submission that may still become the row,
/// then the row again in case it was made in between.
async fn find(app: &App, terminal_id: i64, id: Uuid) -> Result<Option<TransactionStatus>, StoreError> {
    let (mut status, reversed) = match find_sale(app, terminal_id, id).await? {
        Some(Found::Row(view)) => {
            let reversed = view.reversed;
            (TransactionStatus::recorded(*view), reversed)
        }
        // Its void may be known before its row is made.
        Some(Found::Waiting(submission)) => (TransactionStatus::waiting(id, &submission), true),
        None => return Ok(None),
    };
    if reversed {
        status.reversed(app.store.reversals_of(terminal_id, id).await?);
    }
    Ok(Some(status))
}

/// What is known of a sale.
enum Found {
    Row(Box<TransactionView>),
    Waiting(SubmissionView),
}

async fn find_sale(app: &App, terminal_id: i64, id: Uuid) -> Result<Option<Found>, StoreError> {
    if let Some(row) = view(app, terminal_id, id).await? {
        return Ok(Some(row));
    }
    let Some(submission) = app.store.submission_of(terminal_id, id).await? else {
        return view(app, terminal_id, id).await;
    };
    if submission.processed_at.is_none() || submission.dead_code.is_some() {
        return Ok(Some(Found::Waiting(submission)));
    }
    view(app, terminal_id, id).await?.map(Some).ok_or_else(|| {
        StoreError::Damaged(format!(
            "submission {} is processed and transaction {id} has no row",
            submission.id
        ))
    })
}

async fn view(app: &App, terminal_id: i64, id: Uuid) -> Result<Option<Found>, StoreError> {
    let row = app.store.transaction_views(terminal_id, &[id]).await?.pop();
    Ok(row.map(|row| Found::Row(Box::new(row))))
}

/// What became of a submission.
///
/// Only the terminal that sent it sees it. The answer changes as its sales move on.
#[utoipa::path(
    get,
    path = SUBMISSION,
    operation_id = "submissionStatus",
    tag = "sales",
    params(("uuid" = Uuid, Path, description = "Its `submission_uuid`.")),
    responses((status = 200, description = "The submission as it stands.", body = SubmissionStatus)),
    security(("bearer" = [READ])),
)]
pub(super) async fn submission(
    State(app): State<Arc<App>>,
    Reader(till): Reader,
    PathId(uuid): PathId,
    deadline: Deadline,
) -> Result<Json<SubmissionStatus>, Error> {
    let found = deadline
        .bound(find_submission(&app, till.terminal.id, uuid), || {
            app.answer_late()
        })
        .await?
        .map_err(|error| app.store_failed(&error))?;
    found.map(Json).ok_or(Error::NotFound)
}

/// The submission first: when it says processed, its rows are there.
async fn find_submission(
    app: &App,
    terminal_id: i64,
    uuid: Uuid,
) -> Result<Option<SubmissionStatus>, StoreError> {
    let Some(submission) = app.store.submission(terminal_id, uuid).await? else {
        return Ok(None);
    };
    let mut words = HashMap::new();
    if submission.processed_at.is_some() {
        for ids in submission.transaction_ids.chunks(LOOKUP_IDS) {
            let views = app.store.transaction_views(terminal_id, ids).await?;
            let own = views
                .iter()
                .filter(|view| view.row.submission_id == submission.id);
            words.extend(own.map(|view| (view.row.sale.transaction_id, word(view))));
        }
    }
    Ok(Some(SubmissionStatus::new(submission, &words)))
}

/// The one word a till shows for a recorded sale.
fn word(view: &TransactionView) -> SaleState {
    if view.row.voided_at.is_some() {
        return SaleState::Voided;
    }
    if view.dead_code.is_some() {
        return SaleState::DeadLettered;
    }
    match (view.row.status, view.forward) {
        (_, Some(ForwardState::Dead)) => SaleState::DeadLettered,
        (_, Some(ForwardState::Forwarded)) => SaleState::Forwarded,
        (ValidationStatus::Pending, _) => SaleState::Pending,
        (ValidationStatus::Valid, _) => SaleState::Valid,
        (ValidationStatus::Invalid, _) => SaleState::Invalid,
    }
}

/// The one word for a sale whose submission has not become rows.
fn word_before(submission: &SubmissionView) -> SaleState {
    if submission.dead_code.is_some() {
        SaleState::DeadLettered
    } else {
        SaleState::Accepted
    }
}

/// A sale as its terminal sees it. Times are UTC with microseconds, amounts exact decimal strings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TransactionStatus {
    transaction_id: Uuid,
    submission_uuid: Uuid,
    #[schema(inline)]
    status: SaleState,
    #[schema(inline)]
    validation_status: ValidationStatus,
    /// What the rules found; every finding, not only the first.
    findings: Vec<Finding>,
    /// How far the delivery has come; `null` before the rules have decided, and for an invalid sale.
    #[schema(required)]
    forward: Option<Forward>,
    /// `null` until the sale is recorded.
    #[schema(required)]
    amounts: Option<Amounts>,
    #[schema(required, schema_with = schema::instant_or_null)]
    accepted_at: Option<String>,
    #[schema(required, schema_with = schema::instant_or_null)]
    recorded_at: Option<String>,
    #[schema(required, schema_with = schema::instant_or_null)]
    decided_at: Option<String>,
    #[schema(required, schema_with = schema::instant_or_null)]
    voided_at: Option<String>,
    #[schema(required)]
    void_reason: Option<String>,
    /// How far the web application was told of the void.
    #[schema(required)]
    void_forward: Option<Forward>,
    /// The sum of the refunds; `null` where there is none.
    #[schema(required, schema_with = schema::money_or_null)]
    refunded_amount: Option<Money>,
    refunds: Vec<Refund>,
}

/// A refund of a sale, in the order in which they were made.
#[derive(Debug, Serialize, ToSchema)]
struct Refund {
    #[schema(required)]
    refund_reference_id: Option<String>,
    #[schema(schema_with = schema::money)]
    refund_amount: Money,
    refund_reason: String,
    #[schema(schema_with = schema::instant)]
    refunded_at: String,
    forward: Forward,
}

/// The delivery of a sale to the web application.
#[derive(Debug, Serialize, ToSchema)]
struct Forward {
    #[schema(inline)]
    state: ForwardState,
    attempts: u32,
    #[schema(required, schema_with = schema::instant_or_null)]
    settled_at: Option<String>,
}

/// The amounts of a sale; `null` where its generation has none.
#[derive(Debug, Serialize, ToSchema)]
struct Amounts {
    #[schema(required, schema_with = schema::money_or_null)]
    gross_sales: Option<Money>,
    #[schema(required, schema_with = schema::money_or_null)]
    net_sales: Option<Money>,
    #[schema(required, schema_with = schema::money_or_null)]
    base_amount: Option<Money>,
}

impl TransactionStatus {
    fn waiting(id: Uuid, submission: &SubmissionView) -> Self {
        Self {
            transaction_id: id,
            submission_uuid: submission.submission_uuid,
            status: word_before(submission),
            validation_status: ValidationStatus::Pending,
            findings: Vec::new(),
            forward: None,
            amounts: None,
            accepted_at: Some(submission.accepted_at.to_string()),
            recorded_at: None,
            decided_at: None,
            voided_at: None,
            void_reason: None,
            void_forward: None,
            refunded_amount: None,
            refunds: Vec::new(),
        }
    }

    /// With the void and refunds of the sale, which may be known before the sale has a row.
    fn reversed(&mut self, reversals: Vec<Reversal>) {
        for reversal in reversals {
            let forward = Forward {
                state: reversal.state,
                attempts: reversal.attempts,
                settled_at: reversal.settled_at.map(|at| at.to_string()),
            };
            let at = reversal.made_at.to_string();
            match reversal.kind {
                ReversalKind::Void => {
                    self.status = SaleState::Voided;
                    self.voided_at = Some(at);
                    self.void_reason = Some(reversal.reason);
                    self.void_forward = Some(forward);
                }
                ReversalKind::Refund => {
                    let sum = self.refunded_amount.unwrap_or_default() + reversal.amount;
                    self.refunded_amount = Some(sum);
                    self.refunds.push(Refund {
                        refund_reference_id: Some(reversal.reference).filter(|text| !text.is_empty()),
                        refund_amount: reversal.amount,
                        refund_reason: reversal.reason,
                        refunded_at: at,
                        forward,
                    });
                }
            }
        }
    }

    fn recorded(view: TransactionView) -> Self {
        let status = word(&view);
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let row = view.row;
        Self {
            transaction_id: row.sale.transaction_id,
            submission_uuid: row.submission_uuid,
            status,
            validation_status: row.status,
            findings: row.findings,
            forward: view.forward.map(|state| Forward {
                state,
                attempts: view.forward_attempts,
                settled_at: text(view.forward_settled_at),
            }),
            amounts: Some(Amounts {
                gross_sales: row.sale.gross_sales,
                net_sales: row.sale.net_sales,
                base_amount: row.sale.base_amount,
            }),
            accepted_at: text(view.accepted_at),
            recorded_at: Some(row.created_at.to_string()),
            decided_at: text(row.decided_at),
            voided_at: text(row.voided_at),
            void_reason: row.void_reason,
            void_forward: None,
            refunded_amount: None,
            refunds: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
