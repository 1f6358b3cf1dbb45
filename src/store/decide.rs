//! The end of processing: VALID or INVALID, the forward that follows and the notice, in one
//! transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Decision, DecisionsMade, NewNotice, Store, StoreError, deliveries,
    dialect::Sql,
    driver::Tx,
    forwards::MADE_CLAIMED,
    values::{Binds, list_text},
};
use crate::domain::{
    sale::{ForwardState, ValidationStatus},
    time::Timestamp,
};

/// Which rows may be decided. A void that is parked (see [`super::parked`]) keeps its sale from it; bound to 1
/// where those were joined before. The look and the decision are one statement: a void that is parked later
/// finds the row.
macro_rules! decidable {
    () => {
        "id IN ({?}) AND validation_status = 'PENDING' AND dead_code IS NULL AND voided_at IS NULL \
         AND (? = 1 OR NOT EXISTS (SELECT 1 FROM reversals r WHERE r.terminal_id = transactions.terminal_id \
         AND r.transaction_id = transactions.transaction_id AND r.sale_id = 0))"
    };
}

const VALID: Sql = Sql {
    name: "transactions.decide_valid",
    text: concat!(
        "UPDATE transactions SET validation_status = 'VALID', findings = NULL, decided_at = ? WHERE ",
        decidable!()
    ),
};

const WITH_FINDINGS: Sql = Sql {
    name: "transactions.decide",
    text: concat!(
        "UPDATE transactions SET validation_status = CASE id {WHEN ? THEN ?| } END, \
         findings = CASE id {WHEN ? THEN ?| } END, decided_at = ? WHERE ",
        decidable!()
    ),
};

/// For a sale that is void already: it is judged like any other, and never sent.
const VOID: Sql = Sql {
    name: "transactions.decide_void",
    text: "UPDATE transactions SET validation_status = ?, findings = ?, decided_at = ? \
           WHERE id = ? AND validation_status = 'PENDING' AND dead_code IS NULL",
};

const LOCK_PENDING: Sql = Sql {
    name: "transactions.lock_pending",
    text: "SELECT id, voided_at IS NOT NULL FROM transactions \
           WHERE id IN ({?}) AND validation_status = 'PENDING' AND dead_code IS NULL ORDER BY id $LOCK",
};

const INSERT_FORWARDS: Sql = Sql {
    name: "forwards.insert",
    text: "INSERT INTO forwards (transaction_id, tenant_id, state, attempts, claim, due_at, created_at) \
           VALUES {(?, ?, ?, 0, ?, ?, ?)}",
};

const INSERT_WITHDRAWN: Sql = Sql {
    name: "forwards.insert_withdrawn",
    text: "INSERT INTO forwards (transaction_id, tenant_id, state, attempts, due_at, created_at, settled_at) \
           VALUES (?, ?, 'WITHDRAWN', 0, NULL, ?, ?)",
};

/// A decision as it is written: the row, its status, and its findings as JSON.
type Written<'a> = (i64, &'a str, Option<String>);

impl Store {
    /// Decides transactions that are still PENDING; a VALID one gets a forward row that is claimed if the decision
    /// says so, else due at once (one that is void: withdrawn, so that it is never sent), a decision with a notice
    /// its notification row, all in one transaction. Ones decided before keep their first decision, and ones given up
    /// stay so. A void that was accepted before its sale had a row is joined with it first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decide(&self, decisions: &[Decision]) -> Result<DecisionsMade, StoreError> {
        let mut seen = HashSet::new();
        let mut decisions: Vec<&Decision> = decisions
            .iter()
            .filter(|decision| seen.insert(decision.id))
            .collect();
        // One order for all, so that two workers with the same rows wait instead of deadlocking.
        decisions.sort_unstable_by_key(|decision| decision.id);
        for decision in &decisions {
            if decision.status == ValidationStatus::Pending {
                return Err(StoreError::Unfit(format!(
                    "transaction {} is decided PENDING",
                    decision.id
                )));
            }
            if let Some(notice) = &decision.notice {
                deliveries::check(notice)?;
            }
        }
        if decisions.is_empty() || retrying!(self, self.decide_all(&decisions))? {
            return Ok(DecisionsMade {
                left_alone: Vec::new(),
                claimed: true,
            });
        }
        let sales: Vec<_> = decisions.iter().map(|decision| decision.sale).collect();
        self.unpark_sales(&sales).await?;
        Ok(DecisionsMade {
            left_alone: retrying!(self, self.decide_pending(&decisions))?,
            claimed: false,
        })
    }

    /// The usual case: every row is still pending and no void waits for one. Says so by `false`, with nothing
    /// changed, when it is not.
    async fn decide_all(&self, decisions: &[&Decision]) -> Result<bool, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        if self.mark_decided(&mut tx, decisions, false).await? < decisions.len() {
            tx.roll_back().await?;
            return Ok(false);
        }
        self.finish(tx, decisions, true).await?;
        Ok(true)
    }

    /// Decides those still pending and gives the ids of the others.
    async fn decide_pending(&self, decisions: &[&Decision]) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let mut pending = HashMap::new();
        for decisions in self.pieces(decisions) {
            let ids: Vec<i64> = decisions.iter().map(|decision| decision.id).collect();
            for row in tx.fetch(&LOCK_PENDING, ids.len(), &Binds::ids(&ids)).await? {
                let mut cells = row.cells();
                pending.insert(cells.int()?, cells.flag()?);
            }
        }
        let (decisions, left_alone): (Vec<&Decision>, Vec<&Decision>) = decisions
            .iter()
            .copied()
            .partition(|decision| pending.contains_key(&decision.id));
        let (void, decisions): (Vec<&Decision>, Vec<&Decision>) = decisions
            .into_iter()
            .partition(|decision| pending.get(&decision.id) == Some(&true));
        self.mark_decided(&mut tx, &decisions, true).await?;
        self.decide_void(&mut tx, &void).await?;
        self.finish(tx, &decisions, false).await?;
        Ok(left_alone.iter().map(|decision| decision.id).collect())
    }

    /// Decides sales that were voided before their decision. They are few: one at a time.
    async fn decide_void(&self, tx: &mut Tx, decisions: &[&Decision]) -> Result<(), StoreError> {
        for decision in decisions {
            let findings = list_text(&decision.findings)?;
            let status = decision.status.as_str();
            let (at, id) = (decision.at.into(), decision.id.into());
            let values = [status.into(), findings.as_deref().into(), at, id];
            tx.execute(&VOID, 1, &values).await?;
            if decision.status == ValidationStatus::Valid {
                let values = [id, decision.tenant_id.into(), at, at];
                tx.execute(&INSERT_WITHDRAWN, 1, &values).await?;
            }
        }
        self.insert_notices(tx, &notices(decisions)).await
    }

    /// Decides those that are still pending and tells how many there were: where parked voids were not
    /// `joined`, without those that one waits for.
    async fn mark_decided(
        &self,
        tx: &mut Tx,
        decisions: &[&Decision],
        joined: bool,
    ) -> Result<usize, StoreError> {
        let joined = i64::from(joined);
        let mut valid: BTreeMap<Timestamp, Vec<i64>> = BTreeMap::new();
        let mut others: BTreeMap<Timestamp, Vec<Written<'_>>> = BTreeMap::new();
        for decision in decisions {
            let findings = list_text(&decision.findings)?;
            if decision.status == ValidationStatus::Valid && findings.is_none() {
                valid.entry(decision.at).or_default().push(decision.id);
            } else {
                let status = decision.status.as_str();
                others
                    .entry(decision.at)
                    .or_default()
                    .push((decision.id, status, findings));
            }
        }
        let mut marked = 0;
        for (at, ids) in &valid {
            for (_, ids) in self.padded(ids) {
                let mut values = Binds::of(ids.len() + 2);
                values.put(*at).put_all(ids.iter().copied()).put(joined);
                marked += tx.execute(&VALID, ids.len(), &values).await?.rows;
            }
        }
        for (at, others) in &others {
            for others in self.pieces(others) {
                let mut values = Binds::of(others.len() * 5 + 2);
                for (id, status, _) in others {
                    values.put(*id).put(*status);
                }
                for (id, _, findings) in others {
                    values.put(*id).put(findings.as_deref());
                }
                values
                    .put(*at)
                    .put_all(others.iter().map(|(id, ..)| *id))
                    .put(joined);
                marked += tx.execute(&WITH_FINDINGS, others.len(), &values).await?.rows;
            }
        }
        Ok(usize::try_from(marked).unwrap_or(usize::MAX))
    }

    /// Makes what follows the decisions, and commits.
    async fn finish(&self, mut tx: Tx, decisions: &[&Decision], claimed: bool) -> Result<(), StoreError> {
        self.insert_notices(&mut tx, &notices(decisions)).await?;
        let valid: Vec<&Decision> = decisions
            .iter()
            .copied()
            .filter(|decision| decision.status == ValidationStatus::Valid)
            .collect();
        let mut pieces = self.pieces(&valid).peekable();
        while let Some(valid) = pieces.next() {
            let mut values = Binds::of(valid.len() * 6);
            for decision in valid {
                let (state, claim, due_at) = match decision.claimed_until.filter(|_| claimed) {
                    Some(until) => (ForwardState::Sending, MADE_CLAIMED, until),
                    None => (ForwardState::Pending, 0, decision.at),
                };
                values
                    .put(decision.id)
                    .put(decision.tenant_id)
                    .put(state.as_str())
                    .put(claim)
                    .put(due_at)
                    .put(decision.at);
            }
            if pieces.peek().is_none() {
                tx.execute_and_commit(&INSERT_FORWARDS, valid.len(), &values)
                    .await?;
                return Ok(());
            }
            tx.execute(&INSERT_FORWARDS, valid.len(), &values).await?;
        }
        tx.commit().await
    }
}

/// What is to be told of decisions, and when each was made.
fn notices<'a>(decisions: &[&'a Decision]) -> Vec<(&'a NewNotice, Timestamp)> {
    let told = decisions
        .iter()
        .filter_map(|decision| Some((decision.notice.as_ref()?, decision.at)));
    told.collect()
}
