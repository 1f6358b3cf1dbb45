//! The last heartbeat of each terminal.

use super::{
    Store, StoreError,
    dialect::Sql,
    values::{Binds, Value},
};
use crate::domain::time::Timestamp;

/// A sign of life of a terminal, and what it said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The terminal.
    pub terminal_id: i64,
    /// When it came.
    pub received_at: Timestamp,
    /// The terminal's clock minus ours, where it told its time.
    pub clock_skew_ms: Option<i64>,
    /// Sales that it says it still has to send.
    pub backlog: Option<u32>,
}

const INSERT: Sql = Sql {
    name: "heartbeats.insert",
    text: "INSERT INTO heartbeats (terminal_id, created_at, received_at) VALUES {(?, ?, 0)} $KEEP_FIRST",
};

const UPDATE: Sql = Sql {
    name: "heartbeats.update",
    text: "UPDATE heartbeats SET \
           clock_skew_ms = CASE terminal_id {WHEN ? THEN ?| } END, \
           backlog = CASE terminal_id {WHEN ? THEN ?| } END, \
           received_at = CASE terminal_id {WHEN ? THEN ?| } END \
           WHERE {(terminal_id = ? AND received_at < ?)| OR }",
};

const PAGE: Sql = Sql {
    name: "heartbeats.of",
    text: "SELECT terminal_id, received_at, clock_skew_ms, backlog FROM heartbeats WHERE terminal_id IN ({?}) \
           ORDER BY terminal_id",
};

impl Store {
    /// Keeps heartbeats, at most one a terminal; one that is older than the one kept changes nothing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn record_heartbeats(&self, beats: &[Heartbeat]) -> Result<(), StoreError> {
        // One order for all, so that two processes wait for each other instead of deadlocking.
        let mut beats: Vec<&Heartbeat> = beats.iter().collect();
        beats.sort_unstable_by_key(|beat| beat.terminal_id);
        for beats in self.pieces(&beats) {
            let mut values = Binds::of(beats.len() * 2);
            for beat in beats {
                values.put(beat.terminal_id).put(beat.received_at);
            }
            retrying!(self, self.inner.db.execute(&INSERT, beats.len(), &values))?;
            let mut values = Binds::of(beats.len() * 8);
            for beat in beats {
                values.put(beat.terminal_id).put(beat.clock_skew_ms);
            }
            for beat in beats {
                let backlog = beat
                    .backlog
                    .map_or(Value::Null, |count| Value::Int(i64::from(count)));
                values.put(beat.terminal_id).put(backlog);
            }
            for beat in beats {
                values.put(beat.terminal_id).put(beat.received_at);
            }
            for beat in beats {
                values.put(beat.terminal_id).put(beat.received_at);
            }
            retrying!(self, self.inner.db.execute(&UPDATE, beats.len(), &values))?;
        }
        Ok(())
    }

    /// The last heartbeats of these terminals; those that never sent one are left out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn heartbeats(&self, terminals: &[i64]) -> Result<Vec<Heartbeat>, StoreError> {
        let mut found = Vec::new();
        for ids in self.pieces(terminals) {
            for row in self.inner.db.fetch(&PAGE, ids.len(), &Binds::ids(ids)).await? {
                let mut cells = row.cells();
                found.push(Heartbeat {
                    terminal_id: cells.int()?,
                    received_at: cells.time()?,
                    clock_skew_ms: cells.int_or_null()?,
                    backlog: cells.int_or_null()?.and_then(|count| u32::try_from(count).ok()),
                });
            }
        }
        Ok(found)
    }
}
