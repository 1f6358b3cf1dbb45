//! The record: all SQL of TSMS, on MySQL/MariaDB or SQLite, chosen by URL in [`open`].

#[macro_use]
mod tries;

#[macro_use]
mod transaction_row;

#[macro_use]
mod reversal_row;

#[macro_use]
mod forwards;

mod accept;
mod alerts;
mod audit;
mod batches;
mod breakers;
mod busiest;
mod cells;
mod chains;
mod changes;
mod checkpoint;
mod checkup;
mod dead_letters;
mod decide;
mod deliveries;
mod dialect;
mod directory;
mod driver;
mod duties;
mod enrolments;
mod forward_ends;
mod forward_tries;
mod group;
mod heartbeats;
mod holds;
mod ids;
mod lease;
mod limits;
mod logins;
mod messages;
mod migrate;
mod money;
mod parked;
mod pieces;
mod pool;
mod reconcile;
mod record;
mod redrive_row;
mod retention;
mod reversal_deliveries;
mod reversals;
mod revive;
mod rotation;
mod security;
mod sightings;
mod sinks;
mod submissions;
mod sweep;
mod switches;
mod symptoms;
mod tokens;
mod transactions;
mod values;
mod widths;

pub use alerts::{Round, Telling};
pub use audit::AuditRow;
pub use batches::DecidedBatch;
pub use breakers::Probed;
pub use busiest::{Busiest, BusyTenant};
pub use changes::{ActionRow, Actor, Subject};
pub use checkup::Checkup;
pub use deliveries::{Callback, NewNotice, Notice, NoticeOutcome};
pub use directory::NewTerminal;
pub use duties::{Beat, Load, Staff};
pub use enrolments::{Redeemed, Registration};
pub use forward_tries::Try;
pub use forwards::{Claim, ForwardItem, Settled};
pub use heartbeats::Heartbeat;
pub use holds::NewHold;
pub use limits::{NewOrder, Refused};
pub use logins::Known;
pub use messages::{Channel, ClaimedMessages, Message, NewMessage, Sent};
pub use reconcile::LostItem;
pub use redrive_row::{Redrive, RedriveKind, RedriveState};
pub use retention::Passing;
pub use reversal_deliveries::ClaimedReversals;
pub use reversals::{NewReversal, Reversed};
pub use rotation::{Holder, Replaced};
pub use security::{EventRow, NewEvent};
pub use sinks::NewSink;
pub use submissions::{Accepted, ItemResult, ItemState, NewSubmission, SubmissionView};
pub use sweep::{AuditGap, Mark, ReversalGap};
pub use switches::TerminalChange;
pub use symptoms::{Decided, FailedBatch, SilentTerminal};
pub use tokens::{NewToken, Origin, TokenRow};
pub use transactions::{Decision, DecisionsMade, Existing, TransactionView, Validated};
pub use widths::{AUTOSCALER, NewWidth, Width, WidthMove};

use std::{sync::Arc, time::Duration};

use self::{
    chains::Chains,
    dialect::{Dialect, Texts},
    driver::{Db, Pools},
    group::Writer,
    ids::Ids,
    pool::{open_mysql, open_sqlite},
};
use crate::config;

/// Most rows in one statement. The widest insert binds 33 values a row, SQLite takes 32,766 in a
/// statement and 500 terms in a union: 256 rows fit everywhere.
const MOST_ROWS: usize = 256;

/// How much longer than a lock wait a server may take for one answer before it is given up.
const ANSWER_MARGIN: Duration = Duration::from_secs(10);

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
    /// A value that no column holds; asking again is no help.
    #[error("cannot be stored: {0}")]
    Unfit(String),
    /// A row does not hold what the program wrote.
    #[error("damaged row: {0}")]
    Damaged(String),
    /// The URL or an option of it cannot be used.
    #[error("database settings: {0}")]
    Settings(String),
}

/// A handle on the record; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// To whom changes are put down; the system itself unless [`Store::acting_as`] says otherwise.
    actor: Option<Arc<Actor>>,
}

struct Inner {
    db: Db,
    ids: Ids,
    chains: Chains,
    /// Most rows in one statement, a power of two.
    rows: usize,
    /// Tries of a transaction, the first included.
    tries: u32,
}

/// A pool of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Lent out.
    pub in_use: usize,
    /// Open and waiting for use.
    pub idle: usize,
    /// Most there may be.
    pub limit: usize,
    /// Tasks that wait for one.
    pub waiting: usize,
}

/// Number series handed out in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sequence {
    /// `submissions.id`
    Submission,
    /// `transactions.id` and `reversals.id`
    Transaction,
}

/// Opens the record by its URL.
///
/// # Errors
/// The URL is of no known kind, or the database cannot be reached.
pub async fn open(settings: &config::Database) -> Result<Store, StoreError> {
    let rows = settings.statement_rows;
    if !rows.is_power_of_two() || rows > MOST_ROWS {
        return Err(StoreError::Settings(format!(
            "statement_rows is {rows}: it must be a power of two, at most {MOST_ROWS}"
        )));
    }
    let url = settings.url.reveal();
    let (pools, dialect) = if url.starts_with("mysql:") || url.starts_with("mariadb:") {
        let pool = open_mysql(settings).await?;
        let patience = settings.lock_timeout_ms.duration() + ANSWER_MARGIN;
        (Pools::MySql { pool, patience }, Dialect::MySql)
    } else if url.starts_with("sqlite:") {
        let (options, readers) = open_sqlite(settings).await?;
        let patience = settings.acquire_timeout_ms.duration();
        let writer = Writer::new(
            options,
            patience,
            settings.commit_group,
            settings.checkpoint_pages,
        );
        (Pools::Sqlite { writer, readers }, Dialect::Sqlite)
    } else {
        return Err(StoreError::Settings(
            "the database URL must start with sqlite: or mysql:".into(),
        ));
    };
    let texts = Arc::new(Texts::new(dialect));
    Ok(Store {
        inner: Arc::new(Inner {
            db: Db { pools, texts },
            ids: Ids::new(settings),
            chains: Chains::new(settings.chain_ends),
            rows,
            tries: settings.transaction_tries.max(1),
        }),
        actor: None,
    })
}

impl Store {
    /// Statements sent so far by this handle, by name (e.g. `submissions.insert`); for `/metrics`
    /// and for the tests that hold the hot path to its commit.
    #[must_use]
    pub fn statements(&self) -> Vec<(&'static str, u64)> {
        self.inner.db.texts.counts()
    }

    /// The pool of connections of this handle (SQLite: of the readers).
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.inner.db.connections()
    }
}
