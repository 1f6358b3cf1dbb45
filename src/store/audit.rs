//! The audit log: one hash chain a tenant, appended to, never changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Store, StoreError,
    chains::Ends,
    dialect::Sql,
    driver::Tx,
    pieces::piece,
    tries::Tries,
    values::{Binds, Value, page},
};
use crate::domain::{
    audit::link,
    checksum::Digest,
    time::Timestamp,
    work::{AuditEvent, Change},
};

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Place in the tenant's chain, from 1 without gaps.
    pub seq: i64,
    /// The event.
    pub event: AuditEvent,
    /// When the row was appended.
    pub appended_at: Timestamp,
    /// Hash of the row before; zero for the first.
    pub previous: Digest,
    /// SHA-256 over `previous` and this row's own fields.
    pub hash: Digest,
}

const LOCK_CHAINS: Sql = Sql {
    name: "tenants.lock_chains",
    text: "SELECT id FROM tenants WHERE id IN ({?}) ORDER BY id $LOCK",
};

const RECORDED: Sql = Sql {
    name: "audit_log.recorded",
    // As with receipts: the sweeper asks for pages of them, and MariaDB read the whole log.
    text: "SELECT transaction_id, change_no FROM audit_log $BY_INDEX[audit_log_change] \
           WHERE transaction_id IN ({?})",
};

const HEADS: Sql = Sql {
    name: "audit_log.heads",
    // One step down the primary key for each tenant; MAX with GROUP BY would read whole chains.
    text: "{SELECT * FROM (SELECT tenant_id, seq, hash FROM audit_log WHERE tenant_id = ? \
           ORDER BY seq DESC LIMIT 1) AS head| UNION ALL }",
};

const INSERT: Sql = Sql {
    name: "audit_log.insert",
    text: "INSERT INTO audit_log (tenant_id, seq, transaction_id, change_no, kind, at, details, \
           appended_at, prev_hash, hash) VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)}",
};

const PAGE: Sql = Sql {
    name: "audit_log.page",
    text: "SELECT tenant_id, seq, transaction_id, change_no, kind, at, details, appended_at, \
           prev_hash, hash FROM audit_log WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?",
};

impl Store {
    /// Appends events to their tenants' chains; those recorded before are left alone. Two writers
    /// at once cannot fork a chain: (tenant, seq) and (transaction, change) are unique. Gives how
    /// many rows were new.
    ///
    /// # Errors
    /// [`StoreError::Exists`] after bounded tries against other writers; see [`StoreError`].
    pub async fn append_audit(&self, events: &[AuditEvent]) -> Result<usize, StoreError> {
        let mut seen = HashSet::new();
        let events: Vec<&AuditEvent> = events
            .iter()
            .filter(|event| seen.insert((event.transaction_id, event.change)))
            .collect();
        if events.is_empty() {
            return Ok(0);
        }
        let mut tries = Tries::new(self.inner.tries);
        loop {
            match self.append_once(&events).await {
                // Another writer was faster at the same place of a chain: read its end again.
                Err(StoreError::Exists(_)) if tries.another().await => {}
                Err(error) if tries.after(&error).await => {}
                Err(StoreError::Exists(_)) => return Err(StoreError::Exists("audit row")),
                ended => return ended,
            }
        }
    }

    async fn append_once(&self, events: &[&AuditEvent]) -> Result<usize, StoreError> {
        let tenants: Vec<i64> = sorted(events.iter().map(|event| event.tenant_id));
        let Some(mut heads) = self.inner.chains.ends(&tenants) else {
            return self.append_looking(events, &tenants).await;
        };
        let rows = chained(events, &mut heads);
        let appended = self.append_rows(&rows).await;
        match &appended {
            Ok(()) => self.inner.chains.remember(heads),
            // Another writer appended to one of the chains, or one of the events is there already.
            Err(StoreError::Exists(_)) => self.inner.chains.contended(&tenants),
            // It may be there or not.
            Err(_) => self.inner.chains.forget(&tenants),
        }
        appended.map(|()| rows.len())
    }

    /// Appends rows after the ends that this process has written. Where an end is not the last any
    /// more the unique key (tenant, seq) says so.
    async fn append_rows(&self, rows: &[AuditRow]) -> Result<(), StoreError> {
        if piece(rows.len(), self.inner.rows) == rows.len() {
            self.inner.db.execute(&INSERT, rows.len(), &binds(rows)).await?;
            return Ok(());
        }
        let mut tx = self.inner.db.begin().await?;
        for rows in self.pieces(rows) {
            tx.execute(&INSERT, rows.len(), &binds(rows)).await?;
        }
        tx.commit().await
    }

    /// Appends those events that the log does not have, after looking where the chains end.
    async fn append_looking(&self, events: &[&AuditEvent], tenants: &[i64]) -> Result<usize, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        // The tenant row stands for its chain: writers of one chain wait in line here instead of
        // colliding at its end. The keys would keep the chain whole without it.
        for (_, ids) in self.padded(tenants) {
            let values = Binds::ids(&ids);
            tx.fetch(&LOCK_CHAINS, ids.len(), &values).await?;
        }
        let recorded = self.recorded(&mut tx, events).await?;
        let mut heads = self.heads(&mut tx, tenants).await?;
        let new: Vec<&AuditEvent> = (events.iter().copied())
            .filter(|event| !recorded.contains(&(event.transaction_id, event.change.number())))
            .collect();
        let rows = chained(&new, &mut heads);
        for rows in self.pieces(&rows) {
            tx.execute(&INSERT, rows.len(), &binds(rows)).await?;
        }
        tx.commit().await?;
        self.inner.chains.remember(heads);
        Ok(rows.len())
    }

    /// Which changes of these transactions the log has.
    async fn recorded(&self, tx: &mut Tx, events: &[&AuditEvent]) -> Result<HashSet<(i64, i64)>, StoreError> {
        let ids = sorted(events.iter().map(|event| event.transaction_id));
        let mut recorded = HashSet::new();
        for (_, ids) in self.padded(&ids) {
            let values = Binds::ids(&ids);
            for row in tx.fetch(&RECORDED, ids.len(), &values).await? {
                let mut cells = row.cells();
                recorded.insert((cells.int()?, cells.int()?));
            }
        }
        Ok(recorded)
    }

    /// The last place and hash of each chain that has one.
    async fn heads(&self, tx: &mut Tx, tenants: &[i64]) -> Result<Ends, StoreError> {
        let mut heads = HashMap::with_capacity(tenants.len());
        for (_, tenants) in self.padded(tenants) {
            let values = Binds::ids(&tenants);
            for row in tx.fetch(&HEADS, tenants.len(), &values).await? {
                let mut cells = row.cells();
                heads.insert(cells.int()?, (cells.int()?, cells.digest()?));
            }
        }
        Ok(heads)
    }

    /// One page of a tenant's chain above `after`, in order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn audit_page(
        &self,
        tenant_id: i64,
        after: i64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let values = [tenant_id.into(), after.into(), page(limit)];
        let mut rows = Vec::new();
        for row in self.inner.db.fetch(&PAGE, 1, &values).await? {
            let mut cells = row.cells();
            let (tenant_id, seq, transaction_id) = (cells.int()?, cells.int()?, cells.int()?);
            let event = AuditEvent {
                tenant_id,
                transaction_id,
                change: change_of(cells.int()?, &cells.text()?)?,
                at: cells.time()?,
                details: cells.text()?,
            };
            rows.push(AuditRow {
                seq,
                event,
                appended_at: cells.time()?,
                previous: cells.digest()?,
                hash: cells.digest()?,
            });
        }
        Ok(rows)
    }

    /// The numbers of the changes that the log has, by transaction.
    pub(super) async fn audited(&self, ids: &[i64]) -> Result<BTreeMap<i64, Vec<i64>>, StoreError> {
        let mut audited: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for ids in self.pieces(ids) {
            let values = Binds::ids(ids);
            for row in self.inner.db.fetch(&RECORDED, ids.len(), &values).await? {
                let mut cells = row.cells();
                audited.entry(cells.int()?).or_default().push(cells.int()?);
            }
        }
        Ok(audited)
    }
}

/// Links events to the ends of their chains, in order, and moves the ends on.
fn chained(events: &[&AuditEvent], ends: &mut Ends) -> Vec<AuditRow> {
    let appended_at = Timestamp::now();
    events
        .iter()
        .map(|event| {
            let end = ends.entry(event.tenant_id).or_default();
            let (seq, previous) = (end.0 + 1, end.1);
            let hash = link(&previous, seq, event, appended_at);
            *end = (seq, hash);
            AuditRow {
                seq,
                event: (*event).clone(),
                appended_at,
                previous,
                hash,
            }
        })
        .collect()
}

fn binds(rows: &[AuditRow]) -> Binds<'_> {
    let mut values = Binds::of(rows.len() * 10);
    for row in rows {
        values.put_all(values_of(row));
    }
    values
}

fn values_of(row: &AuditRow) -> [Value<'_>; 10] {
    let event = &row.event;
    [
        event.tenant_id.into(),
        row.seq.into(),
        event.transaction_id.into(),
        event.change.number().into(),
        event.change.as_str().into(),
        event.at.into(),
        event.details.as_str().into(),
        row.appended_at.into(),
        (&row.previous).into(),
        (&row.hash).into(),
    ]
}

/// The number and the word must name the same change, or a row was edited.
fn change_of(number: i64, kind: &str) -> Result<Change, StoreError> {
    Change::ALL
        .into_iter()
        .find(|change| change.number() == number && change.as_str() == kind)
        .ok_or_else(|| StoreError::Damaged(format!("audit change {number} {kind:?}")))
}

fn sorted(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
