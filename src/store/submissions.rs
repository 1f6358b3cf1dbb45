//! Submissions: the raw bodies as accepted, and what became of their items.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::{checksum::Digest, time::Timestamp, work::AcceptedSubmission};

/// A submission to be committed.
#[derive(Clone, Debug)]
pub struct NewSubmission {
    /// Row id, from [`Store::next_ids`].
    pub id: i64,
    /// Owner.
    pub tenant_id: i64,
    /// Sender.
    pub terminal_id: i64,
    /// The terminal's id of it; unique per terminal.
    pub submission_uuid: Uuid,
    /// When the till sent it, by its own clock.
    pub submission_timestamp: Timestamp,
    /// The verified checksum of the envelope: equal checksums mean equal content.
    pub payload_checksum: Digest,
    /// The transaction ids it carries, in order.
    pub transaction_ids: Vec<Uuid>,
    /// Correlates logs and jobs with the request.
    pub request_id: String,
    /// When the ingress took it.
    pub accepted_at: Timestamp,
    /// The raw body.
    pub body: Bytes,
}

/// What a commit made of one submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A new row.
    New,
    /// The same terminal sent the same content under the same uuid before.
    Replay {
        /// Row id of the first one.
        id: i64,
        /// When the first one was accepted.
        accepted_at: Timestamp,
    },
    /// The uuid was used by the same terminal for other content.
    Conflict {
        /// When the first one was accepted.
        accepted_at: Timestamp,
    },
}

/// What became of one item of a submission that did not simply make a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemResult {
    /// The terminal's id of the sale.
    pub transaction_id: Uuid,
    /// What it is.
    pub state: ItemState,
    /// Row id of the transaction that was there first.
    pub original: i64,
}

/// See [`ItemResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ItemState {
    /// The same sale was recorded before; nothing to do.
    Duplicate,
    /// The id was used before for a sale with other content; the first one stands.
    Conflict,
}

/// A submission as shown to its terminal.
#[derive(Clone, Debug)]
pub struct SubmissionView {
    /// Row id.
    pub id: i64,
    /// The terminal's id of it.
    pub submission_uuid: Uuid,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When validation made its rows; `None` before.
    pub processed_at: Option<Timestamp>,
    /// Why it was given up (a dead letter holds the rest), if it was.
    pub dead_code: Option<String>,
    /// The transaction ids it carries, in order.
    pub transaction_ids: Vec<Uuid>,
    /// The items that made no row of their own.
    pub results: Vec<ItemResult>,
}

impl Store {
    /// Commits submissions in as few statements as the dialect allows, durably before it returns,
    /// and tells for each what it was. Idempotency is decided by the unique key (terminal,
    /// submission uuid), whoever else inserts at the same time. All or none of the new ones are kept.
    ///
    /// # Errors
    /// Nothing was committed, or the outcome is unknown; asking again is safe.
    pub async fn accept(&self, submissions: &[NewSubmission]) -> Result<Vec<Accepted>, StoreError> {
        let _ = submissions;
        todo!("store")
    }

    /// Submissions by row id, those that validation has not finished only.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unprocessed_submissions(&self, ids: &[i64]) -> Result<Vec<AcceptedSubmission>, StoreError> {
        let _ = ids;
        todo!("store")
    }

    /// A terminal's submission by its uuid.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn submission(
        &self,
        terminal_id: i64,
        submission_uuid: Uuid,
    ) -> Result<Option<SubmissionView>, StoreError> {
        let _ = (terminal_id, submission_uuid);
        todo!("store")
    }

    /// The newest submission of a terminal that carries the transaction id, whether or not
    /// validation has made the row yet.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn submission_of(
        &self,
        terminal_id: i64,
        transaction_id: Uuid,
    ) -> Result<Option<SubmissionView>, StoreError> {
        let _ = (terminal_id, transaction_id);
        todo!("store")
    }

    /// Gives a submission up: marks it dead and writes the dead letter, in one transaction. Doing
    /// it twice changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn bury_submission(
        &self,
        id: i64,
        code: &str,
        detail: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let _ = (id, code, detail, at);
        todo!("store")
    }
}
