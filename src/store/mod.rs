//! The record: all SQL of TSMS, on MySQL/MariaDB or SQLite, chosen by URL in [`open`].

mod audit;
mod deliveries;
mod directory;
mod forwards;
mod submissions;
mod sweep;
mod transactions;

pub use audit::AuditRow;
pub use deliveries::{NewNotice, Notice, NoticeOutcome};
pub use directory::{NewTerminal, TokenRow};
pub use forwards::{Claim, ForwardItem, Settled};
pub use submissions::{Accepted, ItemResult, ItemState, NewSubmission, SubmissionView};
pub use sweep::{AuditGap, Mark};
pub use transactions::{Decision, Existing, TransactionView, Validated};

use crate::config;

/// The record cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, timed out or refused for a passing reason; ask again later.
    #[error("database unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Something with that key exists.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// Nothing has that key.
    #[error("no such {0}")]
    Missing(&'static str),
    /// A row does not hold what the program wrote.
    #[error("damaged row: {0}")]
    Damaged(String),
    /// The URL or an option of it cannot be used.
    #[error("database settings: {0}")]
    Settings(String),
}

/// A handle on the record; cheap to clone.
#[derive(Clone)]
pub struct Store {}

/// Number series handed out in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sequence {
    /// `submissions.id`
    Submission,
    /// `transactions.id`
    Transaction,
}

/// Opens the record by its URL.
///
/// # Errors
/// The URL is of no known kind, or the database cannot be reached.
pub async fn open(settings: &config::Database) -> Result<Store, StoreError> {
    let _ = settings;
    todo!("store")
}

impl Store {
    /// Brings the schema up to date; safe to call from many processes at once.
    ///
    /// # Errors
    /// The database refuses, or was migrated by a newer program.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        todo!("store")
    }

    /// Asks for a sign of life, and whether the schema is the one this program expects.
    ///
    /// # Errors
    /// It is not ready.
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!("store")
    }

    /// Takes the next `count` ids of a series. Only one call in `id_block` ids touches the database.
    ///
    /// # Errors
    /// The database cannot be reached when a new block is needed.
    pub async fn next_ids(&self, sequence: Sequence, count: usize) -> Result<Vec<i64>, StoreError> {
        let _ = (sequence, count);
        todo!("store")
    }

    /// Statements sent so far by this handle, by name (e.g. `submissions.insert`); for `/metrics`
    /// and for the tests that hold the hot path to its commit.
    #[must_use]
    pub fn statements(&self) -> Vec<(&'static str, u64)> {
        todo!("store")
    }
}
