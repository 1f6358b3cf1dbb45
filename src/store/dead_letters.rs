//! Dead letters looked at, brought back and discarded. An order to do so is a row that knows how far it
//! has come, and each step commits what it moved together with that: a step that was killed has not
//! happened, and a step made twice finds nothing left to do.

use super::{
    Store, StoreError,
    cells::Cells,
    changes::Subject,
    dialect::Sql,
    directory::found,
    driver::Tx,
    pieces::fits,
    redrive_row::{Redrive, RedriveKind, RedriveState, read_redrive},
    values::{Binds, page},
};
use crate::domain::{
    dead_letter::{Filter, Letter, Pace},
    time::Timestamp,
};

/// Letters looked at in one step.
const STEP: usize = 256;

const LETTERS: Sql = Sql {
    name: "dead_letters.page",
    text: "SELECT id, stage, subject_id, tenant_id, code, detail, created_at FROM dead_letters \
           WHERE id > ? ORDER BY id LIMIT ?",
};

/// The request of a submission.
const REQUEST_OF_SUBMISSION: Sql = Sql {
    name: "dead_letters.request_of_submission",
    text: "SELECT request_id FROM submissions WHERE id = ?",
};

/// The request that brought a sale in.
const REQUEST_OF_SALE: Sql = Sql {
    name: "dead_letters.request_of_sale",
    text: "SELECT s.request_id FROM transactions t JOIN submissions s ON s.id = t.submission_id WHERE t.id = ?",
};

/// The request that brought the sale of a void or refund in.
const REQUEST_OF_REVERSED: Sql = Sql {
    name: "dead_letters.request_of_reversed",
    text: "SELECT s.request_id FROM reversals r JOIN transactions t ON t.id = r.sale_id \
           JOIN submissions s ON s.id = t.submission_id WHERE r.id = ?",
};

const LOCK_LETTERS: Sql = Sql {
    name: "dead_letters.lock_page",
    text: "SELECT id, stage, subject_id, tenant_id, code, detail, created_at FROM dead_letters \
           WHERE id > ? AND id <= ? ORDER BY id LIMIT ? $LOCK",
};

const NEWEST: Sql = Sql {
    name: "dead_letters.newest",
    text: "SELECT COALESCE(MAX(id), 0) FROM dead_letters",
};

const RUNNING: Sql = Sql {
    name: "redrives.running",
    text: "SELECT id FROM redrives WHERE state = 'RUNNING' ORDER BY id LIMIT ?",
};

const INSERT: Sql = Sql {
    name: "redrives.insert",
    text: "INSERT INTO redrives (kind, filter, reason, state, up_to, created_at, rate) \
           VALUES (?, ?, ?, 'RUNNING', ?, ?, ?)",
};

const PAGE: Sql = Sql {
    name: "redrives.page",
    text: "SELECT id, kind, filter, reason, state, up_to, position, moved, kept, created_at, rate, next_at \
           FROM redrives WHERE id > ? ORDER BY id LIMIT ?",
};

const LOCK: Sql = Sql {
    name: "redrives.lock",
    text: "SELECT id, kind, filter, reason, state, up_to, position, moved, kept, created_at, rate, next_at \
           FROM redrives WHERE id = ? $LOCK",
};

const ADVANCE: Sql = Sql {
    name: "redrives.advance",
    text: "UPDATE redrives SET state = ?, position = ?, moved = ?, kept = ?, next_at = ?, settled_at = ? \
           WHERE id = ?",
};

const SWITCH: Sql = Sql {
    name: "redrives.switch",
    text: "UPDATE redrives SET state = ? WHERE id = ? AND state <> 'DONE'",
};

const SET_RATE: Sql = Sql {
    name: "redrives.set_rate",
    text: "UPDATE redrives SET rate = ? WHERE id = ?",
};

const KEEP: Sql = Sql {
    name: "settled_letters.insert",
    text: "INSERT INTO settled_letters \
           (redrive_id, letter_id, stage, subject_id, tenant_id, code, detail, created_at, settled_at) \
           SELECT ?, id, stage, subject_id, tenant_id, code, detail, created_at, ? FROM dead_letters \
           WHERE id IN ({?})",
};

const REMOVE: Sql = Sql {
    name: "dead_letters.remove",
    text: "DELETE FROM dead_letters WHERE id IN ({?})",
};

impl Store {
    /// One page of dead letters with an id above `after`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn dead_letters(&self, after: i64, limit: usize) -> Result<Vec<Letter>, StoreError> {
        let values = [after.into(), page(limit)];
        let rows = self.inner.db.fetch(&LETTERS, 1, &values).await?;
        rows.iter().map(|row| read_letter(&mut row.cells())).collect()
    }

    /// Orders that the letters there are now, as far as `filter` means them, be brought back or
    /// discarded, at most `rate` a second; gives the order's id. Nothing is moved before the first step.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] for a filter or reason of more than 500 characters.
    pub async fn start_redrive(
        &self,
        kind: RedriveKind,
        filter: &Filter,
        reason: &str,
        rate: u32,
    ) -> Result<i64, StoreError> {
        let filter = filter.to_string();
        fits("a filter of dead letters", &filter, 500)?;
        fits("the reason of a redrive", reason, 500)?;
        let detail = format!("{filter}: {reason}");
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let rows = tx.fetch(&NEWEST, 1, &[]).await?;
            let newest = rows.first().map_or(Ok(0), |row| row.cells().int())?;
            let values = [
                kind.word().into(),
                filter.as_str().into(),
                reason.into(),
                newest.into(),
                Timestamp::now().into(),
                i64::from(rate).into(),
            ];
            let id = tx.execute(&INSERT, 1, &values).await?.last_id;
            let action = match kind {
                RedriveKind::Retry => "dlq.retry",
                RedriveKind::Discard => "dlq.discard",
            };
            self.attribute(&mut tx, action, Subject::Redrive(id), &detail)
                .await?;
            tx.commit().await?;
            Ok(id)
        })
    }

    /// One page of orders with an id above `after`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn redrives(&self, after: i64, limit: usize) -> Result<Vec<Redrive>, StoreError> {
        let values = [after.into(), page(limit)];
        let rows = self.inner.db.fetch(&PAGE, 1, &values).await?;
        rows.iter().map(|row| read_redrive(&mut row.cells())).collect()
    }

    /// The orders under way, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn running_redrives(&self, limit: usize) -> Result<Vec<i64>, StoreError> {
        let rows = self.inner.db.fetch(&RUNNING, 1, &[page(limit)]).await?;
        rows.iter().map(|row| row.cells().int()).collect()
    }

    /// The order with this id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    pub async fn redrive(&self, id: i64) -> Result<Redrive, StoreError> {
        let orders = self.redrives(id.saturating_sub(1), 1).await?;
        let order = orders.into_iter().find(|order| order.id == id);
        order.ok_or(StoreError::Missing("redrive"))
    }

    /// The dead letter with this id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    pub async fn dead_letter(&self, id: i64) -> Result<Letter, StoreError> {
        let letters = self.dead_letters(id.saturating_sub(1), 1).await?;
        let letter = letters.into_iter().find(|letter| letter.id == id);
        letter.ok_or(StoreError::Missing("dead letter"))
    }

    /// The request that brought in what a letter is about (a void or refund: its sale), as the record carries
    /// it: see [`crate::domain::trace`]. `None` where the record has none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn request_of(&self, letter: &Letter) -> Result<Option<String>, StoreError> {
        let sql = match letter.stage.as_str() {
            "validation" => &REQUEST_OF_SUBMISSION,
            "reversal" => &REQUEST_OF_REVERSED,
            _ => &REQUEST_OF_SALE,
        };
        let rows = self.inner.db.fetch(sql, 1, &[letter.subject_id.into()]).await?;
        let carried = rows.first().map(|row| row.cells().text()).transpose()?;
        Ok(carried.filter(|carried| !carried.is_empty()))
    }

    /// Pauses an order, or lets it go on; one that is done stays done.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is no such order that is not done.
    pub async fn pause_redrive(&self, id: i64, pause: bool) -> Result<(), StoreError> {
        let (state, action) = if pause {
            (RedriveState::Paused, "dlq.paused")
        } else {
            (RedriveState::Running, "dlq.resumed")
        };
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            // Asked under the lock: an update that changes nothing counts no row on MySQL.
            let order = lock_redrive(&mut tx, id).await?;
            if order.state == RedriveState::Done {
                return Err(StoreError::Missing("redrive under way"));
            }
            if order.state != state {
                let values = [state.word().into(), id.into()];
                found(tx.execute(&SWITCH, 1, &values).await?.rows, "redrive under way")?;
                self.attribute(&mut tx, action, Subject::Redrive(id), "").await?;
            }
            tx.commit().await
        })
    }

    /// Sets how many letters an order may move a second, for every command that goes on with it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is no such order that is not done.
    pub async fn set_redrive_rate(&self, id: i64, rate: u32) -> Result<(), StoreError> {
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let order = lock_redrive(&mut tx, id).await?;
            if order.state == RedriveState::Done {
                return Err(StoreError::Missing("redrive under way"));
            }
            if order.rate != rate {
                tx.execute(&SET_RATE, 1, &[i64::from(rate).into(), id.into()])
                    .await?;
                let detail = format!("{rate} a second");
                self.attribute(&mut tx, "dlq.rate", Subject::Redrive(id), &detail)
                    .await?;
            }
            tx.commit().await
        })
    }

    /// Goes on with an order: moves at most `most` letters and no more than its rate allows at `now`,
    /// and gives how it stands then. What is brought back is due at `now`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is no such order.
    pub async fn redrive_step(&self, id: i64, most: usize, now: Timestamp) -> Result<Redrive, StoreError> {
        retrying!(self, self.redrive_once(id, most, now))
    }

    async fn redrive_once(&self, id: i64, most: usize, now: Timestamp) -> Result<Redrive, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let mut order = lock_redrive(&mut tx, id).await?;
        if order.state != RedriveState::Running || now < order.next_at {
            tx.roll_back().await?;
            return Ok(order);
        }
        let pace = Pace::of(order.rate);
        let most = most.min(pace.at_once);
        let filter: Filter = order
            .filter
            .parse()
            .map_err(|error| StoreError::Damaged(format!("redrive {id}: {error}")))?;
        let values = [order.position.into(), order.up_to.into(), page(STEP)];
        let rows = tx.fetch(&LOCK_LETTERS, 1, &values).await?;
        let mut ended = rows.len() < STEP;
        let mut meant = Vec::new();
        for row in rows {
            let letter = read_letter(&mut row.cells())?;
            if filter.matches(&letter) {
                if meant.len() == most {
                    ended = false;
                    break;
                }
                meant.push(letter.clone());
            }
            order.position = letter.id;
        }
        let matched = meant.len();
        if order.kind == RedriveKind::Retry {
            meant = self.revive(&mut tx, meant, now).await?;
        }
        let ids: Vec<i64> = meant.iter().map(|letter| letter.id).collect();
        for ids in self.pieces(&ids) {
            let mut values = Binds::of(ids.len() + 2);
            values.put(id).put(now).put_all(ids.iter().copied());
            tx.execute(&KEEP, ids.len(), &values).await?;
            tx.execute(&REMOVE, ids.len(), &Binds::ids(ids)).await?;
        }
        order.moved += count(ids.len());
        order.kept += count(matched - ids.len());
        if !ids.is_empty() {
            order.next_at = now.plus(pace.pause);
        }
        if ended {
            order.state = RedriveState::Done;
            let detail = format!("{} moved, {} kept", order.moved, order.kept);
            self.attribute(&mut tx, "dlq.done", Subject::Redrive(id), &detail)
                .await?;
        }
        let settled_at = if ended { now.as_micros() } else { 0 };
        let mut values = Binds::of(7);
        values
            .put(order.state.word())
            .put(order.position)
            .put(i64::try_from(order.moved).unwrap_or(i64::MAX))
            .put(i64::try_from(order.kept).unwrap_or(i64::MAX))
            .put(order.next_at)
            .put(settled_at)
            .put(id);
        tx.execute(&ADVANCE, 1, &values).await?;
        tx.commit().await?;
        Ok(order)
    }
}

async fn lock_redrive(tx: &mut Tx, id: i64) -> Result<Redrive, StoreError> {
    let rows = tx.fetch(&LOCK, 1, &[id.into()]).await?;
    let row = rows.first().ok_or(StoreError::Missing("redrive"))?;
    read_redrive(&mut row.cells())
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn read_letter(cells: &mut Cells<'_>) -> Result<Letter, StoreError> {
    Ok(Letter {
        id: cells.int()?,
        stage: cells.text()?,
        subject_id: cells.int()?,
        tenant_id: cells.int()?,
        code: cells.text()?,
        detail: cells.text()?,
        created_at: cells.time()?,
    })
}
