//! Orders of people about queues: what stands still, and how wide each queue is worked on.

use serde::Serialize;

use super::{
    Store, StoreError,
    cells::Cells,
    changes::Subject,
    dialect::Sql,
    driver::Tx,
    pieces::{cut, fits, fits_word},
    values::page,
};
use crate::domain::{hold::Hold, time::Timestamp};

/// Most queues that are reported; there are as many as stages.
const MOST_QUEUES: usize = 64;

/// A hold to be given.
#[derive(Clone, Debug)]
pub struct NewHold {
    /// The queue; every queue when `None`.
    pub queue: Option<String>,
    /// The tenant by row id; everybody when `None`.
    pub tenant_id: Option<i64>,
    /// Who answers for it; at most 100 characters.
    pub owner: String,
    /// Why; at most 500 characters.
    pub reason: String,
    /// When it ends by itself.
    pub ends_at: Timestamp,
}

/// A change of the width of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WidthMove {
    /// Row id.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// The queue.
    pub queue: String,
    /// Sets of jobs at a time in one process before it.
    pub was: u64,
    /// And after it.
    pub becomes: u64,
    /// Who moved it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

const INSERT_HOLD: Sql = Sql {
    name: "queue_holds.insert",
    text: "INSERT INTO queue_holds (queue, tenant_id, owner, reason, created_at, ends_at) VALUES (?, ?, ?, ?, ?, ?)",
};

const HOLDS: Sql = Sql {
    name: "queue_holds.page",
    text: "SELECT id, queue, tenant_id, owner, reason, created_at, ends_at, lifted_at FROM queue_holds \
           WHERE id > ? ORDER BY id LIMIT ?",
};

const STANDING_HOLDS: Sql = Sql {
    name: "queue_holds.standing",
    text: "SELECT id, queue, tenant_id, owner, reason, created_at, ends_at, lifted_at FROM queue_holds \
           WHERE ends_at > ? AND lifted_at IS NULL ORDER BY ends_at LIMIT ?",
};

const LIFT_HOLDS: Sql = Sql {
    name: "queue_holds.lift",
    text: "UPDATE queue_holds SET lifted_at = ? \
           WHERE queue = ? AND tenant_id = ? AND lifted_at IS NULL AND ends_at > ?",
};

const WIDTHS: Sql = Sql {
    name: "queue_widths.all",
    text: "SELECT queue, concurrency FROM queue_widths ORDER BY queue LIMIT ?",
};

const LOCK_WIDTH: Sql = Sql {
    name: "queue_widths.lock",
    text: "SELECT concurrency FROM queue_widths WHERE queue = ? $LOCK",
};

const SET_WIDTH: Sql = Sql {
    name: "queue_widths.update",
    text: "UPDATE queue_widths SET concurrency = ?, changed_at = ? WHERE queue = ?",
};

const FIRST_WIDTH: Sql = Sql {
    name: "queue_widths.insert",
    text: "INSERT INTO queue_widths (concurrency, changed_at, queue) VALUES (?, ?, ?)",
};

const INSERT_MOVE: Sql = Sql {
    name: "width_moves.insert",
    text: "INSERT INTO width_moves (at, queue, was, becomes, actor, reason) VALUES (?, ?, ?, ?, ?, ?)",
};

const MOVES: Sql = Sql {
    name: "width_moves.newest",
    text: "SELECT id, at, queue, was, becomes, actor, reason FROM width_moves ORDER BY id DESC LIMIT ?",
};

impl Store {
    /// Holds back a queue or a tenant; the row id. It is put down to the actor of this handle.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] for a text that is too long.
    pub async fn hold_queue(&self, hold: &NewHold) -> Result<i64, StoreError> {
        fits_word("a queue", hold.queue.as_deref().unwrap_or(""), 20)?;
        fits("the owner of a hold", &hold.owner, 100)?;
        fits("the reason of a hold", &hold.reason, 500)?;
        retrying!(self, self.hold_queue_once(hold))
    }

    async fn hold_queue_once(&self, hold: &NewHold) -> Result<i64, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let values = [
            hold.queue.as_deref().unwrap_or("").into(),
            hold.tenant_id.unwrap_or(0).into(),
            hold.owner.as_str().into(),
            hold.reason.as_str().into(),
            Timestamp::now().into(),
            hold.ends_at.into(),
        ];
        let id = tx.execute(&INSERT_HOLD, 1, &values).await?.last_id;
        let detail = format!(
            "{}, tenant {}, until {}, {}: {}",
            hold.queue.as_deref().unwrap_or("every queue"),
            hold.tenant_id.unwrap_or(0),
            hold.ends_at.to_rfc3339(0),
            hold.owner,
            hold.reason
        );
        self.attribute(&mut tx, "queue.paused", Subject::Hold(id), &detail)
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Ends the holds about exactly this queue and this tenant that still stand; how many there were.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lift_holds(&self, queue: Option<&str>, tenant_id: Option<i64>) -> Result<u64, StoreError> {
        retrying!(self, async {
            let now = Timestamp::now();
            let mut tx = self.inner.db.begin().await?;
            let (word, tenant) = (queue.unwrap_or(""), tenant_id.unwrap_or(0));
            let values = [now.into(), word.into(), tenant.into(), now.into()];
            let lifted = tx.execute(&LIFT_HOLDS, 1, &values).await?.rows;
            if lifted > 0 {
                let detail = format!("{}, tenant {tenant}", queue.unwrap_or("every queue"));
                self.attribute(&mut tx, "queue.resumed", Subject::Hold(0), &detail)
                    .await?;
            }
            tx.commit().await?;
            Ok(lifted)
        })
    }

    /// The holds that stand at `now`, those first that end first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn standing_holds(&self, now: Timestamp, limit: usize) -> Result<Vec<Hold>, StoreError> {
        self.holds(&STANDING_HOLDS, now.as_micros(), limit).await
    }

    /// One page of holds with an id above `after`, those that ended included.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_holds(&self, after: i64, limit: usize) -> Result<Vec<Hold>, StoreError> {
        self.holds(&HOLDS, after, limit).await
    }

    async fn holds(&self, sql: &Sql, above: i64, limit: usize) -> Result<Vec<Hold>, StoreError> {
        let rows = self.inner.db.fetch(sql, 1, &[above.into(), page(limit)]).await?;
        rows.iter().map(|row| read_hold(&mut row.cells())).collect()
    }

    /// Sets of jobs at a time in one process, of the queues for which somebody said it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn widths(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = self.inner.db.fetch(&WIDTHS, 1, &[page(MOST_QUEUES)]).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok((cells.text()?, count(&mut cells)?))
            })
            .collect()
    }

    /// Sets the width of a queue, which was `default` as long as nobody set it; writes down who did it
    /// and why. Says what it was.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] for a reason that is too long.
    pub async fn set_width(
        &self,
        queue: &str,
        concurrency: u64,
        default: u64,
        reason: &str,
    ) -> Result<u64, StoreError> {
        fits_word("a queue", queue, 20)?;
        fits("the reason of a change of width", reason, 500)?;
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let was = self
                .set_width_in(&mut tx, queue, concurrency, default, reason)
                .await?;
            tx.commit().await?;
            Ok(was)
        })
    }

    async fn set_width_in(
        &self,
        tx: &mut Tx,
        queue: &str,
        concurrency: u64,
        default: u64,
        reason: &str,
    ) -> Result<u64, StoreError> {
        let int = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let rows = tx.fetch(&LOCK_WIDTH, 1, &[queue.into()]).await?;
        let was = rows.first().map(|row| count(&mut row.cells())).transpose()?;
        let now = Timestamp::now();
        let sql = if was.is_some() { &SET_WIDTH } else { &FIRST_WIDTH };
        tx.execute(sql, 1, &[int(concurrency).into(), now.into(), queue.into()])
            .await?;
        let was = was.unwrap_or(default);
        let actor = self.actor.as_ref().map_or("system", |actor| &actor.name);
        let actor = cut(actor, 64);
        let values = [
            now.into(),
            queue.into(),
            int(was).into(),
            int(concurrency).into(),
            actor.as_str().into(),
            reason.into(),
        ];
        let id = tx.execute(&INSERT_MOVE, 1, &values).await?.last_id;
        let detail = format!("{queue}: {was} to {concurrency}, {reason}");
        self.attribute(tx, "queue.scaled", Subject::Width(id), &detail)
            .await?;
        Ok(was)
    }

    /// The last changes of widths, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn width_moves(&self, limit: usize) -> Result<Vec<WidthMove>, StoreError> {
        let rows = self.inner.db.fetch(&MOVES, 1, &[page(limit)]).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok(WidthMove {
                    id: cells.int()?,
                    at: cells.time()?,
                    queue: cells.text()?,
                    was: count(&mut cells)?,
                    becomes: count(&mut cells)?,
                    actor: cells.text()?,
                    reason: cells.text()?,
                })
            })
            .collect()
    }
}

fn count(cells: &mut Cells<'_>) -> Result<u64, StoreError> {
    let number = cells.int()?;
    u64::try_from(number).map_err(|_| StoreError::Damaged(format!("a count of {number}")))
}

fn read_hold(cells: &mut Cells<'_>) -> Result<Hold, StoreError> {
    Ok(Hold {
        id: cells.int()?,
        queue: Some(cells.text()?).filter(|queue| !queue.is_empty()),
        tenant_id: Some(cells.int()?).filter(|tenant| *tenant != 0),
        owner: cells.text()?,
        reason: cells.text()?,
        created_at: cells.time()?,
        ends_at: cells.time()?,
        lifted_at: cells.time_or_null()?,
    })
}
