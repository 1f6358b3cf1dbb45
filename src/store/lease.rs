//! A MySQL connection on loan from the pool. It goes back only when the server has answered
//! everything and no transaction is open; after a cancelled call, a time limit or a broken stream it
//! is closed, and the server rolls back. A connection that went back inside a transaction would
//! swallow the next statement that commits by itself.
//!
//! A transaction begins with its first statement, and one that has only numbers to say goes out together with
//! the beginning or the commit (decision 0034).

use std::{io, sync::Arc, time::Duration};

use deadpool::managed::{Object, Pool};
use sqlx::{
    AssertSqlSafe, Executor,
    mysql::{MySqlArguments, MySqlQueryResult, MySqlRow},
};
use tokio::time::{error::Elapsed, timeout};

use super::pool::{self, MySqlDoor};

pub(super) struct Lease {
    connection: Option<Object<MySqlDoor>>,
    /// How long the server may take for one answer.
    patience: Duration,
    /// Everything sent was answered.
    answered: bool,
    transaction: Transaction,
}

/// How far the transaction of a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    /// There is none: a statement commits by itself.
    None,
    /// It begins with the next statement.
    Due,
    /// It may be open at the server.
    Open,
}

impl Lease {
    pub(super) async fn take(pool: &Pool<MySqlDoor>, patience: Duration) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: Some(pool::take(pool).await?),
            patience,
            answered: true,
            transaction: Transaction::None,
        })
    }

    /// Runs a prepared statement.
    pub(super) async fn execute(
        &mut self,
        text: Arc<str>,
        arguments: MySqlArguments,
    ) -> Result<MySqlQueryResult, sqlx::Error> {
        self.opened().await?;
        self.answered = false;
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        let answer = timeout(self.patience, query.execute(connection)).await;
        self.hear(answer)
    }

    /// Whether the next statement begins the transaction.
    pub(super) fn begins(&self) -> bool {
        self.transaction == Transaction::Due
    }

    /// Begins the transaction with a statement that is written out.
    pub(super) async fn execute_first(&mut self, text: &str) -> Result<MySqlQueryResult, sqlx::Error> {
        self.transaction = Transaction::Open;
        self.say(format!("START TRANSACTION; {text}")).await
    }

    /// Ends the transaction with a statement that is written out. If it is refused, nothing is committed.
    pub(super) async fn execute_last(&mut self, text: &str) -> Result<MySqlQueryResult, sqlx::Error> {
        self.opened().await?;
        let done = self.say(format!("{text}; COMMIT")).await?;
        self.transaction = Transaction::None;
        Ok(done)
    }

    pub(super) async fn fetch(
        &mut self,
        text: Arc<str>,
        arguments: MySqlArguments,
    ) -> Result<Vec<MySqlRow>, sqlx::Error> {
        self.opened().await?;
        self.answered = false;
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        let answer = timeout(self.patience, query.fetch_all(connection)).await;
        self.hear(answer)
    }

    /// Has a transaction begin with the next statement.
    pub(super) const fn begin(&mut self) {
        self.transaction = Transaction::Due;
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.end("COMMIT").await
    }

    pub(super) async fn roll_back(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, text: &'static str) -> Result<(), sqlx::Error> {
        if self.transaction == Transaction::Open {
            self.say(text).await?;
        }
        self.transaction = Transaction::None;
        Ok(())
    }

    async fn opened(&mut self) -> Result<(), sqlx::Error> {
        if self.begins() {
            self.transaction = Transaction::Open;
            self.say("START TRANSACTION").await?;
        }
        Ok(())
    }

    /// Sends a text as it is, of one statement or several. The first that is refused is the last.
    async fn say(&mut self, text: impl Into<String>) -> Result<MySqlQueryResult, sqlx::Error> {
        self.answered = false;
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        let answer = timeout(self.patience, connection.execute(AssertSqlSafe(text.into()))).await;
        self.hear(answer)
    }

    fn hear<T>(&mut self, answer: Result<Result<T, sqlx::Error>, Elapsed>) -> Result<T, sqlx::Error> {
        let answer = answer.unwrap_or_else(|_| {
            let late = io::Error::new(io::ErrorKind::TimedOut, "the database does not answer");
            Err(sqlx::Error::Io(late))
        });
        // A refusal is an answer too; any other error leaves open what the stream holds.
        self.answered = matches!(answer, Ok(_) | Err(sqlx::Error::Database(_)));
        answer
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.transaction == Transaction::Open || !self.answered {
            drop(Object::take(connection));
        }
    }
}
