//! Orders of people about queues: what stands still.

use super::{
    Store, StoreError,
    cells::Cells,
    changes::Subject,
    dialect::Sql,
    pieces::{fits, fits_word},
    values::page,
};
use crate::domain::{hold::Hold, time::Timestamp};

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
