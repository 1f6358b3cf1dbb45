//! The stand-in web application: keeps its own ledger and answers as it is told.
//!
//! It takes batches at [`BULK_PATH`] under the contract of `docs/webapp-contract.md`, gives every
//! sale one effect however often it comes, and can be told at run time to fail in every way a web
//! application fails. What it holds and how it answers can be read and set in process through
//! [`SinkHandle`] and over HTTP under `/_control`, which asks for no token: bind it to loopback.

mod abort;
mod batch;
mod control;
mod ledger;
pub mod mode;
mod routes;
mod signature;

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use self::{abort::AbortListener, ledger::Ledger, mode::Mode};

pub use ledger::{Clash, Entry, Summary};
pub use signature::CheckKey;

/// Where batches are posted.
pub const BULK_PATH: &str = "/api/transactions/bulk";

/// Where control totals are asked for: beside [`BULK_PATH`].
pub const CONTROL_PATH: &str = "/api/transactions/control-totals";

/// Most sales a ledger may be told to hold: their sum, each at its largest, still fits exactly.
pub const MOST_ENTRIES: usize = 9_000_000;

/// Most batches whose headers are remembered; the oldest are forgotten first.
pub const MOST_HEARD: usize = 1000;

/// How long the end waits for requests under way.
pub const DRAIN: Duration = Duration::from_secs(5);

/// Settings of the stand-in web application.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// The bearer token a batch must carry; none is asked for where `None`.
    pub token: Option<String>,
    /// What one of the signatures of a request must fit; none is asked for where there is none.
    pub keys: Vec<CheckKey>,
    /// How it answers at first.
    pub mode: Mode,
    /// How long a request hangs in the mode `hang`, at most.
    pub hold: Duration,
    /// Most sales held, capped at [`MOST_ENTRIES`]; about 500 bytes each. More are turned away, loudly.
    pub max_entries: usize,
    /// Most items in a batch.
    pub max_items: usize,
    /// Largest body, in bytes.
    pub max_body_bytes: usize,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            token: None,
            keys: Vec::new(),
            mode: Mode::OK,
            hold: Duration::from_secs(120),
            max_entries: 1_000_000,
            max_items: 500,
            max_body_bytes: 4 * 1024 * 1024,
        }
    }
}

/// A hold on the stand-in web application: its ledger, its mode. It outlives the server, so that a
/// server that was stopped can be started again with the same ledger. Cheap to clone.
#[derive(Clone)]
pub struct SinkHandle(Arc<Shared>);

struct Shared {
    options: SinkOptions,
    mode: Mutex<Mode>,
    keys: Mutex<Vec<CheckKey>>,
    ledger: Mutex<Ledger>,
    heard: Mutex<VecDeque<Heard>>,
    /// Told after every request that was answered or counted.
    changed: watch::Sender<()>,
}

/// What the headers of a batch said of its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The batch.
    pub batch_id: String,
    /// Its `X-Request-Id`.
    pub request_id: Option<String>,
    /// Its `traceparent`.
    pub traceparent: Option<String>,
    /// Its `Content-Encoding`.
    pub encoding: Option<String>,
    /// How many signatures it carries.
    pub signatures: usize,
}

/// What was waited for did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error("not so within {waited:?}; the ledger says:\n{summary}")]
pub struct NotInTime {
    /// How long it was waited for.
    pub waited: Duration,
    /// The ledger at the end.
    pub summary: Summary,
}

impl SinkHandle {
    /// A web application with an empty ledger.
    #[must_use]
    pub fn new(options: SinkOptions) -> Self {
        let ledger = Ledger::new(options.max_entries.min(MOST_ENTRIES));
        Self(Arc::new(Shared {
            mode: Mutex::new(options.mode),
            keys: Mutex::new(options.keys.clone()),
            ledger: Mutex::new(ledger),
            heard: Mutex::default(),
            changed: watch::Sender::new(()),
            options,
        }))
    }

    /// Answers the next requests as `mode` says.
    pub fn set_mode(&self, mode: Mode) {
        *locked(&self.0.mode) = mode;
    }

    /// How the next request will be answered.
    #[must_use]
    pub fn mode(&self) -> Mode {
        *locked(&self.0.mode)
    }

    /// Believes requests that one of `keys` fits.
    pub fn set_keys(&self, keys: Vec<CheckKey>) {
        *locked(&self.0.keys) = keys;
    }

    /// The figures of the ledger now.
    #[must_use]
    pub fn summary(&self) -> Summary {
        locked(&self.0.ledger).summary().clone()
    }

    /// Every sale held, by the sender's id.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        locked(&self.0.ledger).page(i64::MIN, usize::MAX)
    }

    /// The headers of the last sound batches, the oldest first; at most [`MOST_HEARD`].
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        locked(&self.0.heard).iter().cloned().collect()
    }

    /// The sales that came under more than one id of the sender.
    #[must_use]
    pub fn clashes(&self) -> Vec<Clash> {
        locked(&self.0.ledger).clashes().to_vec()
    }

    /// Changes a sale behind the sender's back, or takes it away; gives whether it was held.
    pub fn tamper(&self, tsms_id: i64, change: impl FnOnce(Entry) -> Option<Entry>) -> bool {
        locked(&self.0.ledger).tamper(tsms_id, change)
    }

    /// Forgets everything and answers `ok` again.
    pub fn reset(&self) {
        self.set_mode(Mode::OK);
        *locked(&self.0.ledger) = Ledger::new(self.0.options.max_entries.min(MOST_ENTRIES));
        locked(&self.0.heard).clear();
        self.0.changed.send_replace(());
    }

    fn hear(&self, heard: Heard) {
        let mut all = locked(&self.0.heard);
        if all.len() >= MOST_HEARD {
            all.pop_front();
        }
        all.push_back(heard);
    }

    /// Waits until the figures fulfil `condition`, looking again after every request.
    ///
    /// # Errors
    /// They do not within `deadline`.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&Summary) -> bool,
        deadline: Duration,
    ) -> Result<Summary, NotInTime> {
        let mut changed = self.0.changed.subscribe();
        let come_true = async {
            loop {
                changed.mark_unchanged();
                let summary = self.summary();
                if condition(&summary) || changed.changed().await.is_err() {
                    return summary;
                }
            }
        };
        tokio::time::timeout(deadline, come_true)
            .await
            .map_err(|_| NotInTime {
                waited: deadline,
                summary: self.summary(),
            })
    }
}

/// Serves on `listener` until `stop`, then finishes the requests under way, for [`DRAIN`] at most.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener, sink: SinkHandle, stop: CancellationToken) -> io::Result<()> {
    let router = routes::router(sink, stop.clone());
    let serving = axum::serve(
        AbortListener(listener),
        router.into_make_service_with_connect_info::<abort::Abort>(),
    )
    .with_graceful_shutdown(stop.clone().cancelled_owned())
    .into_future();
    // A client that holds a connection open without a request must not hold up the end.
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = drained => Ok(()),
    }
}

/// A lock whose data is sound even after a panic elsewhere: every change to it is one step.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
