//! What passes between a backend's own tasks and the apalis worker: sets of taken jobs one way, the
//! fate of each job the other way. Both channels are bounded, so a slow side holds the other one up.

use std::{fmt, time::Duration};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Job, fair::Lane, press::Press};

/// Where a job stands in its queue: its lane, and its id there, of which a smaller one was queued
/// earlier. On Redis it is the id of the stream entry (milliseconds of the server's clock, sequence
/// number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct EntryId(pub(super) Lane, pub(super) u64, pub(super) u64);

impl EntryId {
    /// Reads an id of `lane`. `None` for what is none.
    pub(super) fn parse(lane: Lane, text: &str) -> Option<Self> {
        let (time, sequence) = text.split_once('-').unwrap_or((text, "0"));
        Some(Self(lane, time.parse().ok()?, sequence.parse().ok()?))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.1, self.2)
    }
}

/// A job that was taken and must be settled.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) job: Job,
    /// How often it was given to a worker, this time included.
    pub(super) deliveries: u32,
}

/// The jobs of one read: what one call of the handler works on.
pub(super) type Set = Vec<Entry>;

/// What becomes of a taken job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Forgotten.
    Done,
    /// Comes back after a while as a new attempt.
    Retry(Duration),
    /// Set aside for a person, with the reason.
    Park(String),
    /// Was not worked on: back to its old place at once, and this delivery does not count.
    HandBack,
    /// Its worker broke down: comes back when the lease runs out, and this delivery counts.
    Abandon,
}

/// The fates of a set.
pub(super) type Settled = Vec<(EntryId, Fate)>;

/// A backend's end of a running pool.
pub(super) struct Line {
    /// At most one set waits here beside those in work.
    pub(super) sets: mpsc::Receiver<Set>,
    /// Where fates go.
    pub(super) settle: mpsc::Sender<Settled>,
    /// What has the pool rest between sets, if anything.
    pub(super) press: Option<Press>,
    /// Takes jobs; ends by itself soon after the stop signal.
    pub(super) reader: AbortOnDropHandle<()>,
    /// Carries fates out; ends when every sender of `settle` is gone and all is carried out.
    pub(super) settler: AbortOnDropHandle<()>,
}

/// From how many earlier deliveries on a job is worked on alone, so that a poison job does not take
/// its neighbours with it: the second time still in a full set (most crashes are no job's fault),
/// later alone, but in time to be alone at least once before it is parked.
pub(super) fn suspect_from(max_deliveries: u32) -> u32 {
    max_deliveries.saturating_sub(1).clamp(1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_prints() {
        let lane = Lane::Crowd;
        let id = EntryId(lane, 1_763_800_000_123, 42);
        assert_eq!(EntryId::parse(lane, &id.to_string()), Some(id));
        assert_eq!(EntryId::parse(lane, "x-1"), None);
        assert!(EntryId(lane, 1, 9) < EntryId(lane, 2, 0));
    }

    #[test]
    fn a_job_is_alone_before_it_is_parked() {
        assert_eq!([1, 2, 3, 5, 50].map(suspect_from), [1, 1, 2, 2, 2]);
    }
}
