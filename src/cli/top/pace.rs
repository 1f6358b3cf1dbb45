//! Rates of a queue, from the looks of the last seconds.

use std::{collections::VecDeque, fmt, time::Duration};

use tokio::time::Instant;
use tsms::queue::{Moved, Progress};

/// Rates are over the looks of this long; over the last two where those are further apart.
const SPAN: Duration = Duration::from_secs(10);
/// Looks that are kept; one a second is the most.
const LOOKS: usize = 16;

/// The looks at one queue.
#[derive(Default)]
pub(super) struct Looks(VecDeque<(Instant, Progress)>);

/// How a queue gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// What came and went.
    pub(super) moved: Moved,
    /// Within how long.
    pub(super) took: Duration,
    /// Jobs that are due and not done.
    pub(super) left: u64,
}

/// Jobs in 10 seconds, which is how exactly rates are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(pub(super) u64);

impl Looks {
    /// One more look; the pace since the oldest that counts, `None` at first and after the queue was lost.
    pub(super) fn add(&mut self, at: Instant, now: Progress) -> Option<Pace> {
        let old = |(seen, _): &(Instant, Progress)| at.duration_since(*seen) > SPAN;
        while self.0.len() > 1 && (self.0.len() >= LOOKS || self.0.front().is_some_and(old)) {
            self.0.pop_front();
        }
        let pace = self.0.front().and_then(|(seen, before)| {
            let took = at.duration_since(*seen);
            let moved = now.since(*before).filter(|_| !took.is_zero())?;
            Some(Pace {
                moved,
                took,
                left: now.left,
            })
        });
        if pace.is_none() {
            self.0.clear();
        }
        self.0.push_back((at, now));
        pace
    }

    /// The queue could not be read: what comes next is no longer measured against what was.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Pace {
    /// How fast jobs come.
    pub(super) fn comes(&self) -> Rate {
        self.rate(self.moved.added)
    }

    /// How fast they are worked off.
    pub(super) fn goes(&self) -> Rate {
        self.rate(self.moved.worked_off)
    }

    /// How long what is left takes; `None` when nothing moves.
    pub(super) fn drain(&self) -> Option<Duration> {
        self.moved.time_to_drain(self.left, self.took)
    }

    fn rate(&self, jobs: u64) -> Rate {
        let tenths = u128::from(jobs).saturating_mul(10_000) / self.took.as_millis().max(1);
        Rate(u64::try_from(tenths).unwrap_or(u64::MAX))
    }
}

/// Jobs a second with one decimal.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let start = Instant::now();
        let mut looks = Looks::default();
        let mut look = |second, left, added| {
            let pace = looks.add(start + Duration::from_secs(second), Progress { left, added });
            pace.map(|pace| (pace.comes().to_string(), pace.goes().to_string(), pace.drain()))
        };
        let told = |comes: &str, goes: &str, drain| Some((comes.to_owned(), goes.to_owned(), drain));
        let seconds = Duration::from_secs;
        assert_eq!(look(0, 100, 100), None, "one look tells no rate");
        assert_eq!(look(4, 100, 100), told("0.0", "0.0", None), "nothing moves");
        assert_eq!(
            look(8, 100, 190),
            told("11.2", "11.2", Some(Duration::from_millis(8888)))
        );
        // The first look is too long ago.
        assert_eq!(
            look(12, 50, 190),
            told("11.2", "17.5", Some(Duration::from_millis(2857)))
        );
        assert_eq!(look(60, 50, 190), told("0.0", "0.0", None), "two far apart");
        assert_eq!(look(61, 0, 190), told("0.0", "50.0", Some(seconds(0))));
        assert_eq!(look(62, 3, 3), None, "the queue was lost");
        assert_eq!(look(63, 2, 4), told("1.0", "2.0", Some(seconds(1))));
    }

    #[test]
    fn no_more_looks_are_kept_than_there_may_be() {
        let start = Instant::now();
        let mut looks = Looks::default();
        for n in 0..100 {
            let progress = Progress { left: 0, added: n };
            looks.add(start + Duration::from_millis(n), progress);
        }
        assert_eq!(looks.0.len(), LOOKS);
    }
}
