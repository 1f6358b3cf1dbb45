//! Forwards: the delivery of each valid sale, its attempts and its due time; dead letters.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    ClaimedReversals, Store, StoreError,
    dialect::Sql,
    driver::Tx,
    pieces::{cut, fits_word},
    submissions::DETAIL,
    values::Binds,
};
use crate::domain::{sale::Transaction, time::Timestamp};

/// A claim on sales to be sent, fenced by its token.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Names this claim; a later claim on the same row voids it.
    pub token: i64,
    /// The sales claimed, with what a batch item needs.
    pub items: Vec<ForwardItem>,
    /// The sales that another claim holds, and when it ends unless its worker renews it.
    pub held: Vec<(i64, Timestamp)>,
}

/// A claimed sale.
#[derive(Clone, Debug)]
pub struct ForwardItem {
    /// The row.
    pub row: Transaction,
    /// Attempts, this one included.
    pub attempt: u32,
    /// When the terminal's sale first became due to be sent.
    pub created_at: Timestamp,
    /// What is delivered, where it is not the sale itself but voids or refunds of it.
    pub reversals: Option<ClaimedReversals>,
}

/// How one claimed sale ended.
#[derive(Clone, Debug)]
pub enum Settled {
    /// The web application has it.
    Forwarded {
        /// The transaction.
        id: i64,
        /// Since when.
        at: Timestamp,
        /// The batch that carried it.
        batch_id: String,
    },
    /// Not this time.
    Retry {
        /// The transaction.
        id: i64,
        /// When it is due again.
        due_at: Timestamp,
        /// Why.
        code: &'static str,
        /// Whether the attempt counts (an open breaker burns none).
        counts: bool,
    },
    /// Given up.
    Dead {
        /// The transaction.
        id: i64,
        /// Since when.
        at: Timestamp,
        /// Why.
        code: &'static str,
        /// What the web application said, cut to a bound.
        detail: String,
    },
}

const CLAIM: Sql = Sql {
    name: "forwards.claim",
    // A row that is claimed is not due before its claim ends, one that has ended is never due. The
    // `+ 0` keeps the optimizer from walking the due index, where it would wait for the rows of
    // other claims.
    text: "UPDATE forwards SET state = 'SENDING', attempts = attempts + 1, claim = ?, due_at = ? \
           WHERE transaction_id IN ({?}) AND due_at + 0 <= ?",
};

const CLAIMED: Sql = Sql {
    name: "forwards.claimed",
    text: "SELECT transaction_id, attempts, created_at FROM forwards \
           WHERE transaction_id IN ({?}) AND claim = ? ORDER BY transaction_id",
};

const HELD: Sql = Sql {
    name: "forwards.held",
    text: "SELECT transaction_id, due_at FROM forwards \
           WHERE transaction_id IN ({?}) AND state = 'SENDING' AND claim <> ? ORDER BY transaction_id",
};

const RENEW: Sql = Sql {
    name: "forwards.renew",
    text: "UPDATE forwards SET due_at = ? WHERE transaction_id IN ({?}) AND claim = ?",
};

const FORWARDED: Sql = Sql {
    name: "forwards.forwarded",
    text: "UPDATE forwards SET state = 'FORWARDED', due_at = NULL, claim = 0, last_code = NULL, \
           batch_id = CASE transaction_id {WHEN ? THEN ?| } END, settled_at = ? \
           WHERE transaction_id IN ({?}) AND claim = ?",
};

const RETRY: Sql = Sql {
    name: "forwards.retry",
    text: "UPDATE forwards SET state = 'PENDING', claim = 0, attempts = attempts - ?, last_code = ?, \
           due_at = CASE transaction_id {WHEN ? THEN ?| } END \
           WHERE transaction_id IN ({?}) AND claim = ?",
};

const LOCK_CLAIMED: Sql = Sql {
    name: "forwards.lock_claimed",
    text: "SELECT transaction_id, tenant_id FROM forwards \
           WHERE transaction_id IN ({?}) AND claim = ? ORDER BY transaction_id $LOCK",
};

const DEAD: Sql = Sql {
    name: "forwards.dead",
    text: "UPDATE forwards SET state = 'DEAD', due_at = NULL, claim = 0, \
           last_code = CASE transaction_id {WHEN ? THEN ?| } END, \
           settled_at = CASE transaction_id {WHEN ? THEN ?| } END \
           WHERE transaction_id IN ({?}) AND claim = ?",
};

const DEAD_LETTERS: Sql = Sql {
    name: "dead_letters.insert_forward",
    text: "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) \
           VALUES {('forwarding', ?, ?, ?, ?, ?)} $KEEP_FIRST",
};

const COUNT_DEAD: Sql = Sql {
    name: "dead_letters.count",
    text: "SELECT COUNT(*) FROM dead_letters",
};

/// Width of `forwards.batch_id`.
pub(super) const BATCH_ID: usize = 36;

/// A delivery given up, as it is written.
struct Death {
    id: i64,
    tenant_id: i64,
    at: Timestamp,
    code: &'static str,
    detail: String,
}

impl Store {
    /// Claims those of `ids` that are due at `now` and not claimed by a live worker: attempts go up
    /// by one and the row is not due again before `now + hold`, committed before it returns.
    /// `rows` are copies the caller has already; the others are loaded.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_forwards(
        &self,
        ids: &[i64],
        rows: Vec<Transaction>,
        now: Timestamp,
        hold: Duration,
    ) -> Result<Claim, StoreError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let token = rand::random_range(1..i64::MAX);
        let mut claimed: Vec<(i64, u32, Timestamp)> = Vec::new();
        let mut held = Vec::new();
        // Each piece is a claim by itself: what is claimed when a later piece fails becomes due
        // again when the claim ends.
        for (asked, ids) in self.padded(&ids) {
            let mut values = Binds::of(ids.len() + 3);
            values
                .put(token)
                .put(now.plus(hold))
                .put_all(ids.iter().copied())
                .put(now);
            let done = retrying!(self, self.inner.db.execute(&CLAIM, ids.len(), &values))?;
            let values = with_token(&ids, token);
            if done.rows < u64::try_from(asked).unwrap_or(u64::MAX) {
                for row in self.inner.db.fetch(&HELD, ids.len(), &values).await? {
                    let mut cells = row.cells();
                    held.push((cells.int()?, cells.time()?));
                }
            }
            if done.rows == 0 {
                continue;
            }
            for row in self.inner.db.fetch(&CLAIMED, ids.len(), &values).await? {
                let mut cells = row.cells();
                claimed.push((cells.int()?, cells.count()?, cells.time()?));
            }
        }
        let mut copies: HashMap<i64, Transaction> = rows.into_iter().map(|row| (row.id, row)).collect();
        let missing: Vec<i64> = claimed
            .iter()
            .map(|(id, ..)| *id)
            .filter(|id| !copies.contains_key(id))
            .collect();
        copies.extend(
            self.transactions(&missing)
                .await?
                .into_iter()
                .map(|row| (row.id, row)),
        );
        let mut items = Vec::with_capacity(claimed.len());
        for (id, attempt, created_at) in claimed {
            let row = copies
                .remove(&id)
                .ok_or_else(|| StoreError::Damaged(format!("forward {id} has no transaction")))?;
            items.push(ForwardItem {
                row,
                attempt,
                created_at,
                reversals: None,
            });
        }
        Ok(Claim { token, items, held })
    }

    /// Puts off the end of a claim to `until`, for those of `ids` that it still holds.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn renew_forwards(&self, token: i64, ids: &[i64], until: Timestamp) -> Result<(), StoreError> {
        for (_, ids) in self.padded(ids) {
            let mut values = Binds::of(ids.len() + 2);
            values.put(until).put_all(ids.iter().copied()).put(token);
            retrying!(self, self.inner.db.execute(&RENEW, ids.len(), &values))?;
        }
        Ok(())
    }

    /// Writes the ends of claimed sales, dead letters included, in one transaction. Rows whose
    /// claim was taken over meanwhile are left alone; gives how many of those there were.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn settle_forwards(&self, token: i64, ends: &[Settled]) -> Result<u64, StoreError> {
        for end in ends {
            if let Settled::Forwarded { batch_id, .. } = end {
                fits_word("a batch id", batch_id, BATCH_ID)?;
            }
        }
        if ends.is_empty() {
            return Ok(0);
        }
        let settled = retrying!(self, self.settle_once(token, ends))?;
        Ok(u64::try_from(ends.len())
            .unwrap_or(u64::MAX)
            .saturating_sub(settled))
    }

    async fn settle_once(&self, token: i64, ends: &[Settled]) -> Result<u64, StoreError> {
        let mut forwarded: BTreeMap<Timestamp, Vec<(i64, &str)>> = BTreeMap::new();
        let mut retried: BTreeMap<(&str, bool), Vec<(i64, Timestamp)>> = BTreeMap::new();
        let mut dead: BTreeMap<i64, Death> = BTreeMap::new();
        for end in ends {
            match end {
                Settled::Forwarded { id, at, batch_id } => {
                    forwarded.entry(*at).or_default().push((*id, batch_id));
                }
                Settled::Retry {
                    id,
                    due_at,
                    code,
                    counts,
                } => retried.entry((code, *counts)).or_default().push((*id, *due_at)),
                Settled::Dead { id, at, code, detail } => {
                    let death = Death {
                        id: *id,
                        tenant_id: 0, // read under the lock
                        at: *at,
                        code,
                        detail: cut(detail, DETAIL),
                    };
                    dead.insert(*id, death);
                }
            }
        }
        let mut tx = self.inner.db.begin().await?;
        let mut settled = 0;
        for (at, sent) in &forwarded {
            for (_, sent) in self.padded(sent) {
                let mut values = Binds::of(sent.len() * 3 + 2);
                for (id, batch_id) in &sent {
                    values.put(*id).put(*batch_id);
                }
                values.put(*at).put_all(sent.iter().map(|(id, _)| *id)).put(token);
                settled += tx.execute(&FORWARDED, sent.len(), &values).await?.rows;
            }
        }
        for ((code, counts), due) in &retried {
            for due in self.pieces(due) {
                let taken_back = i64::from(!*counts);
                let mut values = Binds::of(due.len() * 3 + 3);
                values.put(taken_back).put(*code);
                for (id, due_at) in due {
                    values.put(*id).put(*due_at);
                }
                values.put_all(due.iter().map(|(id, _)| *id)).put(token);
                settled += tx.execute(&RETRY, due.len(), &values).await?.rows;
            }
        }
        settled += self.settle_dead(&mut tx, token, dead).await?;
        tx.commit().await?;
        Ok(settled)
    }

    /// Writes the dead ones and their letters. They are few, so which of them the claim still holds
    /// is read first: a letter is written for those only.
    async fn settle_dead(
        &self,
        tx: &mut Tx,
        token: i64,
        mut dead: BTreeMap<i64, Death>,
    ) -> Result<u64, StoreError> {
        let ids: Vec<i64> = dead.keys().copied().collect();
        let mut held = Vec::with_capacity(ids.len());
        for ids in self.pieces(&ids) {
            for row in tx
                .fetch(&LOCK_CLAIMED, ids.len(), &with_token(ids, token))
                .await?
            {
                let mut cells = row.cells();
                if let Some(mut death) = dead.remove(&cells.int()?) {
                    death.tenant_id = cells.int()?;
                    held.push(death);
                }
            }
        }
        let mut settled = 0;
        for dead in self.pieces(&held) {
            let mut values = Binds::of(dead.len() * 5 + 1);
            for death in dead {
                values.put(death.id).put(death.code);
            }
            for death in dead {
                values.put(death.id).put(death.at);
            }
            values.put_all(dead.iter().map(|death| death.id)).put(token);
            settled += tx.execute(&DEAD, dead.len(), &values).await?.rows;
            let mut values = Binds::of(dead.len() * 5);
            for death in dead {
                values
                    .put(death.id)
                    .put(death.tenant_id)
                    .put(death.code)
                    .put(death.detail.as_str())
                    .put(death.at);
            }
            tx.execute(&DEAD_LETTERS, dead.len(), &values).await?;
        }
        Ok(settled)
    }

    /// Dead letters so far.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count_dead_letters(&self) -> Result<u64, StoreError> {
        let rows = self.inner.db.fetch(&COUNT_DEAD, 1, &[]).await?;
        let count = rows.first().map_or(Ok(0), |row| row.cells().int())?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn with_token(ids: &[i64], token: i64) -> Binds<'static> {
    let mut values = Binds::of(ids.len() + 1);
    values.put_all(ids.iter().copied()).put(token);
    values
}
