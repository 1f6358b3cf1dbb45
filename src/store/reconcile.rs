//! What the web application should hold, for reconciliation; and giving up what it took and lost, so that
//! it can be brought back as every other dead letter is.

use std::collections::{BTreeMap, HashMap};

use super::{Store, StoreError, cells::Cells, dialect::Sql, driver::Tx, pieces::cut, values::Binds};
use crate::domain::{
    control::{Delivery, Held, LOST, Taken},
    forward::is_refusal,
    money::Money,
    reversal::ReversalKind,
    sale::ForwardState,
    time::Timestamp,
};

const LAST_ID: Sql = Sql {
    name: "transactions.last_id",
    text: "SELECT COALESCE(MAX(id), 0) FROM transactions",
};

const NEXT_ROW: Sql = Sql {
    name: "transactions.next_row",
    text: "SELECT id, created_at FROM transactions WHERE id > ? ORDER BY id LIMIT 1",
};

macro_rules! columns {
    () => {
        "t.id, t.tenant_id, t.transaction_timestamp, t.gross_sales, t.base_amount, t.voided_at, f.state, \
         f.attempts, f.last_code FROM transactions t JOIN forwards f ON f.transaction_id = t.id "
    };
}

const WINDOW: Sql = Sql {
    name: "forwards.reconcile_window",
    text: concat!(
        "SELECT ",
        columns!(),
        "WHERE t.id > ? AND t.id <= ? AND t.transaction_timestamp >= ? AND t.transaction_timestamp < ? \
         ORDER BY t.id"
    ),
};

const BY_ID: Sql = Sql {
    name: "forwards.reconcile_ids",
    text: concat!("SELECT ", columns!(), "WHERE t.id IN ({?}) ORDER BY t.id"),
};

const TAKEN_IN_WINDOW: Sql = Sql {
    name: "reversals.reconcile_window",
    text: "SELECT sale_id, id, kind, amount, state FROM reversals WHERE sale_id > ? AND sale_id <= ? ORDER BY id",
};

const TAKEN_BY_SALE: Sql = Sql {
    name: "reversals.reconcile_ids",
    text: "SELECT sale_id, id, kind, amount, state FROM reversals WHERE sale_id IN ({?}) ORDER BY id",
};

const LETTERS: Sql = Sql {
    name: "dead_letters.of_sales",
    text: "SELECT subject_id, code FROM dead_letters WHERE stage = 'forwarding' AND subject_id IN ({?})",
};

const LOCK_SALE: Sql = Sql {
    name: "forwards.lock_forwarded",
    text: "SELECT tenant_id FROM forwards WHERE transaction_id = ? AND state = 'FORWARDED' $LOCK",
};

const LOSE_SALE: Sql = Sql {
    name: "forwards.lose",
    text: "UPDATE forwards SET state = 'DEAD', due_at = NULL, claim = 0, last_code = ?, settled_at = ? \
           WHERE transaction_id = ? AND state = 'FORWARDED'",
};

const LOCK_TAKEN: Sql = Sql {
    name: "reversals.lock_forwarded",
    text: "SELECT id, tenant_id FROM reversals WHERE sale_id = ? AND kind = ? AND state = 'FORWARDED' \
           ORDER BY id $LOCK",
};

const LOSE_TAKEN: Sql = Sql {
    name: "reversals.lose",
    text: "UPDATE reversals SET state = 'DEAD', due_at = NULL, claim = 0, last_code = ?, settled_at = ? \
           WHERE id = ? AND state = 'FORWARDED'",
};

const LETTER: Sql = Sql {
    name: "dead_letters.insert_lost",
    text: "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) \
           VALUES (?, ?, ?, ?, ?, ?) $KEEP_FIRST",
};

/// Something that the web application took and does not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostItem {
    /// The sale, with its refunds: it must be sent and taken back again.
    Sale(i64),
    /// The void of this sale.
    Void(i64),
    /// Refunds of this sale.
    Refunds(i64),
}

impl Store {
    /// The highest id of a sale; 0 without one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn last_sale_id(&self) -> Result<i64, StoreError> {
        let rows = self.inner.db.fetch(&LAST_ID, 1, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.cells().int())
    }

    /// An id below which every sale was recorded before `at`, by bisecting the ids: they follow the time
    /// to within `database.id_block_ttl_ms` and the length of a commit, which the caller allows for.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sales_before(&self, at: Timestamp) -> Result<i64, StoreError> {
        let (mut low, mut high) = (0, self.last_sale_id().await?);
        // Ends: the span is halved each time.
        while low < high {
            let middle = low + (high - low) / 2;
            let Some((id, created_at)) = self.next_sale(middle).await? else {
                high = middle;
                continue;
            };
            if created_at < at {
                low = id.min(high);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The first sale with an id above `after`: its id and when it was recorded.
    pub(super) async fn next_sale(&self, after: i64) -> Result<Option<(i64, Timestamp)>, StoreError> {
        let rows = self.inner.db.fetch(&NEXT_ROW, 1, &[after.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut cells = row.cells();
        Ok(Some((cells.int()?, cells.time()?)))
    }

    /// The valid sales with ids above `after` and up to `up_to` that were sold from `from` to before `to`,
    /// in order of id. The span of ids bounds what is read.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn deliveries_between(
        &self,
        (after, up_to): (i64, i64),
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<Delivery>, StoreError> {
        let span = [after.into(), up_to.into()];
        let mut values = Binds::of(4);
        values.put_all(span).put(from).put(to);
        let rows = self.inner.db.fetch(&WINDOW, 1, &values).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut taken = HashMap::new();
        for row in self.inner.db.fetch(&TAKEN_IN_WINDOW, 1, &span).await? {
            read_taken(&mut row.cells(), &mut taken)?;
        }
        rows.iter()
            .map(|row| read_delivery(&mut row.cells(), &mut taken))
            .collect()
    }

    /// The valid sales of these ids, by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn deliveries(&self, ids: &[i64]) -> Result<BTreeMap<i64, Delivery>, StoreError> {
        let mut found = BTreeMap::new();
        for ids in self.pieces(ids) {
            let values = Binds::ids(ids);
            let rows = self.inner.db.fetch(&BY_ID, ids.len(), &values).await?;
            let mut taken = HashMap::new();
            for row in self.inner.db.fetch(&TAKEN_BY_SALE, ids.len(), &values).await? {
                read_taken(&mut row.cells(), &mut taken)?;
            }
            for row in rows {
                let delivery = read_delivery(&mut row.cells(), &mut taken)?;
                found.insert(delivery.newest.id, delivery);
            }
        }
        Ok(found)
    }

    /// Those of these sales whose own delivery has a dead letter that nobody discarded or brought back,
    /// with its code.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn letters_of_sales(&self, ids: &[i64]) -> Result<BTreeMap<i64, String>, StoreError> {
        let mut letters = BTreeMap::new();
        for ids in self.pieces(ids) {
            for row in self.inner.db.fetch(&LETTERS, ids.len(), &Binds::ids(ids)).await? {
                let mut cells = row.cells();
                letters.insert(cells.int()?, cells.text()?);
            }
        }
        Ok(letters)
    }

    /// Makes dead letters of what the web application took and lost, `detail` telling a person why; gives
    /// how many. What is under way, or not delivered, stays as it is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn give_up_lost(
        &self,
        lost: &[LostItem],
        detail: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let detail = cut(detail, super::submissions::DETAIL);
        let mut letters = 0;
        for lost in lost {
            letters += retrying!(self, self.give_up_once(*lost, &detail, now))?;
        }
        Ok(letters)
    }

    async fn give_up_once(&self, lost: LostItem, detail: &str, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let letters = match lost {
            LostItem::Sale(id) => {
                let sale = lose_sale(&mut tx, id, detail, now).await?;
                // Without the sale there is nothing to take back: the refunds follow it.
                let refunds = if sale > 0 {
                    lose_taken(&mut tx, id, ReversalKind::Refund, detail, now).await?
                } else {
                    0
                };
                sale + refunds
            }
            LostItem::Void(id) => lose_taken(&mut tx, id, ReversalKind::Void, detail, now).await?,
            LostItem::Refunds(id) => lose_taken(&mut tx, id, ReversalKind::Refund, detail, now).await?,
        };
        tx.commit().await?;
        Ok(letters)
    }
}

async fn lose_sale(tx: &mut Tx, id: i64, detail: &str, now: Timestamp) -> Result<u64, StoreError> {
    let rows = tx.fetch(&LOCK_SALE, 1, &[id.into()]).await?;
    let Some(row) = rows.first() else {
        return Ok(0);
    };
    let tenant_id = row.cells().int()?;
    tx.execute(&LOSE_SALE, 1, &[LOST.into(), now.into(), id.into()])
        .await?;
    letter(tx, ("forwarding", id, tenant_id), detail, now).await?;
    Ok(1)
}

async fn lose_taken(
    tx: &mut Tx,
    sale: i64,
    kind: ReversalKind,
    detail: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut letters = 0;
    let rows = tx
        .fetch(&LOCK_TAKEN, 1, &[sale.into(), kind.as_str().into()])
        .await?;
    for row in rows {
        let mut cells = row.cells();
        let (id, tenant_id) = (cells.int()?, cells.int()?);
        tx.execute(&LOSE_TAKEN, 1, &[LOST.into(), now.into(), id.into()])
            .await?;
        letter(tx, ("reversal", id, tenant_id), detail, now).await?;
        letters += 1;
    }
    Ok(letters)
}

async fn letter(
    tx: &mut Tx,
    (stage, subject_id, tenant_id): (&'static str, i64, i64),
    detail: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut values = Binds::of(6);
    values
        .put(stage)
        .put(subject_id)
        .put(tenant_id)
        .put(LOST)
        .put(detail)
        .put(now);
    tx.execute(&LETTER, 1, &values).await?;
    Ok(())
}

fn read_taken(cells: &mut Cells<'_>, taken: &mut HashMap<i64, Vec<Taken>>) -> Result<(), StoreError> {
    let sale = cells.int()?;
    taken.entry(sale).or_default().push(Taken {
        id: cells.int()?,
        kind: cells.word(ReversalKind::from_word)?,
        amount: cells.money()?,
        state: cells.word(ForwardState::from_word)?,
    });
    Ok(())
}

fn read_delivery(
    cells: &mut Cells<'_>,
    taken: &mut HashMap<i64, Vec<Taken>>,
) -> Result<Delivery, StoreError> {
    let (id, tenant_id, sold_at) = (cells.int()?, cells.int()?, cells.time()?);
    let (gross, base) = (cells.money_or_null()?, cells.money_or_null()?);
    let voided = cells.time_or_null()?.is_some();
    let state = cells.word(ForwardState::from_word)?;
    let attempts = cells.count()?;
    let refused = cells.text_or_null()?.is_some_and(|code| is_refusal(&code));
    let taken = taken.remove(&id).unwrap_or_default();
    let refunds = taken.iter().filter(|one| one.kind == ReversalKind::Refund);
    Ok(Delivery {
        newest: Held {
            id,
            amount: gross.or(base).unwrap_or(Money::ZERO),
            refunded: refunds.map(|refund| refund.amount).sum(),
            voided,
        },
        tenant_id,
        sold_at,
        state,
        attempts,
        refused,
        taken,
    })
}
