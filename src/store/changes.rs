//! What every change of access leaves behind, in its own transaction: a row of the feed that the
//! ingress processes follow, and a row that tells who did it.

use std::sync::Arc;

use serde::Serialize;

use super::{Store, StoreError, cells::Cells, dialect::Sql, driver::Tx, pieces::cut, values::page};
use crate::domain::time::Timestamp;

/// Rows of the feed that are kept. A process that fell further behind forgets all it knows.
const FEED_ROWS: i64 = 10_000;

/// Who changes something: in an administrator's request, on the command line, or the system itself.
#[derive(Clone, Debug)]
pub struct Actor {
    /// `token:7`, `cli:ana`, `system`.
    pub name: String,
    /// Where the request came from; empty for none.
    pub address: String,
    /// The request; empty for none.
    pub request_id: String,
}

/// What a change is about, by row id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One token.
    Token(i64),
    /// Every token of a family.
    Family(i64),
    /// A terminal.
    Terminal(i64),
    /// A tenant.
    Tenant(i64),
    /// An enrolment code.
    Enrolment(i64),
    /// A hold of a queue or a tenant; 0 for several.
    Hold(i64),
    /// A change of the width of a queue.
    Width(i64),
    /// An order about rate limits; never in the feed, ingresses read the orders themselves.
    Order(i64),
    /// An order about dead letters; never in the feed either.
    Redrive(i64),
    /// A sink; never in the feed, workers follow an epoch of their own.
    Sink(i64),
    /// The breaker of a sink; never in the feed either.
    Breaker(i64),
}

/// Who did what and when.
#[derive(Clone, Debug, Serialize)]
pub struct ActionRow {
    /// Row id.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What, e.g. `token.revoked`.
    pub action: String,
    /// The kind of what was changed.
    pub subject_kind: String,
    /// Its row id.
    pub subject_id: i64,
    /// For a person.
    pub detail: String,
    /// Where the request came from.
    pub address: String,
    /// The request.
    pub request_id: String,
}

const NEXT_EPOCH: Sql = Sql {
    name: "auth_epoch.next",
    text: "UPDATE auth_epoch SET epoch = epoch + 1 WHERE id = 1",
};

const EPOCH: Sql = Sql {
    name: "auth_epoch.read",
    text: "SELECT epoch FROM auth_epoch WHERE id = 1",
};

const INSERT_CHANGE: Sql = Sql {
    name: "auth_changes.insert",
    text: "INSERT INTO auth_changes (epoch, kind, subject_id) VALUES (?, ?, ?)",
};

const TRIM_CHANGES: Sql = Sql {
    name: "auth_changes.trim",
    text: "DELETE FROM auth_changes WHERE epoch <= ?",
};

const CHANGES: Sql = Sql {
    name: "auth_changes.since",
    text: "SELECT epoch, kind, subject_id FROM auth_changes WHERE epoch > ? ORDER BY epoch LIMIT ?",
};

const INSERT_ACTION: Sql = Sql {
    name: "admin_actions.insert",
    text: "INSERT INTO admin_actions (at, actor, action, subject_kind, subject_id, detail, address, request_id) \
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
};

const ACTIONS: Sql = Sql {
    name: "admin_actions.page",
    text: "SELECT id, at, actor, action, subject_kind, subject_id, detail, address, request_id \
           FROM admin_actions WHERE id > ? ORDER BY id LIMIT ?",
};

impl Subject {
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Subject::Token(_) => "token",
            Subject::Family(_) => "family",
            Subject::Terminal(_) => "terminal",
            Subject::Tenant(_) => "tenant",
            Subject::Enrolment(_) => "enrolment",
            Subject::Hold(_) => "hold",
            Subject::Width(_) => "width",
            Subject::Order(_) => "order",
            Subject::Redrive(_) => "redrive",
            Subject::Sink(_) => "sink",
            Subject::Breaker(_) => "breaker",
        }
    }

    const fn id(self) -> i64 {
        match self {
            Subject::Token(id)
            | Subject::Family(id)
            | Subject::Terminal(id)
            | Subject::Tenant(id)
            | Subject::Enrolment(id)
            | Subject::Hold(id)
            | Subject::Width(id)
            | Subject::Order(id)
            | Subject::Redrive(id)
            | Subject::Sink(id)
            | Subject::Breaker(id) => id,
        }
    }

    fn of(kind: &str, id: i64) -> Result<Self, StoreError> {
        match kind {
            "token" => Ok(Subject::Token(id)),
            "family" => Ok(Subject::Family(id)),
            "terminal" => Ok(Subject::Terminal(id)),
            "tenant" => Ok(Subject::Tenant(id)),
            "enrolment" => Ok(Subject::Enrolment(id)),
            "hold" => Ok(Subject::Hold(id)),
            "width" => Ok(Subject::Width(id)),
            "order" => Ok(Subject::Order(id)),
            "redrive" => Ok(Subject::Redrive(id)),
            "sink" => Ok(Subject::Sink(id)),
            "breaker" => Ok(Subject::Breaker(id)),
            other => Err(StoreError::Damaged(format!("unknown subject {other:?}"))),
        }
    }
}

impl Store {
    /// The same record, with changes put down to `actor`.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            actor: Some(Arc::new(actor)),
        }
    }

    /// The number of the newest change of access.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn auth_epoch(&self) -> Result<i64, StoreError> {
        let rows = self.inner.db.fetch(&EPOCH, 1, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.cells().int())
    }

    /// Changes of access after number `after`, in the order of their commits, at most `limit`. Their
    /// numbers follow one another without a gap; where the first is not `after + 1`, older ones were
    /// thrown away.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn auth_changes(&self, after: i64, limit: usize) -> Result<Vec<(i64, Subject)>, StoreError> {
        let rows = self
            .inner
            .db
            .fetch(&CHANGES, 1, &[after.into(), page(limit)])
            .await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                let epoch = cells.int()?;
                let kind = cells.text()?;
                Ok((epoch, Subject::of(&kind, cells.int()?)?))
            })
            .collect()
    }

    /// One page of who did what, with an id above `after`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_actions(&self, after: i64, limit: usize) -> Result<Vec<ActionRow>, StoreError> {
        let rows = self
            .inner
            .db
            .fetch(&ACTIONS, 1, &[after.into(), page(limit)])
            .await?;
        rows.iter().map(|row| read_action(&mut row.cells())).collect()
    }

    /// Puts a change into the feed. The lock of the one epoch row is held until the commit, so the
    /// numbers follow the order of the commits and no reader can pass over one; hence this comes
    /// last in a transaction.
    pub(super) async fn publish(&self, tx: &mut Tx, subject: Subject) -> Result<(), StoreError> {
        tx.execute(&NEXT_EPOCH, 1, &[]).await?;
        let rows = tx.fetch(&EPOCH, 1, &[]).await?;
        let row = rows.first().ok_or(StoreError::Missing("auth epoch"))?;
        let epoch = row.cells().int()?;
        let values = [epoch.into(), subject.kind().into(), subject.id().into()];
        tx.execute(&INSERT_CHANGE, 1, &values).await?;
        tx.execute(&TRIM_CHANGES, 1, &[(epoch - FEED_ROWS).into()])
            .await?;
        Ok(())
    }

    /// Tells who did it.
    pub(super) async fn attribute(
        &self,
        tx: &mut Tx,
        action: &str,
        subject: Subject,
        detail: &str,
    ) -> Result<(), StoreError> {
        let nobody = Actor {
            name: "system".to_owned(),
            address: String::new(),
            request_id: String::new(),
        };
        let actor = self.actor.as_deref().unwrap_or(&nobody);
        let (name, detail) = (cut(&actor.name, 64), cut(detail, 500));
        let values = [
            Timestamp::now().into(),
            name.as_str().into(),
            action.into(),
            subject.kind().into(),
            subject.id().into(),
            detail.as_str().into(),
            actor.address.as_str().into(),
            actor.request_id.as_str().into(),
        ];
        tx.execute(&INSERT_ACTION, 1, &values).await?;
        Ok(())
    }
}

pub(super) fn read_action(cells: &mut Cells<'_>) -> Result<ActionRow, StoreError> {
    Ok(ActionRow {
        id: cells.int()?,
        at: cells.time()?,
        actor: cells.text()?,
        action: cells.text()?,
        subject_kind: cells.text()?,
        subject_id: cells.int()?,
        detail: cells.text()?,
        address: cells.text()?,
        request_id: cells.text()?,
    })
}
