//! How far the sales of a batch have come, for the callback that sums it up.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{NewNotice, Store, StoreError, deliveries, dialect::Sql, values::Binds};
use crate::domain::time::Timestamp;

const SALES: Sql = Sql {
    name: "transactions.of_batches",
    text: "SELECT submission_id, MIN(id), \
           CAST(SUM(CASE WHEN validation_status = 'VALID' THEN 1 ELSE 0 END) AS SIGNED), \
           CAST(SUM(CASE WHEN validation_status = 'PENDING' AND dead_code IS NULL THEN 1 ELSE 0 END) AS SIGNED) \
           FROM transactions WHERE submission_id IN ({?}) GROUP BY submission_id",
};

const ITEMS: Sql = Sql {
    name: "submission_items.count",
    text: "SELECT i.submission_id, COUNT(*), MIN(s.submission_uuid), MIN(s.processed_at) \
           FROM submission_items i JOIN submissions s ON s.id = i.submission_id \
           WHERE i.submission_id IN ({?}) GROUP BY i.submission_id",
};

/// A batch of which every sale has its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBatch {
    /// Row id of the submission.
    pub submission_id: i64,
    /// The terminal's id of it.
    pub submission_uuid: Uuid,
    /// The first of its sales that has a row.
    pub first_sale: i64,
    /// Sales in it, those without a row of their own included.
    pub total: u64,
    /// Valid ones.
    pub valid: u64,
}

impl Store {
    /// Those of these submissions that are batches with a result for every sale.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decided_batches(&self, submissions: &[i64]) -> Result<Vec<DecidedBatch>, StoreError> {
        let mut batches = Vec::new();
        for ids in self.pieces(submissions) {
            let values = Binds::ids(ids);
            let mut items: BTreeMap<i64, (i64, Uuid)> = BTreeMap::new();
            for row in self.inner.db.fetch(&ITEMS, ids.len(), &values).await? {
                let mut cells = row.cells();
                let (id, count, uuid) = (cells.int()?, cells.int()?, cells.uuid()?);
                // Validation may still make rows.
                if cells.int()? != 0 {
                    items.insert(id, (count, uuid));
                }
            }
            if items.is_empty() {
                continue;
            }
            for row in self.inner.db.fetch(&SALES, ids.len(), &values).await? {
                let mut cells = row.cells();
                let (submission_id, first_sale) = (cells.int()?, cells.int()?);
                let (valid, pending) = (cells.int()?, cells.int()?);
                if let Some((total, submission_uuid)) = items.get(&submission_id).copied()
                    && pending == 0
                {
                    batches.push(DecidedBatch {
                        submission_id,
                        submission_uuid,
                        first_sale,
                        total: u64::try_from(total).unwrap_or(0),
                        valid: u64::try_from(valid).unwrap_or(0),
                    });
                }
            }
        }
        Ok(batches)
    }

    /// Makes callbacks, due at `now`; those that were made before stay as they are.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn make_notices(&self, notices: &[NewNotice], now: Timestamp) -> Result<(), StoreError> {
        for notice in notices {
            deliveries::check(notice)?;
        }
        let due: Vec<(&NewNotice, Timestamp)> = notices.iter().map(|notice| (notice, now)).collect();
        if due.is_empty() {
            return Ok(());
        }
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            self.insert_notices(&mut tx, &due).await?;
            tx.commit().await
        })
    }
}
