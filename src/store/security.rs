//! Security events, counted by kind, subject and hour.

use serde::Serialize;

use super::{Store, StoreError, cells::Cells, dialect::Sql, driver::Tx, values::page};
use crate::domain::time::Timestamp;

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// Something that should not happen, once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// What, a fixed word, e.g. `token_reuse`.
    pub kind: &'static str,
    /// By or to whom: `token:7`, `terminal:3`, `address:203.0.113.9`.
    pub subject: String,
    /// How often.
    pub count: i64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
    /// Where the last one came from.
    pub address: String,
    /// The last one's request.
    pub request_id: String,
}

/// The events of one kind and subject within one hour.
#[derive(Clone, Debug, Serialize)]
pub struct EventRow {
    /// What.
    pub kind: String,
    /// By or to whom.
    pub subject: String,
    /// The hour, counted since the epoch.
    pub hour: i64,
    /// How often.
    pub count: i64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
    /// Where the last one came from.
    pub address: String,
    /// The last one's request.
    pub request_id: String,
}

const COUNT_EVENT: Sql = Sql {
    name: "security_events.count",
    text: "UPDATE security_events SET count = count + ?, \
           last_at = CASE WHEN last_at < ? THEN ? ELSE last_at END, address = ?, request_id = ? \
           WHERE hour = ? AND kind = ? AND subject = ?",
};

const INSERT_EVENT: Sql = Sql {
    name: "security_events.insert",
    text: "INSERT INTO security_events (count, last_at, address, request_id, hour, kind, subject, first_at) \
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
};

const EVENTS: Sql = Sql {
    name: "security_events.page",
    text: "SELECT kind, subject, hour, count, first_at, last_at, address, request_id FROM security_events \
           WHERE hour <= ? AND (hour < ? OR kind > ? OR (kind = ? AND subject > ?)) \
           ORDER BY hour DESC, kind, subject LIMIT ?",
};

impl Store {
    /// Counts events. They may be counted again after an error: a count too high is better than none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count_events(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        for event in events {
            retrying!(self, self.count_event_once(event))?;
        }
        Ok(())
    }

    async fn count_event_once(&self, event: &NewEvent) -> Result<(), StoreError> {
        let mut tx = self.inner.db.begin().await?;
        match Self::count_event(&mut tx, event).await {
            // Another process was the first to see it in this hour.
            Err(StoreError::Exists(_)) => {
                drop(tx);
                tx = self.inner.db.begin().await?;
                Self::count_event(&mut tx, event).await?;
            }
            ended => ended?,
        }
        tx.commit().await
    }

    pub(super) async fn count_event(tx: &mut Tx, event: &NewEvent) -> Result<(), StoreError> {
        let hour = event.last_at.as_micros().div_euclid(MICROS_PER_HOUR);
        let values = [
            event.count.into(),
            event.last_at.into(),
            event.last_at.into(),
            event.address.as_str().into(),
            event.request_id.as_str().into(),
            hour.into(),
            event.kind.into(),
            event.subject.as_str().into(),
        ];
        if tx.execute(&COUNT_EVENT, 1, &values).await?.rows > 0 {
            return Ok(());
        }
        let values = [
            event.count.into(),
            event.last_at.into(),
            event.address.as_str().into(),
            event.request_id.as_str().into(),
            hour.into(),
            event.kind.into(),
            event.subject.as_str().into(),
            event.first_at.into(),
        ];
        tx.execute(&INSERT_EVENT, 1, &values).await?;
        Ok(())
    }

    /// One page of events, the newest hour first, after (hour, kind, subject) of the last one seen.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_events(
        &self,
        after: Option<(i64, &str, &str)>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let (hour, kind, subject) = after.unwrap_or((i64::MAX, "", ""));
        let values = [
            hour.into(),
            hour.into(),
            kind.into(),
            kind.into(),
            subject.into(),
            page(limit),
        ];
        let rows = self.inner.db.fetch(&EVENTS, 1, &values).await?;
        rows.iter().map(|row| read_event(&mut row.cells())).collect()
    }
}

fn read_event(cells: &mut Cells<'_>) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        kind: cells.text()?,
        subject: cells.text()?,
        hour: cells.int()?,
        count: cells.int()?,
        first_at: cells.time()?,
        last_at: cells.time()?,
        address: cells.text()?,
        request_id: cells.text()?,
    })
}
