//! Rate limits in the record: a person's orders, the ingresses that are alive, and who was refused.

use std::time::Duration;

use serde::Serialize;

use super::{
    Store, StoreError,
    cells::Cells,
    changes,
    dialect::Sql,
    directory::found,
    driver::Tx,
    pieces::{fits, fits_word},
    values::page,
};
use crate::domain::{
    orders::{Order, OrderKind, Subject},
    time::Timestamp,
};

/// An order to be given.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// What it says.
    pub kind: OrderKind,
    /// Whom it is about.
    pub subject: Subject,
    /// Who gives it; at most 100 characters.
    pub owner: String,
    /// Why; at most 500 characters.
    pub reason: String,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// Requests of one bucket refused within an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Which limit.
    pub class: String,
    /// Whose; 0 where that is not known.
    pub tenant_id: i64,
    /// Who.
    pub identifier: String,
    /// How many.
    pub refused: u64,
}

const INSERT_ORDER: Sql = Sql {
    name: "limit_orders.insert",
    text: "INSERT INTO limit_orders (kind, class, identifier, owner, reason, created_at, ends_at) \
           VALUES (?, ?, ?, ?, ?, ?, ?)",
};

const ORDER: Sql = Sql {
    name: "limit_orders.one",
    text: "SELECT id, kind, class, identifier, owner, reason, created_at, ends_at, lifted_at \
           FROM limit_orders WHERE id = ?",
};

const ORDERS: Sql = Sql {
    name: "limit_orders.page",
    text: "SELECT id, kind, class, identifier, owner, reason, created_at, ends_at, lifted_at \
           FROM limit_orders WHERE id > ? ORDER BY id LIMIT ?",
};

const STANDING_ORDERS: Sql = Sql {
    name: "limit_orders.standing",
    text: "SELECT id, kind, class, identifier, owner, reason, created_at, ends_at, lifted_at \
           FROM limit_orders WHERE ends_at > ? AND lifted_at IS NULL ORDER BY ends_at LIMIT ?",
};

const LIFT_ORDER: Sql = Sql {
    name: "limit_orders.lift",
    text: "UPDATE limit_orders SET lifted_at = COALESCE(lifted_at, ?) WHERE id = ?",
};

const BEAT: Sql = Sql {
    name: "ingress_beats.update",
    text: "UPDATE ingress_beats SET seen_at = ? WHERE name = ?",
};

const FIRST_BEAT: Sql = Sql {
    name: "ingress_beats.insert",
    text: "INSERT INTO ingress_beats (seen_at, name) VALUES (?, ?)",
};

const LAST_BEAT: Sql = Sql {
    name: "ingress_beats.delete",
    text: "DELETE FROM ingress_beats WHERE name = ? OR seen_at < ?",
};

const ALIVE: Sql = Sql {
    name: "ingress_beats.count",
    text: "SELECT COUNT(*) FROM ingress_beats WHERE seen_at >= ?",
};

const ADD_REFUSED: Sql = Sql {
    name: "limit_refusals.update",
    text: "UPDATE limit_refusals SET refused = refused + ? \
           WHERE hour = ? AND class = ? AND tenant_id = ? AND identifier = ?",
};

const FIRST_REFUSED: Sql = Sql {
    name: "limit_refusals.insert",
    text: "INSERT INTO limit_refusals (refused, hour, class, tenant_id, identifier) VALUES (?, ?, ?, ?, ?)",
};

const TOP_REFUSED: Sql = Sql {
    name: "limit_refusals.top",
    text: "SELECT class, tenant_id, identifier, CAST(SUM(refused) AS SIGNED) FROM limit_refusals WHERE hour >= ? \
           GROUP BY class, tenant_id, identifier ORDER BY SUM(refused) DESC, class, tenant_id, identifier LIMIT ?",
};

/// Hours since 1970.
fn hour(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(3_600_000_000)
}

impl Store {
    /// Gives an order, and puts down who gave it; its row id.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] for a text that is too long.
    pub async fn give_order(&self, order: &NewOrder) -> Result<i64, StoreError> {
        fits("the owner of an order", &order.owner, 100)?;
        fits("the reason of an order", &order.reason, 500)?;
        let identifier = order.subject.identifier();
        let values = [
            order.kind.word().into(),
            order.subject.class().into(),
            identifier.as_str().into(),
            order.owner.as_str().into(),
            order.reason.as_str().into(),
            Timestamp::now().into(),
            order.ends_at.into(),
        ];
        let detail = format!(
            "{} until {}: {}",
            order.subject,
            order.ends_at.to_rfc3339(0),
            order.reason
        );
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let id = tx.execute(&INSERT_ORDER, 1, &values).await?.last_id;
            let action = match order.kind {
                OrderKind::Block => "limit.blocked",
                OrderKind::Allow => "limit.allowed",
            };
            self.attribute(&mut tx, action, changes::Subject::Order(id), &detail)
                .await?;
            tx.commit().await?;
            Ok(id)
        })
    }

    /// Ends an order before its time. Doing it twice keeps the first time.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such order.
    pub async fn lift_order(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        let values = [at.into(), id.into()];
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            found(tx.execute(&LIFT_ORDER, 1, &values).await?.rows, "order")?;
            self.attribute(&mut tx, "limit.lifted", changes::Subject::Order(id), "")
                .await?;
            tx.commit().await
        })
    }

    /// One order.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such order.
    pub async fn order(&self, id: i64) -> Result<Order, StoreError> {
        let rows = self.inner.db.fetch(&ORDER, 1, &[id.into()]).await?;
        let row = rows.first().ok_or(StoreError::Missing("order"))?;
        read_order(&mut row.cells())
    }

    /// One page of orders with an id above `after`, those that ended included.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_orders(&self, after: i64, limit: usize) -> Result<Vec<Order>, StoreError> {
        self.orders(&ORDERS, after, limit).await
    }

    /// The orders that hold at `now`, at most `limit` of them, those first that end first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn standing_orders(&self, now: Timestamp, limit: usize) -> Result<Vec<Order>, StoreError> {
        self.orders(&STANDING_ORDERS, now.as_micros(), limit).await
    }

    async fn orders(&self, sql: &Sql, above: i64, limit: usize) -> Result<Vec<Order>, StoreError> {
        let rows = self.inner.db.fetch(sql, 1, &[above.into(), page(limit)]).await?;
        rows.iter().map(|row| read_order(&mut row.cells())).collect()
    }

    /// Says that the ingress `name` is alive; how many were within `within` before `now`, it included.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ingress_beats(
        &self,
        name: &str,
        now: Timestamp,
        within: Duration,
    ) -> Result<u32, StoreError> {
        fits_word("the name of an ingress", name, 32)?;
        let db = &self.inner.db;
        let values = [now.into(), name.into()];
        if db.execute(&BEAT, 1, &values).await?.rows == 0 {
            db.execute(&FIRST_BEAT, 1, &values).await?;
        }
        let rows = db.fetch(&ALIVE, 1, &[now.minus(within).into()]).await?;
        rows.first().map_or(Ok(1), |row| row.cells().count())
    }

    /// The ingress `name` ends; so are those forgotten that were silent since `silent`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ingress_ends(&self, name: &str, silent: Timestamp) -> Result<(), StoreError> {
        let values = [name.into(), silent.into()];
        self.inner.db.execute(&LAST_BEAT, 1, &values).await.map(|_| ())
    }

    /// Adds to the refusals of the hour of `at`, in one transaction.
    ///
    /// # Errors
    /// See [`StoreError`]; then none of them is added.
    pub async fn add_refused(&self, at: Timestamp, refused: &[Refused]) -> Result<(), StoreError> {
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            for one in refused {
                add_refused(&mut tx, hour(at), one).await?;
            }
            tx.commit().await
        })
    }

    /// Who was refused most since `since`, to the hour.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn top_refused(&self, since: Timestamp, limit: usize) -> Result<Vec<Refused>, StoreError> {
        let values = [hour(since).into(), page(limit)];
        let rows = self.inner.db.fetch(&TOP_REFUSED, 1, &values).await?;
        rows.iter().map(|row| read_refused(&mut row.cells())).collect()
    }
}

async fn add_refused(tx: &mut Tx, hour: i64, one: &Refused) -> Result<(), StoreError> {
    let count = i64::try_from(one.refused).unwrap_or(i64::MAX);
    let values = [
        count.into(),
        hour.into(),
        one.class.as_str().into(),
        one.tenant_id.into(),
        one.identifier.as_str().into(),
    ];
    if tx.execute(&ADD_REFUSED, 1, &values).await?.rows > 0 {
        return Ok(());
    }
    match tx.execute(&FIRST_REFUSED, 1, &values).await {
        // Another ingress was first.
        Err(StoreError::Exists(_)) => tx.execute(&ADD_REFUSED, 1, &values).await.map(|_| ()),
        other => other.map(|_| ()),
    }
}

fn read_order(cells: &mut Cells<'_>) -> Result<Order, StoreError> {
    Ok(Order {
        id: cells.int()?,
        kind: cells.word(OrderKind::from_word)?,
        subject: {
            let (class, identifier) = (cells.text()?, cells.text()?);
            let subject = format!("{class}:{identifier}").parse();
            subject.map_err(|error| StoreError::Damaged(format!("limit_orders: {error}")))?
        },
        owner: cells.text()?,
        reason: cells.text()?,
        created_at: cells.time()?,
        ends_at: cells.time()?,
        lifted_at: cells.time_or_null()?,
    })
}

fn read_refused(cells: &mut Cells<'_>) -> Result<Refused, StoreError> {
    Ok(Refused {
        class: cells.text()?,
        tenant_id: cells.int()?,
        identifier: cells.text()?,
        refused: u64::try_from(cells.int()?).unwrap_or(0),
    })
}
