//! What is due and not moving: pages by key for the sweeper and for `tsms queue rebuild`.

use super::{Store, StoreError, dialect::Sql, reversal_row, transaction_row, values::page};
use crate::domain::{
    reversal::Reversal,
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
    /// `reversals.id` of audit.
    Reversals,
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

/// A void or refund with the audit rows it has.
#[derive(Clone, Debug)]
pub struct ReversalGap {
    /// The row.
    pub reversal: Reversal,
    /// The numbers of the changes that the audit log has.
    pub audited: Vec<i64>,
}

const MARK: Sql = Sql {
    name: "sweep_marks.get",
    text: "SELECT id FROM sweep_marks WHERE name = ?",
};

const SET_MARK: Sql = Sql {
    name: "sweep_marks.set",
    text: "UPDATE sweep_marks SET id = ? WHERE name = ? AND id = ? AND id < ?",
};

const SUBMISSIONS: Sql = Sql {
    name: "submissions.scan",
    text: "SELECT id, tenant_id, request_id, accepted_at, processed_at = 0 AND dead_code IS NULL \
           FROM submissions WHERE id > ? AND accepted_at < ? ORDER BY id LIMIT ?",
};

const TRANSACTIONS: Sql = Sql {
    name: "transactions.scan",
    text: "SELECT id, tenant_id, created_at, validation_status = 'PENDING' AND dead_code IS NULL \
           FROM transactions WHERE id > ? AND created_at < ? ORDER BY id LIMIT ?",
};

const DUE_FORWARDS: Sql = Sql {
    name: "forwards.due",
    text: "SELECT transaction_id, tenant_id, due_at FROM forwards \
           WHERE due_at >= ? AND due_at < ? AND (due_at > ? OR transaction_id > ?) \
           ORDER BY due_at, transaction_id LIMIT ?",
};

const DUE_NOTICES: Sql = Sql {
    name: "notifications.due",
    text: "SELECT transaction_id, tenant_id, due_at FROM notifications \
           WHERE due_at >= ? AND due_at < ? AND (due_at > ? OR transaction_id > ?) \
           ORDER BY due_at, transaction_id LIMIT ?",
};

const AUDIT: Sql = Sql {
    name: "transactions.scan_audit",
    text: concat!(
        "SELECT ",
        columns!(),
        ", f.state, NULLIF(f.settled_at, 0) FROM transactions t \
         LEFT JOIN forwards f ON f.transaction_id = t.id \
         WHERE t.id > ? AND t.created_at < ? ORDER BY t.id LIMIT ?"
    ),
};

const DUE: Sql = Sql {
    name: "reversals.due",
    text: "SELECT sale_id, tenant_id, due_at FROM reversals \
           WHERE due_at >= ? AND due_at < ? AND (due_at > ? OR sale_id > ?) AND sale_id > 0 \
           ORDER BY due_at, sale_id LIMIT ?",
};

const SCAN: Sql = Sql {
    name: "reversals.scan",
    text: concat!(
        "SELECT ",
        reversal_columns!(),
        " FROM reversals r WHERE r.id > ? AND r.made_at < ? ORDER BY r.id LIMIT ?"
    ),
};

impl Mark {
    const fn name(self) -> &'static str {
        match self {
            Mark::Validation => "validation",
            Mark::Processing => "processing",
            Mark::Audit => "audit",
            Mark::Reversals => "reversals",
        }
    }
}

impl Store {
    /// Reads a mark; 0 at first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn mark(&self, mark: Mark) -> Result<i64, StoreError> {
        let rows = self.inner.db.fetch(&MARK, 1, &[mark.name().into()]).await?;
        rows.first().map_or(Ok(0), |row| row.cells().int())
    }

    /// Moves a mark forward from `from` to `to`; never back. `false` if it was not there any more: a
    /// redrive set it back to what it brought back, or another sweeper moved it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn set_mark(&self, mark: Mark, from: i64, to: i64) -> Result<bool, StoreError> {
        let values = [to.into(), mark.name().into(), from.into(), to.into()];
        let moved = retrying!(self, self.inner.db.execute(&SET_MARK, 1, &values))?;
        Ok(moved.rows > 0)
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
        let values = [after.into(), before.into(), page(limit)];
        let rows = self.inner.db.fetch(&SUBMISSIONS, 1, &values).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok((
                    cells.int()?,
                    cells.int()?,
                    cells.text()?,
                    cells.time()?,
                    cells.flag()?,
                ))
            })
            .collect()
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
        let values = [after.into(), before.into(), page(limit)];
        let rows = self.inner.db.fetch(&TRANSACTIONS, 1, &values).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok((cells.int()?, cells.int()?, cells.time()?, cells.flag()?))
            })
            .collect()
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
        self.due(&DUE_FORWARDS, after, before, limit).await
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
        self.due(&DUE_NOTICES, after, before, limit).await
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
        let values = [after.into(), before.into(), page(limit)];
        let mut gaps = Vec::new();
        for row in self.inner.db.fetch(&AUDIT, 1, &values).await? {
            let mut cells = row.cells();
            let row = transaction_row::read(&mut cells)?;
            let state = cells.word_or_null(ForwardState::from_word)?;
            let settled_at = cells.time_or_null()?;
            gaps.push(AuditGap {
                row,
                forward: state.map(|state| (state, settled_at)),
                audited: Vec::new(),
            });
        }
        let ids: Vec<i64> = gaps.iter().map(|gap| gap.row.id).collect();
        let mut audited = self.audited(&ids).await?;
        for gap in &mut gaps {
            gap.audited = audited.remove(&gap.row.id).unwrap_or_default();
        }
        Ok(gaps)
    }

    /// As [`Store::due_forwards`], for voids and refunds: (sale, tenant, due at).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn due_reversals(
        &self,
        after: (Timestamp, i64),
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, i64, Timestamp)>, StoreError> {
        self.due(&DUE, after, before, limit).await
    }

    /// Voids and refunds above `after` in order of id, made before `before`, with the audit rows they
    /// have. At most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn scan_reversals(
        &self,
        after: i64,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<ReversalGap>, StoreError> {
        let values = [after.into(), before.into(), page(limit)];
        let mut found = Vec::new();
        for row in self.inner.db.fetch(&SCAN, 1, &values).await? {
            found.push(reversal_row::read(&mut row.cells())?);
        }
        let ids: Vec<i64> = found.iter().map(|reversal| reversal.id).collect();
        let mut audited = self.audited(&ids).await?;
        Ok(found
            .into_iter()
            .map(|reversal| ReversalGap {
                audited: audited.remove(&reversal.id).unwrap_or_default(),
                reversal,
            })
            .collect())
    }

    async fn due(
        &self,
        sql: &Sql,
        (due_at, id): (Timestamp, i64),
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, i64, Timestamp)>, StoreError> {
        let values = [
            due_at.into(),
            before.into(),
            due_at.into(),
            id.into(),
            page(limit),
        ];
        let rows = self.inner.db.fetch(sql, 1, &values).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok((cells.int()?, cells.int()?, cells.time()?))
            })
            .collect()
    }
}
