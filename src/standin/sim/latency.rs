//! How long answers took: counts in fixed buckets, each at most 1/32 wide of its value.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Buckets to each power of two.
const STEPS: u64 = 32;

/// Powers of two covered, in microseconds: up to more than an hour.
const POWERS: u64 = 32;

const BUCKETS: usize = (STEPS * (POWERS + 1)) as usize;

/// Counts of durations; recording and reading may overlap.
#[derive(Debug)]
pub struct Latency {
    buckets: Box<[AtomicU64]>,
}

impl Default for Latency {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets }
    }
}

impl Latency {
    /// Counts `took`.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let index = usize::try_from(index_of(micros)).unwrap_or(usize::MAX);
        let bucket = self.buckets.get(index).or_else(|| self.buckets.last());
        if let Some(bucket) = bucket {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        counts.sum()
    }

    /// The time within which `permille` of a thousand were done, never told too short; zero when
    /// nothing was counted.
    #[must_use]
    pub fn quantile(&self, permille: u64) -> Duration {
        let rank = (self.count() * permille).div_ceil(1000);
        let mut seen = 0;
        for (index, bucket) in (0..).zip(&self.buckets) {
            seen += bucket.load(Ordering::Relaxed);
            if seen >= rank && seen > 0 {
                return Duration::from_micros(upper_end(index));
            }
        }
        Duration::ZERO
    }
}

/// Values below `STEPS` have a bucket each; above, each power of two is cut into `STEPS` buckets.
const fn index_of(micros: u64) -> u64 {
    if micros < STEPS {
        return micros;
    }
    let power = micros.ilog2() as u64 - STEPS.ilog2() as u64;
    STEPS * power + (micros >> power)
}

/// The largest value of a bucket.
const fn upper_end(index: u64) -> u64 {
    if index < 2 * STEPS {
        return index;
    }
    let power = index / STEPS - 1;
    let step = index % STEPS + STEPS;
    ((step + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for micros in (0..10_000).chain((0..32).map(|power| 1_u64 << power)) {
            let index = index_of(micros);
            assert!(upper_end(index) >= micros, "{micros}");
            assert!(index == 0 || upper_end(index - 1) < micros, "{micros}");
            assert!(upper_end(index) - micros <= micros / STEPS, "{micros}");
        }
    }

    #[test]
    fn quantiles_are_of_the_values_counted() {
        let latency = Latency::default();
        assert_eq!(latency.quantile(500), Duration::ZERO);
        for micros in 1..=1000 {
            latency.record(Duration::from_micros(micros));
        }
        assert_eq!(latency.count(), 1000);
        let median = latency.quantile(500).as_micros();
        assert!((500..=516).contains(&median), "{median}");
        let p99 = latency.quantile(990).as_micros();
        assert!((990..=1023).contains(&p99), "{p99}");
        latency.record(Duration::MAX);
        assert!(latency.quantile(1000) > Duration::from_secs(3600));
    }
}
