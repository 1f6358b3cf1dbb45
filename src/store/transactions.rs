//! Transactions: one row a sale, and the decision on it.

use std::collections::HashMap;

use uuid::Uuid;

use super::{ItemResult, NewNotice, Store, StoreError};
use crate::domain::{
    checksum::Digest,
    sale::{Finding, ForwardState, Transaction, ValidationStatus},
    time::Timestamp,
};

/// A transaction id that a terminal used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Row id.
    pub id: i64,
    /// The submission it came in.
    pub submission_id: i64,
    /// Checksum of its content.
    pub payload_checksum: Digest,
}

/// What validation made of one submission.
#[derive(Clone, Debug)]
pub struct Validated {
    /// The submission.
    pub submission_id: i64,
    /// The rows to make, PENDING, with the findings of validation. May be empty.
    pub rows: Vec<Transaction>,
    /// The items that make no row.
    pub results: Vec<ItemResult>,
    /// When it was processed.
    pub at: Timestamp,
}

/// The decision on one transaction.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The transaction.
    pub id: i64,
    /// Its tenant (kept in the forward row).
    pub tenant_id: i64,
    /// VALID or INVALID.
    pub status: ValidationStatus,
    /// Everything found, validation's findings included.
    pub findings: Vec<Finding>,
    /// When it was decided.
    pub at: Timestamp,
    /// A callback to be delivered, if the terminal wants one.
    pub notice: Option<NewNotice>,
}

/// A transaction as shown to its terminal.
#[derive(Clone, Debug)]
pub struct TransactionView {
    /// The row.
    pub row: Transaction,
    /// How far the delivery has come; `None` before VALID.
    pub forward: Option<ForwardState>,
    /// Delivery attempts so far.
    pub forward_attempts: u32,
    /// When the delivery ended, either way.
    pub forward_settled_at: Option<Timestamp>,
}

impl Store {
    /// Which of these (terminal, transaction id) pairs exist already.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn existing_transactions(
        &self,
        keys: &[(i64, Uuid)],
    ) -> Result<HashMap<(i64, Uuid), Existing>, StoreError> {
        let _ = keys;
        todo!("store")
    }

    /// Which of these (terminal, receipt number) pairs were used by another sale between `from` and
    /// `to` (sale time). Gives for each pair found the transaction ids that used it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn existing_receipts(
        &self,
        keys: &[(i64, String)],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<HashMap<(i64, String), Vec<(Uuid, Timestamp)>>, StoreError> {
        let _ = (keys, from, to);
        todo!("store")
    }

    /// Makes the rows and marks the submissions processed, in one transaction. Submissions that
    /// are processed (or given up) already are left alone; their ids are given back, because the
    /// rows named for them were not made.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when another worker made one of the rows meanwhile: look the existing
    /// ones up again and come back. Nothing was changed then.
    pub async fn record_validated(&self, set: &[Validated]) -> Result<Vec<i64>, StoreError> {
        let _ = set;
        todo!("store")
    }

    /// Decides transactions that are still PENDING; a VALID one gets a forward row due at once, a
    /// decision with a notice its notification row, all in one transaction. Ones decided before keep
    /// their first decision, and ones given up stay so; the ids left alone are given back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decide(&self, decisions: &[Decision]) -> Result<Vec<i64>, StoreError> {
        let _ = decisions;
        todo!("store")
    }

    /// Gives a transaction up whose processing kills its workers: marks it dead and writes the dead
    /// letter, in one transaction. Doing it twice changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn bury_transaction(
        &self,
        id: i64,
        code: &str,
        detail: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let _ = (id, code, detail, at);
        todo!("store")
    }

    /// Rows by id, unknown ones left out, in order of id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn transactions(&self, ids: &[i64]) -> Result<Vec<Transaction>, StoreError> {
        let _ = ids;
        todo!("store")
    }

    /// Rows of submissions, in order of id: what a repeated validation job has to pass on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn transactions_of(&self, submission_ids: &[i64]) -> Result<Vec<Transaction>, StoreError> {
        let _ = submission_ids;
        todo!("store")
    }

    /// A terminal's transactions by their ids, with the state of their delivery. At most one page
    /// of ids (500) is looked up.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn transaction_views(
        &self,
        terminal_id: i64,
        transaction_ids: &[Uuid],
    ) -> Result<Vec<TransactionView>, StoreError> {
        let _ = (terminal_id, transaction_ids);
        todo!("store")
    }
}
