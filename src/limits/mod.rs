//! Rate limits: who asked how often within the last period, and whether one more is within the
//! quota. Decision 0012 tells why it is a log and what holds while Redis comes and goes.
//!
//! `window` is the algorithm, `bucket` what is counted, `table` the logs of this
//! process, `shared` how they go together with those in Redis, `wire` what is said there.

mod bucket;
mod clock;
mod shared;
mod table;
mod window;
mod wire;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

pub use bucket::{Bucket, Class};
use shared::Shared;
use table::{Now, Rules, Table};

use crate::config;

/// Where one bucket stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which limit.
    pub class: Class,
    /// Requests that would still be let in now.
    pub remaining: u32,
    /// How long until there is one more; zero when nothing counts.
    pub next_free: Duration,
}

/// Whether a request is let in, and where its buckets stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// In the order in which the buckets were given.
    pub standings: Vec<Standing>,
    /// The places, among `standings`, of the buckets that are full; none when the request is let in.
    pub full: Vec<usize>,
}

impl Decision {
    /// The decision by what the buckets have left.
    fn by(standings: Vec<Standing>) -> Self {
        let full = (0..standings.len()).filter(|place| standings[*place].remaining == 0);
        Self {
            full: full.collect(),
            standings,
        }
    }

    /// Whether the request is let in.
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.full.is_empty()
    }

    /// How long until every full bucket has a place.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let waits = self.full.iter().filter_map(|place| self.standings.get(*place));
        waits.map(|standing| standing.next_free).max().unwrap_or_default()
    }
}

/// Decides for this process; cheap to clone.
#[derive(Clone)]
pub struct Limiter(Inner);

#[derive(Clone)]
enum Inner {
    /// The only process of its system.
    Only(Arc<Only>),
    /// One of several, with logs in Redis.
    Shared(Arc<Shared>),
}

struct Only {
    table: Mutex<Table>,
    began: Instant,
}

impl Only {
    fn now(&self) -> Now {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            early: now,
            late: now,
        }
    }
}

/// The limits cannot be kept together with others.
#[derive(Debug, thiserror::Error)]
#[error("rate limits: queue.url: {0}")]
pub struct LimiterError(String);

impl Limiter {
    /// A limiter that is the only one of its system.
    #[must_use]
    pub fn alone(settings: &config::Limits) -> Self {
        Self(Inner::Only(Arc::new(Only {
            table: Mutex::new(Table::new(Rules::new(settings), settings.capacity)),
            began: Instant::now(),
        })))
    }

    /// The limiter that goes with the queues: with queues in memory alone, with Redis together with
    /// every other ingress there. Its tasks end with `stop`.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn start(
        settings: &config::Limits,
        queue: &config::Queue,
        stop: &CancellationToken,
    ) -> Result<Self, LimiterError> {
        if queue.in_memory() {
            return Ok(Self::alone(settings));
        }
        let shared = Shared::start(settings, queue, stop);
        let shared = shared.map_err(|error| LimiterError(error.to_string()))?;
        Ok(Self(Inner::Shared(shared)))
    }

    /// Lets a request in if none of its buckets is full. A refused request leaves no mark.
    pub async fn check(&self, buckets: &[Bucket]) -> Decision {
        match &self.0 {
            Inner::Only(only) => locked(&only.table).decide(buckets, only.now(), 1),
            Inner::Shared(shared) => shared.check(buckets).await,
        }
    }

    /// Waits until decisions are made together with the other processes, as far as there are any.
    pub async fn together(&self) {
        if let Inner::Shared(shared) = &self.0 {
            shared.together().await;
        }
    }

    /// How many ingresses are alive, this one included: they share the quotas while Redis is away.
    pub fn processes(&self, alive: u32) {
        if let Inner::Shared(shared) = &self.0 {
            shared.processes(alive);
        }
    }

    /// Lets go of what counts no longer; to be called every now and then.
    pub fn sweep(&self) {
        match &self.0 {
            Inner::Only(only) => locked(&only.table).sweep(only.now()),
            Inner::Shared(shared) => shared.sweep(),
        }
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
