//! What a queued job carries besides its ids: a copy of rows, as a convenience. A job with an
//! empty body is as good; the worker then loads the rows.

mod body;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    checksum::write_escaped,
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
        // No value here can need an escape.
        let details = format!(
            r#"{{"amount":"{}","payload_checksum":"{}","state":"{}","submission_id":{},"terminal_id":{},"transaction_id":"{}"}}"#,
            row.sale.amount(),
            HEXLOWER.encode_display(&row.sale.payload_checksum),
            ValidationStatus::Pending.as_str(),
            row.submission_id,
            row.terminal_id,
            row.sale.transaction_id,
        );
        Self::new(row, Change::Recorded, row.created_at, details)
    }

    /// The event of a decided row; `None` while it is pending.
    #[must_use]
    pub fn decided(row: &Transaction) -> Option<Self> {
        let at = row.decided_at?;
        let mut details = String::from(r#"{"findings":["#);
        for (position, finding) in row.findings.iter().enumerate() {
            details.push_str(if position == 0 { "\"" } else { ",\"" });
            write_escaped(&mut details, &finding.code);
            details.push('"');
        }
        details.push_str(r#"],"state":""#);
        details.push_str(row.status.as_str());
        details.push_str(r#""}"#);
        Some(Self::new(row, Change::Decided, at, details))
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
        Some(Self {
            tenant_id,
            transaction_id,
            change,
            at,
            details: format!(r#"{{"state":"{}"}}"#, state.as_str()),
        })
    }

    fn new(row: &Transaction, change: Change, at: Timestamp, details: String) -> Self {
        Self {
            tenant_id: row.tenant_id,
            transaction_id: row.id,
            change,
            at,
            details,
        }
    }
}
