//! Who in the fleet does what must be done once, and which workers are alive.

use std::time::Duration;

use super::{Store, StoreError, cells::Cells, dialect::Sql, pieces::fits_word, values::page};
use crate::domain::time::Timestamp;

/// Most queues that are reported; there are as many as stages.
const MOST_QUEUES: usize = 64;

/// The workers of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staff {
    /// The queue.
    pub queue: String,
    /// Processes that work on it.
    pub processes: u64,
    /// Sets of jobs that they work on at a time, at most.
    pub concurrency: u64,
    /// The load of the busiest of them.
    pub load: Load,
}

/// What a worker process says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Beat<'a> {
    /// Its name: at most 32 ASCII characters, never used before.
    pub process: &'a str,
    /// A queue that it works on.
    pub queue: &'a str,
    /// Sets of jobs that it works on at a time.
    pub concurrency: u64,
    /// Most connections to the database that it opens.
    pub connections: u64,
    /// How busy it is.
    pub load: Load,
}

/// How much is used, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Of the processors of the machine.
    pub cpu: u64,
    /// Of its memory.
    pub memory: u64,
    /// Of the pool of database connections.
    pub pool: u64,
}

const TAKE_DUTY: Sql = Sql {
    name: "duties.take",
    text: "UPDATE duties SET holder = ?, held_until = ? WHERE name = ? AND (holder = ? OR held_until < ?)",
};

const DROP_DUTY: Sql = Sql {
    name: "duties.drop",
    text: "UPDATE duties SET holder = '', held_until = 0 WHERE name = ? AND holder = ?",
};

const BEAT: Sql = Sql {
    name: "worker_beats.update",
    text: "UPDATE worker_beats SET concurrency = ?, connections = ?, cpu = ?, memory = ?, pool = ?, seen_at = ? \
           WHERE process = ? AND queue = ?",
};

const FIRST_BEAT: Sql = Sql {
    name: "worker_beats.insert",
    text: "INSERT INTO worker_beats (concurrency, connections, cpu, memory, pool, seen_at, process, queue) \
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
};

const LAST_BEAT: Sql = Sql {
    name: "worker_beats.delete",
    text: "DELETE FROM worker_beats WHERE process = ? OR seen_at < ?",
};

const STAFF: Sql = Sql {
    name: "worker_beats.staff",
    text: "SELECT queue, COUNT(*), CAST(SUM(concurrency) AS SIGNED), MAX(cpu), MAX(memory), MAX(pool) FROM worker_beats WHERE seen_at >= ? \
           GROUP BY queue ORDER BY queue LIMIT ?",
};

const WORKER_CONNECTIONS: Sql = Sql {
    name: "worker_beats.connections",
    text: "SELECT CAST(COALESCE(SUM(most), 0) AS SIGNED) FROM \
           (SELECT MAX(connections) AS most FROM worker_beats WHERE seen_at >= ? GROUP BY process) AS each_process",
};

const COUNT_ACTIONS: Sql = Sql {
    name: "admin_actions.count",
    text: "SELECT COALESCE(MAX(id), 0) FROM admin_actions",
};

impl Store {
    /// Takes or renews `duty` for `holder` until `ttl` from `now`; whether it has it. One that another
    /// holds is free when its time is over.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_duty(
        &self,
        duty: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        fits_word("the holder of a duty", holder, 32)?;
        let values = [
            holder.into(),
            now.plus(ttl).into(),
            duty.into(),
            holder.into(),
            now.into(),
        ];
        let done = retrying!(self, self.inner.db.execute(&TAKE_DUTY, 1, &values))?;
        Ok(done.rows > 0)
    }

    /// Gives `duty` back if `holder` has it, so that another need not wait for its end.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn drop_duty(&self, duty: &str, holder: &str) -> Result<(), StoreError> {
        let values = [duty.into(), holder.into()];
        let done = retrying!(self, self.inner.db.execute(&DROP_DUTY, 1, &values));
        done.map(|_| ())
    }

    /// A worker process is alive at `now`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn worker_beat(&self, beat: &Beat<'_>, now: Timestamp) -> Result<(), StoreError> {
        fits_word("the name of a process", beat.process, 32)?;
        let count = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let values = [
            count(beat.concurrency).into(),
            count(beat.connections).into(),
            count(beat.load.cpu).into(),
            count(beat.load.memory).into(),
            count(beat.load.pool).into(),
            now.into(),
            beat.process.into(),
            beat.queue.into(),
        ];
        let db = &self.inner.db;
        let known = retrying!(self, db.execute(&BEAT, 1, &values))?;
        if known.rows == 0 {
            retrying!(self, db.execute(&FIRST_BEAT, 1, &values))?;
        }
        Ok(())
    }

    /// A worker process ends; those silent since `silent` are forgotten.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn worker_leaves(&self, process: &str, silent: Timestamp) -> Result<(), StoreError> {
        let values = [process.into(), silent.into()];
        let done = retrying!(self, self.inner.db.execute(&LAST_BEAT, 1, &values));
        done.map(|_| ())
    }

    /// The workers of each queue that gave a sign of life since `since`; a queue without any is not there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn staff(&self, since: Timestamp) -> Result<Vec<Staff>, StoreError> {
        let values = [since.into(), page(MOST_QUEUES)];
        let rows = self.inner.db.fetch(&STAFF, 1, &values).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok(Staff {
                    queue: cells.text()?,
                    processes: natural(&mut cells)?,
                    concurrency: natural(&mut cells)?,
                    load: Load {
                        cpu: natural(&mut cells)?,
                        memory: natural(&mut cells)?,
                        pool: natural(&mut cells)?,
                    },
                })
            })
            .collect()
    }

    /// Most connections that the worker processes alive since `since` open together.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn worker_connections(&self, since: Timestamp) -> Result<u64, StoreError> {
        let rows = self
            .inner
            .db
            .fetch(&WORKER_CONNECTIONS, 1, &[since.into()])
            .await?;
        let most = rows.first().map_or(Ok(0), |row| row.cells().int())?;
        Ok(u64::try_from(most).unwrap_or(0))
    }

    /// Changes that people made so far.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count_actions(&self) -> Result<u64, StoreError> {
        let rows = self.inner.db.fetch(&COUNT_ACTIONS, 1, &[]).await?;
        let count = rows.first().map_or(Ok(0), |row| row.cells().int())?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn natural(cells: &mut Cells<'_>) -> Result<u64, StoreError> {
    Ok(u64::try_from(cells.int()?).unwrap_or(0))
}
