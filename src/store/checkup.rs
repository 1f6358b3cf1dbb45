//! How the database is set up, for the doctor.

use std::collections::BTreeMap;

use super::{Store, StoreError, dialect::Sql, driver::Pools};
use crate::domain::time::Timestamp;

/// What the database says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkup {
    /// Whether it is SQLite; else it is MySQL or MariaDB.
    pub sqlite: bool,
    /// Settings by name, in lower case.
    pub settings: BTreeMap<String, String>,
    /// Its clock, where it has one of its own.
    pub now: Option<Timestamp>,
}

const VARIABLES: Sql = Sql {
    name: "server.variables",
    text: "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', \
           'sync_binlog', 'log_bin', 'sql_mode', 'max_connections', 'version')",
};

const MOST_CONNECTIONS: Sql = Sql {
    name: "server.max_connections",
    text: "SELECT CAST(@@GLOBAL.max_connections AS SIGNED)",
};

const CLOCK: Sql = Sql {
    name: "server.clock",
    text: "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)",
};

const JOURNAL: Sql = Sql {
    name: "sqlite.journal_mode",
    text: "PRAGMA journal_mode",
};

const SYNCHRONOUS: Sql = Sql {
    name: "sqlite.synchronous",
    text: "PRAGMA synchronous",
};

const QUICK_CHECK: Sql = Sql {
    name: "sqlite.quick_check",
    text: "PRAGMA quick_check(1)",
};

const INGRESSES: Sql = Sql {
    name: "ingress_beats.alive",
    text: "SELECT COUNT(*) FROM ingress_beats WHERE seen_at >= ?",
};

impl Store {
    /// How the database is set up.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn checkup(&self) -> Result<Checkup, StoreError> {
        let db = &self.inner.db;
        let mut checkup = Checkup::default();
        match db.pools {
            Pools::MySql { .. } => {
                for row in db.fetch(&VARIABLES, 1, &[]).await? {
                    let mut cells = row.cells();
                    let name = cells.text()?.to_lowercase();
                    checkup.settings.insert(name, cells.text()?);
                }
                let rows = db.fetch(&CLOCK, 1, &[]).await?;
                checkup.now = rows.first().map(|row| row.cells().time()).transpose()?;
            }
            Pools::Sqlite { .. } => {
                checkup.sqlite = true;
                for (name, sql) in [("journal_mode", &JOURNAL), ("quick_check", &QUICK_CHECK)] {
                    let rows = db.fetch(sql, 1, &[]).await?;
                    let said = rows.first().map(|row| row.cells().text()).transpose()?;
                    checkup.settings.insert(name.to_owned(), said.unwrap_or_default());
                }
                let rows = db.fetch(&SYNCHRONOUS, 1, &[]).await?;
                let level = rows.first().map(|row| row.cells().int()).transpose()?;
                let level = level.unwrap_or_default().to_string();
                checkup.settings.insert("synchronous".to_owned(), level);
            }
        }
        Ok(checkup)
    }

    /// Connections that the database takes; `None` for SQLite, which has no server. Cheap, unlike a
    /// [`checkup`](Self::checkup).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn most_connections(&self) -> Result<Option<u64>, StoreError> {
        let db = &self.inner.db;
        if matches!(db.pools, Pools::Sqlite { .. }) {
            return Ok(None);
        }
        let rows = db.fetch(&MOST_CONNECTIONS, 1, &[]).await?;
        let most = rows.first().map(|row| row.cells().int()).transpose()?;
        Ok(most.and_then(|most| u64::try_from(most).ok()))
    }

    /// Ingresses that gave a sign of life since `since`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ingresses(&self, since: Timestamp) -> Result<u64, StoreError> {
        let rows = self.inner.db.fetch(&INGRESSES, 1, &[since.into()]).await?;
        let alive = rows.first().map_or(Ok(0), |row| row.cells().int())?;
        Ok(u64::try_from(alive).unwrap_or(0))
    }
}
