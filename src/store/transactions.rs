//! Transactions: one row a sale, and the decision on it.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    ItemResult, NewNotice, Store, StoreError,
    dialect::Sql,
    driver::Row,
    pieces::{cut, fits_word},
    submissions::{CODE, DETAIL},
    transaction_row,
    values::Binds,
};
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
    /// Its terminal and the terminal's id of it: a void may be known by these only.
    pub sale: (i64, Uuid),
    /// VALID or INVALID.
    pub status: ValidationStatus,
    /// Everything found, validation's findings included.
    pub findings: Vec<Finding>,
    /// When it was decided.
    pub at: Timestamp,
    /// Where a job is named with the decision that sends a VALID sale without claiming it: until when it is
    /// claimed for that job. `None`: it is due at once.
    pub claimed_until: Option<Timestamp>,
    /// A callback to be delivered, if the terminal wants one.
    pub notice: Option<NewNotice>,
}

/// What came of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionsMade {
    /// The transactions that keep what they had: they were decided before, or given up, or do not exist.
    pub left_alone: Vec<i64>,
    /// Whether the VALID ones are claimed as the decisions say. None is where any was left alone or void.
    pub claimed: bool,
}

/// A transaction as shown to its terminal.
#[derive(Clone, Debug)]
pub struct TransactionView {
    /// The row.
    pub row: Transaction,
    /// Why processing was given up (a dead letter holds the rest), if it was.
    pub dead_code: Option<String>,
    /// How far the delivery has come; `None` before VALID.
    pub forward: Option<ForwardState>,
    /// Delivery attempts so far.
    pub forward_attempts: u32,
    /// When the delivery ended, either way.
    pub forward_settled_at: Option<Timestamp>,
    /// When the submission that it came in was accepted; `None` where that is not kept any more.
    pub accepted_at: Option<Timestamp>,
    /// It has a void or refunds.
    pub reversed: bool,
}

/// Most transaction ids looked up for one page of views.
const VIEWS: usize = 500;

const EXISTING: Sql = Sql {
    name: "transactions.existing",
    text: "SELECT terminal_id, transaction_id, id, submission_id, payload_checksum \
           FROM transactions WHERE {(terminal_id = ? AND transaction_id = ?)| OR }",
};

const RECEIPTS: Sql = Sql {
    name: "transactions.receipts",
    // With more than 200 of them MariaDB goes by statistics, which are old in a table that grows fast, and then it
    // may read the whole table.
    text: "SELECT terminal_id, receipt_no, transaction_id, transaction_timestamp \
           FROM transactions $BY_INDEX[transactions_receipt] \
           WHERE ({(terminal_id = ? AND receipt_no = ?)| OR }) \
           AND transaction_timestamp >= ? AND transaction_timestamp <= ?",
};

const BY_ID: Sql = Sql {
    name: "transactions.by_id",
    text: concat!(
        "SELECT ",
        columns!(),
        " FROM transactions t WHERE t.id IN ({?}) ORDER BY t.id"
    ),
};

const BY_SUBMISSION: Sql = Sql {
    name: "transactions.by_submission",
    text: concat!(
        "SELECT ",
        columns!(),
        " FROM transactions t WHERE t.submission_id IN ({?})"
    ),
};

const VIEW: Sql = Sql {
    name: "transactions.view",
    text: concat!(
        "SELECT ",
        columns!(),
        ", t.dead_code, f.state, f.attempts, NULLIF(f.settled_at, 0), s.accepted_at, \
         EXISTS (SELECT 1 FROM reversals r WHERE r.terminal_id = t.terminal_id \
         AND r.transaction_id = t.transaction_id) FROM transactions t \
         LEFT JOIN forwards f ON f.transaction_id = t.id \
         LEFT JOIN submissions s ON s.id = t.submission_id \
         WHERE t.terminal_id = ? AND t.transaction_id IN ({?})"
    ),
};

const BURY: Sql = Sql {
    name: "transactions.bury",
    text: "UPDATE transactions SET dead_code = ? \
           WHERE id = ? AND validation_status = 'PENDING' AND dead_code IS NULL",
};

const DEAD_LETTER: Sql = Sql {
    name: "dead_letters.insert_transaction",
    text: "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) \
           SELECT 'processing', id, tenant_id, dead_code, ?, ? FROM transactions WHERE id = ?",
};

impl Store {
    /// Which of these (terminal, transaction id) pairs exist already.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn existing_transactions(
        &self,
        keys: &[(i64, Uuid)],
    ) -> Result<HashMap<(i64, Uuid), Existing>, StoreError> {
        let mut found = HashMap::new();
        for (_, keys) in self.padded(keys) {
            let mut values = Binds::of(keys.len() * 2);
            for (terminal, id) in &keys {
                values.put(*terminal).put(*id);
            }
            for row in self.inner.db.fetch(&EXISTING, keys.len(), &values).await? {
                let mut cells = row.cells();
                let key = (cells.int()?, cells.uuid()?);
                let existing = Existing {
                    id: cells.int()?,
                    submission_id: cells.int()?,
                    payload_checksum: cells.digest()?,
                };
                found.insert(key, existing);
            }
        }
        Ok(found)
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
        let mut found: HashMap<(i64, String), Vec<(Uuid, Timestamp)>> = HashMap::new();
        for (_, keys) in self.padded(keys) {
            let mut values = Binds::of(keys.len() * 2 + 2);
            for (terminal, receipt) in &keys {
                values.put(*terminal).put(receipt.as_str());
            }
            values.put(from).put(to);
            for row in self.inner.db.fetch(&RECEIPTS, keys.len(), &values).await? {
                let mut cells = row.cells();
                let key = (cells.int()?, cells.text()?);
                found.entry(key).or_default().push((cells.uuid()?, cells.time()?));
            }
        }
        Ok(found)
    }

    /// Gives a transaction up whose processing kills its workers: marks it dead and writes the dead
    /// letter, in one transaction. Doing it twice, or after it was decided, changes nothing.
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
        fits_word("the code of a dead letter", code, CODE)?;
        let detail = cut(detail, DETAIL);
        retrying!(self, self.bury(&BURY, &DEAD_LETTER, id, code, &detail, at))
    }

    /// Rows by id, unknown ones left out, in order of id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn transactions(&self, ids: &[i64]) -> Result<Vec<Transaction>, StoreError> {
        self.rows_of(&BY_ID, ids).await
    }

    /// Rows of submissions, in order of id: what a repeated validation job has to pass on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn transactions_of(&self, submission_ids: &[i64]) -> Result<Vec<Transaction>, StoreError> {
        self.rows_of(&BY_SUBMISSION, submission_ids).await
    }

    async fn rows_of(&self, sql: &Sql, keys: &[i64]) -> Result<Vec<Transaction>, StoreError> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let mut found = Vec::with_capacity(keys.len());
        for keys in self.pieces(&keys) {
            let values = Binds::ids(keys);
            for row in self.inner.db.fetch(sql, keys.len(), &values).await? {
                found.push(transaction_row::read(&mut row.cells())?);
            }
        }
        found.sort_unstable_by_key(|row| row.id);
        Ok(found)
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
        let (page, _) = transaction_ids
            .split_at_checked(VIEWS)
            .unwrap_or((transaction_ids, &[]));
        let mut views = Vec::with_capacity(page.len());
        for ids in self.pieces(page) {
            let mut values = Binds::of(ids.len() + 1);
            values.put(terminal_id).put_all(ids.iter().copied());
            for row in self.inner.db.fetch(&VIEW, ids.len(), &values).await? {
                views.push(read_view(&row)?);
            }
        }
        Ok(views)
    }
}

fn read_view(row: &Row) -> Result<TransactionView, StoreError> {
    let mut cells = row.cells();
    let row = transaction_row::read(&mut cells)?;
    let dead_code = cells.text_or_null()?;
    let forward = cells.word_or_null(ForwardState::from_word)?;
    Ok(TransactionView {
        row,
        dead_code,
        forward,
        forward_attempts: cells.count_or_zero()?,
        forward_settled_at: cells.time_or_null()?,
        accepted_at: cells.time_or_null()?,
        reversed: cells.flag()?,
    })
}
