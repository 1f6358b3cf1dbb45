//! How wide each queue is worked on, who said so, and until when the autoscaler keeps its hands off.

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
use crate::domain::time::Timestamp;

/// Most queues that are reported; there are as many as stages.
const MOST_QUEUES: usize = 64;

/// The actor of the moves that no person made.
pub const AUTOSCALER: &str = "autoscaler";

/// The width that somebody set for a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Width {
    /// The queue.
    pub queue: String,
    /// Sets of jobs at a time in one process.
    pub concurrency: u64,
    /// Until then the autoscaler leaves it.
    pub pinned_until: Timestamp,
}

/// A width that a person wants.
#[derive(Clone, Debug)]
pub struct NewWidth<'a> {
    /// The queue.
    pub queue: &'a str,
    /// Sets of jobs at a time in one process.
    pub concurrency: u64,
    /// What it was as long as nobody set it.
    pub default: u64,
    /// Until then the autoscaler leaves it; a time that is over leaves it free.
    pub pinned_until: Timestamp,
    /// Why; at most 500 characters.
    pub reason: &'a str,
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

const WIDTHS: Sql = Sql {
    name: "queue_widths.all",
    text: "SELECT queue, concurrency, pinned_until FROM queue_widths ORDER BY queue LIMIT ?",
};

const LOCK_WIDTH: Sql = Sql {
    name: "queue_widths.lock",
    text: "SELECT concurrency, pinned_until FROM queue_widths WHERE queue = ? $LOCK",
};

const SET_WIDTH: Sql = Sql {
    name: "queue_widths.update",
    text: "UPDATE queue_widths SET concurrency = ?, changed_at = ?, pinned_until = ? WHERE queue = ?",
};

const FIRST_WIDTH: Sql = Sql {
    name: "queue_widths.insert",
    text: "INSERT INTO queue_widths (concurrency, changed_at, pinned_until, queue) VALUES (?, ?, ?, ?)",
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
    /// The widths of the queues for which somebody said it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn widths(&self) -> Result<Vec<Width>, StoreError> {
        let rows = self.inner.db.fetch(&WIDTHS, 1, &[page(MOST_QUEUES)]).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok(Width {
                    queue: cells.text()?,
                    concurrency: count(&mut cells)?,
                    pinned_until: cells.time()?,
                })
            })
            .collect()
    }

    /// Sets the width of a queue as a person asked, and writes down who and why. Says what it was.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] for a reason that is too long.
    pub async fn set_width(&self, wish: &NewWidth<'_>) -> Result<u64, StoreError> {
        fits_word("a queue", wish.queue, 20)?;
        fits("the reason of a change of width", wish.reason, 500)?;
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let stands = lock(&mut tx, wish.queue).await?;
            let was = stands.as_ref().map_or(wish.default, |width| width.concurrency);
            let actor = self.actor.as_ref().map_or("system", |actor| &actor.name);
            let id = write(&mut tx, stands.is_some(), was, wish, actor, Timestamp::now()).await?;
            let detail = format!("{}: {was} to {}, {}", wish.queue, wish.concurrency, wish.reason);
            self.attribute(&mut tx, "queue.scaled", Subject::Width(id), &detail)
                .await?;
            tx.commit().await?;
            Ok(was)
        })
    }

    /// Moves the width of a queue for the autoscaler at `now`, if it still is `was` and no person has
    /// pinned it meanwhile; whether it did. No person did it, so it is in the history of widths alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn move_width(
        &self,
        was: u64,
        wish: &NewWidth<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        fits_word("a queue", wish.queue, 20)?;
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let stands = lock(&mut tx, wish.queue).await?;
            let (width, pinned) = stands.as_ref().map_or((wish.default, false), |width| {
                (width.concurrency, width.pinned_until > now)
            });
            if width != was || pinned {
                return Ok(false);
            }
            write(&mut tx, stands.is_some(), was, wish, AUTOSCALER, now).await?;
            tx.commit().await?;
            Ok(true)
        })
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

/// What stands in the row of a queue, which nobody else changes before `tx` ends.
async fn lock(tx: &mut Tx, queue: &str) -> Result<Option<Width>, StoreError> {
    let rows = tx.fetch(&LOCK_WIDTH, 1, &[queue.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut cells = row.cells();
    Ok(Some(Width {
        queue: queue.to_owned(),
        concurrency: count(&mut cells)?,
        pinned_until: cells.time()?,
    }))
}

/// Writes the width and its line of the history; the id of the latter.
async fn write(
    tx: &mut Tx,
    stands: bool,
    was: u64,
    wish: &NewWidth<'_>,
    actor: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let int = |number| i64::try_from(number).unwrap_or(i64::MAX);
    let sql = if stands { &SET_WIDTH } else { &FIRST_WIDTH };
    let values = [
        int(wish.concurrency).into(),
        now.into(),
        wish.pinned_until.into(),
        wish.queue.into(),
    ];
    tx.execute(sql, 1, &values).await?;
    let (actor, reason) = (cut(actor, 64), cut(wish.reason, 500));
    let values = [
        now.into(),
        wish.queue.into(),
        int(was).into(),
        int(wish.concurrency).into(),
        actor.as_str().into(),
        reason.as_str().into(),
    ];
    Ok(tx.execute(&INSERT_MOVE, 1, &values).await?.last_id)
}

fn count(cells: &mut Cells<'_>) -> Result<u64, StoreError> {
    let number = cells.int()?;
    u64::try_from(number).map_err(|_| StoreError::Damaged(format!("a count of {number}")))
}
