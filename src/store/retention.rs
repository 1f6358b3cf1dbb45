//! Forgetting what is kept for a while only. Nothing of a sale is among it: no submission, transaction,
//! delivery, dead letter, void, refund or link of the audit log is ever deleted by a timer.

use super::{
    Store, StoreError,
    dialect::{Dialect, Sql},
    values::page,
};
use crate::domain::time::Timestamp;

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// A kind of row that is forgotten when it is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// Counts of what should not have happened, by the hour.
    SecurityEvents,
    /// Who changed what.
    AdminActions,
    /// A person's orders about rate limits; old by their end.
    LimitOrders,
    /// Counts of requests refused by a rate limit, by the hour.
    LimitRefusals,
    /// Enrolment codes; old by the time until which they were good.
    Enrolments,
    /// Ingresses that went away without a word.
    IngressBeats,
    /// Alerts that are over; old by their end.
    Alerts,
    /// Messages to people.
    AlertMessages,
    /// Callbacks to terminals that have ended. What they told stands with the sale.
    Callbacks,
    /// Tries to forward that did not succeed.
    Tries,
}

impl Passing {
    /// Every kind.
    pub const ALL: [Passing; 10] = [
        Passing::SecurityEvents,
        Passing::AdminActions,
        Passing::LimitOrders,
        Passing::LimitRefusals,
        Passing::Enrolments,
        Passing::IngressBeats,
        Passing::Alerts,
        Passing::AlertMessages,
        Passing::Callbacks,
        Passing::Tries,
    ];

    /// Its table, also the label of what was forgotten.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Passing::SecurityEvents => "security_events",
            Passing::AdminActions => "admin_actions",
            Passing::LimitOrders => "limit_orders",
            Passing::LimitRefusals => "limit_refusals",
            Passing::Enrolments => "enrolments",
            Passing::IngressBeats => "ingress_beats",
            Passing::Alerts => "alerts",
            Passing::AlertMessages => "alert_messages",
            Passing::Callbacks => "notifications",
            Passing::Tries => "forward_tries",
        }
    }

    const fn way(self) -> Way {
        match self {
            Passing::SecurityEvents => Way::ByTime(&SECURITY_EVENTS),
            Passing::LimitOrders => Way::ByTime(&LIMIT_ORDERS),
            Passing::LimitRefusals => Way::ByTime(&LIMIT_REFUSALS),
            Passing::IngressBeats => Way::ByTime(&INGRESS_BEATS),
            Passing::Alerts => Way::ByTime(&ALERTS),
            Passing::AlertMessages => Way::ById(&OLDEST_MESSAGES, &FORGET_MESSAGES),
            Passing::Callbacks => Way::ById(&OLDEST_CALLBACKS, &FORGET_CALLBACKS),
            Passing::Tries => Way::ById(&OLDEST_TRIES, &FORGET_TRIES),
            Passing::AdminActions => Way::ById(&OLDEST_ACTIONS, &FORGET_ACTIONS),
            Passing::Enrolments => Way::ById(&OLDEST_ENROLMENTS, &FORGET_ENROLMENTS),
        }
    }

    /// `before` in the unit of the table.
    fn limit(self, before: Timestamp) -> i64 {
        match self {
            Passing::SecurityEvents | Passing::LimitRefusals => {
                before.as_micros().div_euclid(MICROS_PER_HOUR)
            }
            Passing::AdminActions
            | Passing::LimitOrders
            | Passing::Enrolments
            | Passing::IngressBeats
            | Passing::Alerts
            | Passing::AlertMessages
            | Passing::Callbacks
            | Passing::Tries => before.as_micros(),
        }
    }
}

/// How old rows are found without reading young ones.
enum Way {
    /// An index leads to them: deleted by time, a page at once.
    ByTime(&'static Both),
    /// They were made in the order of their ids: the first page is read, and what of it is old deleted.
    ById(&'static Sql, &'static Sql),
}

/// A bounded delete: MySQL knows `LIMIT`, SQLite the row number.
struct Both {
    mysql: Sql,
    sqlite: Sql,
}

macro_rules! bounded {
    ($table:literal, $time:literal, $order:literal) => {
        Both {
            mysql: Sql {
                name: concat!($table, ".forget"),
                text: concat!(
                    "DELETE FROM ",
                    $table,
                    " WHERE ",
                    $time,
                    " < ? ORDER BY ",
                    $order,
                    " LIMIT ?"
                ),
            },
            sqlite: Sql {
                name: concat!($table, ".forget"),
                text: concat!(
                    "DELETE FROM ",
                    $table,
                    " WHERE rowid IN (SELECT rowid FROM ",
                    $table,
                    " WHERE ",
                    $time,
                    " < ? ORDER BY ",
                    $order,
                    " LIMIT ?)"
                ),
            },
        }
    };
}

const SECURITY_EVENTS: Both = bounded!("security_events", "hour", "hour, kind, subject");
const LIMIT_ORDERS: Both = bounded!("limit_orders", "ends_at", "ends_at");
const LIMIT_REFUSALS: Both = bounded!("limit_refusals", "hour", "hour, class, tenant_id, identifier");
// As many rows as there are ingresses, and those that broke down lately.
const INGRESS_BEATS: Both = bounded!("ingress_beats", "seen_at", "name");

// One that goes on has not ended.
const ALERTS: Both = bounded!("alerts", "closed_at > 0 AND closed_at", "closed_at");

const OLDEST_MESSAGES: Sql = Sql {
    name: "alert_messages.oldest",
    text: "SELECT id, created_at FROM alert_messages ORDER BY id LIMIT ?",
};
const FORGET_MESSAGES: Sql = Sql {
    name: "alert_messages.forget",
    text: "DELETE FROM alert_messages WHERE id <= ?",
};
const OLDEST_CALLBACKS: Sql = Sql {
    name: "notifications.oldest",
    // One that is still to be delivered is young, whenever it was made.
    text: "SELECT id, CASE WHEN due_at IS NULL THEN created_at ELSE 9223372036854775807 END \
           FROM notifications ORDER BY id LIMIT ?",
};
const FORGET_CALLBACKS: Sql = Sql {
    name: "notifications.forget",
    text: "DELETE FROM notifications WHERE id <= ?",
};
const OLDEST_TRIES: Sql = Sql {
    name: "forward_tries.oldest",
    text: "SELECT id, sent_at FROM forward_tries ORDER BY id LIMIT ?",
};
const FORGET_TRIES: Sql = Sql {
    name: "forward_tries.forget",
    text: "DELETE FROM forward_tries WHERE id <= ?",
};
const OLDEST_ACTIONS: Sql = Sql {
    name: "admin_actions.oldest",
    text: "SELECT id, at FROM admin_actions ORDER BY id LIMIT ?",
};
const FORGET_ACTIONS: Sql = Sql {
    name: "admin_actions.forget",
    text: "DELETE FROM admin_actions WHERE id <= ?",
};
const OLDEST_ENROLMENTS: Sql = Sql {
    name: "enrolments.oldest",
    text: "SELECT id, expires_at FROM enrolments ORDER BY id LIMIT ?",
};
const FORGET_ENROLMENTS: Sql = Sql {
    name: "enrolments.forget",
    text: "DELETE FROM enrolments WHERE id <= ?",
};

impl Store {
    /// Forgets the oldest rows of a kind that are from before `before`, at most `most` of them; how many.
    ///
    /// # Errors
    /// See [`StoreError`]. Asking again is safe.
    pub async fn forget(&self, passing: Passing, before: Timestamp, most: usize) -> Result<u64, StoreError> {
        let limit = passing.limit(before);
        match passing.way() {
            Way::ByTime(both) => {
                let sql = match self.inner.db.texts.dialect() {
                    Dialect::MySql => &both.mysql,
                    Dialect::Sqlite => &both.sqlite,
                };
                let values = [limit.into(), page(most)];
                let done = retrying!(self, self.inner.db.execute(sql, 1, &values))?;
                Ok(done.rows)
            }
            Way::ById(oldest, forget) => {
                let rows = self.inner.db.fetch(oldest, 1, &[page(most)]).await?;
                let mut last = None;
                for row in &rows {
                    let mut cells = row.cells();
                    let (id, time) = (cells.int()?, cells.int()?);
                    if time >= limit {
                        break;
                    }
                    last = Some(id);
                }
                let Some(last) = last else { return Ok(0) };
                let done = retrying!(self, self.inner.db.execute(forget, 1, &[last.into()]))?;
                Ok(done.rows)
            }
        }
    }
}
