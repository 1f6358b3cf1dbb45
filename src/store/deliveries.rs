//! Notifications: callbacks to terminals, their attempts and due times.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    Store, StoreError,
    dialect::Sql,
    driver::Tx,
    pieces::{fits, fits_word},
    values::{Binds, page},
};
use crate::domain::time::Timestamp;

/// A callback to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotice {
    /// Owner.
    pub tenant_id: i64,
    /// Receiver.
    pub terminal_id: i64,
    /// What it is about; with `kind` unique, so that it is made once.
    pub transaction_id: i64,
    /// What it tells, e.g. `result`.
    pub kind: &'static str,
    /// Where it goes.
    pub url: String,
    /// The JSON to post.
    pub payload: String,
}

/// A claimed callback.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Row id.
    pub id: i64,
    /// Receiver.
    pub terminal_id: i64,
    /// The transaction it is about.
    pub transaction_id: i64,
    /// Where it goes.
    pub url: String,
    /// The JSON to post.
    pub payload: String,
    /// Attempts, this one included.
    pub attempt: u32,
}

/// A callback as the log of its delivery has it.
#[derive(Clone, Debug, Serialize)]
pub struct Callback {
    /// Row id.
    pub id: i64,
    /// Receiver.
    pub terminal_id: i64,
    /// The sale it is about; of a batch its first one.
    pub transaction_id: i64,
    /// `result` or `batch`.
    pub kind: String,
    /// Where it goes.
    pub url: String,
    /// `PENDING`, `SENDING`, `DELIVERED`, `FAILED`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The status of the last answer.
    pub last_status: Option<i64>,
    /// Why the last attempt failed.
    pub last_code: Option<String>,
    /// When the next attempt is due.
    pub due_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
}

/// How a callback attempt ended.
#[derive(Clone, Debug)]
pub enum NoticeOutcome {
    /// Delivered.
    Delivered {
        /// Row id.
        id: i64,
        /// Since when.
        at: Timestamp,
        /// The status the receiver answered.
        status: u16,
    },
    /// Again later.
    Retry {
        /// Row id.
        id: i64,
        /// When.
        due_at: Timestamp,
        /// Why.
        code: &'static str,
        /// The status the receiver answered, if it did.
        status: Option<u16>,
    },
    /// Given up.
    Failed {
        /// Row id.
        id: i64,
        /// Since when.
        at: Timestamp,
        /// Why.
        code: &'static str,
        /// The status the receiver answered, if it did.
        status: Option<u16>,
    },
}

const INSERT: Sql = Sql {
    name: "notifications.insert",
    text: "INSERT INTO notifications (tenant_id, terminal_id, transaction_id, kind, url, payload, \
           state, attempts, due_at, created_at) \
           VALUES {(?, ?, ?, ?, ?, ?, 'PENDING', 0, ?, ?)} $KEEP_FIRST",
};

const CLAIM: Sql = Sql {
    name: "notifications.claim",
    // As with forwards, `+ 0` keeps the due index out of it.
    text: "UPDATE notifications SET state = 'SENDING', attempts = attempts + 1, claim = ?, due_at = ? \
           WHERE transaction_id IN ({?}) AND due_at + 0 <= ?",
};

const CLAIMED: Sql = Sql {
    name: "notifications.claimed",
    text: "SELECT id, terminal_id, transaction_id, url, payload, attempts FROM notifications \
           WHERE transaction_id IN ({?}) AND claim = ? ORDER BY id",
};

const DELIVERED: Sql = Sql {
    name: "notifications.delivered",
    text: "UPDATE notifications SET state = 'DELIVERED', due_at = NULL, claim = NULL, \
           last_status = ?, last_code = NULL, settled_at = ? WHERE id IN ({?}) AND state = 'SENDING'",
};

const RETRY: Sql = Sql {
    name: "notifications.retry",
    text: "UPDATE notifications SET state = 'PENDING', claim = NULL, last_code = ?, last_status = ?, \
           due_at = CASE id {WHEN ? THEN ?| } END WHERE id IN ({?}) AND state = 'SENDING'",
};

const FAILED: Sql = Sql {
    name: "notifications.failed",
    text: "UPDATE notifications SET state = 'FAILED', due_at = NULL, claim = NULL, last_code = ?, last_status = ?, \
           settled_at = ? WHERE id IN ({?}) AND state = 'SENDING'",
};

const PAGE: Sql = Sql {
    name: "notifications.page",
    text: "SELECT id, terminal_id, transaction_id, kind, url, state, attempts, last_status, last_code, due_at, \
           created_at, settled_at FROM notifications WHERE id > ? AND (? IS NULL OR terminal_id = ?) \
           ORDER BY id LIMIT ?",
};

/// Why an attempt failed, and the status of the answer.
type Failure<'a> = (&'a str, Option<u16>);

/// Refuses what the columns would not hold.
pub(super) fn check(notice: &NewNotice) -> Result<(), StoreError> {
    fits_word("the kind of a notice", notice.kind, 40)?;
    fits("a callback URL", &notice.url, 2000)
}

impl Store {
    /// Makes notices, each due from the time given; one that exists already stays as it is.
    pub(super) async fn insert_notices(
        &self,
        tx: &mut Tx,
        notices: &[(&NewNotice, Timestamp)],
    ) -> Result<(), StoreError> {
        for notices in self.pieces(notices) {
            let mut values = Binds::of(notices.len() * 8);
            for (notice, at) in notices {
                values
                    .put(notice.tenant_id)
                    .put(notice.terminal_id)
                    .put(notice.transaction_id)
                    .put(notice.kind)
                    .put(notice.url.as_str())
                    .put(notice.payload.as_str())
                    .put(*at)
                    .put(*at);
            }
            tx.execute(&INSERT, notices.len(), &values).await?;
        }
        Ok(())
    }

    /// Claims the due callbacks of these transactions: attempts go up by one, not due again before
    /// `now + hold`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_notices(
        &self,
        transaction_ids: &[i64],
        now: Timestamp,
        hold: Duration,
    ) -> Result<Vec<Notice>, StoreError> {
        let mut ids = transaction_ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let token = rand::random_range(1..i64::MAX);
        let mut notices = Vec::new();
        for ids in self.pieces(&ids) {
            let mut values = Binds::of(ids.len() + 3);
            values
                .put(token)
                .put(now.plus(hold))
                .put_all(ids.iter().copied())
                .put(now);
            let done = retrying!(self, self.inner.db.execute(&CLAIM, ids.len(), &values))?;
            if done.rows == 0 {
                continue;
            }
            let mut values = Binds::ids(ids);
            values.put(token);
            for row in self.inner.db.fetch(&CLAIMED, ids.len(), &values).await? {
                let mut cells = row.cells();
                notices.push(Notice {
                    id: cells.int()?,
                    terminal_id: cells.int()?,
                    transaction_id: cells.int()?,
                    url: cells.text()?,
                    payload: cells.text()?,
                    attempt: cells.count()?,
                });
            }
        }
        Ok(notices)
    }

    /// One page of callbacks with an id above `after`, of one terminal or of all: the log of their delivery.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn callbacks(
        &self,
        terminal_id: Option<i64>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Callback>, StoreError> {
        let values = [after.into(), terminal_id.into(), terminal_id.into(), page(limit)];
        let rows = self.inner.db.fetch(&PAGE, 1, &values).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok(Callback {
                    id: cells.int()?,
                    terminal_id: cells.int()?,
                    transaction_id: cells.int()?,
                    kind: cells.text()?,
                    url: cells.text()?,
                    state: cells.text()?,
                    attempts: cells.count()?,
                    last_status: cells.int_or_null()?,
                    last_code: cells.text_or_null()?,
                    due_at: cells.time_or_null()?,
                    created_at: cells.time()?,
                    settled_at: cells.time_or_null()?,
                })
            })
            .collect()
    }

    /// Writes the ends of callback attempts, in one transaction. A callback that has ended before
    /// keeps its end.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn settle_notices(&self, ends: &[NoticeOutcome]) -> Result<(), StoreError> {
        if ends.is_empty() {
            return Ok(());
        }
        retrying!(self, self.settle_notices_once(ends))
    }

    async fn settle_notices_once(&self, ends: &[NoticeOutcome]) -> Result<(), StoreError> {
        let mut delivered: BTreeMap<(u16, Timestamp), Vec<i64>> = BTreeMap::new();
        let mut retried: BTreeMap<Failure<'_>, Vec<(i64, Timestamp)>> = BTreeMap::new();
        let mut failed: BTreeMap<(&str, Option<u16>, Timestamp), Vec<i64>> = BTreeMap::new();
        for end in ends {
            match *end {
                NoticeOutcome::Delivered { id, at, status } => {
                    delivered.entry((status, at)).or_default().push(id);
                }
                NoticeOutcome::Retry {
                    id,
                    due_at,
                    code,
                    status,
                } => {
                    retried.entry((code, status)).or_default().push((id, due_at));
                }
                NoticeOutcome::Failed { id, at, code, status } => {
                    failed.entry((code, status, at)).or_default().push(id);
                }
            }
        }
        let mut tx = self.inner.db.begin().await?;
        for ((status, at), ids) in &delivered {
            for ids in self.pieces(ids) {
                let mut values = Binds::of(ids.len() + 2);
                values
                    .put(i64::from(*status))
                    .put(*at)
                    .put_all(ids.iter().copied());
                tx.execute(&DELIVERED, ids.len(), &values).await?;
            }
        }
        for ((code, status), due) in &retried {
            for due in self.pieces(due) {
                let mut values = Binds::of(due.len() * 3 + 2);
                values.put(*code).put(status.map(i64::from));
                for (id, due_at) in due {
                    values.put(*id).put(*due_at);
                }
                values.put_all(due.iter().map(|(id, _)| *id));
                tx.execute(&RETRY, due.len(), &values).await?;
            }
        }
        for ((code, status, at), ids) in &failed {
            for ids in self.pieces(ids) {
                let mut values = Binds::of(ids.len() + 3);
                values
                    .put(*code)
                    .put(status.map(i64::from))
                    .put(*at)
                    .put_all(ids.iter().copied());
                tx.execute(&FAILED, ids.len(), &values).await?;
            }
        }
        tx.commit().await
    }
}
