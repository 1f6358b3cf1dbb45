//! `POST /api/v1/transactions/{id}/void` and `…/refund`: check, commit, answer.
//!
//! Both are facts that the record either takes or refuses in one transaction, so the answer is the
//! truth: a 200 is durable. The same request again gets the same 200; another one that comes too late
//! is told what stands against it.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use uuid::Uuid;

use super::{
    App,
    body::{JsonForm, RawBody},
    caller::{Submitter, Till},
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
};

/// What a till is told, word for word as in the field.
const VOIDED: &str = "Transaction voided successfully by POS";

/// Voids a sale. The order of the arguments is the order of the checks.
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

/// Refunds some or all of a sale.
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
#[derive(Debug, Serialize)]
pub(super) struct VoidReceipt {
    success: bool,
    message: &'static str,
    transaction_id: Uuid,
    voided_at: String,
    void_reason: String,
}

/// The 200 of a refund: likewise.
#[derive(Debug, Serialize)]
pub(super) struct RefundReceipt {
    success: bool,
    status: &'static str,
    transaction_id: Uuid,
    refund_reference_id: Option<String>,
    refund_amount: Money,
    refund_reason: String,
    refunded_at: String,
}
