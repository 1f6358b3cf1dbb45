//! What a queued job carries besides its ids: a copy of rows, as a convenience. A job with an
//! empty body is as good; the worker then loads the rows.

mod body;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    checksum::write_escaped,
    reversal::{Reversal, ReversalKind},
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
    /// The transaction, or the void or refund: their row ids are of one series.
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
    /// Forwarding was ended because the sale was voided.
    Withdrawn,
    /// The sale was voided. From here on the subject is the row of the void or refund.
    Voided,
    /// Money of the sale went back.
    Refunded,
    /// The web application knows of the void or refund.
    ReversalForwarded,
    /// Telling it was given up.
    ReversalDeadLettered,
    /// There is nothing to tell it: it never held the sale.
    ReversalWithdrawn,
}

impl Change {
    /// Every change.
    pub const ALL: [Change; 10] = [
        Change::Recorded,
        Change::Decided,
        Change::Forwarded,
        Change::DeadLettered,
        Change::Withdrawn,
        Change::Voided,
        Change::Refunded,
        Change::ReversalForwarded,
        Change::ReversalDeadLettered,
        Change::ReversalWithdrawn,
    ];

    /// The number stored in the unique key.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Change::Recorded => 1,
            Change::Decided => 2,
            Change::Forwarded => 3,
            Change::DeadLettered => 4,
            Change::Withdrawn => 5,
            Change::Voided => 6,
            Change::Refunded => 7,
            Change::ReversalForwarded => 8,
            Change::ReversalDeadLettered => 9,
            Change::ReversalWithdrawn => 10,
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
            Change::Withdrawn => "transaction.withdrawn",
            Change::Voided => "transaction.voided",
            Change::Refunded => "transaction.refunded",
            Change::ReversalForwarded => "reversal.forwarded",
            Change::ReversalDeadLettered => "reversal.dead_lettered",
            Change::ReversalWithdrawn => "reversal.withdrawn",
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
            ForwardState::Withdrawn => Change::Withdrawn,
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

    /// The event of a void or refund that was recorded. It names the sale by the terminal's id of it:
    /// the row of the sale may be made later.
    #[must_use]
    pub fn reversed(reversal: &Reversal) -> Self {
        let mut details = format!(r#"{{"amount":"{}","reason":""#, reversal.amount);
        write_escaped(&mut details, &reversal.reason);
        details.push_str(r#"","reference":""#);
        write_escaped(&mut details, &reversal.reference);
        // Nothing that follows can need an escape.
        details.push_str(&format!(
            r#"","terminal_id":{},"transaction_id":"{}"}}"#,
            reversal.terminal_id, reversal.transaction_id
        ));
        Self {
            tenant_id: reversal.tenant_id,
            transaction_id: reversal.id,
            change: match reversal.kind {
                ReversalKind::Void => Change::Voided,
                ReversalKind::Refund => Change::Refunded,
            },
            at: reversal.made_at,
            details,
        }
    }

    /// The event of a void or refund whose delivery has ended; `None` while it is under way.
    #[must_use]
    pub fn reversal_delivered(reversal: &Reversal) -> Option<Self> {
        let change = match reversal.state {
            ForwardState::Forwarded => Change::ReversalForwarded,
            ForwardState::Dead => Change::ReversalDeadLettered,
            ForwardState::Withdrawn => Change::ReversalWithdrawn,
            ForwardState::Pending | ForwardState::Sending => return None,
        };
        Some(Self {
            tenant_id: reversal.tenant_id,
            transaction_id: reversal.id,
            change,
            at: reversal.settled_at?,
            details: format!(r#"{{"state":"{}"}}"#, reversal.state.as_str()),
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
