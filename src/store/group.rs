//! The one writer of an SQLite file, and its group commit: transactions that wait for the writer
//! join the one that is open, each behind a savepoint of its own unless it is a single statement, and one
//! COMMIT flushes them all. SQLite writes whole pages, so what ten transactions change on the same page is
//! written once.
//!
//! Nobody is told of anything before the commit that made it durable: a call that only read, or was
//! refused, may have seen what others of the group wrote, and so waits for the end of the group too.

mod end;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, Executor, SqliteConnection,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteQueryResult, SqliteRow},
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

use self::end::End;
use super::{
    checkpoint::{self, Commits},
    dialect::refused_alone,
};

/// The writer; cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    state: Arc<Mutex<State>>,
    /// Calls that wait for the writer now.
    waiting: AtomicUsize,
    /// How long they may wait.
    patience: Duration,
    /// Most transactions in one commit.
    most: usize,
}

struct State {
    options: SqliteConnectOptions,
    /// `None` before the first use, and after it broke.
    connection: Option<SqliteConnection>,
    /// The open transaction.
    group: Option<Group>,
    commits: Arc<Commits>,
}

/// Transactions that are committed together.
struct Group {
    end: Arc<End>,
    /// Transactions that have ended well so far.
    members: usize,
    /// A task waits in line to commit it.
    closing: bool,
}

/// A transaction; dropped without an end it is rolled back.
pub(super) struct Member {
    shared: Arc<Shared>,
    /// `None` once it has ended.
    state: Option<OwnedMutexGuard<State>>,
    undo: Undo,
    /// A refused statement does not end it.
    forgiving: bool,
}

/// What undoes one member of a group and leaves the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Undo {
    /// It is the first: nobody else is in the group.
    Everything,
    /// A savepoint stands between it and the others.
    Savepoint,
    /// It is one statement, which takes effect or not by itself.
    Nothing,
}

impl Writer {
    /// A writer with `options`, for which callers wait up to `patience`; at most `most` transactions share a
    /// commit, and the log is moved to the file when it has `pages`.
    pub(super) fn new(options: SqliteConnectOptions, patience: Duration, most: usize, pages: u32) -> Self {
        let commits = Arc::<Commits>::default();
        let state = State {
            options: options.clone(),
            connection: None,
            group: None,
            commits: Arc::clone(&commits),
        };
        let shared = Arc::new(Shared {
            state: Arc::new(Mutex::new(state)),
            waiting: AtomicUsize::new(0),
            patience,
            most: most.max(1),
        });
        tokio::spawn(checkpoint::run(options, pages, commits, Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Begins a transaction, or joins the one that is open.
    pub(super) async fn begin(&self) -> Result<Member, sqlx::Error> {
        let state = self.shared.take().await?;
        self.begin_in(state, Undo::Savepoint).await
    }

    /// Begins a transaction, or joins the one that is open in such a way that it can be undone by `undo`.
    async fn begin_in(&self, state: OwnedMutexGuard<State>, undo: Undo) -> Result<Member, sqlx::Error> {
        let joins = state.group.is_some();
        let mut member = Member {
            undo: if joins { undo } else { Undo::Everything },
            shared: Arc::clone(&self.shared),
            state: Some(state),
            forgiving: false,
        };
        // From here on a dropped future rolls back what it may have begun.
        let state = member.state()?;
        if !joins {
            state.group = Some(Group {
                end: Arc::default(),
                members: 0,
                closing: false,
            });
            // The write lock at once: a transaction that reads first and writes later could be
            // refused in the middle.
            state.say("BEGIN IMMEDIATE").await?;
        } else if undo == Undo::Savepoint {
            state.say("SAVEPOINT member").await?;
        }
        Ok(member)
    }

    /// Runs one statement as a transaction of its own.
    pub(super) async fn execute(
        &self,
        text: Arc<str>,
        arguments: SqliteArguments,
    ) -> Result<SqliteQueryResult, sqlx::Error> {
        let mut state = self.shared.take().await?;
        if state.group.is_none() && self.shared.waiting.load(Ordering::Relaxed) == 0 {
            let connection = state.connection().await?;
            let query = sqlx::query_with(AssertSqlSafe(text), arguments);
            let done = query.execute(connection).await;
            state.commits.count();
            return done;
        }
        let mut member = self.begin_in(state, Undo::Nothing).await?;
        let done = member.execute(text, arguments).await?;
        member.commit().await?;
        Ok(done)
    }

    #[cfg(test)]
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The connection alone, for the migrator: no group is open while it is held.
    pub(super) async fn alone(&self) -> Result<Alone, sqlx::Error> {
        let mut alone = self.shared.stand_still().await?;
        alone.connection().await?;
        Ok(alone)
    }
}

/// The writer's connection outside any transaction.
pub(super) struct Alone(OwnedMutexGuard<State>);

impl Alone {
    pub(super) async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.0.connection().await
    }
}

impl Shared {
    /// Keeps everybody from writing, with no transaction open, until what it gives is dropped.
    pub(super) async fn stand_still(&self) -> Result<Alone, sqlx::Error> {
        let mut state = self.take().await?;
        state.close().await;
        Ok(Alone(state))
    }

    async fn take(&self) -> Result<OwnedMutexGuard<State>, sqlx::Error> {
        struct Waits<'a>(&'a AtomicUsize);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        timeout(self.patience, Arc::clone(&self.state).lock_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.commits.end();
    }
}

impl State {
    async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Box::pin(SqliteConnection::connect_with(&self.options)).await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn say(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        self.connection().await?.execute(text).await.map(|_| ())
    }

    /// Commits the open group and tells everybody in it.
    async fn close(&mut self) {
        if self.group.is_none() {
            return;
        }
        match self.say("COMMIT").await {
            Ok(()) => {
                if let Some(group) = self.group.take() {
                    group.end.set(Ok(()));
                }
                self.commits.count();
            }
            Err(error) => self.break_off(&error),
        }
    }

    /// What the open transaction holds is not known any more: a new connection starts from what is
    /// committed, and everybody in the group is told that it failed.
    fn break_off(&mut self, error: &sqlx::Error) {
        self.connection = None;
        if let Some(group) = self.group.take() {
            group.end.set(Err(error.to_string().into()));
        }
    }

    /// Undoes one member of the open group.
    async fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Savepoint => {
                if let Err(error) = self.say("ROLLBACK TO member").await {
                    self.break_off(&error);
                } else if let Err(error) = self.say("RELEASE member").await {
                    self.break_off(&error);
                }
            }
            Undo::Everything => match self.say("ROLLBACK").await {
                Ok(()) => {
                    if let Some(group) = self.group.take() {
                        group.end.set(Ok(()));
                    }
                }
                Err(error) => self.break_off(&error),
            },
        }
    }
}

impl Member {
    fn state(&mut self) -> Result<&mut State, sqlx::Error> {
        self.state.as_deref_mut().ok_or(sqlx::Error::WorkerCrashed)
    }

    /// Lets a refused statement be undone alone, instead of ending the transaction.
    pub(super) const fn forgive(&mut self) {
        self.forgiving = true;
    }

    /// Runs a writing statement. One that is refused ends the transaction: what stood in its way may
    /// be of the same group, and the caller must not look for it before it is committed.
    pub(super) async fn execute(
        &mut self,
        text: Arc<str>,
        arguments: SqliteArguments,
    ) -> Result<SqliteQueryResult, sqlx::Error> {
        let connection = self.state()?.connection().await?;
        let done = sqlx::query_with(AssertSqlSafe(text), arguments)
            .execute(connection)
            .await;
        match done {
            Ok(done) => Ok(done),
            Err(error) if self.forgiving => Err(error),
            Err(error) => {
                if self.undo == Undo::Nothing && !refused_alone(&error) {
                    // A full disk and the like may have rolled back the whole transaction.
                    self.state()?.break_off(&error);
                    self.state = None;
                    return Err(error);
                }
                self.end(false).await?;
                Err(error)
            }
        }
    }

    /// Reads, what the group has written included.
    pub(super) async fn fetch(
        &mut self,
        text: Arc<str>,
        arguments: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let connection = self.state()?.connection().await?;
        sqlx::query_with(AssertSqlSafe(text), arguments)
            .fetch_all(connection)
            .await
    }

    /// Makes it durable, with the others of its group.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.end(true).await
    }

    /// Undoes it, unless a refused statement has done so.
    pub(super) async fn roll_back(mut self) -> Result<(), sqlx::Error> {
        if self.state.is_none() {
            return Ok(());
        }
        self.end(false).await
    }

    /// Ends it either way, and waits until its group has ended. The work is a task of its own, so
    /// that a caller that goes away leaves nothing half done.
    async fn end(&mut self, keep: bool) -> Result<(), sqlx::Error> {
        let Some(state) = self.state.take() else {
            return Err(sqlx::Error::WorkerCrashed);
        };
        let Some(end) = state.group.as_ref().map(|group| Arc::clone(&group.end)) else {
            return Err(sqlx::Error::WorkerCrashed);
        };
        tokio::spawn(leave(Arc::clone(&self.shared), state, self.undo, keep));
        end.wait().await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            tokio::spawn(leave(Arc::clone(&self.shared), state, self.undo, false));
        }
    }
}

/// Leaves the group, and sees to it that somebody commits it: at once when nobody waits for the
/// writer or the group is full, after those who wait now otherwise.
async fn leave(shared: Arc<Shared>, mut state: OwnedMutexGuard<State>, undo: Undo, keep: bool) {
    if !keep {
        state.undo(undo).await;
    } else if undo == Undo::Savepoint
        && let Err(error) = state.say("RELEASE member").await
    {
        state.break_off(&error);
    }
    let waiting = shared.waiting.load(Ordering::Relaxed);
    let Some(group) = &mut state.group else {
        return;
    };
    group.members += 1;
    if waiting == 0 || group.members >= shared.most {
        state.close().await;
        return;
    }
    if group.closing {
        return;
    }
    group.closing = true;
    let end = Arc::clone(&group.end);
    // The lock is fair: this comes behind those who wait now.
    drop(state);
    let mut state = Arc::clone(&shared.state).lock_owned().await;
    if state
        .group
        .as_ref()
        .is_some_and(|group| Arc::ptr_eq(&group.end, &end))
    {
        state.close().await;
    }
}
