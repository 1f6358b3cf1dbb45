//! What a process keeps for each sink, so that none can hold up the others: its places for calls at the same
//! time, whether it is stuck, how large its batches are, and how much of what waited may go out beside what is
//! new.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config;

/// Seconds of the floor that late sales may save up.
const SAVED_SECONDS: u64 = 2;

/// The lane of one sink.
pub(super) struct Lane {
    places: Semaphore,
    patience: Duration,
    smallest: usize,
    slow: Duration,
    percent: u64,
    floor: u64,
    state: Mutex<State>,
}

struct State {
    /// When each call under way began.
    calls: BTreeMap<u64, Instant>,
    next: u64,
    /// Most sales in the next batch; the sink's own bound is applied where it is read.
    size: usize,
    /// Late sales that may go, in hundredths.
    late: u64,
    filled: Instant,
}

/// A call under way; dropped, its place is free.
pub(super) struct Call<'a> {
    lane: &'a Lane,
    id: u64,
    _place: SemaphorePermit<'a>,
}

/// What a batch showed about the size of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It was answered well and in time.
    Well,
    /// It was too large, or took too long.
    Large,
}

impl Lane {
    pub(super) fn new(settings: &config::Forwarding) -> Self {
        Self {
            places: Semaphore::new(settings.sink_places),
            patience: settings.patience_ms.duration(),
            smallest: settings.batch_size_min,
            slow: settings.slow_ms.duration(),
            percent: settings.late_percent.into(),
            floor: settings.late_per_s.into(),
            state: Mutex::new(State {
                calls: BTreeMap::new(),
                next: 0,
                size: usize::MAX,
                late: u64::from(settings.late_per_s).saturating_mul(100),
                filled: Instant::now(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call as soon as there is a place. The lane ends only with its process, so there is always one
    /// in the end.
    pub(super) async fn call(&self) -> Option<Call<'_>> {
        let place = self.places.acquire().await.ok()?;
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.calls.insert(id, Instant::now());
        Some(Call {
            lane: self,
            id,
            _place: place,
        })
    }

    /// Whether a call has been under way for longer than one waits for it: no set is to wait for more.
    pub(super) fn is_stuck(&self) -> bool {
        let state = self.state();
        // Numbers follow the order of beginning.
        (state.calls.first_key_value()).is_some_and(|(_, began)| began.elapsed() >= self.patience)
    }

    /// Most sales in a batch, of a sink that takes `most`.
    pub(super) fn batch_size(&self, most: usize) -> usize {
        self.state().size.clamp(self.smallest.min(most), most)
    }

    /// Learns from a batch of `sales` that took `took`: half as many after one that was too large or too slow,
    /// a tenth more after one that was neither, up to `most`.
    pub(super) fn learn(&self, sales: usize, most: usize, took: Duration, fit: Fit) {
        let least = self.smallest.min(most);
        let mut state = self.state();
        let size = state.size.clamp(least, most);
        let fits = fit == Fit::Well && took < self.slow;
        state.size = if fits {
            (size + (size / 10).max(1)).min(most)
        } else {
            // What was large is what was sent, which may have been less than would fit.
            (sales.min(size) / 2).max(least)
        };
    }

    /// How many of `late` sales may go, beside `fresh` ones that do: a share of those, and a floor a second so
    /// that no backlog is forgotten.
    pub(super) fn admit(&self, fresh: usize, late: usize) -> usize {
        let (fresh, late) = (wide(fresh), wide(late));
        let mut state = self.state();
        let now = Instant::now();
        let passed = now.saturating_duration_since(state.filled);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let earned = passed.saturating_mul(self.floor) / 10; // hundredths of a sale a millisecond
        if earned > 0 {
            state.filled = now;
        }
        let most = self.floor.saturating_mul(SAVED_SECONDS).saturating_mul(100);
        let share = fresh.saturating_mul(self.percent);
        let budget = state.late.saturating_add(earned).min(most).saturating_add(share);
        let admitted = late.min(budget / 100);
        state.late = (budget - admitted * 100).min(most);
        usize::try_from(admitted).unwrap_or(usize::MAX)
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.lane.state().calls.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, Millis};

    fn lane(edit: impl FnOnce(&mut config::Forwarding)) -> Lane {
        let mut settings = Layers::read(None, Vec::new())
            .unwrap()
            .config()
            .unwrap()
            .forwarding;
        edit(&mut settings);
        Lane::new(&settings)
    }

    #[test]
    fn batches_shrink_by_half_and_grow_back_within_their_bounds() {
        let lane = lane(|settings| settings.batch_size_min = 4);
        let quick = Duration::ZERO;
        assert_eq!(lane.batch_size(50), 50);
        lane.learn(50, 50, quick, Fit::Large);
        assert_eq!(lane.batch_size(50), 25);
        lane.learn(25, 50, Duration::from_secs(3600), Fit::Well);
        assert_eq!(lane.batch_size(50), 12, "slow");
        for _ in 0..10 {
            lane.learn(12, 50, quick, Fit::Large);
        }
        assert_eq!(lane.batch_size(50), 4);
        assert_eq!(lane.batch_size(2), 2, "the sink takes no more");
        for _ in 0..100 {
            let before = lane.batch_size(50);
            lane.learn(before, 50, quick, Fit::Well);
            assert!(lane.batch_size(50) > before || before == 50);
        }
        assert_eq!(lane.batch_size(50), 50);
    }

    #[test]
    fn late_sales_get_a_share_of_the_fresh_ones_and_a_floor() {
        let lane = lane(|settings| {
            settings.late_percent = 50;
            settings.late_per_s = 10;
        });
        let first = lane.admit(0, 1000);
        assert!((10..=20).contains(&first), "{first}: a second's floor");
        // What is earned meanwhile is a few at most, and bounded.
        let beside = lane.admit(200, 1000);
        assert!((100..=120).contains(&beside), "{beside}: half of the fresh ones");
        assert_eq!(lane.admit(100, 3), 3, "all that there are");
        let saved = lane.admit(0, 1000);
        assert!(saved <= 20, "{saved}: no share is saved up beyond the floor");
    }

    #[tokio::test]
    async fn a_call_beyond_patience_makes_the_lane_stuck_until_it_ends() {
        let lane = lane(|settings| settings.patience_ms = Millis::new(0));
        assert!(!lane.is_stuck());
        let (first, second) = (lane.call().await.unwrap(), lane.call().await.unwrap());
        assert!(lane.is_stuck());
        drop(first);
        assert!(lane.is_stuck());
        drop(second);
        assert!(!lane.is_stuck());
        let patient = self::lane(|_| ());
        let _call = patient.call().await.unwrap();
        assert!(!patient.is_stuck());
    }
}
