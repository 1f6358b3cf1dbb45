//! How deliveries of sales end: forwarded, due again, or given up with a dead letter.

use std::collections::BTreeMap;

use super::{
    Settled, Store, StoreError,
    dialect::Sql,
    driver::Tx,
    forwards::with_token,
    pieces::{cut, fits_word},
    submissions::DETAIL,
    values::Binds,
};
use crate::domain::time::Timestamp;

const FORWARDED: Sql = Sql {
    name: "forwards.forwarded",
    text: concat!(
        "UPDATE forwards SET state = 'FORWARDED', due_at = NULL, claim = 0, last_code = NULL, attempts = ",
        attempts_made!(),
        ", batch_id = CASE transaction_id {WHEN ? THEN ?| } END, settled_at = ? \
         WHERE transaction_id IN ({?}) AND ",
        still_claimed!()
    ),
};

const RETRY: Sql = Sql {
    name: "forwards.retry",
    text: concat!(
        "UPDATE forwards SET state = 'PENDING', claim = 0, attempts = ",
        attempts_made!(),
        " - ?, last_code = ?, due_at = CASE transaction_id {WHEN ? THEN ?| } END \
         WHERE transaction_id IN ({?}) AND ",
        still_claimed!()
    ),
};

const LOCK_CLAIMED: Sql = Sql {
    name: "forwards.lock_claimed",
    text: concat!(
        "SELECT transaction_id, tenant_id FROM forwards WHERE transaction_id IN ({?}) AND ",
        still_claimed!(),
        " ORDER BY transaction_id $LOCK"
    ),
};

const DEAD: Sql = Sql {
    name: "forwards.dead",
    text: concat!(
        "UPDATE forwards SET state = 'DEAD', due_at = NULL, claim = 0, attempts = ",
        attempts_made!(),
        ", last_code = CASE transaction_id {WHEN ? THEN ?| } END, \
         settled_at = CASE transaction_id {WHEN ? THEN ?| } END \
         WHERE transaction_id IN ({?}) AND ",
        still_claimed!()
    ),
};

const DEAD_LETTERS: Sql = Sql {
    name: "dead_letters.insert_forward",
    text: "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) \
           VALUES {('forwarding', ?, ?, ?, ?, ?)} $KEEP_FIRST",
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
        let all_sent = retried.is_empty() && dead.is_empty();
        if let (true, 1, Some((at, sent))) = (all_sent, forwarded.len(), forwarded.first_key_value())
            && let (1, Some((_, sent))) = (sent.len().div_ceil(self.inner.rows), self.padded(sent).next())
        {
            // The usual case is one statement, which needs no transaction around it.
            let values = sent_values(*at, &sent, token);
            return Ok(self.inner.db.execute(&FORWARDED, sent.len(), &values).await?.rows);
        }
        let mut tx = self.inner.db.begin().await?;
        let mut settled = 0;
        for (at, sent) in &forwarded {
            for (_, sent) in self.padded(sent) {
                let values = sent_values(*at, &sent, token);
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
}

fn sent_values<'a>(at: Timestamp, sent: &[(i64, &'a str)], token: i64) -> Binds<'a> {
    let mut values = Binds::of(sent.len() * 3 + 2);
    for (id, batch_id) in sent {
        values.put(*id).put(*batch_id);
    }
    values.put(at).put_all(sent.iter().map(|(id, _)| *id)).put(token);
    values
}
