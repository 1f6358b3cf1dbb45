//! The breakers of the sinks in the record: what every worker process agrees on. Each change is one
//! compare-and-set of one row, so that of many workers one opens it, one tries, and one closes it.

use std::time::Duration;

use super::{
    Store, StoreError,
    cells::Cells,
    changes::{ActionRow, Subject},
    dialect::Sql,
    driver::Tx,
    pieces::{cut, fits, fits_word},
    values::page,
};
use crate::domain::{
    breaker::{Breaker, Force},
    time::Timestamp,
};

const BREAKERS: Sql = Sql {
    name: "breakers.page",
    text: "SELECT id, sink, state, version, changed_at, open_until, cause, probe_until, forced, forced_until, \
           owner, reason FROM breakers ORDER BY sink LIMIT ?",
};

const BREAKER: Sql = Sql {
    name: "breakers.one",
    text: "SELECT id, sink, state, version, changed_at, open_until, cause, probe_until, forced, forced_until, \
           owner, reason FROM breakers WHERE sink = ?",
};

const OPEN: Sql = Sql {
    name: "breakers.open",
    text: "UPDATE breakers SET state = 'open', version = version + 1, changed_at = ?, open_until = ?, cause = ?, \
           probe = 0, probe_until = 0 WHERE sink = ? AND state = 'closed' AND forced_until <= ?",
};

const FIRST_OPEN: Sql = Sql {
    name: "breakers.first_open",
    text: "INSERT INTO breakers (state, changed_at, open_until, cause, sink) VALUES ('open', ?, ?, ?, ?)",
};

const TAKE_PROBE: Sql = Sql {
    name: "breakers.probe",
    text: "UPDATE breakers SET version = version + 1, probe = ?, probe_until = ? WHERE sink = ? \
           AND state = 'open' AND open_until <= ? AND probe_until <= ? AND forced_until <= ?",
};

const CLOSE: Sql = Sql {
    name: "breakers.close",
    text: "UPDATE breakers SET state = 'closed', version = version + 1, changed_at = ?, probe = 0, probe_until = 0 \
           WHERE sink = ? AND probe = ? AND state = 'open'",
};

const STAY_OPEN: Sql = Sql {
    name: "breakers.stay_open",
    text: "UPDATE breakers SET version = version + 1, open_until = ?, probe = 0, probe_until = 0 \
           WHERE sink = ? AND probe = ? AND state = 'open'",
};

const FORCE: Sql = Sql {
    name: "breakers.force",
    text: "UPDATE breakers SET version = version + 1, changed_at = CASE WHEN state = ? THEN changed_at ELSE ? END, \
           state = ?, open_until = ?, probe = 0, probe_until = 0, forced = ?, forced_until = ?, owner = ?, \
           reason = ?, cause = ? WHERE sink = ?",
};

const FIRST_FORCE: Sql = Sql {
    name: "breakers.first_force",
    text: "INSERT INTO breakers (state, changed_at, open_until, forced, forced_until, owner, reason, cause, sink) \
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
};

const RELEASE: Sql = Sql {
    name: "breakers.release",
    text: "UPDATE breakers SET version = version + 1, forced_until = ?, \
           open_until = CASE WHEN open_until > ? THEN ? ELSE open_until END WHERE sink = ? AND forced_until > ?",
};

const HISTORY: Sql = Sql {
    name: "admin_actions.of_kind",
    text: "SELECT id, at, actor, action, subject_kind, subject_id, detail, address, request_id \
           FROM admin_actions WHERE subject_kind = ? AND id > ? ORDER BY id LIMIT ?",
};

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The sink works.
    Well,
    /// It does not; the next call may try then.
    Ill(Timestamp),
}

impl Store {
    /// The breakers that have a row, by the name of their sink.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn breakers(&self, limit: usize) -> Result<Vec<Breaker>, StoreError> {
        let rows = self.inner.db.fetch(&BREAKERS, 1, &[page(limit)]).await?;
        rows.iter().map(|row| read(&mut row.cells())).collect()
    }

    /// The breaker of a sink; `None` for one that never failed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn breaker(&self, sink: &str) -> Result<Option<Breaker>, StoreError> {
        let rows = self.inner.db.fetch(&BREAKER, 1, &[sink.into()]).await?;
        rows.first().map(|row| read(&mut row.cells())).transpose()
    }

    /// Opens the breaker of a sink until `until`; whether this did it. One that is open, or that a person
    /// holds, stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] for a name that is too long.
    pub async fn open_breaker(
        &self,
        sink: &str,
        until: Timestamp,
        cause: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        fits_word("the name of a sink", sink, 64)?;
        let cause = cut(cause, 200);
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let first = [now.into(), until.into(), cause.as_str().into(), sink.into()];
            let [at, end, why, whose] = first;
            let values = [at, end, why, whose, now.into()];
            if tx.execute(&OPEN, 1, &values).await?.rows == 0 {
                match tx.execute(&FIRST_OPEN, 1, &first).await {
                    Err(StoreError::Exists(_)) => return Ok(false),
                    other => other?,
                };
            }
            self.tell(&mut tx, "breaker.opened", sink, &cause).await?;
            tx.commit().await?;
            Ok(true)
        })
    }

    /// Takes the one place at the door of a half-open breaker for `lease`; whether it was free. `token`
    /// fences it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_probe(
        &self,
        sink: &str,
        token: i64,
        now: Timestamp,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let values = [
            token.into(),
            now.plus(lease).into(),
            sink.into(),
            now.into(),
            now.into(),
            now.into(),
        ];
        let taken = retrying!(self, self.inner.db.execute(&TAKE_PROBE, 1, &values))?;
        Ok(taken.rows > 0)
    }

    /// Says what the probe `token` found; whether it still counted.
    ///
    /// # Errors
    /// See [`StoreError`]. The place becomes free when its lease ends.
    pub async fn end_probe(
        &self,
        sink: &str,
        token: i64,
        found: Probed,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (sql, time) = match found {
            Probed::Well => (&CLOSE, now),
            Probed::Ill(until) => (&STAY_OPEN, until),
        };
        let values = [time.into(), sink.into(), token.into()];
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let counted = tx.execute(sql, 1, &values).await?.rows > 0;
            if counted && found == Probed::Well {
                self.tell(&mut tx, "breaker.closed", sink, "one call was answered")
                    .await?;
            }
            tx.commit().await?;
            Ok(counted)
        })
    }

    /// Holds a breaker open or closed until the order ends; what it is now. An open one is then half-open,
    /// a closed one closed.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] for a text that is too long.
    pub async fn force_breaker(
        &self,
        sink: &str,
        force: &Force,
        now: Timestamp,
    ) -> Result<Breaker, StoreError> {
        fits_word("the name of a sink", sink, 64)?;
        fits("the owner of an order", &force.owner, 100)?;
        fits("the reason of an order", &force.reason, 500)?;
        retrying!(self, self.force_once(sink, force, now))
    }

    async fn force_once(&self, sink: &str, force: &Force, now: Timestamp) -> Result<Breaker, StoreError> {
        let state = if force.open { "open" } else { "closed" };
        let cause = if force.open { "a person's order" } else { "" };
        let set = [
            state.into(),
            now.into(),
            state.into(),
            force.until.into(),
            state.into(),
            force.until.into(),
            force.owner.as_str().into(),
            force.reason.as_str().into(),
            cause.into(),
            sink.into(),
        ];
        let first = [
            state.into(),
            now.into(),
            force.until.into(),
            state.into(),
            force.until.into(),
            force.owner.as_str().into(),
            force.reason.as_str().into(),
            cause.into(),
            sink.into(),
        ];
        let mut tx = self.inner.db.begin().await?;
        if tx.execute(&FORCE, 1, &set).await?.rows == 0 {
            match tx.execute(&FIRST_FORCE, 1, &first).await {
                // A worker opened it meanwhile; the order is about the same row.
                Err(StoreError::Exists(_)) => tx.execute(&FORCE, 1, &set).await?,
                other => other?,
            };
        }
        let detail = format!(
            "until {}, {}: {}",
            force.until.to_rfc3339(0),
            force.owner,
            force.reason
        );
        let action = if force.open {
            "breaker.forced_open"
        } else {
            "breaker.forced_closed"
        };
        let breaker = self.tell(&mut tx, action, sink, &detail).await?;
        tx.commit().await?;
        Ok(breaker)
    }

    /// Ends a person's order before its time; what the breaker is now. Without an order nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the sink has no breaker.
    pub async fn release_breaker(&self, sink: &str, now: Timestamp) -> Result<Breaker, StoreError> {
        let values = [now.into(), now.into(), now.into(), sink.into(), now.into()];
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let released = tx.execute(&RELEASE, 1, &values).await?.rows > 0;
            let breaker = if released {
                self.tell(&mut tx, "breaker.released", sink, "").await?
            } else {
                one(&mut tx, sink).await?
            };
            tx.commit().await?;
            Ok(breaker)
        })
    }

    /// One page of what happened to breakers, with an id above `after`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn breaker_history(&self, after: i64, limit: usize) -> Result<Vec<ActionRow>, StoreError> {
        let values = [Subject::Breaker(0).kind().into(), after.into(), page(limit)];
        let rows = self.inner.db.fetch(&HISTORY, 1, &values).await?;
        rows.iter()
            .map(|row| super::changes::read_action(&mut row.cells()))
            .collect()
    }

    /// Writes down what happened to the breaker of `sink`, as it is now.
    async fn tell(&self, tx: &mut Tx, action: &str, sink: &str, detail: &str) -> Result<Breaker, StoreError> {
        let breaker = one(tx, sink).await?;
        let detail = format!("{sink}: {detail}");
        self.attribute(
            tx,
            action,
            Subject::Breaker(breaker.id),
            detail.trim_end_matches(": "),
        )
        .await?;
        Ok(breaker)
    }
}

async fn one(tx: &mut Tx, sink: &str) -> Result<Breaker, StoreError> {
    let rows = tx.fetch(&BREAKER, 1, &[sink.into()]).await?;
    let row = rows.first().ok_or(StoreError::Missing("breaker"))?;
    read(&mut row.cells())
}

fn read(cells: &mut Cells<'_>) -> Result<Breaker, StoreError> {
    Ok(Breaker {
        id: cells.int()?,
        sink: cells.text()?,
        open: cells.word(open)?,
        version: cells.int()?,
        changed_at: cells.time()?,
        open_until: cells.time()?,
        cause: cells.text()?,
        probe_until: cells.time()?,
        force: {
            let forced = cells.text()?;
            let (until, owner, reason) = (cells.time()?, cells.text()?, cells.text()?);
            open(&forced).map(|open| Force {
                open,
                until,
                owner,
                reason,
            })
        },
    })
}

fn open(word: &str) -> Option<bool> {
    match word {
        "open" => Some(true),
        "closed" => Some(false),
        _ => None,
    }
}
