//! What a queued job carries besides its ids: a copy of rows, as a convenience. A job with an
//! empty body is as good; the worker then loads the rows.

mod body;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    sale::{ForwardState, Transaction, ValidationStatus},
    time::Timestamp,
};

/// A submission as accepted: what validation works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedSubmission {
    /// Row id.
    pub id: i64,
    /// Owner.
    pub tenant_id: i64,
    /// Sender.
    pub terminal_id: i64,
    /// The terminal's id of it.
    pub submission_uuid: Uuid,
    /// Correlates logs and the forward with the request.
    pub request_id: String,
    /// When the ingress took it.
    pub accepted_at: Timestamp,
    /// The raw body.
    pub body: Bytes,
}

/// A state change of a transaction, as the audit log records it. It is derived from rows alone, so
/// that a lost job can be made again and gives the same event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// The chain it belongs to.
    pub tenant_id: i64,
    /// The transaction.
    pub transaction_id: i64,
    /// Which change: unique per transaction.
    pub change: Change,
    /// When the change was committed.
    pub at: Timestamp,
    /// What changed, as canonical JSON text (sorted members, exact decimals).
    pub details: String,
}

/// The state changes of a transaction, numbered in the order they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The row was made, PENDING.
    Recorded,
    /// VALID or INVALID.
    Decided,
    /// The web application accepted it.
    Forwarded,
    /// Forwarding was given up.
    DeadLettered,
}

impl Change {
    /// Every change.
    pub const ALL: [Change; 4] = [
        Change::Recorded,
        Change::Decided,
        Change::Forwarded,
        Change::DeadLettered,
    ];

    /// The number stored in the unique key.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Change::Recorded => 1,
            Change::Decided => 2,
            Change::Forwarded => 3,
            Change::DeadLettered => 4,
        }
    }

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Change::Recorded => "transaction.recorded",
            Change::Decided => "transaction.decided",
            Change::Forwarded => "transaction.forwarded",
            Change::DeadLettered => "transaction.dead_lettered",
        }
    }
}

impl AuditEvent {
    /// The event of a new row.
    #[must_use]
    pub fn recorded(row: &Transaction) -> Self {
        let details = serde_json::json!({
            "amount": row.sale.amount(),
            "payload_checksum": data_encoding::HEXLOWER.encode(&row.sale.payload_checksum),
            "state": ValidationStatus::Pending,
            "submission_id": row.submission_id,
            "terminal_id": row.terminal_id,
            "transaction_id": row.sale.transaction_id,
        });
        Self::new(row, Change::Recorded, row.created_at, &details)
    }

    /// The event of a decided row; `None` while it is pending.
    #[must_use]
    pub fn decided(row: &Transaction) -> Option<Self> {
        let at = row.decided_at?;
        let codes: Vec<&str> = row.findings.iter().map(|finding| finding.code.as_str()).collect();
        let details = serde_json::json!({ "findings": codes, "state": row.status });
        Some(Self::new(row, Change::Decided, at, &details))
    }

    /// The event of a finished delivery; `None` while it is under way.
    #[must_use]
    pub fn delivered(
        tenant_id: i64,
        transaction_id: i64,
        state: ForwardState,
        at: Timestamp,
    ) -> Option<Self> {
        let change = match state {
            ForwardState::Forwarded => Change::Forwarded,
            ForwardState::Dead => Change::DeadLettered,
            ForwardState::Pending | ForwardState::Sending => return None,
        };
        let details = serde_json::json!({ "state": state });
        Some(Self {
            tenant_id,
            transaction_id,
            change,
            at,
            details: details.to_string(),
        })
    }

    fn new(row: &Transaction, change: Change, at: Timestamp, details: &serde_json::Value) -> Self {
        Self {
            tenant_id: row.tenant_id,
            transaction_id: row.id,
            change,
            at,
            details: details.to_string(),
        }
    }
}
