//! Voids and refunds: recorded once, whoever asks at the same time.
//!
//! Whatever happens to one sale takes the lock on its row first, so that a void, refunds, and the
//! decision on the sale come one after the other. The void of a sale that has no row yet is parked
//! (see [`super::parked`]).

use uuid::Uuid;

use super::{
    Sequence, Store, StoreError,
    dialect::Sql,
    driver::Tx,
    pieces::fits,
    reversal_row::{self, read_delivery},
    tries::Tries,
    values::Binds,
};
use crate::domain::{
    checksum::Digest,
    money::Money,
    reversal::{Fate, Reversal, ReversalKind, SaleDelivery, fate},
    sale::{ForwardState, ValidationStatus},
    time::Timestamp,
};

/// A void or refund that a terminal asks for.
#[derive(Clone, Debug)]
pub struct NewReversal {
    /// Owner.
    pub tenant_id: i64,
    /// Who asks; it must be who sold.
    pub terminal_id: i64,
    /// The terminal's id of the sale.
    pub transaction_id: Uuid,
    /// Void or refund.
    pub kind: ReversalKind,
    /// The terminal's id of a refund; empty for a void.
    pub reference: String,
    /// How much goes back; zero for a void.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// Equal digests mean the same request.
    pub content: Digest,
}

/// What the record made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reversed {
    /// Committed now.
    Made(Reversal),
    /// The same was asked before.
    Before(Reversal),
    /// The sale has another void, or another refund has the reference.
    Other(Reversal),
    /// The terminal has no such sale.
    Unknown,
    /// Whether the sale is valid is not decided yet; a void needs no decision.
    Undecided,
    /// The sale is INVALID, or could not be processed: there is nothing to refund.
    Invalid,
    /// The sale is void.
    Voided(Reversal),
    /// The sale has refunds, so it cannot become void.
    Refunded,
    /// More than what is left of the sale.
    TooMuch {
        /// What is left.
        left: Money,
    },
    /// The sale has as many refunds as it may.
    TooMany,
}

/// What a reversal has to know of its sale.
pub(super) struct LockedSale {
    pub(super) id: i64,
    status: ValidationStatus,
    amount: Money,
    given_up: bool,
    delivery: Option<SaleDelivery>,
}

const LOCK_SALE: Sql = Sql {
    name: "transactions.lock_sale",
    text: "SELECT t.id, t.validation_status, t.gross_sales, t.base_amount, t.dead_code IS NOT NULL, \
           f.state, f.attempts, f.due_at, f.last_code \
           FROM transactions t LEFT JOIN forwards f ON f.transaction_id = t.id \
           WHERE t.terminal_id = ? AND t.transaction_id = ? $LOCK",
};

const OF_SALE: Sql = Sql {
    name: "reversals.of_sale",
    text: concat!(
        "SELECT ",
        reversal_columns!(),
        " FROM reversals r WHERE r.terminal_id = ? AND r.transaction_id = ? ORDER BY r.id"
    ),
};

const INSERT: Sql = Sql {
    name: "reversals.insert",
    text: "INSERT INTO reversals (id, tenant_id, terminal_id, transaction_id, sale_id, kind, reference, \
           amount, reason, content, made_at, state, attempts, due_at, settled_at) \
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
};

const VOID_SALE: Sql = Sql {
    name: "transactions.void",
    text: "UPDATE transactions SET voided_at = ?, void_reason = ? WHERE id = ? AND voided_at IS NULL",
};

pub(super) const WITHDRAW: Sql = Sql {
    name: "forwards.withdraw",
    // A sale that was made claimed may have left uncounted; MySQL assigns from left to right.
    text: "UPDATE forwards SET attempts = attempts + (attempts = 0 AND state = 'SENDING'), state = 'WITHDRAWN', \
           due_at = NULL, claim = 0, settled_at = ? WHERE transaction_id IN ({?}) AND due_at IS NOT NULL",
};

impl Store {
    /// Records a void or refund, durably before it returns, unless the sale or what was recorded
    /// before stands against it. A sale has `most_refunds` refunds at most. Of two that exclude each
    /// other exactly one is made.
    ///
    /// # Errors
    /// Nothing was committed, or the outcome is unknown; asking again is safe.
    pub async fn reverse(&self, new: &NewReversal, most_refunds: usize) -> Result<Reversed, StoreError> {
        fits("a reference", &new.reference, 191)?;
        fits("a reason", &new.reason, 255)?;
        let ids = self.next_ids(Sequence::Transaction, 1).await?;
        let id = ids.first().copied().ok_or(StoreError::Missing("row id"))?;
        let mut tries = Tries::new(self.inner.tries);
        let (mut accepted, mut looked) = (false, false);
        let reversed = loop {
            match self.reverse_once(id, new, most_refunds, accepted).await {
                // Asked between transactions: one that waits for a second connection could wait for
                // others that do the same.
                Ok(Reversed::Unknown) if !accepted => {
                    let submission = self.submission_of(new.terminal_id, new.transaction_id).await?;
                    if submission.is_none() && looked {
                        return Ok(Reversed::Unknown);
                    }
                    // Where none waits, the sale may have got its row since: that is looked for once more.
                    (accepted, looked) = (submission.is_some(), true);
                }
                // Another one was faster; the next look finds it.
                Err(StoreError::Exists(_)) if tries.another().await => {}
                Err(error) if tries.after(&error).await => {}
                ended => break ended?,
            }
        };
        match reversed {
            // Its sale may have got a row meanwhile.
            Reversed::Made(parked) if parked.sale_id.is_none() => {
                let joined = self.unpark(&parked).await?;
                Ok(Reversed::Made(joined.unwrap_or(parked)))
            }
            other => Ok(other),
        }
    }

    async fn reverse_once(
        &self,
        id: i64,
        new: &NewReversal,
        most_refunds: usize,
        accepted: bool,
    ) -> Result<Reversed, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        match reverse_in(&mut tx, id, new, most_refunds, accepted).await {
            Ok(made @ Reversed::Made(_)) => {
                tx.commit().await?;
                Ok(made)
            }
            refused => {
                tx.roll_back().await?;
                refused
            }
        }
    }

    /// The void and refunds of a terminal's sale, in the order they were recorded.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reversals_of(
        &self,
        terminal_id: i64,
        transaction_id: Uuid,
    ) -> Result<Vec<Reversal>, StoreError> {
        let key = [terminal_id.into(), transaction_id.into()];
        let rows = self.inner.db.fetch(&OF_SALE, 1, &key).await?;
        rows.iter()
            .map(|row| reversal_row::read(&mut row.cells()))
            .collect()
    }
}

/// Records what nothing stands against. `accepted` says that a submission has the sale, which may have
/// no row yet.
async fn reverse_in(
    tx: &mut Tx,
    id: i64,
    new: &NewReversal,
    most_refunds: usize,
    accepted: bool,
) -> Result<Reversed, StoreError> {
    let key = [new.terminal_id.into(), new.transaction_id.into()];
    let sale = lock_sale(tx, new.terminal_id, new.transaction_id).await?;
    let mut earlier = Vec::new();
    for row in tx.fetch(&OF_SALE, 1, &key).await? {
        earlier.push(reversal_row::read(&mut row.cells())?);
    }
    if let Some(refusal) = refusal(new, sale.as_ref(), &earlier, most_refunds) {
        return Ok(refusal);
    }
    let now = Timestamp::now();
    let mut made = Reversal {
        id,
        tenant_id: new.tenant_id,
        terminal_id: new.terminal_id,
        transaction_id: new.transaction_id,
        sale_id: None,
        kind: new.kind,
        reference: new.reference.clone(),
        amount: new.amount,
        reason: new.reason.clone(),
        content: new.content,
        made_at: now,
        state: ForwardState::Pending,
        attempts: 0,
        settled_at: None,
    };
    let mut due_at = Some(now);
    if let Some(sale) = sale {
        due_at = join(tx, &mut made, &sale, now).await?;
    } else if !accepted {
        return Ok(Reversed::Unknown);
    } else if new.kind == ReversalKind::Refund {
        return Ok(Reversed::Undecided);
    }
    let mut values = Binds::of(14);
    values
        .put(id)
        .put(made.tenant_id)
        .put(made.terminal_id)
        .put(made.transaction_id)
        .put(made.sale_id.unwrap_or(0))
        .put(made.kind.as_str())
        .put(made.reference.as_str())
        .put(made.amount)
        .put(made.reason.as_str())
        .put(&made.content)
        .put(made.made_at)
        .put(made.state.as_str())
        .put(due_at)
        .put(made.settled_at.map_or(0, Timestamp::as_micros));
    tx.execute(&INSERT, 1, &values).await?;
    Ok(Reversed::Made(made))
}

/// Locks the row of a sale and that of its delivery until the transaction ends, if there are any.
pub(super) async fn lock_sale(
    tx: &mut Tx,
    terminal_id: i64,
    transaction_id: Uuid,
) -> Result<Option<LockedSale>, StoreError> {
    let key = [terminal_id.into(), transaction_id.into()];
    let rows = tx.fetch(&LOCK_SALE, 1, &key).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let mut cells = row.cells();
    let (id, status) = (cells.int()?, cells.word(ValidationStatus::from_word)?);
    let (gross, base) = (cells.money_or_null()?, cells.money_or_null()?);
    Ok(Some(LockedSale {
        id,
        status,
        amount: gross.or(base).unwrap_or(Money::ZERO),
        given_up: cells.flag()?,
        delivery: read_delivery(&mut cells)?,
    }))
}

/// Joins a reversal with its sale, whose row is locked: marks a void on the sale, ends what it ends,
/// and settles what the web application has to hear. Gives when that is due.
pub(super) async fn join(
    tx: &mut Tx,
    made: &mut Reversal,
    sale: &LockedSale,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    made.sale_id = Some(sale.id);
    if made.kind == ReversalKind::Void {
        let values = [made.made_at.into(), made.reason.as_str().into(), sale.id.into()];
        tx.execute(&VOID_SALE, 1, &values).await?;
    }
    let fate = fate(made.kind, sale.delivery, now);
    if let Fate::Withdraw { .. } = fate {
        tx.execute(&WITHDRAW, 1, &[now.into(), sale.id.into()]).await?;
    }
    Ok(match fate {
        Fate::Silence | Fate::Withdraw { tell: false } => {
            made.state = ForwardState::Withdrawn;
            made.settled_at = Some(now);
            None
        }
        Fate::Withdraw { tell: true } | Fate::Tell => Some(now),
        Fate::Wait(until) => Some(until),
    })
}

/// What stands against a reversal, if anything does.
fn refusal(
    new: &NewReversal,
    sale: Option<&LockedSale>,
    earlier: &[Reversal],
    most_refunds: usize,
) -> Option<Reversed> {
    let same = |one: &&Reversal| one.kind == new.kind && one.reference == new.reference;
    if let Some(first) = earlier.iter().find(same).cloned() {
        return Some(if first.content == new.content {
            Reversed::Before(first)
        } else {
            Reversed::Other(first)
        });
    }
    let void = earlier.iter().find(|one| one.kind == ReversalKind::Void);
    let refunds = || earlier.iter().filter(|one| one.kind == ReversalKind::Refund);
    if new.kind == ReversalKind::Void {
        return refunds().next().map(|_| Reversed::Refunded);
    }
    if let Some(void) = void {
        return Some(Reversed::Voided(void.clone()));
    }
    let sale = sale?;
    match sale.status {
        ValidationStatus::Pending if !sale.given_up => return Some(Reversed::Undecided),
        ValidationStatus::Pending | ValidationStatus::Invalid => return Some(Reversed::Invalid),
        ValidationStatus::Valid => {}
    }
    if refunds().count() >= most_refunds {
        return Some(Reversed::TooMany);
    }
    let left = sale.amount - refunds().map(|refund| refund.amount).sum();
    (new.amount > left).then_some(Reversed::TooMuch { left })
}
