//! Forwards: the delivery of each valid sale, its attempts and its due time; dead letters.

use std::time::Duration;

use super::{Store, StoreError};
use crate::domain::{sale::Transaction, time::Timestamp};

/// A claim on sales to be sent, fenced by its token.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Names this claim; a later claim on the same row voids it.
    pub token: i64,
    /// The sales claimed, with what a batch item needs.
    pub items: Vec<ForwardItem>,
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
        let _ = (ids, rows, now, hold);
        todo!("store")
    }

    /// Writes the ends of claimed sales, dead letters included, in one transaction. Rows whose
    /// claim was taken over meanwhile are left alone; gives how many of those there were.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn settle_forwards(&self, token: i64, ends: &[Settled]) -> Result<u64, StoreError> {
        let _ = (token, ends);
        todo!("store")
    }

    /// Dead letters so far.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count_dead_letters(&self) -> Result<u64, StoreError> {
        todo!("store")
    }
}
