//! Messages to people: made with what they tell, delivered by whoever claims them, kept for a while.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;
use serde_json::json;

use super::{
    Store, StoreError,
    alerts::Telling,
    cells::Cells,
    dialect::Sql,
    driver::Tx,
    pieces::cut,
    values::{Binds, page},
};
use crate::domain::{alert::Line, time::Timestamp};

const HOUR: Duration = Duration::from_secs(3600);
/// Width of the title's column.
const TITLE: usize = 200;
/// Subjects named in a title.
const IN_TITLE: usize = 3;

/// A way to reach people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// E-mail.
    Email,
    /// A signed POST.
    Webhook,
}

impl Channel {
    /// The word in the record and in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Channel::Email => "email",
            Channel::Webhook => "webhook",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Channel::Email, Channel::Webhook]
            .into_iter()
            .find(|channel| channel.word() == word)
    }
}

/// A message to be delivered.
#[derive(Clone, Debug)]
pub struct NewMessage {
    channel: Channel,
    title: String,
    body: String,
    at: Timestamp,
}

/// A message as it is kept.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// Row id.
    pub id: i64,
    /// Its name towards the receiver, the same for every attempt.
    pub uid: String,
    /// How it goes.
    pub channel: Channel,
    /// Its subject.
    pub title: String,
    /// Its text; JSON where it is posted.
    pub body: String,
    /// `PENDING`, `SENDING`, `SENT`, `FAILED`.
    pub state: String,
    /// Deliveries tried.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_code: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it ended.
    pub settled_at: Option<Timestamp>,
}

/// How the delivery of a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Yes,
    /// It is to be tried again then.
    Later(Timestamp, &'static str),
    /// It is given up.
    Never(&'static str),
}

macro_rules! columns {
    () => {
        "id, uid, channel, title, body, state, attempts, last_code, created_at, settled_at FROM alert_messages "
    };
}

const INSERT: Sql = Sql {
    name: "alert_messages.insert",
    text: "INSERT INTO alert_messages (uid, channel, title, body, state, due_at, created_at) \
           VALUES (?, ?, ?, ?, 'PENDING', ?, ?)",
};

const SINCE: Sql = Sql {
    name: "alert_messages.since",
    text: "SELECT COUNT(*) FROM alert_messages WHERE channel = ? AND created_at > ?",
};

const DUE: Sql = Sql {
    name: "alert_messages.due",
    text: "SELECT id FROM alert_messages WHERE due_at <= ? ORDER BY due_at LIMIT ?",
};

const CLAIM: Sql = Sql {
    name: "alert_messages.claim",
    text: "UPDATE alert_messages SET state = 'SENDING', attempts = attempts + 1, claim = ?, due_at = ? \
           WHERE id IN ({?}) AND due_at + 0 <= ?",
};

const CLAIMED: Sql = Sql {
    name: "alert_messages.claimed",
    text: concat!(
        "SELECT ",
        columns!(),
        "WHERE id IN ({?}) AND claim = ? ORDER BY id"
    ),
};

const SETTLE: Sql = Sql {
    name: "alert_messages.settle",
    text: "UPDATE alert_messages SET state = ?, due_at = ?, claim = 0, last_code = ?, settled_at = ? \
           WHERE id = ? AND claim = ?",
};

const PAGE: Sql = Sql {
    name: "alert_messages.page",
    text: concat!("SELECT ", columns!(), "WHERE id > ? ORDER BY id LIMIT ?"),
};

/// Messages claimed together.
#[derive(Clone, Debug)]
pub struct ClaimedMessages {
    token: i64,
    /// The messages.
    pub messages: Vec<Message>,
}

impl NewMessage {
    /// Tells of alerts; `last` says that nothing more is sent within this hour.
    pub(super) fn of(channel: Channel, lines: &[Line], telling: &Telling, last: bool, at: Timestamp) -> Self {
        let named: Vec<String> = (lines.iter().take(IN_TITLE))
            .map(|line| format!("{} {} {}", line.kind.word(), line.subject, line.change.word()))
            .collect();
        let more = lines.len().saturating_sub(named.len());
        let mut title = format!("[TSMS {}] {}", telling.environment, named.join(", "));
        if more > 0 {
            write!(title, " and {more} more").unwrap_or_default();
        }
        let (shown, left) = lines.split_at(lines.len().min(telling.most_lines));
        let body = match channel {
            Channel::Email => {
                let mut text = String::new();
                for line in shown {
                    writeln!(text, "{line}").unwrap_or_default();
                }
                if !left.is_empty() {
                    writeln!(text, "… and {} more: tsms notify alerts", left.len()).unwrap_or_default();
                }
                if last {
                    text.push_str(
                        "\nNo more messages are sent within this hour; what happens meanwhile is told later, and \
                         listed by: tsms notify alerts\n",
                    );
                }
                text
            }
            Channel::Webhook => json!({
                "type": "tsms.alerts",
                "environment": telling.environment,
                "timestamp": at.to_rfc3339(3),
                "title": title,
                "alerts": shown.iter().map(posted).collect::<Vec<_>>(),
                "more": left.len(),
                "last_within_the_hour": last,
            })
            .to_string(),
        };
        Self {
            channel,
            title,
            body,
            at,
        }
    }

    /// A message that only tells that messages arrive.
    #[must_use]
    pub fn test(channel: Channel, environment: &str, at: Timestamp) -> Self {
        let title = format!("[TSMS {environment}] a test: nothing is wrong");
        let body = match channel {
            Channel::Email => "Somebody tries whether alerts of TSMS arrive. They do.\n".to_owned(),
            Channel::Webhook => json!({
                "type": "tsms.test",
                "environment": environment,
                "timestamp": at.to_rfc3339(3),
                "title": title,
            })
            .to_string(),
        };
        Self {
            channel,
            title,
            body,
            at,
        }
    }
}

fn posted(line: &Line) -> serde_json::Value {
    json!({
        "change": line.change,
        "kind": line.kind,
        "subject": line.subject,
        "summary": line.summary,
        "since": line.since.to_rfc3339(3),
    })
}

impl Store {
    pub(super) async fn insert_message(&self, tx: &mut Tx, message: &NewMessage) -> Result<i64, StoreError> {
        let uid = format!("{:032x}", rand::random::<u128>());
        let title = cut(&message.title, TITLE);
        let mut values = Binds::of(6);
        values
            .put(uid.as_str())
            .put(message.channel.word())
            .put(title.as_str())
            .put(message.body.as_str())
            .put(message.at)
            .put(message.at);
        Ok(tx.execute(&INSERT, 1, &values).await?.last_id)
    }

    /// Messages of a way within the hour before `now`.
    pub(super) async fn messages_since(
        &self,
        tx: &mut Tx,
        channel: Channel,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let values = [channel.word().into(), now.minus(HOUR).into()];
        let rows = tx.fetch(&SINCE, 1, &values).await?;
        let count = rows.first().map_or(Ok(0), |row| row.cells().int())?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Keeps a message, due at once; gives its id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn post_message(&self, message: &NewMessage) -> Result<i64, StoreError> {
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let id = self.insert_message(&mut tx, message).await?;
            tx.commit().await?;
            Ok(id)
        })
    }

    /// Claims messages that are due, at most `limit`, or just those of `ids`; none is due again before
    /// `now + hold`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_messages(
        &self,
        ids: Option<&[i64]>,
        limit: usize,
        now: Timestamp,
        hold: Duration,
    ) -> Result<ClaimedMessages, StoreError> {
        let token = rand::random_range(1..i64::MAX);
        let mut claimed = ClaimedMessages {
            token,
            messages: Vec::new(),
        };
        let due = match ids {
            Some(ids) => ids.to_vec(),
            None => {
                let rows = self.inner.db.fetch(&DUE, 1, &[now.into(), page(limit)]).await?;
                rows.iter()
                    .map(|row| row.cells().int())
                    .collect::<Result<_, _>>()?
            }
        };
        for ids in self.pieces(&due) {
            let mut values = Binds::of(ids.len() + 3);
            values
                .put(token)
                .put(now.plus(hold))
                .put_all(ids.iter().copied())
                .put(now);
            if retrying!(self, self.inner.db.execute(&CLAIM, ids.len(), &values))?.rows == 0 {
                continue;
            }
            let mut values = Binds::ids(ids);
            values.put(token);
            for row in self.inner.db.fetch(&CLAIMED, ids.len(), &values).await? {
                claimed.messages.push(read(&mut row.cells())?);
            }
        }
        Ok(claimed)
    }

    /// Writes how the delivery of a claimed message ended; one that was claimed anew meanwhile is left alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn settle_message(
        &self,
        claimed: &ClaimedMessages,
        id: i64,
        sent: Sent,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (state, due_at, code, settled_at) = match sent {
            Sent::Yes => ("SENT", None, None, now.as_micros()),
            Sent::Later(due_at, code) => ("PENDING", Some(due_at), Some(code), 0),
            Sent::Never(code) => ("FAILED", None, Some(code), now.as_micros()),
        };
        let mut values = Binds::of(6);
        values
            .put(state)
            .put(due_at)
            .put(code)
            .put(settled_at)
            .put(id)
            .put(claimed.token);
        retrying!(self, self.inner.db.execute(&SETTLE, 1, &values))?;
        Ok(())
    }

    /// One page of messages with an id above `after`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn messages(&self, after: i64, limit: usize) -> Result<Vec<Message>, StoreError> {
        let rows = self
            .inner
            .db
            .fetch(&PAGE, 1, &[after.into(), page(limit)])
            .await?;
        rows.iter().map(|row| read(&mut row.cells())).collect()
    }
}

fn read(cells: &mut Cells<'_>) -> Result<Message, StoreError> {
    Ok(Message {
        id: cells.int()?,
        uid: cells.text()?,
        channel: cells.word(Channel::from_word)?,
        title: cells.text()?,
        body: cells.text()?,
        state: cells.text()?,
        attempts: cells.count()?,
        last_code: cells.text_or_null()?,
        created_at: cells.time()?,
        settled_at: cells.time_or_zero()?,
    })
}
