//! What becomes of each sale of a submission: a row, a duplicate or a conflict; and what the facts
//! around it have to say. Everything but the look-up is pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

use super::Read;
use crate::{
    domain::{
        checksum::Digest,
        directory::{Tenant, Terminal, TerminalStatus},
        sale::{Finding, Sale, Severity, Transaction, ValidationStatus},
        time::Timestamp,
        work::AcceptedSubmission,
    },
    store::{Existing, ItemResult, ItemState, Store, StoreError, Validated},
};

/// A receipt number may not come back on another sale of the terminal within this time.
const RECEIPT_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// The rows that the sales of a pass are checked against.
pub(super) struct Facts<'a> {
    pub(super) existing: HashMap<(i64, Uuid), Existing>,
    pub(super) receipts: Receipts,
    pub(super) terminals: &'a HashMap<i64, Arc<(Terminal, Tenant)>>,
}

/// By terminal and receipt number: the sales that used it, and when.
type Receipts = HashMap<(i64, String), Vec<(Uuid, Timestamp)>>;

impl<'a> Facts<'a> {
    /// Looks up what the sales of these submissions have to be checked against; the sales that exist
    /// already only if `wary`.
    pub(super) async fn look_up(
        store: &Store,
        pending: &[Read],
        terminals: &'a HashMap<i64, Arc<(Terminal, Tenant)>>,
        wary: bool,
    ) -> Result<Self, StoreError> {
        let mut receipts = HashSet::new();
        let (mut first, mut last) = (None, None);
        for read in pending {
            let terminal = read.accepted.terminal_id;
            for sale in &read.content.sales {
                if let Some(number) = &sale.receipt_no {
                    let at = sale.transaction_timestamp;
                    receipts.insert((terminal, number.clone()));
                    first = Some(first.map_or(at, |first: Timestamp| first.min(at)));
                    last = last.max(Some(at));
                }
            }
        }
        let existing = if wary {
            let keys = pending.iter().flat_map(|read| {
                let terminal = read.accepted.terminal_id;
                let sales = read.content.sales.iter();
                sales.map(move |sale| (terminal, sale.transaction_id))
            });
            let keys: HashSet<_> = keys.collect();
            let keys: Vec<_> = keys.into_iter().collect();
            store.existing_transactions(&keys).await?
        } else {
            HashMap::new()
        };
        let receipts: Vec<_> = receipts.into_iter().collect();
        let receipts = match (first, last) {
            (Some(first), Some(last)) => {
                let (from, to) = (first.minus(RECEIPT_WINDOW), last.plus(RECEIPT_WINDOW));
                store.existing_receipts(&receipts, from, to).await?
            }
            _ => Receipts::new(),
        };
        Ok(Self {
            existing,
            receipts,
            terminals,
        })
    }
}

/// A pass, sorted by what can be done with each submission.
pub(super) struct Sifted {
    /// Processed before: rows of their own exist.
    pub(super) known: Vec<i64>,
    /// To be committed now.
    pub(super) now: Vec<(Read, Plan)>,
    /// To wait until those before them are committed.
    pub(super) later: Vec<Read>,
}

/// What is to be made of one submission.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Sales that get a row, with what was found.
    pub(super) rows: Vec<(Sale, Vec<Finding>)>,
    /// Sales that do not.
    repeats: Vec<(Uuid, ItemState, Original)>,
}

/// The sale that was there first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Original {
    /// A row of the record.
    Row(i64),
    /// A row of this same submission, by its place in [`Plan::rows`].
    Sibling(usize),
}

impl Plan {
    /// The rows with their ids, and the results that point at them; `None` when the ids run out.
    pub(super) fn validated(
        &self,
        from: &AcceptedSubmission,
        at: Timestamp,
        ids: &mut impl Iterator<Item = i64>,
    ) -> Option<Validated> {
        let rows: Vec<Transaction> = (self.rows.iter())
            .map(|(sale, findings)| {
                Some(Transaction {
                    id: ids.next()?,
                    tenant_id: from.tenant_id,
                    terminal_id: from.terminal_id,
                    submission_id: from.id,
                    submission_uuid: from.submission_uuid,
                    sale: sale.clone(),
                    status: ValidationStatus::Pending,
                    findings: findings.clone(),
                    created_at: at,
                    decided_at: None,
                    voided_at: None,
                    void_reason: None,
                })
            })
            .collect::<Option<_>>()?;
        let results = (self.repeats.iter())
            .map(|&(transaction_id, state, original)| {
                Some(ItemResult {
                    transaction_id,
                    state,
                    original: match original {
                        Original::Row(id) => id,
                        Original::Sibling(place) => rows.get(place)?.id,
                    },
                })
            })
            .collect::<Option<_>>()?;
        Some(Validated {
            submission_id: from.id,
            rows,
            results,
            at,
        })
    }
}

/// Sorts a pass. The order of `pending` decides who is first.
pub(super) fn sift(pending: Vec<Read>, facts: &Facts<'_>) -> Sifted {
    let mut sifted = Sifted {
        known: Vec::new(),
        now: Vec::new(),
        later: Vec::new(),
    };
    let mut taken: HashSet<(i64, Uuid)> = HashSet::new();
    let mut receipts = Receipts::new();
    for read in pending {
        let terminal = read.accepted.terminal_id;
        let keys = || (read.content.sales.iter()).map(|sale| (terminal, sale.transaction_id));
        let own = |key: &(i64, Uuid)| {
            (facts.existing.get(key)).is_some_and(|row| row.submission_id == read.accepted.id)
        };
        if keys().any(|key| own(&key)) {
            sifted.known.push(read.accepted.id);
        } else if keys().any(|key| taken.contains(&key)) {
            taken.extend(keys());
            sifted.later.push(read);
        } else {
            taken.extend(keys());
            let plan = plan(&read, facts, &mut receipts);
            sifted.now.push((read, plan));
        }
    }
    sifted
}

/// Plans one submission. `receipts` are those of this pass so far.
fn plan(read: &Read, facts: &Facts<'_>, receipts: &mut Receipts) -> Plan {
    let terminal = read.accepted.terminal_id;
    let around = standing(
        facts.terminals.get(&terminal).map(AsRef::as_ref),
        read.accepted.accepted_at,
    );
    let mut plan = Plan::default();
    let mut siblings: HashMap<Uuid, (usize, Digest)> = HashMap::new();
    for sale in &read.content.sales {
        let id = sale.transaction_id;
        let original = match (facts.existing.get(&(terminal, id)), siblings.get(&id)) {
            (Some(row), _) => Some((Original::Row(row.id), row.payload_checksum)),
            (None, Some(&(place, checksum))) => Some((Original::Sibling(place), checksum)),
            (None, None) => None,
        };
        if let Some((original, checksum)) = original {
            let state = if checksum == sale.payload_checksum {
                ItemState::Duplicate
            } else {
                ItemState::Conflict
            };
            plan.repeats.push((id, state, original));
            continue;
        }
        // Remarks become findings here, because a row that is loaded again carries findings only.
        let mut findings = sale.remarks.clone();
        findings.extend(around.iter().cloned());
        if let Some(number) = &sale.receipt_no {
            let key = (terminal, number.clone());
            if [facts.receipts.get(&key), receipts.get(&key)]
                .into_iter()
                .flatten()
                .any(|used| receipt_taken(used, sale))
            {
                findings.push(receipt_duplicate());
            }
            let used = receipts.entry(key).or_default();
            used.push((id, sale.transaction_timestamp));
        }
        siblings.insert(id, (plan.rows.len(), sale.payload_checksum));
        plan.rows.push((sale.clone(), findings));
    }
    plan
}

fn receipt_taken(used: &[(Uuid, Timestamp)], sale: &Sale) -> bool {
    let at = sale.transaction_timestamp;
    used.iter().any(|&(id, used_at)| {
        id != sale.transaction_id && at.since(used_at).max(used_at.since(at)) < RECEIPT_WINDOW
    })
}

fn receipt_duplicate() -> Finding {
    Finding {
        code: "receipt.duplicate".to_owned(),
        severity: Severity::Error,
        message: "another sale of this terminal used the receipt number within 24 hours".to_owned(),
    }
}

/// What the standing of terminal and tenant has to say about a sale accepted at `accepted_at`.
///
/// The ingress let the terminal in, so it was active then. Had it been switched off since, the sale
/// would still be a sale: that is noted and decides nothing. Only an end that lay before the
/// acceptance is known to have been passed, and is an error.
fn standing(from: Option<&(Terminal, Tenant)>, accepted_at: Timestamp) -> Vec<Finding> {
    let finding = |code: &str, severity, message: &str| Finding {
        code: code.to_owned(),
        severity,
        message: message.to_owned(),
    };
    let Some((terminal, tenant)) = from else {
        return vec![finding("terminal.unknown", Severity::Error, "no such terminal")];
    };
    let mut findings = Vec::new();
    match terminal.status {
        TerminalStatus::Active => {}
        TerminalStatus::Inactive => findings.push(finding(
            "terminal.inactive",
            Severity::Warning,
            "the terminal was switched off around the time of the sale",
        )),
        TerminalStatus::Revoked => findings.push(finding(
            "terminal.revoked",
            Severity::Warning,
            "the terminal was revoked around the time of the sale",
        )),
    }
    if terminal.expires_at.is_some_and(|end| end <= accepted_at) {
        findings.push(finding(
            "terminal.expired",
            Severity::Error,
            "the terminal had expired when the sale was accepted",
        ));
    }
    if !tenant.active {
        findings.push(finding(
            "tenant.inactive",
            Severity::Warning,
            "the tenant was switched off around the time of the sale",
        ));
    }
    findings
}

#[cfg(test)]
mod tests;
