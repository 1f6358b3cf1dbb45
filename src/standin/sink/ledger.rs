//! What the stand-in web application holds: every sale once, however often it was sent.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Bound,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    batch::{Batch, Item},
    mode::Denial,
};
use crate::domain::{checksum::Digest, money::Money, time::Timestamp};

/// Most complaints kept word for word; later ones are only counted.
const COMPLAINTS: usize = 50;

/// Longest idempotency key, in bytes.
const LONGEST_KEY: usize = 255;

/// A sale that the web application took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The sender's id of the sale: the key of idempotency.
    pub tsms_id: i64,
    /// The tenant that sold.
    pub tenant_id: i64,
    /// The terminal that sold.
    pub terminal_id: i64,
    /// The terminal's id of the sale.
    pub transaction_id: Uuid,
    /// When it was sold, by the till's clock.
    #[serde(default = "epoch")]
    pub sold_at: Timestamp,
    /// What it was worth.
    pub amount: Money,
    /// Whether it was voided since.
    pub voided: bool,
    /// How much of it was refunded since.
    #[serde(default)]
    pub refunded: Money,
    /// When it first came.
    pub first_seen: Timestamp,
    /// The batch that first brought it.
    pub first_batch: String,
    /// How often it came, the first time included.
    pub received: u64,
}

/// For a dump of an older ledger.
const fn epoch() -> Timestamp {
    Timestamp::from_micros(0)
}

impl Entry {
    /// What the sale is worth in effect: nothing when it is void, else what was not refunded.
    #[must_use]
    pub fn net(&self) -> Money {
        if self.voided {
            Money::ZERO
        } else {
            self.amount - self.refunded
        }
    }
}

/// The same sale of a terminal came under two ids of the sender. A web application that trusts the
/// sender's id has it twice: this is the doubling the oracle looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clash {
    /// The terminal that sold.
    pub terminal_id: i64,
    /// The terminal's id of the sale.
    pub transaction_id: Uuid,
    /// The id it came under first.
    pub first: i64,
    /// The id it came under later.
    pub second: i64,
}

/// The figures of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Sales held.
    pub distinct: u64,
    /// Of those, voided.
    pub voided: u64,
    /// Copies of sales that were held already; none of them had an effect.
    pub duplicates: u64,
    /// Copies that came with other content than the sale held.
    pub conflicts: u64,
    /// Sales that came under a second id.
    pub clashes: u64,
    /// Items told to come again because the ledger is full.
    pub turned_away: u64,
    /// The exact sum of the sales held.
    pub amount: Money,
    /// The exact sum of what was refunded of them.
    #[serde(default)]
    pub refunded: Money,
    /// The exact sum of what they are worth in effect: without voids, less refunds.
    #[serde(default)]
    pub net: Money,
    /// Requests by how they were answered.
    pub requests: BTreeMap<String, u64>,
    /// Breaches of the contract by the sender.
    pub complaints: u64,
    /// The first of those, in words.
    pub first_complaints: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "sales held {} (voided {}), worth {}; refunded {}, net {}",
            self.distinct, self.voided, self.amount, self.refunded, self.net
        )?;
        writeln!(
            f,
            "copies without effect {}, with other content {}, under a second id {}",
            self.duplicates, self.conflicts, self.clashes
        )?;
        write!(f, "requests")?;
        for (outcome, count) in &self.requests {
            write!(f, " {outcome}={count}")?;
        }
        if self.turned_away > 0 {
            write!(f, "\nLEDGER FULL: {} items turned away", self.turned_away)?;
        }
        if self.complaints > 0 {
            write!(f, "\nbreaches of the contract {}", self.complaints)?;
            for complaint in &self.first_complaints {
                write!(f, "\n  {complaint}")?;
            }
        }
        Ok(())
    }
}

/// The result of one item, as the contract words it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ItemResult {
    pub(super) tsms_id: i64,
    pub(super) transaction_id: String,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
}

impl ItemResult {
    /// A result for an item that no batch carries.
    pub(super) fn unasked() -> Self {
        Self {
            tsms_id: -1,
            transaction_id: Uuid::nil().to_string(),
            status: "accepted",
            code: None,
        }
    }
}

/// The ledger itself.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<i64, Entry>,
    by_sale: HashMap<(i64, Uuid), i64>,
    clashes: Vec<Clash>,
    keys: HashMap<String, Digest>,
    figures: Summary,
    capacity: usize,
}

impl Ledger {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    pub(super) fn summary(&self) -> &Summary {
        &self.figures
    }

    pub(super) fn clashes(&self) -> &[Clash] {
        &self.clashes
    }

    /// At most `limit` entries with ids above `after`, by id.
    pub(super) fn page(&self, after: i64, limit: usize) -> Vec<Entry> {
        let above = (Bound::Excluded(after), Bound::Unbounded);
        let page = self.entries.range(above).take(limit);
        page.map(|(_, entry)| entry.clone()).collect()
    }

    /// The sales with ids above `after` and up to `up_to`, by id.
    pub(super) fn between(&self, after: i64, up_to: i64) -> impl Iterator<Item = &Entry> {
        let bounds = (Bound::Excluded(after), Bound::Included(up_to.max(after)));
        // A range that begins and ends in what it leaves out is none.
        let range = (after < up_to).then(|| self.entries.range(bounds));
        range.into_iter().flatten().map(|(_, entry)| entry)
    }

    /// Changes what is held behind the sender's back, as a restored backup or a hand in the tables does;
    /// gives whether the sale was there.
    pub(super) fn tamper(&mut self, id: i64, change: impl FnOnce(Entry) -> Option<Entry>) -> bool {
        let Some(entry) = self.entries.remove(&id) else {
            return false;
        };
        self.by_sale.remove(&(entry.terminal_id, entry.transaction_id));
        self.count(&entry, false);
        if let Some(entry) = change(entry) {
            self.by_sale
                .insert((entry.terminal_id, entry.transaction_id), entry.tsms_id);
            self.count(&entry, true);
            self.entries.insert(entry.tsms_id, entry);
        }
        true
    }

    /// Counts a sale in the figures, or takes it out of them.
    fn count(&mut self, entry: &Entry, comes: bool) {
        let figures = &mut self.figures;
        let sign = |amount: Money| if comes { amount } else { -amount };
        let one = |number: u64, counts: bool| match (counts, comes) {
            (false, _) => number,
            (true, true) => number + 1,
            (true, false) => number.saturating_sub(1),
        };
        figures.distinct = one(figures.distinct, true);
        figures.voided = one(figures.voided, entry.voided);
        figures.amount = figures.amount + sign(entry.amount);
        figures.refunded = figures.refunded + sign(entry.refunded);
        figures.net = figures.net + sign(entry.net());
    }

    /// Whether `key` is there and never stood for other sales than `fingerprint` tells.
    pub(super) fn key_fits(&mut self, key: &str, fingerprint: Digest) -> Result<(), &'static str> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err("Idempotency-Key is missing or too long");
        }
        match self.keys.get(key) {
            Some(known) if *known != fingerprint => {
                return Err("Idempotency-Key stood for other sales before");
            }
            Some(_) => {}
            None if self.keys.len() < self.capacity => {
                self.keys.insert(key.to_owned(), fingerprint);
            }
            // Full: the ledger turns sales away as well, loudly.
            None => {}
        }
        Ok(())
    }

    /// Counts a request under how it was answered.
    pub(super) fn count_request(&mut self, outcome: &str) {
        *self.figures.requests.entry(outcome.to_owned()).or_default() += 1;
    }

    /// Notes a breach of the contract.
    pub(super) fn complain(&mut self, complaint: String) {
        tracing::warn!(complaint, "the sender broke the contract");
        self.figures.complaints += 1;
        if self.figures.first_complaints.len() < COMPLAINTS {
            self.figures.first_complaints.push(complaint);
        }
    }

    /// Takes the items of a batch, except those that `deny` names by their position (from 1).
    /// Gives the results that are told, in the order of the items.
    pub(super) fn apply(
        &mut self,
        batch: &Batch,
        now: Timestamp,
        deny: impl Fn(u64) -> Option<Denial>,
    ) -> Vec<ItemResult> {
        let mut results = Vec::with_capacity(batch.items.len());
        for (position, item) in (1..).zip(&batch.items) {
            let (status, code) = match (deny(position), item) {
                (Some(Denial::Retry), _) => ("retry", Some("told_to")),
                (Some(Denial::Rejected), _) => ("rejected", Some("told_to")),
                (denial, Ok(item)) => {
                    let answer = self.take(&batch.batch_id, item, now);
                    if denial == Some(Denial::Missing) {
                        continue;
                    }
                    answer
                }
                (_, Err(bad)) => {
                    self.complain(format!("batch {}: {}", batch.batch_id, bad.complaint));
                    ("rejected", Some(bad.code))
                }
            };
            let (tsms_id, transaction_id) = match item {
                Ok(item) => (item.tsms_id, item.transaction_id.to_string()),
                Err(bad) => (bad.tsms_id, bad.transaction_id.clone()),
            };
            results.push(ItemResult {
                tsms_id,
                transaction_id,
                status,
                code,
            });
        }
        results
    }

    fn take(&mut self, batch_id: &str, item: &Item, now: Timestamp) -> (&'static str, Option<&'static str>) {
        if let Some(entry) = self.entries.get_mut(&item.tsms_id) {
            entry.received += 1;
            let same = entry.terminal_id == item.terminal_id
                && entry.transaction_id == item.transaction_id
                && entry.amount == item.amount;
            if !same {
                self.figures.conflicts += 1;
                return ("rejected", Some("conflict"));
            }
            // A sale only ever moves one way: an older state that comes late changes nothing.
            let before = entry.net();
            let news = if item.voided && !entry.voided {
                entry.voided = true;
                self.figures.voided += 1;
                "voided"
            } else if item.refunded > entry.refunded {
                self.figures.refunded = self.figures.refunded + item.refunded - entry.refunded;
                entry.refunded = item.refunded;
                "refunded"
            } else {
                self.figures.duplicates += 1;
                return ("duplicate", None);
            };
            self.figures.net = self.figures.net + entry.net() - before;
            return ("accepted", Some(news));
        }
        let sale = (item.terminal_id, item.transaction_id);
        if let Some(&first) = self.by_sale.get(&sale) {
            self.figures.clashes += 1;
            if self.clashes.len() < self.capacity {
                self.clashes.push(Clash {
                    terminal_id: item.terminal_id,
                    transaction_id: item.transaction_id,
                    first,
                    second: item.tsms_id,
                });
            }
            return ("rejected", Some("known_under_another_id"));
        }
        if self.entries.len() >= self.capacity {
            tracing::error!(
                capacity = self.capacity,
                "the ledger is full, sales are turned away"
            );
            self.figures.turned_away += 1;
            return ("retry", Some("ledger_full"));
        }
        self.by_sale.insert(sale, item.tsms_id);
        let entry = Entry {
            tsms_id: item.tsms_id,
            tenant_id: item.tenant_id,
            terminal_id: item.terminal_id,
            transaction_id: item.transaction_id,
            sold_at: item.sold_at,
            amount: item.amount,
            voided: item.voided,
            refunded: item.refunded,
            first_seen: now,
            first_batch: batch_id.to_owned(),
            received: 1,
        };
        self.count(&entry, true);
        self.entries.insert(item.tsms_id, entry);
        ("accepted", None)
    }
}
