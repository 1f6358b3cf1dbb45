//! Submissions: the raw bodies as accepted, and what became of their items.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Store, StoreError,
    dialect::Sql,
    driver::Row,
    pieces::{cut, fits_word},
    values::Binds,
};
use crate::domain::{checksum::Digest, time::Timestamp, work::AcceptedSubmission};

/// Characters of a dead letter's detail that are kept.
pub(super) const DETAIL: usize = 2000;
/// Longest code of a dead letter.
pub(super) const CODE: usize = 64;

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

const UNPROCESSED: Sql = Sql {
    name: "submissions.unprocessed",
    text: "SELECT id, tenant_id, terminal_id, submission_uuid, request_id, accepted_at, body \
           FROM submissions WHERE id IN ({?}) AND processed_at = 0 AND dead_code IS NULL \
           ORDER BY id",
};

const BY_UUID: Sql = Sql {
    name: "submissions.by_uuid",
    text: "SELECT id, submission_uuid, accepted_at, NULLIF(processed_at, 0), dead_code, transaction_id, results \
           FROM submissions WHERE terminal_id = ? AND submission_uuid = ?",
};

const BY_ID: Sql = Sql {
    name: "submissions.by_id",
    text: "SELECT id, submission_uuid, accepted_at, NULLIF(processed_at, 0), dead_code, transaction_id, results \
           FROM submissions WHERE id = ?",
};

/// Of those that validation has not turned into a row: SQLite has an index of only these.
const NEWEST_SINGLE: Sql = Sql {
    name: "submissions.newest_single",
    text: "SELECT MAX(id) FROM submissions \
           WHERE terminal_id = ? AND transaction_id = ? AND processed_at = 0",
};

const NEWEST_BATCH: Sql = Sql {
    name: "submission_items.newest",
    text: "SELECT MAX(submission_id) FROM submission_items WHERE terminal_id = ? AND transaction_id = ?",
};

const ITEMS: Sql = Sql {
    name: "submission_items.of",
    text: "SELECT transaction_id FROM submission_items WHERE submission_id = ? ORDER BY position",
};

const BURY: Sql = Sql {
    name: "submissions.bury",
    text: "UPDATE submissions SET dead_code = ? \
           WHERE id = ? AND processed_at = 0 AND dead_code IS NULL",
};

const DEAD_LETTER: Sql = Sql {
    name: "dead_letters.insert_submission",
    text: "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) \
           SELECT 'validation', id, tenant_id, dead_code, ?, ? FROM submissions WHERE id = ?",
};

impl Store {
    /// Submissions by row id, those that validation has not finished only.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unprocessed_submissions(&self, ids: &[i64]) -> Result<Vec<AcceptedSubmission>, StoreError> {
        let mut found = Vec::new();
        for ids in self.pieces(ids) {
            let values = Binds::ids(ids);
            for row in self.inner.db.fetch(&UNPROCESSED, ids.len(), &values).await? {
                let mut cells = row.cells();
                found.push(AcceptedSubmission {
                    id: cells.int()?,
                    tenant_id: cells.int()?,
                    terminal_id: cells.int()?,
                    submission_uuid: cells.uuid()?,
                    request_id: cells.text()?,
                    accepted_at: cells.time()?,
                    body: cells.bytes()?.into(),
                });
            }
        }
        Ok(found)
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
        let values = [terminal_id.into(), submission_uuid.into()];
        let rows = self.inner.db.fetch(&BY_UUID, 1, &values).await?;
        self.view(rows.first()).await
    }

    /// The newest submission of a terminal that carries the transaction id, and that validation has not
    /// worked on, or gave up; a batch also when it has. Where it is `None` the sale may have got its row a
    /// moment ago: whoever looked for the row before looks again.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn submission_of(
        &self,
        terminal_id: i64,
        transaction_id: Uuid,
    ) -> Result<Option<SubmissionView>, StoreError> {
        let values = [terminal_id.into(), transaction_id.into()];
        let mut newest = None;
        for sql in [&NEWEST_SINGLE, &NEWEST_BATCH] {
            let rows = self.inner.db.fetch(sql, 1, &values).await?;
            if let Some(row) = rows.first() {
                newest = newest.max(row.cells().int_or_null()?);
            }
        }
        let Some(id) = newest else {
            return Ok(None);
        };
        let rows = self.inner.db.fetch(&BY_ID, 1, &[id.into()]).await?;
        self.view(rows.first()).await
    }

    async fn view(&self, row: Option<&Row>) -> Result<Option<SubmissionView>, StoreError> {
        let Some(row) = row else {
            return Ok(None);
        };
        let mut cells = row.cells();
        let mut view = SubmissionView {
            id: cells.int()?,
            submission_uuid: cells.uuid()?,
            accepted_at: cells.time()?,
            processed_at: cells.time_or_null()?,
            dead_code: cells.text_or_null()?,
            transaction_ids: cells.uuid_or_null()?.into_iter().collect(),
            results: cells.list()?,
        };
        if view.transaction_ids.is_empty() {
            for row in self.inner.db.fetch(&ITEMS, 1, &[view.id.into()]).await? {
                view.transaction_ids.push(row.cells().uuid()?);
            }
        }
        Ok(Some(view))
    }

    /// Gives a submission up: marks it dead and writes the dead letter, in one transaction. Doing
    /// it twice, or after its rows were made, changes nothing.
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
        fits_word("the code of a dead letter", code, CODE)?;
        let detail = cut(detail, DETAIL);
        retrying!(self, self.bury(&BURY, &DEAD_LETTER, id, code, &detail, at))
    }

    /// Marks a row dead unless it has come to an end, and writes its dead letter if it did.
    pub(super) async fn bury(
        &self,
        mark: &Sql,
        letter: &Sql,
        id: i64,
        code: &str,
        detail: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.inner.db.begin().await?;
        if tx.execute(mark, 1, &[code.into(), id.into()]).await?.rows == 0 {
            return tx.roll_back().await;
        }
        let values = [detail.into(), at.into(), id.into()];
        tx.execute(letter, 1, &values).await?;
        tx.commit().await
    }
}
