//! Sends statements to either database. Connections, rows and transactions are plain enums, so that
//! the rest of the store is written once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool::managed::Pool;
use sqlx::{
    Arguments, AssertSqlSafe,
    mysql::{MySqlArguments, MySqlRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    Connections, StoreError,
    dialect::{Sql, Texts, judge},
    group::{Member, Writer},
    lease::Lease,
    pool::{self, MySqlDoor, SqliteDoor},
    values::{Value, spelled_out},
};
use crate::telemetry::metrics;

/// The connections of one process.
pub(super) enum Pools {
    MySql {
        pool: Pool<MySqlDoor>,
        /// How long the server may take for one answer.
        patience: Duration,
    },
    /// SQLite has one writer at a time; the others wait in line instead of polling a lock. Readers
    /// never wait for it.
    Sqlite {
        writer: Writer,
        readers: Pool<SqliteDoor>,
    },
}

/// A database handle.
pub(super) struct Db {
    pub(super) pools: Pools,
    pub(super) texts: Arc<Texts>,
}

/// A write transaction; dropped without a commit it is rolled back.
pub(super) struct Tx {
    on: On,
    texts: Arc<Texts>,
}

enum On {
    MySql(Lease),
    Sqlite(Member),
}

/// What a statement did.
pub(super) struct Done {
    /// Rows inserted, or matched by an update.
    pub(super) rows: u64,
    /// The id the database gave to the row inserted, where it gives them.
    pub(super) last_id: i64,
}

/// A row read.
pub(super) enum Row {
    MySql(MySqlRow),
    Sqlite(SqliteRow),
}

/// Builds the driver's arguments from values.
macro_rules! arguments {
    ($kind:ty, $name:expr, $values:expr) => {{
        let mut arguments = <$kind>::default();
        for value in $values {
            let added = match *value {
                Value::Null => Arguments::add(&mut arguments, None::<i64>),
                Value::Int(number) => Arguments::add(&mut arguments, number),
                Value::Money(amount) => Arguments::add(&mut arguments, amount),
                Value::Text(text) => Arguments::add(&mut arguments, text),
                Value::Bytes(bytes) => Arguments::add(&mut arguments, bytes),
                Value::Uuid(uuid) => Arguments::add(&mut arguments, uuid.as_bytes().as_slice()),
            };
            added.map_err(|reason| StoreError::Unfit(format!("{}: {reason}", $name)))?;
        }
        arguments
    }};
}

fn done_mysql(result: &sqlx::mysql::MySqlQueryResult) -> Done {
    Done {
        rows: result.rows_affected(),
        last_id: i64::try_from(result.last_insert_id()).unwrap_or(i64::MAX),
    }
}

fn done_sqlite(result: &sqlx::sqlite::SqliteQueryResult) -> Done {
    Done {
        rows: result.rows_affected(),
        last_id: result.last_insert_rowid(),
    }
}

/// Measures one statement or commit until it is dropped.
struct Measured(&'static str, Instant);

impl Measured {
    fn new(operation: &'static str) -> Self {
        Self(operation, Instant::now())
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        metrics::store_operation(self.0, self.1.elapsed());
    }
}

impl Db {
    pub(super) fn connections(&self) -> Connections {
        let status = match &self.pools {
            Pools::MySql { pool, .. } => pool.status(),
            Pools::Sqlite { readers, .. } => readers.status(),
        };
        Connections {
            in_use: status.size.saturating_sub(status.available),
            idle: status.available,
            limit: status.max_size,
            waiting: status.waiting,
        }
    }

    /// Begins a write transaction.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let on = match &self.pools {
            Pools::MySql { pool, patience } => {
                let mut lease = Lease::take(pool, *patience)
                    .await
                    .map_err(StoreError::Unavailable)?;
                lease.begin();
                Ok(On::MySql(lease))
            }
            Pools::Sqlite { writer, .. } => writer.begin().await.map(On::Sqlite),
        };
        Ok(Tx {
            on: on.map_err(StoreError::Unavailable)?,
            texts: Arc::clone(&self.texts),
        })
    }

    /// Runs one writing statement as a transaction of its own.
    pub(super) async fn execute(
        &self,
        sql: &Sql,
        rows: usize,
        values: &[Value<'_>],
    ) -> Result<Done, StoreError> {
        let _measured = Measured::new("write");
        let text = self.texts.sending(sql, rows);
        match &self.pools {
            Pools::MySql { pool, patience } => {
                let arguments = arguments!(MySqlArguments, sql.name, values);
                let mut lease = Lease::take(pool, *patience)
                    .await
                    .map_err(StoreError::Unavailable)?;
                let result = lease.execute(text, arguments).await;
                result.map(|result| done_mysql(&result))
            }
            Pools::Sqlite { writer, .. } => {
                let result = writer
                    .execute(text, arguments!(SqliteArguments, sql.name, values))
                    .await;
                result.map(|result| done_sqlite(&result))
            }
        }
        .map_err(|error| judge(error, sql.name))
    }

    /// Reads what is committed; the statement bounds how many rows.
    pub(super) async fn fetch(
        &self,
        sql: &Sql,
        rows: usize,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let _measured = Measured::new("read");
        match &self.pools {
            Pools::MySql { pool, patience } => {
                let text = self.texts.sending(sql, rows);
                let arguments = arguments!(MySqlArguments, sql.name, values);
                let mut lease = Lease::take(pool, *patience)
                    .await
                    .map_err(StoreError::Unavailable)?;
                let rows = lease.fetch(text, arguments).await;
                rows.map(|rows| rows.into_iter().map(Row::MySql).collect())
                    .map_err(|error| judge(error, sql.name))
            }
            Pools::Sqlite { readers, .. } => {
                let text = self.texts.sending(sql, rows);
                let arguments = arguments!(SqliteArguments, sql.name, values);
                let mut reader = pool::take(readers).await.map_err(StoreError::Unavailable)?;
                let rows = sqlx::query_with(AssertSqlSafe(text), arguments)
                    .fetch_all(&mut *reader)
                    .await;
                rows.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
                    .map_err(|error| judge(error, sql.name))
            }
        }
    }

    /// Takes a block of `count` ids of a series and gives the first.
    pub(super) async fn take_ids(&self, series: &'static str, count: i64) -> Result<i64, StoreError> {
        let sql = self.texts.dialect().take_ids();
        let values = [Value::Int(count), Value::Text(series)];
        match &self.pools {
            Pools::MySql { .. } => {
                let done = self.execute(&sql, 1, &values).await?;
                if done.rows == 0 {
                    return Err(StoreError::Missing("id series"));
                }
                Ok(done.last_id)
            }
            Pools::Sqlite { .. } => {
                let mut tx = self.begin().await?;
                let rows = tx.fetch(&sql, 1, &values).await?;
                tx.commit().await?;
                let row = rows.first().ok_or(StoreError::Missing("id series"))?;
                Ok(row.cells().int()? - count)
            }
        }
    }
}

impl Tx {
    /// Lets the transaction go on after a refused statement. Otherwise it has ended with it.
    pub(super) const fn forgive(&mut self) {
        if let On::Sqlite(member) = &mut self.on {
            member.forgive();
        }
    }

    /// Runs a writing statement.
    pub(super) async fn execute(
        &mut self,
        sql: &Sql,
        rows: usize,
        values: &[Value<'_>],
    ) -> Result<Done, StoreError> {
        let text = self.texts.sending(sql, rows);
        self.send(sql.name, text, values).await
    }

    async fn send(
        &mut self,
        name: &'static str,
        text: Arc<str>,
        values: &[Value<'_>],
    ) -> Result<Done, StoreError> {
        let _measured = Measured::new("write");
        match &mut self.on {
            On::MySql(lease) => {
                let result = if lease.begins()
                    && let Some(whole) = spelled_out(&text, values)
                {
                    lease.execute_first(&whole).await
                } else {
                    lease
                        .execute(text, arguments!(MySqlArguments, name, values))
                        .await
                };
                result.map(|result| done_mysql(&result))
            }
            On::Sqlite(member) => {
                let arguments = arguments!(SqliteArguments, name, values);
                let result = member.execute(text, arguments).await;
                result.map(|result| done_sqlite(&result))
            }
        }
        .map_err(|error| judge(error, name))
    }

    /// Reads, the transaction's own writes included.
    pub(super) async fn fetch(
        &mut self,
        sql: &Sql,
        rows: usize,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let _measured = Measured::new("read");
        let text = self.texts.sending(sql, rows);
        match &mut self.on {
            On::MySql(lease) => {
                let rows = lease
                    .fetch(text, arguments!(MySqlArguments, sql.name, values))
                    .await;
                rows.map(|rows| rows.into_iter().map(Row::MySql).collect())
            }
            On::Sqlite(member) => {
                let arguments = arguments!(SqliteArguments, sql.name, values);
                let rows = member.fetch(text, arguments).await;
                rows.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
            }
        }
        .map_err(|error| judge(error, sql.name))
    }

    /// Runs a last writing statement and makes all durable, in one round trip where the statement has only
    /// numbers to say. A refusal undoes everything; any other error leaves open whether it is durable.
    pub(super) async fn execute_and_commit(
        mut self,
        sql: &Sql,
        rows: usize,
        values: &[Value<'_>],
    ) -> Result<Done, StoreError> {
        let text = self.texts.sending(sql, rows);
        if let On::MySql(lease) = &mut self.on
            && let Some(whole) = spelled_out(&text, values)
        {
            let _measured = Measured::new("commit");
            let result = lease.execute_last(&whole).await;
            return result
                .map(|result| done_mysql(&result))
                .map_err(|error| judge(error, sql.name));
        }
        let done = self.send(sql.name, text, values).await?;
        self.commit().await?;
        Ok(done)
    }

    /// Makes it durable. An error leaves open whether it is: what follows must be safe either way.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let _measured = Measured::new("commit");
        match self.on {
            On::MySql(lease) => lease.commit().await,
            On::Sqlite(member) => member.commit().await,
        }
        .map_err(StoreError::Unavailable)
    }

    /// Undoes it now, so that what follows on this task does not wait for its locks.
    pub(super) async fn roll_back(self) -> Result<(), StoreError> {
        match self.on {
            On::MySql(lease) => lease.roll_back().await,
            On::Sqlite(member) => member.roll_back().await,
        }
        .map_err(StoreError::Unavailable)
    }
}
