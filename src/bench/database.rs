//! What only the bench asks of a database: an empty one, the server's counters, and bare inserts as
//! a yardstick.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection as _, Database, Executor as _, MySqlConnection, Row as _, SqliteConnection,
    mysql::MySql,
    query::Query,
    sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

pub(super) use sqlx::Error;

use super::{BenchError, report::per_second};

/// Bytes of a body in the yardstick, about those of a signed sale.
const BODY_BYTES: usize = 1100;

/// Terminals in the yardstick: their number makes the unique key hop about as in reality.
const TERMINALS: i64 = 10_000;

/// Counters of the server since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Statements executed, prepared ones and those of clients included.
    pub(super) statements: u64,
    /// Rows inserted, temporary tables left out.
    pub(super) rows_inserted: u64,
    /// Rows updated.
    pub(super) rows_updated: u64,
    /// Flushes of any file to disk.
    pub(super) flushes: u64,
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
            "Handler_write" => &mut totals.rows_inserted,
            "Handler_update" => &mut totals.rows_updated,
            "Innodb_data_fsyncs" => &mut totals.flushes,
            "Innodb_os_log_written" => &mut totals.log_bytes,
            _ => continue,
        };
        *slot = value.parse().unwrap_or_default();
    }
    connection.close().await?;
    Ok(totals)
}

/// Rows a second that MariaDB takes from `writers` connections, `rows` in a statement, each statement
/// committed and flushed.
pub(super) async fn insert_mysql(
    url: &str,
    writers: usize,
    rows: usize,
    time: Duration,
) -> Result<u64, BenchError> {
    let mut first = MySqlConnection::connect(url).await?;
    first.execute(TABLE_MYSQL).await?;
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let mut connection = MySqlConnection::connect(url).await?;
        let text = text(rows);
        running.spawn(async move {
            let mut made = Rows::new(writer);
            while start.elapsed() < time {
                let query = sqlx::query::<MySql>(AssertSqlSafe(text.clone()));
                made.bind(query, rows).execute(&mut connection).await?;
            }
            connection.close().await?;
            Ok::<u64, sqlx::Error>(made.count)
        });
    }
    let mut count = 0;
    while let Some(ended) = running.join_next().await {
        count += ended.map_err(|_| BenchError::Broken)??;
    }
    let took = start.elapsed();
    first.execute("DROP TABLE yardstick").await?;
    first.close().await?;
    Ok(per_second(count, took))
}

/// Rows a second that SQLite takes, `rows` in a transaction, each flushed.
pub(super) async fn insert_sqlite(folder: &Path, rows: usize, time: Duration) -> Result<u64, BenchError> {
    let file = folder.join("yardstick.db");
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    connection.execute(TABLE_SQLITE).await?;
    let text = text(rows);
    let mut made = Rows::new(0);
    let start = Instant::now();
    while start.elapsed() < time {
        let query = sqlx::query::<Sqlite>(AssertSqlSafe(text.clone()));
        made.bind(query, rows).execute(&mut connection).await?;
    }
    let took = start.elapsed();
    connection.execute("DROP TABLE yardstick").await?;
    connection.close().await?;
    Ok(per_second(made.count, took))
}

/// A table like that of the submissions.
const TABLE_MYSQL: &str = "CREATE TABLE yardstick (id BIGINT NOT NULL PRIMARY KEY, \
    terminal_id BIGINT NOT NULL, submission_uuid BINARY(16) NOT NULL, accepted_at BIGINT NOT NULL, \
    body MEDIUMBLOB NOT NULL, UNIQUE KEY yardstick_submission (terminal_id, submission_uuid)) ENGINE = InnoDB";

const TABLE_SQLITE: &str = "CREATE TABLE IF NOT EXISTS yardstick (id INTEGER NOT NULL PRIMARY KEY, \
    terminal_id INTEGER NOT NULL, submission_uuid BLOB NOT NULL, accepted_at INTEGER NOT NULL, \
    body BLOB NOT NULL, UNIQUE (terminal_id, submission_uuid)) STRICT";

fn text(rows: usize) -> Arc<str> {
    let places = vec!["(?, ?, ?, ?, ?)"; rows].join(", ");
    format!("INSERT INTO yardstick (id, terminal_id, submission_uuid, accepted_at, body) VALUES {places}")
        .into()
}

/// The rows of one writer.
struct Rows {
    writer: i64,
    count: u64,
    body: Arc<Vec<u8>>,
}

impl Rows {
    fn new(writer: usize) -> Self {
        let writer = i64::try_from(writer).unwrap_or_default();
        Self {
            writer,
            count: 0,
            body: Arc::new(vec![b'x'; BODY_BYTES]),
        }
    }

    fn bind<'q, DB: Database>(
        &mut self,
        mut query: Query<'q, DB, DB::Arguments>,
        rows: usize,
    ) -> Query<'q, DB, DB::Arguments>
    where
        i64: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
        Vec<u8>: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    {
        /// Ids of one writer start this far from those of the next.
        const APART: i64 = 1_000_000_000;
        for _ in 0..rows {
            let number = i64::try_from(self.count).unwrap_or_default();
            self.count += 1;
            let uuid = uuid::Uuid::new_v4().into_bytes().to_vec();
            query = query
                .bind(self.writer * APART + number)
                .bind(number % TERMINALS)
                .bind(uuid)
                .bind(number)
                .bind(self.body.to_vec());
        }
        query
    }
}
