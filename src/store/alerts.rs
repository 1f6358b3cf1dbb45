//! Alerts as they are kept: what goes on, when it began, when people were told.

use std::collections::BTreeMap;

use super::{
    Store, StoreError,
    cells::Cells,
    dialect::Sql,
    driver::Tx,
    messages::{Channel, NewMessage},
    pieces::cut,
    values::{Binds, page},
};
use crate::domain::{
    alert::{self, Alert, AlertKind, Change, Finding, Line},
    time::Timestamp,
};

/// Widths of the columns.
const SUBJECT: usize = 150;
const SUMMARY: usize = 500;

const LOCK: Sql = Sql {
    name: "duties.lock",
    text: "SELECT name FROM duties WHERE name = 'alerts' $LOCK",
};

const OPEN: Sql = Sql {
    name: "alerts.open",
    text: "SELECT id, kind, subject, summary, opened_at, closed_at, told_at FROM alerts \
           WHERE closed_at = 0 ORDER BY id LIMIT ?",
};

const ONE: Sql = Sql {
    name: "alerts.one",
    text: "SELECT id, kind, subject, summary, opened_at, closed_at, told_at FROM alerts \
           WHERE kind = ? AND subject = ?",
};

const PAGE: Sql = Sql {
    name: "alerts.page",
    text: "SELECT id, kind, subject, summary, opened_at, closed_at, told_at FROM alerts \
           WHERE id > ? ORDER BY id LIMIT ?",
};

const INSERT: Sql = Sql {
    name: "alerts.insert",
    text: "INSERT INTO alerts (kind, subject, summary, opened_at, told_at) VALUES (?, ?, ?, ?, ?)",
};

const UPDATE: Sql = Sql {
    name: "alerts.update",
    text: "UPDATE alerts SET summary = ?, opened_at = ?, closed_at = ?, told_at = ? WHERE id = ?",
};

/// How often people are told, and by which ways.
#[derive(Clone, Debug)]
pub struct Telling {
    /// How long an alert that was told is not told again.
    pub cool_down: std::time::Duration,
    /// Most messages an hour of each way.
    pub per_hour: usize,
    /// Most alerts of one kind that are open at a time.
    pub most_open: usize,
    /// Most alerts named in one message.
    pub most_lines: usize,
    /// The ways that are set up.
    pub channels: Vec<Channel>,
    /// Which system it is, for the title.
    pub environment: String,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Alerts that go on.
    pub open: u64,
    /// Alerts that people are told of.
    pub told: u64,
    /// Alerts that would have been told but for the bound of an hour; they are told later.
    pub held: u64,
}

impl Store {
    /// One round: what of `watched` kinds is in `findings` goes on, what is not is over. Changes and the
    /// messages about them are committed together.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn alert_round(
        &self,
        watched: &[AlertKind],
        findings: &[Finding],
        telling: &Telling,
        now: Timestamp,
    ) -> Result<Round, StoreError> {
        retrying!(self, self.round_once(watched, findings, telling, now))
    }

    async fn round_once(
        &self,
        watched: &[AlertKind],
        findings: &[Finding],
        telling: &Telling,
        now: Timestamp,
    ) -> Result<Round, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        tx.fetch(&LOCK, 1, &[]).await?;
        let mut seen: BTreeMap<(AlertKind, String), &Finding> = BTreeMap::new();
        let mut of_kind: BTreeMap<AlertKind, usize> = BTreeMap::new();
        for finding in findings.iter().filter(|finding| watched.contains(&finding.kind)) {
            let count = of_kind.entry(finding.kind).or_default();
            if *count < telling.most_open {
                *count += 1;
                seen.insert((finding.kind, cut(&finding.subject, SUBJECT)), finding);
            }
        }
        let most = telling.most_open.saturating_mul(AlertKind::ALL.len() + 1);
        let rows = tx.fetch(&OPEN, 1, &[page(most)]).await?;
        let mut known: BTreeMap<(AlertKind, String), Alert> = BTreeMap::new();
        for row in rows {
            let alert = read(&mut row.cells())?;
            known.insert((alert.kind, alert.subject.clone()), alert);
        }
        for key in seen
            .keys()
            .filter(|key| !known.contains_key(key))
            .cloned()
            .collect::<Vec<_>>()
        {
            let values = [key.0.word().into(), key.1.as_str().into()];
            if let Some(row) = tx.fetch(&ONE, 1, &values).await?.first() {
                known.insert(key, read(&mut row.cells())?);
            }
        }
        let room = self.room(&mut tx, telling, now).await?;
        let mut round = Round::default();
        let mut lines = Vec::new();
        let keys: std::collections::BTreeSet<_> = seen.keys().chain(known.keys()).cloned().collect();
        for key in keys {
            if !watched.contains(&key.0) {
                round.open += 1;
                continue;
            }
            let (alert, finding) = (known.get(&key), seen.get(&key).copied());
            let step = alert::step(key.0, alert, finding.is_some(), now, telling.cool_down);
            let tell = step.tell.filter(|_| !room.is_empty());
            round.open += u64::from(finding.is_some());
            round.held += u64::from(tell.is_none() && step.tell.is_some() && !telling.channels.is_empty());
            let line = write(&mut tx, &key, alert, finding, tell, step.moves, now).await?;
            lines.extend(line);
        }
        round.told = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if !lines.is_empty() {
            lines.sort_by_key(|line| (line.change, line.kind));
            for (channel, last) in room {
                let message = NewMessage::of(channel, &lines, telling, last, now);
                self.insert_message(&mut tx, &message).await?;
            }
        }
        tx.commit().await?;
        Ok(round)
    }

    /// The ways that may still be used within this hour, and whether it is the last time.
    async fn room(
        &self,
        tx: &mut Tx,
        telling: &Telling,
        now: Timestamp,
    ) -> Result<Vec<(Channel, bool)>, StoreError> {
        let mut room = Vec::new();
        for channel in &telling.channels {
            let made = self.messages_since(tx, *channel, now).await?;
            if made < telling.per_hour {
                room.push((*channel, made + 1 == telling.per_hour));
            }
        }
        Ok(room)
    }

    /// The alerts that go on, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_alerts(&self, limit: usize) -> Result<Vec<Alert>, StoreError> {
        let rows = self.inner.db.fetch(&OPEN, 1, &[page(limit)]).await?;
        rows.iter().map(|row| read(&mut row.cells())).collect()
    }

    /// One page of alerts with an id above `after`, those that are over included.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn alerts(&self, after: i64, limit: usize) -> Result<Vec<Alert>, StoreError> {
        let rows = self
            .inner
            .db
            .fetch(&PAGE, 1, &[after.into(), page(limit)])
            .await?;
        rows.iter().map(|row| read(&mut row.cells())).collect()
    }
}

/// Writes what became of an alert, and gives the line that tells of it.
async fn write(
    tx: &mut Tx,
    (kind, subject): &(AlertKind, String),
    alert: Option<&Alert>,
    finding: Option<&Finding>,
    tell: Option<Change>,
    moves: bool,
    now: Timestamp,
) -> Result<Option<Line>, StoreError> {
    let old = alert.map(|alert| alert.summary.clone()).unwrap_or_default();
    let summary = finding.map_or(old, |finding| cut(&finding.summary, SUMMARY));
    let opened_at = match alert {
        Some(alert) if !(moves && finding.is_some()) => alert.opened_at,
        _ => now,
    };
    let closed_at = match (finding, alert) {
        (Some(_), _) => 0,
        (None, Some(_)) if moves => now.as_micros(),
        (None, _) => return Ok(None),
    };
    let told_before = alert
        .and_then(|alert| alert.told_at)
        .map_or(0, Timestamp::as_micros);
    let told_at = if tell.is_some() {
        now.as_micros()
    } else {
        told_before
    };
    let as_before = alert.is_some_and(|alert| alert.summary == summary) && !moves && tell.is_none();
    if as_before {
        return Ok(None);
    }
    let mut values = Binds::of(5);
    match alert {
        None => {
            values
                .put(kind.word())
                .put(subject.as_str())
                .put(summary.as_str())
                .put(opened_at)
                .put(told_at);
            tx.execute(&INSERT, 1, &values).await?;
        }
        Some(alert) => {
            values
                .put(summary.as_str())
                .put(opened_at)
                .put(closed_at)
                .put(told_at)
                .put(alert.id);
            tx.execute(&UPDATE, 1, &values).await?;
        }
    }
    Ok(tell.map(|change| Line {
        change,
        kind: *kind,
        subject: subject.clone(),
        summary,
        since: opened_at,
    }))
}

fn read(cells: &mut Cells<'_>) -> Result<Alert, StoreError> {
    Ok(Alert {
        id: cells.int()?,
        kind: cells.word(AlertKind::from_word)?,
        subject: cells.text()?,
        summary: cells.text()?,
        opened_at: cells.time()?,
        closed_at: cells.time_or_zero()?,
        told_at: cells.time_or_zero()?,
    })
}
