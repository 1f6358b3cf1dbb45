//! Forwards: the delivery of each valid sale, its attempts and its due time.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{ClaimedReversals, Store, StoreError, dialect::Sql, values::Binds};
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

/// Whether a set still holds a row: by its own token or, of its sales that were made claimed (see
/// [`MADE_CLAIMED`]), by theirs.
macro_rules! still_claimed {
    () => {
        "claim IN (?, -1)"
    };
}

/// The attempts of a row that is held: the first one of a sale that was made claimed is counted with whatever is
/// written next.
macro_rules! attempts_made {
    () => {
        "attempts + (attempts = 0)"
    };
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

/// Of sales that were never claimed: the rest of what a claim tells is known without reading it.
const CLAIM_FRESH: Sql = Sql {
    name: "forwards.claim_fresh",
    text: "UPDATE forwards SET state = 'SENDING', attempts = 1, claim = ?, due_at = ? \
           WHERE transaction_id IN ({?}) AND attempts = 0 AND due_at + 0 <= ?",
};

/// Of sales that were made claimed, for the job that they are claimed for.
const CLAIM_MADE: Sql = Sql {
    name: "forwards.claim_made",
    text: "UPDATE forwards SET attempts = 1, claim = ?, due_at = ? \
           WHERE transaction_id IN ({?}) AND attempts = 0 AND claim = -1",
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
    text: concat!(
        "UPDATE forwards SET due_at = ?, attempts = ",
        attempts_made!(),
        " WHERE transaction_id IN ({?}) AND ",
        still_claimed!()
    ),
};

/// The token of claims that are made with the sale's decision. One for all: what fences them is that every later
/// claim on a row has a token of its own, and none has this one again.
pub(super) const MADE_CLAIMED: i64 = -1;

const COUNT_DEAD: Sql = Sql {
    name: "dead_letters.count",
    text: "SELECT COUNT(*) FROM dead_letters",
};

impl Claim {
    /// A claim on nothing so far.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            token: rand::random_range(1..i64::MAX),
            items: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Adds sales whose forwards were made claimed for the caller (see [`super::Decision::claimed_until`]).
    pub fn add_made(&mut self, rows: Vec<Transaction>) {
        let items = rows.into_iter().map(|row| ForwardItem {
            attempt: 1,
            created_at: row.decided_at.unwrap_or(row.created_at),
            reversals: None,
            row,
        });
        self.items.extend(items);
    }
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
        let mut claim = Claim::empty();
        self.claim_due_forwards(&mut claim, ids, rows, now, hold).await?;
        Ok(claim)
    }

    /// As [`Store::claim_forwards`], added to `claim`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_due_forwards(
        &self,
        claim: &mut Claim,
        ids: &[i64],
        rows: Vec<Transaction>,
        now: Timestamp,
        hold: Duration,
    ) -> Result<(), StoreError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let token = claim.token;
        let mut copies: HashMap<i64, Transaction> = rows.into_iter().map(|row| (row.id, row)).collect();
        let mut claimed: Vec<(i64, u32, Timestamp)> = Vec::new();
        // Each piece is a claim by itself: what is claimed when a later piece fails becomes due
        // again when the claim ends.
        for (asked, ids) in self.padded(&ids) {
            let (until, wanted) = (now.plus(hold), u64::try_from(asked).unwrap_or(u64::MAX));
            let mut rows = 0;
            if let Some(fresh) = fresh(&ids, &copies) {
                rows = self.claim(&CLAIM_FRESH, token, &ids, now, until).await?;
                if rows == wanted {
                    claimed.extend(fresh.into_iter().take(asked));
                    continue;
                }
            }
            rows += self.claim(&CLAIM, token, &ids, now, until).await?;
            let values = with_token(&ids, token);
            if rows < wanted {
                for row in self.inner.db.fetch(&HELD, ids.len(), &values).await? {
                    let mut cells = row.cells();
                    claim.held.push((cells.int()?, cells.time()?));
                }
            }
            if rows == 0 {
                continue;
            }
            for row in self.inner.db.fetch(&CLAIMED, ids.len(), &values).await? {
                let mut cells = row.cells();
                claimed.push((cells.int()?, cells.count()?, cells.time()?));
            }
        }
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
        for (id, attempt, created_at) in claimed {
            let row = copies
                .remove(&id)
                .ok_or_else(|| StoreError::Damaged(format!("forward {id} has no transaction")))?;
            claim.items.push(ForwardItem {
                row,
                attempt,
                created_at,
                reversals: None,
            });
        }
        Ok(())
    }

    /// Claims sales that were made claimed for the caller's jobs, whether or not that claim has run out, and adds
    /// them to `claim`. Gives those that somebody has claimed or ended since.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_made_forwards(
        &self,
        claim: &mut Claim,
        rows: Vec<Transaction>,
        now: Timestamp,
        hold: Duration,
    ) -> Result<Vec<Transaction>, StoreError> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut taken = HashSet::new();
        for (asked, ids) in self.padded(&ids) {
            let mut values = Binds::of(ids.len() + 2);
            values
                .put(claim.token)
                .put(now.plus(hold))
                .put_all(ids.iter().copied());
            let done = retrying!(self, self.inner.db.execute(&CLAIM_MADE, ids.len(), &values))?;
            if done.rows == u64::try_from(asked).unwrap_or(u64::MAX) {
                taken.extend(ids);
                continue;
            }
            let values = with_token(&ids, claim.token);
            for row in self.inner.db.fetch(&CLAIMED, ids.len(), &values).await? {
                taken.insert(row.cells().int()?);
            }
        }
        let (taken, others) = rows.into_iter().partition(|row| taken.contains(&row.id));
        claim.add_made(taken);
        Ok(others)
    }

    /// Claims what is due of `ids` by one of the two statements; gives how many.
    async fn claim(
        &self,
        sql: &Sql,
        token: i64,
        ids: &[i64],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut values = Binds::of(ids.len() + 3);
        values.put(token).put(until).put_all(ids.iter().copied()).put(now);
        let done = retrying!(self, self.inner.db.execute(sql, ids.len(), &values))?;
        Ok(done.rows)
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

/// What a claim on sales tells that were never claimed, where the caller has copies of all of them: the
/// forward is made with the decision, at the same time.
fn fresh(ids: &[i64], copies: &HashMap<i64, Transaction>) -> Option<Vec<(i64, u32, Timestamp)>> {
    let told = |id: &i64| Some((*id, 1, copies.get(id)?.decided_at?));
    ids.iter().map(told).collect()
}

pub(super) fn with_token(ids: &[i64], token: i64) -> Binds<'static> {
    let mut values = Binds::of(ids.len() + 1);
    values.put_all(ids.iter().copied()).put(token);
    values
}
