//! Notifications: callbacks to terminals, their attempts and due times.

use std::time::Duration;

use super::{Store, StoreError};
use crate::domain::time::Timestamp;

/// A callback to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotice {
    /// Owner.
    pub tenant_id: i64,
    /// Receiver.
    pub terminal_id: i64,
    /// What it is about; with `kind` unique, so that it is made once.
    pub transaction_id: i64,
    /// What it tells, e.g. `result`.
    pub kind: &'static str,
    /// Where it goes.
    pub url: String,
    /// The JSON to post.
    pub payload: String,
}

/// A claimed callback.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Row id.
    pub id: i64,
    /// The transaction it is about.
    pub transaction_id: i64,
    /// Where it goes.
    pub url: String,
    /// The JSON to post.
    pub payload: String,
    /// Attempts, this one included.
    pub attempt: u32,
}

/// How a callback attempt ended.
#[derive(Clone, Debug)]
pub enum NoticeOutcome {
    /// Delivered.
    Delivered {
        /// Row id.
        id: i64,
        /// Since when.
        at: Timestamp,
        /// The status the receiver answered.
        status: u16,
    },
    /// Again later.
    Retry {
        /// Row id.
        id: i64,
        /// When.
        due_at: Timestamp,
        /// Why.
        code: &'static str,
    },
    /// Given up.
    Failed {
        /// Row id.
        id: i64,
        /// Since when.
        at: Timestamp,
        /// Why.
        code: &'static str,
    },
}

impl Store {
    /// Claims the due callbacks of these transactions: attempts go up by one, not due again before
    /// `now + hold`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_notices(
        &self,
        transaction_ids: &[i64],
        now: Timestamp,
        hold: Duration,
    ) -> Result<Vec<Notice>, StoreError> {
        let _ = (transaction_ids, now, hold);
        todo!("store")
    }

    /// Writes the ends of callback attempts.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn settle_notices(&self, ends: &[NoticeOutcome]) -> Result<(), StoreError> {
        let _ = ends;
        todo!("store")
    }
}
