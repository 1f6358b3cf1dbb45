//! Connections kept open between calls. The pool of sqlx asks the server for a sign of life each time
//! a connection goes back, which was two thirds of a round trip a sale; here a connection is asked
//! only when it has been idle for a while.

use std::{str::FromStr, sync::Arc, time::Duration};

use deadpool::{
    Runtime,
    managed::{Manager, Metrics, Object, Pool, PoolError, RecycleResult, Timeouts},
};
use sqlx::{
    Connection, Executor,
    mysql::{MySqlConnectOptions, MySqlConnection},
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous},
};

use super::{StoreError, checkpoint};
use crate::config;

/// Idle longer than this, a connection is asked for a sign of life before it is used: cheaper than
/// asking before every statement, and a restarted server is still noticed.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// What part of the writer's memory for pages a reader of SQLite has: it looks up single rows, and there are
/// several.
const READER_SHARE: u32 = 8;

/// Prepared statements kept by one connection: all of them.
const STATEMENTS: usize = 1024;

/// Opens connections to MySQL or MariaDB.
#[derive(Debug)]
pub(super) struct MySqlDoor {
    options: MySqlConnectOptions,
    session: Arc<str>,
}

/// Opens reading connections to an SQLite file.
#[derive(Debug)]
pub(super) struct SqliteDoor(SqliteConnectOptions);

impl Manager for MySqlDoor {
    type Type = MySqlConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<MySqlConnection, sqlx::Error> {
        // Boxed, here and below: it is large and seldom runs, and inside the future of every statement
        // it would be moved about with it.
        let mut connection = Box::pin(MySqlConnection::connect_with(&self.options)).await?;
        let session = Arc::clone(&self.session);
        for text in [
            session,
            Arc::from("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"),
        ] {
            Box::pin(connection.execute(sqlx::AssertSqlSafe(text))).await?;
        }
        Ok(connection)
    }

    async fn recycle(
        &self,
        connection: &mut MySqlConnection,
        metrics: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        if metrics.last_used() > TRUSTED_IDLE {
            Box::pin(connection.ping()).await?;
        }
        Ok(())
    }
}

impl Manager for SqliteDoor {
    type Type = SqliteConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<SqliteConnection, sqlx::Error> {
        Box::pin(SqliteConnection::connect_with(&self.0)).await
    }

    /// The file does not go away: a connection is kept with its prepared statements.
    async fn recycle(&self, _: &mut SqliteConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}

/// A connection from the pool, within its time limits.
pub(super) async fn take<M>(pool: &Pool<M>) -> Result<Object<M>, sqlx::Error>
where
    M: Manager<Error = sqlx::Error>,
{
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Timeout(_) => sqlx::Error::PoolTimedOut,
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            sqlx::Error::PoolClosed
        }
    })
}

fn pool<M: Manager>(door: M, settings: &config::Database) -> Result<Pool<M>, StoreError> {
    let patience = Some(settings.acquire_timeout_ms.duration());
    Pool::builder(door)
        .max_size(usize::try_from(settings.max_connections).unwrap_or(usize::MAX))
        .timeouts(Timeouts {
            wait: patience,
            create: patience,
            recycle: patience,
        })
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| StoreError::Settings(error.to_string()))
}

/// Connects to MySQL or MariaDB.
pub(super) async fn open_mysql(settings: &config::Database) -> Result<Pool<MySqlDoor>, StoreError> {
    let options = MySqlConnectOptions::from_str(settings.url.reveal())
        .map_err(unusable)?
        .statement_cache_capacity(STATEMENTS);
    let lock_wait = settings
        .lock_timeout_ms
        .duration()
        .as_millis()
        .div_ceil(1000)
        .max(1);
    // Strict: a value that does not fit is refused, never cut. Read committed: fewer gap locks, so
    // fewer deadlocks, and a locking read after a lost race sees who won it.
    let session = format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
         ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
         SESSION innodb_lock_wait_timeout = {lock_wait}, SESSION autocommit = 1"
    );
    let door = MySqlDoor {
        options,
        session: session.into(),
    };
    let pool = pool(door, settings)?;
    // A server that is away, or a wrong password, is told at the start.
    drop(take(&pool).await.map_err(StoreError::Unavailable)?);
    Ok(pool)
}

/// How to open the SQLite file for writing, and its readers. The file is made if it is not there.
pub(super) async fn open_sqlite(
    settings: &config::Database,
) -> Result<(SqliteConnectOptions, Pool<SqliteDoor>), StoreError> {
    let url = settings.url.reveal();
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(StoreError::Settings(
            "an in-memory SQLite database is a different one for every connection; name a file".into(),
        ));
    }
    let options = SqliteConnectOptions::from_str(url)
        .map_err(unusable)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A 202 promises that the row survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(settings.lock_timeout_ms.duration())
        .statement_cache_capacity(STATEMENTS)
        // What a savepoint may have to undo, else a file that is written and thrown away.
        .pragma("temp_store", "MEMORY");
    let cache = |kib: u32| format!("-{}", kib.max(1));
    let readers = options
        .clone()
        .create_if_missing(false)
        .pragma("cache_size", cache(settings.cache_kib / READER_SHARE))
        .pragma("query_only", "ON");
    let latest = settings.checkpoint_pages.saturating_mul(checkpoint::LATEST);
    let writer = options
        .pragma("cache_size", cache(settings.cache_kib))
        .pragma("wal_autocheckpoint", latest.to_string());
    let made = SqliteConnection::connect_with(&writer)
        .await
        .map_err(StoreError::Unavailable)?;
    made.close().await.map_err(StoreError::Unavailable)?;
    Ok((writer, pool(SqliteDoor(readers), settings)?))
}

fn unusable(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Configuration(reason) => StoreError::Settings(reason.to_string()),
        other => StoreError::Settings(other.to_string()),
    }
}
