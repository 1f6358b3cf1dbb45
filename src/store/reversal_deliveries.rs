//! The delivery of voids and refunds: claimed by their sale, after the sale's own delivery. They are
//! few, so here clearness goes before the number of statements.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    Claim, ForwardItem, Settled, Store, StoreError,
    dialect::Sql,
    driver::Tx,
    pieces::{cut, fits_word},
    reversal_row::{self, read_delivery},
    reversals::WITHDRAW,
    submissions::DETAIL,
    values::Binds,
};
use crate::domain::{
    reversal::{Fate, Reversal, ReversalKind, fate},
    time::Timestamp,
};

/// The voids and refunds of one sale that a claim holds.
#[derive(Clone, Debug)]
pub struct ClaimedReversals {
    /// Those that the delivery is about.
    pub claimed: Vec<Reversal>,
    /// Every refund of the sale so far, in the order they were recorded: what the item says.
    pub refunds: Vec<Reversal>,
}

const ANY_DUE: Sql = Sql {
    name: "reversals.any_due",
    text: "SELECT id FROM reversals WHERE sale_id IN ({?}) AND due_at IS NOT NULL LIMIT 1",
};

const LOCK_DUE: Sql = Sql {
    name: "reversals.lock_due",
    text: concat!(
        "SELECT ",
        reversal_columns!(),
        ", r.due_at, f.state, f.attempts, f.due_at, f.last_code FROM reversals r \
         LEFT JOIN forwards f ON f.transaction_id = r.sale_id \
         WHERE r.sale_id IN ({?}) AND r.due_at + 0 IS NOT NULL ORDER BY r.id $LOCK"
    ),
};

const CLAIM: Sql = Sql {
    name: "reversals.claim",
    text: "UPDATE reversals SET state = 'SENDING', attempts = attempts + 1, claim = ?, due_at = ? \
           WHERE id IN ({?})",
};

const WAIT: Sql = Sql {
    name: "reversals.wait",
    text: "UPDATE reversals SET due_at = ? WHERE id = ?",
};

const SILENCE: Sql = Sql {
    name: "reversals.withdraw",
    text: "UPDATE reversals SET state = 'WITHDRAWN', due_at = NULL, claim = 0, settled_at = ? \
           WHERE id IN ({?})",
};

const REFUNDS: Sql = Sql {
    name: "reversals.refunds",
    text: concat!(
        "SELECT ",
        reversal_columns!(),
        " FROM reversals r WHERE r.sale_id IN ({?}) AND r.kind = 'REFUND' ORDER BY r.id"
    ),
};

const RENEW: Sql = Sql {
    name: "reversals.renew",
    text: "UPDATE reversals SET due_at = ? WHERE sale_id IN ({?}) AND claim = ?",
};

const FORWARDED: Sql = Sql {
    name: "reversals.forwarded",
    text: "UPDATE reversals SET state = 'FORWARDED', due_at = NULL, claim = 0, last_code = NULL, \
           batch_id = ?, settled_at = ? WHERE sale_id = ? AND claim = ?",
};

const RETRY: Sql = Sql {
    name: "reversals.retry",
    text: "UPDATE reversals SET state = 'PENDING', claim = 0, attempts = attempts - ?, last_code = ?, \
           due_at = ? WHERE sale_id = ? AND claim = ?",
};

const DEAD: Sql = Sql {
    name: "reversals.dead",
    text: "UPDATE reversals SET state = 'DEAD', due_at = NULL, last_code = ?, settled_at = ? \
           WHERE sale_id = ? AND claim = ?",
};

const DEAD_LETTERS: Sql = Sql {
    name: "dead_letters.insert_reversal",
    text: "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) \
           SELECT 'reversal', id, tenant_id, last_code, ?, ? FROM reversals WHERE sale_id = ? AND claim = ? \
           $KEEP_FIRST",
};

const CLEAR: Sql = Sql {
    name: "reversals.clear_claim",
    text: "UPDATE reversals SET claim = 0 WHERE sale_id = ? AND claim = ?",
};

impl Store {
    /// Claims the due voids and refunds of those sales of `ids` that `claim` neither holds nor saw held,
    /// under the same token. A void whose sale has not arrived ends the sale's delivery; one that the
    /// web application need not hear of ends here.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_reversals(
        &self,
        claim: &mut Claim,
        ids: &[i64],
        now: Timestamp,
        hold: Duration,
    ) -> Result<(), StoreError> {
        let held = |id: &i64| claim.held.iter().any(|(held, _)| held == id);
        let claimed = |id: &i64| claim.items.iter().any(|item| item.row.id == *id);
        let mut ids: Vec<i64> = ids
            .iter()
            .copied()
            .filter(|id| !held(id) && !claimed(id))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut claimed: BTreeMap<i64, Vec<Reversal>> = BTreeMap::new();
        for ids in self.pieces(&ids) {
            // The usual case of a job that comes again: no lock, and nothing to do.
            let due = self.inner.db.fetch(&ANY_DUE, ids.len(), &Binds::ids(ids)).await?;
            if due.is_empty() {
                continue;
            }
            let (taken, waiting) = retrying!(self, self.claim_once(claim.token, ids, now, now.plus(hold)))?;
            claim.held.extend(waiting);
            for reversal in taken {
                claimed
                    .entry(reversal.sale_id.unwrap_or(0))
                    .or_default()
                    .push(reversal);
            }
        }
        if claimed.is_empty() {
            return Ok(());
        }
        let sales: Vec<i64> = claimed.keys().copied().collect();
        let mut refunds = self.refunds(&sales).await?;
        for row in self.transactions(&sales).await? {
            let Some(claimed) = claimed.remove(&row.id) else {
                continue;
            };
            let attempts = claimed.iter().map(|reversal| reversal.attempts).max();
            claim.items.push(ForwardItem {
                attempt: attempts.unwrap_or(0) + 1,
                created_at: claimed.first().map_or(now, |reversal| reversal.made_at),
                reversals: Some(ClaimedReversals {
                    claimed,
                    refunds: refunds.remove(&row.id).unwrap_or_default(),
                }),
                row,
            });
        }
        Ok(())
    }

    /// One piece of a claim; gives what was claimed, and which sales have to be looked at again when.
    async fn claim_once(
        &self,
        token: i64,
        ids: &[i64],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(Vec<Reversal>, Vec<(i64, Timestamp)>), StoreError> {
        let (mut taken, mut silent, mut waiting, mut withdrawn) = (vec![], vec![], vec![], vec![]);
        let mut tx = self.inner.db.begin().await?;
        for row in tx.fetch(&LOCK_DUE, ids.len(), &Binds::ids(ids)).await? {
            let mut cells = row.cells();
            let reversal = reversal_row::read(&mut cells)?;
            let due_at = cells.time()?;
            let sale = reversal.sale_id.unwrap_or(0);
            if due_at > now {
                waiting.push((sale, due_at));
                continue;
            }
            match fate(reversal.kind, read_delivery(&mut cells)?, now) {
                Fate::Silence => silent.push(reversal.id),
                Fate::Withdraw { tell } => {
                    withdrawn.push(sale);
                    if tell {
                        taken.push(reversal);
                    } else {
                        silent.push(reversal.id);
                    }
                }
                Fate::Wait(until) => {
                    tx.execute(&WAIT, 1, &[until.into(), reversal.id.into()]).await?;
                    waiting.push((sale, until));
                }
                Fate::Tell => taken.push(reversal),
            }
        }
        for ids in self.pieces(&withdrawn) {
            let mut values = Binds::of(ids.len() + 1);
            values.put(now).put_all(ids.iter().copied());
            tx.execute(&WITHDRAW, ids.len(), &values).await?;
        }
        for ids in self.pieces(&silent) {
            let mut values = Binds::of(ids.len() + 1);
            values.put(now).put_all(ids.iter().copied());
            tx.execute(&SILENCE, ids.len(), &values).await?;
        }
        for taken in self.pieces(&taken) {
            let mut values = Binds::of(taken.len() + 2);
            values
                .put(token)
                .put(until)
                .put_all(taken.iter().map(|reversal| reversal.id));
            tx.execute(&CLAIM, taken.len(), &values).await?;
        }
        tx.commit().await?;
        Ok((taken, waiting))
    }

    /// The refunds of sales, by sale, in the order they were recorded.
    async fn refunds(&self, sales: &[i64]) -> Result<HashMap<i64, Vec<Reversal>>, StoreError> {
        let mut refunds: HashMap<i64, Vec<Reversal>> = HashMap::new();
        for sales in self.pieces(sales) {
            let values = Binds::ids(sales);
            for row in self.inner.db.fetch(&REFUNDS, sales.len(), &values).await? {
                let refund = reversal_row::read(&mut row.cells())?;
                refunds
                    .entry(refund.sale_id.unwrap_or(0))
                    .or_default()
                    .push(refund);
            }
        }
        Ok(refunds)
    }

    /// As [`Store::renew_forwards`], for the voids and refunds of these sales.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn renew_reversals(
        &self,
        token: i64,
        sales: &[i64],
        until: Timestamp,
    ) -> Result<(), StoreError> {
        for sales in self.pieces(sales) {
            let mut values = Binds::of(sales.len() + 2);
            values.put(until).put_all(sales.iter().copied()).put(token);
            retrying!(self, self.inner.db.execute(&RENEW, sales.len(), &values))?;
        }
        Ok(())
    }

    /// As [`Store::settle_forwards`], for the voids and refunds of the sales that the ends name. Gives
    /// the sales whose claim was taken over meanwhile.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn settle_reversals(&self, token: i64, ends: &[Settled]) -> Result<Vec<i64>, StoreError> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        retrying!(self, self.settle_reversals_once(token, ends))
    }

    async fn settle_reversals_once(&self, token: i64, ends: &[Settled]) -> Result<Vec<i64>, StoreError> {
        let mut overtaken = Vec::new();
        let mut tx = self.inner.db.begin().await?;
        for end in ends {
            let (sale, settled) = match end {
                Settled::Forwarded { id, at, batch_id } => {
                    fits_word("a batch id", batch_id, super::forward_ends::BATCH_ID)?;
                    let values = [batch_id.as_str().into(), (*at).into(), (*id).into(), token.into()];
                    (*id, tx.execute(&FORWARDED, 1, &values).await?.rows)
                }
                Settled::Retry {
                    id,
                    due_at,
                    code,
                    counts,
                } => {
                    let mut values = Binds::of(5);
                    values
                        .put(i64::from(!*counts))
                        .put(*code)
                        .put(*due_at)
                        .put(*id)
                        .put(token);
                    (*id, tx.execute(&RETRY, 1, &values).await?.rows)
                }
                Settled::Dead { id, at, code, detail } => {
                    (*id, give_up(&mut tx, token, *id, *at, code, detail).await?)
                }
            };
            if settled == 0 {
                overtaken.push(sale);
            }
        }
        tx.commit().await?;
        Ok(overtaken)
    }
}

/// Marks the claimed ones of a sale dead and writes a letter for each.
async fn give_up(
    tx: &mut Tx,
    token: i64,
    sale: i64,
    at: Timestamp,
    code: &'static str,
    detail: &str,
) -> Result<u64, StoreError> {
    let claimed = [sale.into(), token.into()];
    let mut values = Binds::of(4);
    values.put(code).put(at).put_all(claimed);
    let settled = tx.execute(&DEAD, 1, &values).await?.rows;
    if settled > 0 {
        let detail = cut(detail, DETAIL);
        let mut values = Binds::of(4);
        values.put(detail.as_str()).put(at).put_all(claimed);
        tx.execute(&DEAD_LETTERS, 1, &values).await?;
        tx.execute(&CLEAR, 1, &claimed).await?;
    }
    Ok(settled)
}

impl ClaimedReversals {
    /// Whether it is about a void.
    #[must_use]
    pub fn has_void(&self) -> bool {
        self.claimed.iter().any(|one| one.kind == ReversalKind::Void)
    }
}
