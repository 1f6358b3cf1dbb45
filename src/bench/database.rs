//! What only the bench asks of a database: an empty one, the server's counters, and bare inserts as
//! a yardstick.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, Row as _};

use super::BenchError;

/// Counters of the server since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Statements executed, prepared ones and those of clients included.
    pub(super) statements: u64,
    /// Rows inserted into InnoDB tables.
    pub(super) rows_inserted: u64,
    /// Rows updated in InnoDB tables.
    pub(super) rows_updated: u64,
    /// Commits of the redo log that were flushed to disk.
    pub(super) log_flushes: u64,
    /// Bytes written to the redo log.
    pub(super) log_bytes: u64,
}

/// Makes the database `name` on `server`, a URL without a database.
pub(super) async fn create(server: &str, name: &str) -> Result<(), BenchError> {
    let mut connection = MySqlConnection::connect(server).await?;
    let text = format!("CREATE DATABASE IF NOT EXISTS {name}");
    connection.execute(AssertSqlSafe(text)).await?;
    connection.close().await?;
    Ok(())
}

/// The counters of the MySQL or MariaDB server at `url`.
pub(super) async fn totals(url: &str) -> Result<Totals, BenchError> {
    let mut connection = MySqlConnection::connect(url).await?;
    let rows = connection.fetch_all("SHOW GLOBAL STATUS").await?;
    let mut totals = Totals::default();
    for row in rows {
        let (name, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let slot = match name.as_str() {
            "Questions" => &mut totals.statements,
            "Innodb_rows_inserted" => &mut totals.rows_inserted,
            "Innodb_rows_updated" => &mut totals.rows_updated,
            "Innodb_os_log_fsyncs" => &mut totals.log_flushes,
            "Innodb_os_log_written" => &mut totals.log_bytes,
            _ => continue,
        };
        *slot = value.parse().unwrap_or_default();
    }
    connection.close().await?;
    Ok(totals)
}
