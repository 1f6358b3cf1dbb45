//! What is due and not moving: pages by key for the sweeper and for `tsms queue rebuild`.

use super::{Store, StoreError};
use crate::domain::{
    sale::{ForwardState, Transaction},
    time::Timestamp,
};

/// A place the sweeper keeps between runs: nothing below it is unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// `submissions.id` of validation.
    Validation,
    /// `transactions.id` of processing.
    Processing,
    /// `transactions.id` of audit.
    Audit,
}

/// A transaction with what is known of its delivery, for finding audit rows that are missing.
#[derive(Clone, Debug)]
pub struct AuditGap {
    /// The row.
    pub row: Transaction,
    /// State of its delivery, if it has one, and when that ended.
    pub forward: Option<(ForwardState, Option<Timestamp>)>,
    /// The numbers of the changes ([`crate::domain::work::Change::number`]) that the audit log has.
    pub audited: Vec<i64>,
}

impl Store {
    /// Reads a mark; 0 at first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn mark(&self, mark: Mark) -> Result<i64, StoreError> {
        let _ = mark;
        todo!("store")
    }

    /// Moves a mark forward; never back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn set_mark(&self, mark: Mark, id: i64) -> Result<(), StoreError> {
        let _ = (mark, id);
        todo!("store")
    }

    /// Submissions above `after` in order of id, accepted before `before`: (id, tenant, request id,
    /// accepted at, whether it still waits for validation). At most `limit` rows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn scan_submissions(
        &self,
        after: i64,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, i64, String, Timestamp, bool)>, StoreError> {
        let _ = (after, before, limit);
        todo!("store")
    }

    /// Transactions above `after` in order of id, made before `before`: (id, tenant, made at,
    /// whether it is still PENDING). At most `limit` rows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn scan_transactions(
        &self,
        after: i64,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, i64, Timestamp, bool)>, StoreError> {
        let _ = (after, before, limit);
        todo!("store")
    }

    /// Forwards due before `before`, the longest due first: (transaction id, tenant, due at). At
    /// most `limit` rows after the pair `after` of (due at, transaction id).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn due_forwards(
        &self,
        after: (Timestamp, i64),
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, i64, Timestamp)>, StoreError> {
        let _ = (after, before, limit);
        todo!("store")
    }

    /// As [`Store::due_forwards`], for callbacks.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn due_notices(
        &self,
        after: (Timestamp, i64),
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, i64, Timestamp)>, StoreError> {
        let _ = (after, before, limit);
        todo!("store")
    }

    /// Transactions above `after` in order of id, made before `before`, with the audit rows they
    /// have. At most `limit` rows.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn scan_audit(
        &self,
        after: i64,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<AuditGap>, StoreError> {
        let _ = (after, before, limit);
        todo!("store")
    }
}
