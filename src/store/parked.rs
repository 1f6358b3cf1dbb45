//! Voids of sales that have no row yet: known by their submission only, and joined with the row by
//! whoever sees both. The void itself looks for the row again after it is committed. The decision looks
//! for parked voids as it is made. So one of the two sees the other, and a sale whose void
//! was answered before its decision is never sent. The sweeper joins what a crash left.

use uuid::Uuid;

use super::{
    Store, StoreError,
    dialect::Sql,
    reversal_row,
    reversals::{join, lock_sale},
    values::{Binds, page},
};
use crate::domain::{reversal::Reversal, time::Timestamp};

const PARKED: Sql = Sql {
    name: "reversals.parked",
    text: concat!(
        "SELECT ",
        reversal_columns!(),
        " FROM reversals r WHERE r.sale_id = 0 AND ({(r.terminal_id = ? AND r.transaction_id = ?)| OR })"
    ),
};

const PARKED_DUE: Sql = Sql {
    name: "reversals.parked_due",
    text: concat!(
        "SELECT ",
        reversal_columns!(),
        " FROM reversals r WHERE r.sale_id = 0 AND r.due_at < ? ORDER BY r.due_at LIMIT ?"
    ),
};

const UNPARK: Sql = Sql {
    name: "reversals.unpark",
    text: "UPDATE reversals SET sale_id = ?, state = ?, due_at = ?, settled_at = ? \
           WHERE id = ? AND sale_id = 0",
};

const LOOK_AGAIN: Sql = Sql {
    name: "reversals.look_again",
    text: "UPDATE reversals SET due_at = ? WHERE id = ? AND sale_id = 0",
};

impl Store {
    /// Joins parked voids with these sales (terminal, transaction id), which have rows.
    pub(super) async fn unpark_sales(&self, keys: &[(i64, Uuid)]) -> Result<(), StoreError> {
        for keys in self.pieces(keys) {
            let mut values = Binds::of(keys.len() * 2);
            for (terminal, id) in keys {
                values.put(*terminal).put(*id);
            }
            for row in self.inner.db.fetch(&PARKED, keys.len(), &values).await? {
                let parked = reversal_row::read(&mut row.cells())?;
                self.unpark(&parked).await?;
            }
        }
        Ok(())
    }

    /// Joins voids parked before `before` with their sales; those whose sale has no row yet are looked
    /// at again after `again`. At most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unpark_due(
        &self,
        before: Timestamp,
        again: Timestamp,
        limit: usize,
    ) -> Result<(), StoreError> {
        let values = [before.into(), page(limit)];
        for row in self.inner.db.fetch(&PARKED_DUE, 1, &values).await? {
            let parked = reversal_row::read(&mut row.cells())?;
            if self.unpark(&parked).await?.is_none() {
                let values = [again.into(), parked.id.into()];
                retrying!(self, self.inner.db.execute(&LOOK_AGAIN, 1, &values))?;
            }
        }
        Ok(())
    }

    /// Joins one with the row of its sale; `None` when there is no row yet, or somebody else did it.
    pub(super) async fn unpark(&self, parked: &Reversal) -> Result<Option<Reversal>, StoreError> {
        retrying!(self, self.unpark_once(parked))
    }

    async fn unpark_once(&self, parked: &Reversal) -> Result<Option<Reversal>, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let Some(sale) = lock_sale(&mut tx, parked.terminal_id, parked.transaction_id).await? else {
            tx.roll_back().await?;
            return Ok(None);
        };
        let mut joined = parked.clone();
        let due_at = join(&mut tx, &mut joined, &sale, Timestamp::now()).await?;
        let mut values = Binds::of(5);
        values
            .put(sale.id)
            .put(joined.state.as_str())
            .put(due_at)
            .put(joined.settled_at.map_or(0, Timestamp::as_micros))
            .put(joined.id);
        if tx.execute(&UNPARK, 1, &values).await?.rows == 0 {
            tx.roll_back().await?;
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(joined))
    }
}
