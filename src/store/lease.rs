//! A MySQL connection on loan from the pool. It goes back only when the server has answered
//! everything and no transaction is open; after a cancelled call, a time limit or a broken stream it
//! is closed, and the server rolls back. A connection that went back inside a transaction would
//! swallow the next statement that commits by itself.

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
    /// A transaction may be open.
    open: bool,
}

impl Lease {
    pub(super) async fn take(pool: &Pool<MySqlDoor>, patience: Duration) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: Some(pool::take(pool).await?),
            patience,
            answered: true,
            open: false,
        })
    }

    pub(super) async fn execute(
        &mut self,
        text: Arc<str>,
        arguments: MySqlArguments,
    ) -> Result<MySqlQueryResult, sqlx::Error> {
        self.answered = false;
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        let answer = timeout(self.patience, query.execute(connection)).await;
        self.hear(answer)
    }

    pub(super) async fn fetch(
        &mut self,
        text: Arc<str>,
        arguments: MySqlArguments,
    ) -> Result<Vec<MySqlRow>, sqlx::Error> {
        self.answered = false;
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        let answer = timeout(self.patience, query.fetch_all(connection)).await;
        self.hear(answer)
    }

    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.open = true;
        self.say("START TRANSACTION").await
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.say("COMMIT").await?;
        self.open = false;
        Ok(())
    }

    pub(super) async fn roll_back(mut self) -> Result<(), sqlx::Error> {
        self.say("ROLLBACK").await?;
        self.open = false;
        Ok(())
    }

    async fn say(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.answered = false;
        let connection = self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        let answer = timeout(self.patience, connection.execute(text)).await;
        self.hear(answer).map(|_| ())
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
        if self.open || !self.answered {
            drop(Object::take(connection));
        }
    }
}
