//! What one look found, each part or the reason why not.

use std::{fmt, time::Duration};

use tsms::{
    domain::{breaker::Breaker, hold::Hold, time::Timestamp},
    letters::Cause,
    queue::Depth,
    stage::Stage,
    store::Busiest,
};

use super::pace::Pace;

/// One look at everything.
pub(super) struct Frame {
    /// When.
    pub(super) at: Timestamp,
    /// Whether the queues are in memory of one process, rather than on a server.
    pub(super) embedded: bool,
    /// Every queue, in the order a sale passes them.
    pub(super) queues: Vec<QueueRow>,
    /// What the record says; `None` when it could not be read.
    pub(super) record: Option<Record>,
    /// What could not be read.
    pub(super) faults: Vec<Fault>,
}

impl Frame {
    /// Over how long the rates are; `None` at the first look.
    pub(super) fn measured(&self) -> Option<Duration> {
        let paces = self.queues.iter().filter_map(|queue| queue.pace);
        paces.map(|pace| pace.took).max()
    }
}

/// A queue.
pub(super) struct QueueRow {
    /// Which.
    pub(super) stage: Stage,
    /// Its jobs and the age of the oldest; `None` when the queues could not be read.
    pub(super) depth: Option<(Depth, Option<Duration>)>,
    /// How it gets on; `None` before the second look.
    pub(super) pace: Option<Pace>,
    /// Who works on it; `None` when the record could not be read.
    pub(super) crew: Option<Crew>,
}

/// Who works on a queue.
#[derive(Clone, Copy)]
pub(super) struct Crew {
    /// Sets of jobs at a time that each process is to work on.
    pub(super) width: u64,
    /// Processes that are alive.
    pub(super) processes: u64,
    /// Sets of jobs at a time that they work on together, at most.
    pub(super) sets: u64,
    /// What people ordered to stand still.
    pub(super) held: Held,
}

/// How much of a queue stands still by order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    No,
    /// So many tenants.
    Tenants(usize),
    All,
}

/// What the record says.
pub(super) struct Record {
    /// The pauses that stand, those first that end first.
    pub(super) holds: Vec<Hold>,
    /// Every breaker, those first that keep sales back.
    pub(super) breakers: Vec<Breaker>,
    /// Dead letters in all.
    pub(super) letters: u64,
    /// They by cause, most first.
    pub(super) causes: Vec<Cause>,
    /// Whether every one was looked at for the causes.
    pub(super) causes_whole: bool,
    /// Since when sales are counted.
    pub(super) since: Timestamp,
    /// Whose they are.
    pub(super) busiest: Busiest,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Queues,
    Record,
}

impl Source {
    /// The word on the screen and in JSON.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Source::Queues => "queues",
            Source::Record => "record",
        }
    }
}

/// Something could not be read.
pub(super) struct Fault {
    /// What.
    pub(super) source: Source,
    /// Why.
    pub(super) why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.source.word();
        write!(f, "cannot read the {word}: {}", self.why)
    }
}
