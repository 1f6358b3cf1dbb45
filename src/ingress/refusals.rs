//! Who was refused by a rate limit: one line in the log a bucket and minute, and counts that `upkeep`
//! carries to the record, hour by hour. Nobody can make either grow without bound.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{limits::Bucket, store::Refused};

/// Buckets told apart at a time; more are counted together by their class.
const MOST: usize = 10_000;
/// Buckets written to the record at a time; the rest is counted together by class.
const MOST_WRITTEN: usize = 100;
/// Least time between two lines about one bucket.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The refusals of this process that are not in the record yet.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    counts: HashMap<Bucket, u64>,
    said: HashMap<Bucket, Instant>,
}

impl Refusals {
    /// A request was refused because `bucket` was full.
    pub(super) fn note(&self, bucket: Bucket) {
        if self.is_worth_a_line(bucket, Instant::now()) {
            tracing::warn!(
                limit = bucket.class.name(),
                tenant = bucket.tenant,
                identifier = bucket.identifier(),
                "rate limit: refused; for a minute more of the same are only counted"
            );
        }
    }

    fn is_worth_a_line(&self, bucket: Bucket, now: Instant) -> bool {
        let mut noted = self.noted();
        let known = noted.counts.contains_key(&bucket) || noted.counts.len() < MOST;
        let bucket = if known {
            bucket
        } else {
            Bucket::others(bucket.class)
        };
        *noted.counts.entry(bucket).or_default() += 1;
        let recent = |said: &Instant| now.saturating_duration_since(*said) < SAY_EVERY;
        if noted.said.get(&bucket).is_some_and(recent) {
            return false;
        }
        if noted.said.len() >= MOST {
            noted.said.retain(|_, said| recent(said));
        }
        // Too many at once: the counts tell.
        if noted.said.len() >= MOST {
            return false;
        }
        noted.said.insert(bucket, now);
        true
    }

    /// Takes the counts for the record: those of the most refused, the rest of each class together.
    pub(super) fn take(&self) -> Vec<Refused> {
        let mut counts: Vec<(Bucket, u64)> = std::mem::take(&mut self.noted().counts).into_iter().collect();
        counts.sort_by_key(|(bucket, count)| (std::cmp::Reverse(*count), *bucket));
        let mut rest: HashMap<Bucket, u64> = HashMap::new();
        for (bucket, count) in counts.split_off(counts.len().min(MOST_WRITTEN)) {
            *rest.entry(Bucket::others(bucket.class)).or_default() += count;
        }
        let all = counts.into_iter().chain(rest);
        all.map(|(bucket, refused)| Refused {
            class: bucket.class.name().to_owned(),
            tenant_id: bucket.tenant,
            identifier: bucket.identifier(),
            refused,
        })
        .collect()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_bucket_and_minute() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let till = |n| Bucket::terminal(1, n);
        let worth = |n, seconds| refusals.is_worth_a_line(till(n), now + Duration::from_secs(seconds));
        assert_eq!(
            [worth(1, 0), worth(1, 59), worth(2, 59), worth(1, 60)],
            [true, false, true, true]
        );
        assert_eq!(refusals.take()[0].refused, 3);
        assert_eq!(refusals.take(), []);
    }

    #[test]
    fn a_flood_of_names_stays_within_bounds_and_is_counted() {
        let refusals = Refusals::default();
        let now = Instant::now();
        for n in 0..30_000_u32 {
            refusals.is_worth_a_line(Bucket::auth_address(std::net::Ipv4Addr::from(n).into()), now);
        }
        refusals.is_worth_a_line(Bucket::auth_address([0, 0, 0, 7].into()), now);
        assert!(refusals.noted().said.len() <= MOST);
        let taken = refusals.take();
        assert_eq!(taken.len(), MOST_WRITTEN + 1);
        assert_eq!(
            (taken[0].identifier.as_str(), taken[0].refused),
            ("others", 20_000)
        );
        assert_eq!((taken[1].identifier.as_str(), taken[1].refused), ("0.0.0.7", 2));
        assert_eq!(taken.iter().map(|one| one.refused).sum::<u64>(), 30_001);
    }
}
