//! The oracle: joins what the terminals were told with what the web application holds, and says
//! what was lost, doubled, made up or changed on the way.

use std::{
    collections::{BTreeMap, btree_map},
    fmt,
};

use uuid::Uuid;

use super::{
    sim::{Outcome, Record},
    sink::{Clash, Entry, SinkHandle},
};
use crate::domain::money::Money;

/// Findings of each kind that are printed.
const PRINTED: usize = 10;

/// Names a sale for ever: terminal and the terminal's id of it.
pub type SaleKey = (i64, Uuid);

/// Why a sale has no business at the web application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// No terminal ever sent it.
    NeverSent,
    /// The terminal was told that it was refused.
    Refused,
    /// It breaks a business rule.
    Invalid,
}

/// Why the state of a sale at the web application is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongState {
    /// The terminal was told that the sale is void, and the web application counts it.
    VoidLost,
    /// The web application has it as void, and no terminal asked for that.
    VoidMadeUp,
    /// Another sum was refunded than the terminals were told.
    Refunded {
        /// What the terminals were told.
        told: Money,
        /// What the web application holds.
        held: Money,
    },
}

/// A sale whose amount changed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountDiffers {
    /// The sale.
    pub sale: SaleKey,
    /// What the terminal sent.
    pub sent: Money,
    /// What the web application holds.
    pub held: Money,
}

/// What the oracle found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Accepted and valid, but not at the web application.
    pub lost: Vec<SaleKey>,
    /// At the web application more than once.
    pub doubled: Vec<SaleKey>,
    /// At the web application without a right to be there.
    pub unexpected: Vec<(SaleKey, Unexpected)>,
    /// There, with another amount.
    pub amounts: Vec<AmountDiffers>,
    /// There, in another state than its voids and refunds make.
    pub states: Vec<(SaleKey, WrongState)>,
    /// Sales compared: those that must be held, and those held although their outcome was unknown
    /// to the terminal.
    pub judged: u64,
    /// What those are worth by the terminals.
    pub sent_sum: Money,
    /// What the web application holds in all.
    pub held_sum: Money,
}

impl Findings {
    /// Nothing lost, nothing doubled, nothing made up, exact to the centavo.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.unexpected.is_empty()
            && self.amounts.is_empty()
            && self.states.is_empty()
            && self.sent_sum == self.held_sum
    }
}

/// Compares the terminals' records with a web application in this process.
#[must_use]
pub fn judge(records: &[Record], sink: &SinkHandle) -> Findings {
    compare(records, &sink.entries(), &sink.clashes())
}

/// Compares the terminals' records with what a web application holds. `records` must be complete.
///
/// A sale whose outcome the terminal does not know may be held or not: neither is a finding.
#[must_use]
pub fn compare(records: &[Record], entries: &[Entry], clashes: &[Clash]) -> Findings {
    let mut findings = Findings::default();
    let mut held: BTreeMap<SaleKey, &Entry> = BTreeMap::new();
    let reversals = Reversals::of(records);
    for entry in entries {
        findings.held_sum = findings.held_sum + entry.amount;
        let sale = (entry.terminal_id, entry.transaction_id);
        match held.entry(sale) {
            btree_map::Entry::Vacant(place) => _ = place.insert(entry),
            btree_map::Entry::Occupied(_) => findings.doubled.push(sale),
        }
    }
    let clashed = clashes
        .iter()
        .map(|clash| (clash.terminal_id, clash.transaction_id));
    findings.doubled.extend(clashed);
    for record in records {
        for sale in &record.sales {
            let key = (record.terminal_id, sale.transaction_id);
            let entry = held.remove(&key);
            if let Some(entry) = entry {
                let wrong = reversals.wrong_state(&key, entry);
                findings.states.extend(wrong.map(|wrong| (key, wrong)));
            }
            match (&record.outcome, sale.valid, entry.map(|entry| entry.amount)) {
                // A sale that was voided before it was sent never arrives.
                (_, _, None) if reversals.may_be_void(&key) => {}
                (Outcome::Accepted { .. }, true, None) => {
                    findings.lost.push(key);
                    findings.judged += 1;
                    findings.sent_sum = findings.sent_sum + sale.amount;
                }
                (Outcome::Accepted { .. } | Outcome::Unknown, true, Some(held)) => {
                    findings.judged += 1;
                    findings.sent_sum = findings.sent_sum + sale.amount;
                    if held != sale.amount {
                        findings.amounts.push(AmountDiffers {
                            sale: key,
                            sent: sale.amount,
                            held,
                        });
                    }
                }
                (Outcome::Refused { .. }, _, Some(_)) => {
                    findings.unexpected.push((key, Unexpected::Refused));
                }
                (_, false, Some(_)) => findings.unexpected.push((key, Unexpected::Invalid)),
                (_, _, None) => {}
            }
        }
    }
    let strangers = held.into_keys().map(|sale| (sale, Unexpected::NeverSent));
    findings.unexpected.extend(strangers);
    findings
}

/// What the terminals asked for after their sales.
#[derive(Default)]
struct Reversals {
    /// Voids, by whether the terminal was told yes (or does not know).
    voids: BTreeMap<SaleKey, bool>,
    /// Refunds that the terminal was told yes to, and those it does not know of.
    refunds: BTreeMap<SaleKey, (Money, Money)>,
}

impl Reversals {
    fn of(records: &[Record]) -> Self {
        let mut all = Self::default();
        for record in records {
            for made in &record.reversals {
                let key = (record.terminal_id, made.transaction_id);
                let told = match made.outcome {
                    Outcome::Accepted { .. } => true,
                    Outcome::Unknown => false,
                    Outcome::Refused { .. } => continue,
                };
                match made.refund {
                    None => *all.voids.entry(key).or_default() |= told,
                    Some(amount) => {
                        let (sure, unsure) = all.refunds.entry(key).or_default();
                        let sum = if told { sure } else { unsure };
                        *sum = *sum + amount;
                    }
                }
            }
        }
        all
    }

    fn may_be_void(&self, key: &SaleKey) -> bool {
        self.voids.contains_key(key)
    }

    fn wrong_state(&self, key: &SaleKey, entry: &Entry) -> Option<WrongState> {
        match self.voids.get(key) {
            None if entry.voided => return Some(WrongState::VoidMadeUp),
            Some(true) if !entry.voided => return Some(WrongState::VoidLost),
            _ => {}
        }
        let (told, unsure) = self.refunds.get(key).copied().unwrap_or_default();
        let held = entry.refunded;
        (held < told || held > told + unsure).then_some(WrongState::Refunded { told, held })
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "judged {}: lost {}, doubled {}, unexpected {}, amounts changed {}, voids or refunds wrong {}; \
             sent {}, held {}",
            self.judged,
            self.lost.len(),
            self.doubled.len(),
            self.unexpected.len(),
            self.amounts.len(),
            self.states.len(),
            self.sent_sum,
            self.held_sum
        )?;
        for (terminal, id) in self.lost.iter().take(PRINTED) {
            write!(f, "\n  lost: terminal {terminal} sale {id}")?;
        }
        for (terminal, id) in self.doubled.iter().take(PRINTED) {
            write!(f, "\n  doubled: terminal {terminal} sale {id}")?;
        }
        for ((terminal, id), why) in self.unexpected.iter().take(PRINTED) {
            write!(f, "\n  unexpected ({why:?}): terminal {terminal} sale {id}")?;
        }
        for ((terminal, id), wrong) in self.states.iter().take(PRINTED) {
            write!(f, "\n  {wrong:?}: terminal {terminal} sale {id}")?;
        }
        for AmountDiffers { sale, sent, held } in self.amounts.iter().take(PRINTED) {
            let (terminal, id) = sale;
            write!(
                f,
                "\n  amount: terminal {terminal} sale {id} sent {sent} held {held}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
