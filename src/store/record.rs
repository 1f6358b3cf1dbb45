//! The end of validation: rows made and submissions marked processed, in one transaction.

use std::collections::{BTreeMap, HashSet};

use super::{
    Store, StoreError, Validated,
    dialect::Sql,
    driver::Tx,
    transaction_row::{self, INSERT, Written},
    values::{Binds, list_text},
};
use crate::domain::{sale::ValidationStatus, time::Timestamp};

const PROCESSED: Sql = Sql {
    name: "submissions.processed",
    text: "UPDATE submissions SET processed_at = ? \
           WHERE id IN ({?}) AND processed_at = 0 AND dead_code IS NULL",
};

const PROCESSED_WITH_RESULTS: Sql = Sql {
    name: "submissions.processed_with_results",
    text: "UPDATE submissions SET processed_at = ?, results = CASE id {WHEN ? THEN ?| } END \
           WHERE id IN ({?}) AND processed_at = 0 AND dead_code IS NULL",
};

const LOCK_UNPROCESSED: Sql = Sql {
    name: "submissions.lock_unprocessed",
    text: "SELECT id FROM submissions \
           WHERE id IN ({?}) AND processed_at = 0 AND dead_code IS NULL ORDER BY id $LOCK",
};

impl Store {
    /// Makes the rows and marks the submissions processed, in one transaction. Submissions that
    /// are processed already, or given up, are left alone; their ids are given back, because the rows
    /// named for them were not made.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when another worker made one of the rows meanwhile: look the existing
    /// ones up again and come back. Nothing was changed then.
    pub async fn record_validated(&self, set: &[Validated]) -> Result<Vec<i64>, StoreError> {
        let mut seen = HashSet::new();
        let mut set: Vec<&Validated> = set
            .iter()
            .filter(|validated| seen.insert(validated.submission_id))
            .collect();
        // One order for all, so that two workers with the same submissions wait instead of
        // deadlocking.
        set.sort_unstable_by_key(|validated| validated.submission_id);
        let rows = set.iter().flat_map(|validated| &validated.rows);
        if let Some(row) = rows.clone().find(|row| row.status != ValidationStatus::Pending) {
            return Err(StoreError::Unfit(format!(
                "transaction {} is made decided",
                row.id
            )));
        }
        for row in rows {
            transaction_row::write(row)?;
        }
        if set.is_empty() {
            return Ok(Vec::new());
        }
        let recorded = retrying!(self, self.record(&set)).map_err(exists_transaction)?;
        if recorded {
            return Ok(Vec::new());
        }
        retrying!(self, self.record_unprocessed(&set)).map_err(exists_transaction)
    }

    /// The usual case: every submission is still to be processed. Says so by `false`, with nothing
    /// changed, when one is not.
    async fn record(&self, set: &[&Validated]) -> Result<bool, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        if self.mark_processed(&mut tx, set).await? < set.len() {
            tx.roll_back().await?;
            return Ok(false);
        }
        self.insert_rows(&mut tx, set).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Records those still to be processed and gives the ids of the others.
    async fn record_unprocessed(&self, set: &[&Validated]) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let mut unprocessed = HashSet::new();
        for set in self.pieces(set) {
            let ids: Vec<i64> = set.iter().map(|validated| validated.submission_id).collect();
            for row in tx.fetch(&LOCK_UNPROCESSED, ids.len(), &Binds::ids(&ids)).await? {
                unprocessed.insert(row.cells().int()?);
            }
        }
        let (set, left_alone): (Vec<&Validated>, Vec<&Validated>) = set
            .iter()
            .copied()
            .partition(|validated| unprocessed.contains(&validated.submission_id));
        self.mark_processed(&mut tx, &set).await?;
        self.insert_rows(&mut tx, &set).await?;
        tx.commit().await?;
        Ok(left_alone
            .iter()
            .map(|validated| validated.submission_id)
            .collect())
    }

    /// Marks those that are still to be processed and tells how many there were.
    async fn mark_processed(&self, tx: &mut Tx, set: &[&Validated]) -> Result<usize, StoreError> {
        let mut plain: BTreeMap<Timestamp, Vec<i64>> = BTreeMap::new();
        let mut with_results: BTreeMap<Timestamp, Vec<(i64, String)>> = BTreeMap::new();
        for validated in set {
            let id = validated.submission_id;
            match list_text(&validated.results)? {
                None => plain.entry(validated.at).or_default().push(id),
                Some(text) => with_results.entry(validated.at).or_default().push((id, text)),
            }
        }
        let mut marked = 0;
        for (at, ids) in &plain {
            for (_, ids) in self.padded(ids) {
                let mut values = Binds::of(ids.len() + 1);
                values.put(*at).put_all(ids.iter().copied());
                marked += tx.execute(&PROCESSED, ids.len(), &values).await?.rows;
            }
        }
        for (at, results) in &with_results {
            for results in self.pieces(results) {
                let mut values = Binds::of(results.len() * 3 + 1);
                values.put(*at);
                for (id, text) in results {
                    values.put(*id).put(text.as_str());
                }
                values.put_all(results.iter().map(|(id, _)| *id));
                let done = tx
                    .execute(&PROCESSED_WITH_RESULTS, results.len(), &values)
                    .await?;
                marked += done.rows;
            }
        }
        Ok(usize::try_from(marked).unwrap_or(usize::MAX))
    }

    async fn insert_rows(&self, tx: &mut Tx, set: &[&Validated]) -> Result<(), StoreError> {
        let rows: Vec<Written<'_>> = set
            .iter()
            .flat_map(|validated| &validated.rows)
            .map(transaction_row::write)
            .collect::<Result<_, _>>()?;
        for rows in self.pieces(&rows) {
            let mut values = Binds::of(rows.len() * transaction_row::COLUMNS);
            for row in rows {
                values.put_all(row.values());
            }
            tx.execute(&INSERT, rows.len(), &values).await?;
        }
        Ok(())
    }
}

fn exists_transaction(error: StoreError) -> StoreError {
    match error {
        StoreError::Exists(_) => StoreError::Exists("transaction"),
        other => other,
    }
}
