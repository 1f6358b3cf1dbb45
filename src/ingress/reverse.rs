//! `POST /api/v1/transactions/{id}/void` and `…/refund`: check, commit, answer.
//!
//! Both are facts that the record either takes or refuses in one transaction, so the answer is the
//! truth: a 200 is durable. The same request again gets the same 200; another one that comes too late
//! is told what stands against it.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    App, REFUND, VOID,
    body::{JsonForm, RawBody},
    caller::{CREATE, Submitter, Till},
    contract::schema,
    deadline::Deadline,
    error::Error,
    request_id::RequestId,
    status::PathId,
};
use crate::{
    domain::{
        money::Money,
        payload::{self, FieldError},
        reversal::{Reversal, ReversalKind},
    },
    store::{NewReversal, Reversed},
    telemetry::metrics::{self, ReversalState},
};

/// What a till is told, word for word as in the field.
const VOIDED: &str = "Transaction voided successfully by POS";

/// Void a sale.
///
/// A 200 means that the sale is void, on disk. The same request again gets the same 200; another one
/// is a 409 `already_voided` with the facts of the first.
// The order of the arguments is the order of the checks.
#[utoipa::path(
    post,
    path = VOID,
    operation_id = "voidSale",
    tag = "sales",
    params(("id" = Uuid, Path, description = "Its `transaction_id`.")),
    request_body(content = ref("#/components/schemas/VoidRequest"), content_type = "application/json"),
    responses((status = 200, description = "Void.", body = VoidReceipt)),
    security(("bearer" = [CREATE])),
    extensions(("x-problems" = json!([
        "invalid_fields", "checksum_mismatch", "already_voided", "already_refunded", "overloaded",
    ]))),
)]
pub(super) async fn void(
    State(app): State<Arc<App>>,
    _: JsonForm,
    Submitter(till): Submitter,
    PathId(id): PathId,
    request_id: RequestId,
    deadline: Deadline,
    body: RawBody,
) -> Result<Json<VoidReceipt>, Error> {
    let most = app.config.ingress.max_errors;
    let asked =
        payload::read_void(&body.bytes, &app.bounds).map_err(|refusal| Error::refused(refusal, most))?;
    same_sale(id, Some(asked.transaction_id))?;
    let new = NewReversal {
        kind: ReversalKind::Void,
        reference: String::new(),
        amount: Money::ZERO,
        reason: asked.reason,
        content: asked.content,
        ..of(&till, id)
    };
    let void = reverse(&app, &new, &request_id, deadline).await?;
    Ok(Json(VoidReceipt {
        success: true,
        message: VOIDED,
        transaction_id: id,
        voided_at: void.made_at.to_string(),
        void_reason: void.reason,
    }))
}

/// Refund some or all of a sale.
///
/// All refunds of a sale together are at most its gross. The same request again gets the same 200; the
/// same `refund_reference_id` with other content is a 409.
#[utoipa::path(
    post,
    path = REFUND,
    operation_id = "refundSale",
    tag = "sales",
    params(("id" = Uuid, Path, description = "Its `transaction_id`.")),
    request_body(content = ref("#/components/schemas/RefundRequest"), content_type = "application/json"),
    responses((status = 200, description = "Refunded.", body = RefundReceipt)),
    security(("bearer" = [CREATE])),
    extensions(("x-problems" = json!([
        "invalid_fields", "checksum_mismatch", "already_voided", "transaction_undecided",
        "transaction_invalid", "refund_conflict", "refund_exceeds_sale", "too_many_refunds",
        "overloaded",
    ]))),
)]
pub(super) async fn refund(
    State(app): State<Arc<App>>,
    _: JsonForm,
    Submitter(till): Submitter,
    PathId(id): PathId,
    request_id: RequestId,
    deadline: Deadline,
    body: RawBody,
) -> Result<Json<RefundReceipt>, Error> {
    let most = app.config.ingress.max_errors;
    let asked =
        payload::read_refund(&body.bytes, &app.bounds).map_err(|refusal| Error::refused(refusal, most))?;
    same_sale(id, asked.transaction_id)?;
    let new = NewReversal {
        kind: ReversalKind::Refund,
        reference: asked.reference,
        amount: asked.amount,
        reason: asked.reason,
        content: asked.content,
        ..of(&till, id)
    };
    let refund = reverse(&app, &new, &request_id, deadline).await?;
    Ok(Json(RefundReceipt {
        success: true,
        status: "success",
        transaction_id: id,
        refund_reference_id: Some(refund.reference).filter(|reference| !reference.is_empty()),
        refund_amount: refund.amount,
        refund_reason: refund.reason,
        refunded_at: refund.made_at.to_string(),
    }))
}

fn of(till: &Till, transaction_id: Uuid) -> NewReversal {
    NewReversal {
        tenant_id: till.tenant.id,
        terminal_id: till.terminal.id,
        transaction_id,
        kind: ReversalKind::Void,
        reference: String::new(),
        amount: Money::ZERO,
        reason: String::new(),
        content: [0; 32],
    }
}

/// The body must speak of the sale that the path names.
fn same_sale(path: Uuid, body: Option<Uuid>) -> Result<(), Error> {
    if body.is_none_or(|body| body == path) {
        return Ok(());
    }
    Err(Error::Fields(vec![FieldError {
        pointer: "/transaction_id".to_owned(),
        code: "mismatch",
        message: "must be the transaction id of the path".to_owned(),
    }]))
}

/// Commits, unless too many are under way, and hands on what follows.
async fn reverse(
    app: &App,
    new: &NewReversal,
    request_id: &RequestId,
    deadline: Deadline,
) -> Result<Reversal, Error> {
    let _slot = app.reversals.try_acquire().map_err(|_| app.overloaded())?;
    let most = app.config.ingress.max_refunds;
    let reversed = deadline
        .bound(app.store.reverse(new, most), || app.answer_late())
        .await?
        .map_err(|error| app.store_failed(&error))?;
    match reversed {
        Reversed::Made(made) => {
            metrics::reversal(made.kind.label(), ReversalState::Accepted);
            app.pass_on.reversed(&made, &request_id.carried());
            Ok(made)
        }
        Reversed::Before(first) => Ok(first),
        Reversed::Other(first) if first.kind == ReversalKind::Refund => Err(Error::RefundConflict {
            refunded_at: first.made_at,
        }),
        Reversed::Other(void) | Reversed::Voided(void) => Err(Error::AlreadyVoided {
            voided_at: void.made_at,
            void_reason: void.reason,
        }),
        Reversed::Unknown => Err(Error::NotFound),
        Reversed::Undecided => Err(Error::TransactionUndecided {
            retry_after: app.retry_after.soon(),
        }),
        Reversed::Invalid => Err(Error::TransactionInvalid),
        Reversed::Refunded => Err(Error::AlreadyRefunded),
        Reversed::TooMuch { left } => Err(Error::RefundExceedsSale { left }),
        Reversed::TooMany => Err(Error::TooManyRefunds { limit: most }),
    }
}

/// The 200 of a void: facts of the void alone, so that a repeated request gets the same bytes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VoidReceipt {
    success: bool,
    message: &'static str,
    transaction_id: Uuid,
    #[schema(schema_with = schema::instant)]
    voided_at: String,
    void_reason: String,
}

/// The 200 of a refund: likewise.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefundReceipt {
    success: bool,
    #[schema(pattern = "^success$")]
    status: &'static str,
    transaction_id: Uuid,
    #[schema(required)]
    refund_reference_id: Option<String>,
    #[schema(schema_with = schema::money)]
    refund_amount: Money,
    refund_reason: String,
    #[schema(schema_with = schema::instant)]
    refunded_at: String,
}
