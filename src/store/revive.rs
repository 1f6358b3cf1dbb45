//! Makes due again what was given up: submissions before validation, sales before their decision, sales to
//! be sent with their refunds, and voids and refunds by themselves.

use std::collections::HashSet;

use super::{Store, StoreError, dialect::Sql, driver::Tx, values::Binds};
use crate::domain::{dead_letter::Letter, time::Timestamp};

const SALES: Sql = Sql {
    name: "forwards.lock_dead",
    // A sale that is void is told of by its void, or was never held: it is not sent again.
    text: "SELECT f.transaction_id FROM transactions t JOIN forwards f ON f.transaction_id = t.id \
           WHERE t.id IN ({?}) AND f.state = 'DEAD' AND t.voided_at IS NULL ORDER BY t.id $LOCK",
};

const REVIVE_SALES: Sql = Sql {
    name: "forwards.revive",
    // One attempt stays counted: the sale may have arrived, so a void of it must be told. Its age begins anew.
    text: "UPDATE forwards SET state = 'PENDING', attempts = 1, claim = 0, last_code = NULL, due_at = ?, \
           created_at = ?, settled_at = 0 WHERE transaction_id IN ({?}) AND state = 'DEAD'",
};

const REVIVE_REFUNDS: Sql = Sql {
    name: "reversals.revive_withdrawn",
    // Nobody was told of them because the sale was refused; they follow it now.
    text: "UPDATE reversals SET state = 'PENDING', claim = 0, due_at = ?, settled_at = 0 \
           WHERE sale_id IN ({?}) AND kind = 'REFUND' AND state = 'WITHDRAWN'",
};

const OLDEST_REFUND: Sql = Sql {
    name: "reversals.oldest_refund",
    text: "SELECT MIN(id) FROM reversals WHERE sale_id IN ({?}) AND kind = 'REFUND'",
};

const REVERSALS: Sql = Sql {
    name: "reversals.lock_dead",
    text: "SELECT id FROM reversals WHERE id IN ({?}) AND state = 'DEAD' ORDER BY id $LOCK",
};

const REVIVE_REVERSALS: Sql = Sql {
    name: "reversals.revive",
    text: "UPDATE reversals SET state = 'PENDING', attempts = 1, claim = 0, last_code = NULL, due_at = ?, \
           settled_at = 0 WHERE id IN ({?}) AND state = 'DEAD'",
};

const REVIVE_SUBMISSIONS: Sql = Sql {
    name: "submissions.revive",
    text: "UPDATE submissions SET dead_code = NULL \
           WHERE id = ? AND processed_at = 0 AND dead_code IS NOT NULL",
};

const REVIVE_TRANSACTIONS: Sql = Sql {
    name: "transactions.revive",
    // One that is void meanwhile is judged and never sent, like any other.
    text: "UPDATE transactions SET dead_code = NULL \
           WHERE id = ? AND validation_status = 'PENDING' AND dead_code IS NOT NULL",
};

const SET_BACK: Sql = Sql {
    name: "sweep_marks.set_back",
    // One that is low enough moves too: a sweeper that has read the rows as finished, and is about to move it
    // over them, must find it elsewhere.
    text: "UPDATE sweep_marks SET id = CASE WHEN id > ? THEN ? ELSE id - 1 END WHERE name = ?",
};

impl Store {
    /// Makes due again what these letters are about; gives the letters where that was possible.
    pub(super) async fn revive(
        &self,
        tx: &mut Tx,
        letters: Vec<Letter>,
        now: Timestamp,
    ) -> Result<Vec<Letter>, StoreError> {
        let of = |stage: &str| -> Vec<i64> {
            let letters = letters.iter().filter(|letter| letter.stage == stage);
            letters.map(|letter| letter.subject_id).collect()
        };
        let (mut sales, mut reversals) = (HashSet::new(), HashSet::new());
        for ids in self.pieces(&of("forwarding")) {
            let dead = dead(tx, &SALES, ids).await?;
            for dead in self.pieces(&dead) {
                let mut values = Binds::of(dead.len() + 2);
                values.put(now).put(now).put_all(dead.iter().copied());
                tx.execute(&REVIVE_SALES, dead.len(), &values).await?;
                let refunds = tx.execute(&REVIVE_REFUNDS, dead.len(), &due(now, dead)).await?;
                if refunds.rows > 0 {
                    for row in tx.fetch(&OLDEST_REFUND, dead.len(), &Binds::ids(dead)).await? {
                        set_back(tx, "reversals", row.cells().int_or_null()?).await?;
                    }
                }
            }
            set_back(tx, "audit", dead.first().copied()).await?;
            sales.extend(dead);
        }
        for ids in self.pieces(&of("reversal")) {
            let dead = dead(tx, &REVERSALS, ids).await?;
            for dead in self.pieces(&dead) {
                tx.execute(&REVIVE_REVERSALS, dead.len(), &due(now, dead)).await?;
            }
            set_back(tx, "reversals", dead.first().copied()).await?;
            reversals.extend(dead);
        }
        let submissions = waiting(tx, &REVIVE_SUBMISSIONS, of("validation")).await?;
        set_back(tx, "validation", submissions.iter().min().copied()).await?;
        let undecided = waiting(tx, &REVIVE_TRANSACTIONS, of("processing")).await?;
        let first = undecided.iter().min().copied();
        set_back(tx, "processing", first).await?;
        set_back(tx, "audit", first).await?;
        let revived = |letter: &Letter| match letter.stage.as_str() {
            "forwarding" => sales.contains(&letter.subject_id),
            "reversal" => reversals.contains(&letter.subject_id),
            "validation" => submissions.contains(&letter.subject_id),
            "processing" => undecided.contains(&letter.subject_id),
            _ => false,
        };
        Ok(letters.into_iter().filter(revived).collect())
    }
}

/// Those of `ids` that are dead and may be brought back, locked, in order of id.
async fn dead(tx: &mut Tx, sql: &'static Sql, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
    let rows = tx.fetch(sql, ids.len(), &Binds::ids(ids)).await?;
    rows.iter().map(|row| row.cells().int()).collect()
}

/// Those of `ids` that wait for their stage again, as if new. A step has few letters, and these are rare:
/// one at a time, so that each tells whether it was dead.
async fn waiting(tx: &mut Tx, sql: &'static Sql, mut ids: Vec<i64>) -> Result<HashSet<i64>, StoreError> {
    ids.sort_unstable();
    let mut revived = HashSet::new();
    for id in ids {
        if tx.execute(sql, 1, &[id.into()]).await?.rows > 0 {
            revived.insert(id);
        }
    }
    Ok(revived)
}

fn due(now: Timestamp, ids: &[i64]) -> Binds<'static> {
    let mut values = Binds::of(ids.len() + 1);
    values.put(now).put_all(ids.iter().copied());
    values
}

/// The sweeper looks again at what is missing from `first` on: what had ended goes on.
async fn set_back(tx: &mut Tx, mark: &'static str, first: Option<i64>) -> Result<(), StoreError> {
    if let Some(first) = first {
        let before = first.saturating_sub(1);
        let values = [before.into(), before.into(), mark.into()];
        tx.execute(&SET_BACK, 1, &values).await?;
    }
    Ok(())
}
