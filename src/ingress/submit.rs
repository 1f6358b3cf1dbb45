//! `POST /api/v1/transactions/official`: check, keep, answer 202.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    App, SUBMIT,
    body::{JsonForm, RawBody},
    caller::{CREATE, Submitter, Till},
    commit::{Draft, Full, Kept},
    contract::schema,
    deadline::Deadline,
    error::Error,
    request_id::RequestId,
    status_url, submission_url,
};
use crate::domain::{
    json,
    payload::{self, Bounds, FieldError, Submission},
    time::Timestamp,
};

/// Bodies up to this many bytes are checked where they arrive; a larger one would hold up the other
/// connections of its thread, so it goes to the threads for blocking work.
const INLINE_BYTES: usize = 64 * 1024;

/// Submit sales.
///
/// Takes one sale or a batch of them. A 202 means that the submission is committed and flushed to
/// disk. The same submission again, at any time, gets the same status and the same body; other
/// content under the same `submission_uuid` is a 409 and changes nothing.
// The order of the arguments is the order of the checks.
#[utoipa::path(
    post,
    path = SUBMIT,
    operation_id = "submitSales",
    tag = "sales",
    request_body(content = ref("#/components/schemas/Submission"), description = "At most 2 MiB, not compressed.", content_type = "application/json"),
    responses(
        (status = 202, description = "Committed.", body = Receipt,
            headers(("Location" = String, description = "As `status_url`.")),
            links(
                ("Sale" = (operation_id = "saleStatus",
                    parameters(("id" = "$response.body#/transactions/0/transaction_id")))),
                ("Submission" = (operation_id = "submissionStatus",
                    parameters(("uuid" = "$response.body#/submission_uuid")))),
            )),
    ),
    security(("bearer" = [CREATE])),
    extensions(("x-problems" = json!([
        "too_many_transactions", "invalid_fields", "checksum_mismatch", "terminal_mismatch",
        "tenant_mismatch", "hardware_mismatch", "submission_conflict", "overloaded", "tenant_busy",
    ]))),
)]
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    _: JsonForm,
    Submitter(till): Submitter,
    request_id: RequestId,
    deadline: Deadline,
    body: RawBody,
) -> Result<Receipt, Error> {
    let submission = read(&app, body.bytes.clone(), till.clone()).await?;
    let draft = draft(&till, &submission, &request_id, body.bytes);
    let answer = app
        .committer
        .submit(draft, body.share)
        .map_err(|full| match full {
            Full::Everybody => app.overloaded(),
            Full::Tenant => app.tenant_busy(),
        })?;
    match deadline.bound(answer, || app.answer_late()).await? {
        Ok(Ok(Kept::Accepted { id, accepted_at })) => Ok(Receipt::new(&submission, id, accepted_at)),
        Ok(Ok(Kept::Conflict { accepted_at })) => Err(Error::SubmissionConflict { accepted_at }),
        Ok(Err(_)) | Err(_) => Err(app.store_unavailable()),
    }
}

/// Checks a body: structure, checksums, owner.
async fn read(app: &Arc<App>, body: Bytes, till: Arc<Till>) -> Result<Submission, Error> {
    let (bounds, most) = (app.bounds, app.config.ingress.max_errors);
    let inline = body.len() <= INLINE_BYTES;
    let check = move || {
        let submission = payload::read(&body, &bounds).map_err(|refusal| Error::refused(refusal, most))?;
        owned(&submission, &till, &body, &bounds, most)?;
        Ok(submission)
    };
    if inline {
        return check();
    }
    tokio::task::spawn_blocking(check)
        .await
        .unwrap_or(Err(Error::Internal))
}

/// Whether the body speaks of the terminal that sent it. `customer_code` is not held against the
/// tenant's code: no version in the field did, and tills in use send an old one.
fn owned(
    submission: &Submission,
    till: &Till,
    body: &[u8],
    bounds: &Bounds,
    most: usize,
) -> Result<(), Error> {
    if submission.terminal_id != till.terminal.id {
        return Err(Error::TerminalMismatch);
    }
    if submission.tenant_id != till.tenant.id {
        return Err(Error::TenantMismatch);
    }
    let serial = till.terminal.serial_number.as_str();
    let strangers: Vec<usize> = submission
        .sales
        .iter()
        .enumerate()
        .filter(|(_, sale)| sale.hardware_id.as_deref().is_some_and(|sent| sent != serial))
        .map(|(position, _)| position)
        .take(most)
        .collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let single = is_single(body, bounds);
    let errors = strangers.into_iter().map(|position| FieldError {
        pointer: if single {
            "/transaction/hardware_id".to_owned()
        } else {
            format!("/transactions/{position}/hardware_id")
        },
        code: "mismatch",
        message: "must be the serial number of the token's terminal".to_owned(),
    });
    Err(Error::HardwareMismatch(errors.collect()))
}

/// Whether the body carries `transaction` rather than `transactions`; asked for a pointer only.
fn is_single(body: &[u8], bounds: &Bounds) -> bool {
    json::parse(body, &bounds.json).is_ok_and(|envelope| envelope.get("transaction").is_some())
}

fn draft(till: &Till, submission: &Submission, request_id: &RequestId, body: Bytes) -> Draft {
    Draft {
        tenant_id: till.tenant.id,
        terminal_id: till.terminal.id,
        submission_uuid: submission.submission_uuid,
        submission_timestamp: submission.submission_timestamp,
        payload_checksum: submission.payload_checksum,
        transaction_ids: submission.sales.iter().map(|sale| sale.transaction_id).collect(),
        request_id: request_id.carried(),
        body,
    }
}

/// The 202. It holds facts of the first acceptance only, so that a repeated request gets the same
/// bytes for ever.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    submission_uuid: Uuid,
    #[schema(schema_with = schema::row_id)]
    submission_id: String,
    #[schema(schema_with = schema::instant)]
    accepted_at: String,
    #[schema(pattern = "^ACCEPTED$")]
    status: &'static str,
    #[schema(minimum = 1)]
    transaction_count: usize,
    /// In the order of the body.
    #[schema(inline, min_items = 1)]
    transactions: Vec<AcceptedItem>,
    #[schema(schema_with = schema::submission_url)]
    status_url: String,
}

/// One transaction of an accepted submission.
#[derive(Debug, Serialize, ToSchema)]
struct AcceptedItem {
    transaction_id: Uuid,
    #[schema(pattern = "^ACCEPTED$")]
    state: &'static str,
    #[schema(schema_with = schema::status_url)]
    status_url: String,
}

impl Receipt {
    fn new(submission: &Submission, id: i64, accepted_at: Timestamp) -> Self {
        Self {
            submission_uuid: submission.submission_uuid,
            submission_id: id.to_string(),
            accepted_at: accepted_at.to_string(),
            status: "ACCEPTED",
            transaction_count: submission.sales.len(),
            transactions: submission
                .sales
                .iter()
                .map(|sale| AcceptedItem {
                    transaction_id: sale.transaction_id,
                    state: "ACCEPTED",
                    status_url: status_url(sale.transaction_id),
                })
                .collect(),
            status_url: submission_url(submission.submission_uuid),
        }
    }
}

impl IntoResponse for Receipt {
    fn into_response(self) -> Response {
        let location = [(header::LOCATION, self.status_url.clone())];
        (StatusCode::ACCEPTED, location, Json(self)).into_response()
    }
}
