//! What became of a sale or a submission, for the terminal that sent it, true from the instant of
//! the 202.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
};
use http::request::Parts;
use serde::Serialize;
use uuid::Uuid;

use super::{App, caller::Reader, deadline::Deadline, error::Error, status_url};
use crate::{
    domain::{
        money::Money,
        reversal::{Reversal, ReversalKind},
        sale::{Finding, ForwardState, ValidationStatus},
        time::Timestamp,
    },
    store::{ItemState, StoreError, SubmissionView, TransactionView},
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

/// `GET /api/v1/transactions/{id}/status`
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
    let Some(mut status) = find_sale(app, terminal_id, id).await? else {
        return Ok(None);
    };
    status.reversed(app.store.reversals_of(terminal_id, id).await?);
    Ok(Some(status))
}

async fn find_sale(app: &App, terminal_id: i64, id: Uuid) -> Result<Option<TransactionStatus>, StoreError> {
    if let Some(view) = view(app, terminal_id, id).await? {
        return with_submission(app, terminal_id, view).await.map(Some);
    }
    let Some(submission) = app.store.submission_of(terminal_id, id).await? else {
        return Ok(None);
    };
    if submission.processed_at.is_none() || submission.dead_code.is_some() {
        return Ok(Some(TransactionStatus::waiting(id, &submission)));
    }
    match view(app, terminal_id, id).await? {
        Some(view) => with_submission(app, terminal_id, view).await.map(Some),
        None => Err(StoreError::Damaged(format!(
            "submission {} is processed and transaction {id} has no row",
            submission.id
        ))),
    }
}

async fn view(app: &App, terminal_id: i64, id: Uuid) -> Result<Option<TransactionView>, StoreError> {
    Ok(app.store.transaction_views(terminal_id, &[id]).await?.pop())
}

async fn with_submission(
    app: &App,
    terminal_id: i64,
    view: TransactionView,
) -> Result<TransactionStatus, StoreError> {
    let submission = app
        .store
        .submission(terminal_id, view.row.submission_uuid)
        .await?;
    Ok(TransactionStatus::recorded(
        view,
        submission.map(|it| it.accepted_at),
    ))
}

/// `GET /api/v1/submissions/{uuid}`
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

/// The word for a sale that is void, whatever else became of it.
const VOIDED: &str = "VOIDED";

/// The one word a till shows for a recorded sale.
fn word(view: &TransactionView) -> &'static str {
    if view.row.voided_at.is_some() {
        return VOIDED;
    }
    if view.dead_code.is_some() {
        return "DEAD_LETTERED";
    }
    match (view.row.status, view.forward) {
        (_, Some(ForwardState::Dead)) => "DEAD_LETTERED",
        (_, Some(ForwardState::Forwarded)) => "FORWARDED",
        (ValidationStatus::Pending, _) => "PENDING",
        (ValidationStatus::Valid, _) => "VALID",
        (ValidationStatus::Invalid, _) => "INVALID",
    }
}

/// The one word for a sale whose submission has not become rows.
fn word_before(submission: &SubmissionView) -> &'static str {
    if submission.dead_code.is_some() {
        "DEAD_LETTERED"
    } else {
        "ACCEPTED"
    }
}

/// A sale as its terminal sees it. Times are UTC with microseconds, amounts exact decimal strings.
#[derive(Debug, Serialize)]
pub(super) struct TransactionStatus {
    transaction_id: Uuid,
    submission_uuid: Uuid,
    status: &'static str,
    validation_status: &'static str,
    findings: Vec<Finding>,
    forward: Option<Forward>,
    amounts: Option<Amounts>,
    accepted_at: Option<String>,
    recorded_at: Option<String>,
    decided_at: Option<String>,
    voided_at: Option<String>,
    void_reason: Option<String>,
    /// How far the web application was told of the void.
    void_forward: Option<Forward>,
    refunded_amount: Option<Money>,
    refunds: Vec<Refund>,
}

#[derive(Debug, Serialize)]
struct Refund {
    refund_reference_id: Option<String>,
    refund_amount: Money,
    refund_reason: String,
    refunded_at: String,
    forward: Forward,
}

#[derive(Debug, Serialize)]
struct Forward {
    state: ForwardState,
    attempts: u32,
    settled_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Amounts {
    gross_sales: Option<Money>,
    net_sales: Option<Money>,
    base_amount: Option<Money>,
}

impl TransactionStatus {
    fn waiting(id: Uuid, submission: &SubmissionView) -> Self {
        Self {
            transaction_id: id,
            submission_uuid: submission.submission_uuid,
            status: word_before(submission),
            validation_status: ValidationStatus::Pending.as_str(),
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
                    self.status = VOIDED;
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

    fn recorded(view: TransactionView, accepted_at: Option<Timestamp>) -> Self {
        let status = word(&view);
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let row = view.row;
        Self {
            transaction_id: row.sale.transaction_id,
            submission_uuid: row.submission_uuid,
            status,
            validation_status: row.status.as_str(),
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
            accepted_at: text(accepted_at),
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

/// A submission as its terminal sees it.
#[derive(Debug, Serialize)]
pub(super) struct SubmissionStatus {
    submission_uuid: Uuid,
    submission_id: String,
    status: &'static str,
    accepted_at: String,
    processed_at: Option<String>,
    failure: Option<String>,
    transaction_count: usize,
    transactions: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Item {
    transaction_id: Uuid,
    state: &'static str,
    status_url: String,
}

impl SubmissionStatus {
    /// `words` holds the rows that this submission made itself.
    fn new(submission: SubmissionView, words: &HashMap<Uuid, &'static str>) -> Self {
        let before = word_before(&submission);
        let special: HashMap<Uuid, &'static str> = submission
            .results
            .iter()
            .map(|result| match result.state {
                ItemState::Duplicate => (result.transaction_id, "DUPLICATE"),
                ItemState::Conflict => (result.transaction_id, "CONFLICT"),
            })
            .collect();
        let state = |id: &Uuid| {
            words
                .get(id)
                .or_else(|| special.get(id))
                .copied()
                .unwrap_or(before)
        };
        Self {
            submission_uuid: submission.submission_uuid,
            submission_id: submission.id.to_string(),
            status: match (&submission.dead_code, submission.processed_at) {
                (Some(_), _) => "FAILED",
                (None, Some(_)) => "PROCESSED",
                (None, None) => "ACCEPTED",
            },
            accepted_at: submission.accepted_at.to_string(),
            processed_at: submission.processed_at.map(|at| at.to_string()),
            transaction_count: submission.transaction_ids.len(),
            transactions: submission
                .transaction_ids
                .iter()
                .map(|id| Item {
                    transaction_id: *id,
                    state: state(id),
                    status_url: status_url(*id),
                })
                .collect(),
            failure: submission.dead_code,
        }
    }
}

#[cfg(test)]
mod tests;
