//! What the record shows of things going wrong, for alerts.

use super::{Store, StoreError, dialect::Sql, values::page};
use crate::domain::time::Timestamp;

const DECIDED: Sql = Sql {
    name: "transactions.decided_between",
    text: "SELECT terminal_id, COUNT(*), \
           CAST(SUM(CASE WHEN validation_status = 'INVALID' THEN 1 ELSE 0 END) AS SIGNED) FROM transactions \
           WHERE id > ? AND id <= ? AND created_at >= ? GROUP BY terminal_id",
};

const INVALID: Sql = Sql {
    name: "transactions.invalid_between",
    text: "SELECT submission_id, MIN(terminal_id), COUNT(*) FROM transactions \
           WHERE id > ? AND id <= ? AND created_at >= ? AND validation_status = 'INVALID' \
           GROUP BY submission_id",
};

const SILENT: Sql = Sql {
    name: "terminals.silent",
    text: "SELECT id, serial_number, last_seen_at FROM terminals \
           WHERE status = 'active' AND last_seen_at > 0 AND last_seen_at < ? AND (expires_at IS NULL OR expires_at > ?) \
           ORDER BY last_seen_at DESC LIMIT ?",
};

/// Sales of a terminal: all, and the invalid ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The terminal.
    pub terminal_id: i64,
    /// Its sales.
    pub sales: u64,
    /// Those of them that are invalid.
    pub invalid: u64,
}

/// Invalid sales that came together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedBatch {
    /// What brought them.
    pub submission_id: i64,
    /// Who sent it.
    pub terminal_id: i64,
    /// How many are invalid.
    pub invalid: u64,
}

/// A terminal that used to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentTerminal {
    /// The terminal.
    pub id: i64,
    /// Its serial number.
    pub serial_number: String,
    /// When it was last heard.
    pub last_seen_at: Timestamp,
}

impl Store {
    /// The sales with ids above `after` and up to `up_to` that were recorded since `since`, by terminal. The
    /// span of ids bounds what is read.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decided_between(
        &self,
        (after, up_to): (i64, i64),
        since: Timestamp,
    ) -> Result<Vec<Decided>, StoreError> {
        let values = [after.into(), up_to.into(), since.into()];
        let rows = self.inner.db.fetch(&DECIDED, 1, &values).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok(Decided {
                    terminal_id: cells.int()?,
                    sales: natural(cells.int()?),
                    invalid: natural(cells.int()?),
                })
            })
            .collect()
    }

    /// The invalid ones of these sales, by what brought them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn failed_batches_between(
        &self,
        (after, up_to): (i64, i64),
        since: Timestamp,
    ) -> Result<Vec<FailedBatch>, StoreError> {
        let values = [after.into(), up_to.into(), since.into()];
        let rows = self.inner.db.fetch(&INVALID, 1, &values).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok(FailedBatch {
                    submission_id: cells.int()?,
                    terminal_id: cells.int()?,
                    invalid: natural(cells.int()?),
                })
            })
            .collect()
    }

    /// Active terminals that were heard once and not since `before`, those that fell silent last first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn silent_terminals(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<SilentTerminal>, StoreError> {
        let values = [before.into(), now.into(), page(limit)];
        let rows = self.inner.db.fetch(&SILENT, 1, &values).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok(SilentTerminal {
                    id: cells.int()?,
                    serial_number: cells.text()?,
                    last_seen_at: cells.time()?,
                })
            })
            .collect()
    }
}

pub(super) fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
