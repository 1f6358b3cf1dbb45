//! Moves what the write-ahead log of SQLite holds into the file, beside the writer. Left to itself, the
//! commit that fills the log stands still until tens of thousands of pages are moved and flushed, and every
//! till waits with it. Here a connection of its own moves them while the writer goes on; the writer is held
//! only for the few pages written meanwhile, after which the log begins anew.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use sqlx::{Connection, Executor, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::Notify;

use super::group::Shared;

/// Commits between two looks at the size of the log.
const LOOK_EVERY: usize = 16;

/// The writer moves the pages itself when the log has grown to this many times the size at which it should
/// have been moved: what bounds the log should this task fail.
pub(super) const LATEST: u32 = 4;

/// Counts commits and wakes who looks at the log.
#[derive(Default)]
pub(super) struct Commits {
    since: AtomicUsize,
    look: Notify,
}

impl Commits {
    /// One more.
    pub(super) fn count(&self) {
        if self.since.fetch_add(1, Ordering::Relaxed) + 1 >= LOOK_EVERY {
            self.since.store(0, Ordering::Relaxed);
            self.look.notify_one();
        }
    }

    /// The writer is gone.
    pub(super) fn end(&self) {
        self.look.notify_one();
    }
}

/// Keeps the log below about `pages`, as long as there is a writer.
pub(super) async fn run(
    options: SqliteConnectOptions,
    pages: u32,
    commits: Arc<Commits>,
    writer: Weak<Shared>,
) {
    let mut connection = None;
    loop {
        commits.look.notified().await;
        let Some(writer) = writer.upgrade() else {
            break;
        };
        if let Err(error) = look(&options, pages, &mut connection, &writer).await {
            tracing::debug!(%error, "the write-ahead log was not moved; the next look tries again");
            connection = None;
        }
    }
    if let Some(connection) = connection {
        let closed = SqliteConnection::close(connection).await;
        tracing::trace!(?closed, "the log is looked after no more");
    }
}

async fn look(
    options: &SqliteConnectOptions,
    pages: u32,
    connection: &mut Option<SqliteConnection>,
    writer: &Shared,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Box::pin(SqliteConnection::connect_with(options)).await?),
    };
    if log_pages(connection, "PRAGMA wal_checkpoint(NOOP)").await? < i64::from(pages) {
        return Ok(());
    }
    log_pages(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    let _held = writer.stand_still().await?;
    log_pages(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    Ok(())
}

/// Pages in the log, moved or not.
async fn log_pages(connection: &mut SqliteConnection, checkpoint: &'static str) -> Result<i64, sqlx::Error> {
    let row = connection.fetch_one(checkpoint).await?;
    row.try_get::<i64, _>(1)
}

#[cfg(test)]
mod tests {
    use std::{str::FromStr, time::Duration};

    use sqlx::sqlite::{SqliteArguments, SqliteJournalMode};

    use super::*;
    use crate::store::group::Writer;

    const PATIENCE: Duration = Duration::from_secs(60);
    const PAGES: u32 = 64;

    fn options(folder: &tempfile::TempDir) -> SqliteConnectOptions {
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        SqliteConnectOptions::from_str(&url)
            .unwrap()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", "0")
    }

    async fn write(writer: &Writer, text: &str) {
        writer
            .execute(text.into(), SqliteArguments::default())
            .await
            .unwrap();
    }

    /// A row of its own page or more.
    const ROW: &str = "INSERT INTO t VALUES (randomblob(5000))";

    #[tokio::test]
    async fn a_log_that_is_full_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        // Its own look never comes: the log does not grow so far.
        let writer = Writer::new(options.clone(), PATIENCE, 4, u32::MAX);
        write(&writer, "CREATE TABLE t (a BLOB)").await;
        let mut own = None;
        let shared = Arc::clone(writer.shared());
        look(&options, PAGES, &mut own, &shared).await.unwrap();
        let noop = "PRAGMA wal_checkpoint(NOOP)";
        let small = log_pages(own.as_mut().unwrap(), noop).await.unwrap();
        for _ in 0..PAGES {
            write(&writer, ROW).await;
        }
        let full = log_pages(own.as_mut().unwrap(), noop).await.unwrap();
        assert!(
            small < i64::from(PAGES) && full >= i64::from(PAGES),
            "{small} {full}"
        );
        look(&options, PAGES, &mut own, &shared).await.unwrap();
        write(&writer, ROW).await;
        let anew = log_pages(own.as_mut().unwrap(), noop).await.unwrap();
        assert!(anew < 10, "{anew}");
        let rows = own
            .as_mut()
            .unwrap()
            .fetch_one("SELECT COUNT(*) FROM t")
            .await
            .unwrap();
        assert_eq!(rows.get::<i64, _>(0), i64::from(PAGES) + 1);
    }

    #[tokio::test]
    async fn it_looks_after_some_commits_and_ends_with_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let writer = Writer::new(options.clone(), PATIENCE, 4, u32::MAX);
        let commits = Arc::<Commits>::default();
        let weak = Arc::downgrade(writer.shared());
        let looks = tokio::spawn(run(options, 1, Arc::clone(&commits), weak));
        for _ in 0..LOOK_EVERY {
            commits.count();
        }
        // It looked when it has made a connection of its own, which made the file.
        let made = folder.path().join("test.db");
        let looked = async {
            while !made.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looked).await.unwrap();
        drop(writer);
        commits.end();
        tokio::time::timeout(PATIENCE, looks).await.unwrap().unwrap();
    }
}
