//! The jobs of one in-memory queue and how they move. No clock and no waiting in here.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::time::Timestamp,
    queue::{
        Depth, Job, Pool,
        line::{Entry, EntryId, Fate, Set, Settled, suspect_from},
    },
};

/// Stands for a delay that the clock cannot express: ten years.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Every job is in exactly one of the four.
#[derive(Default)]
pub(super) struct Jobs {
    /// In the order of their numbers.
    ready: VecDeque<(u64, Held)>,
    /// By due time, then number.
    delayed: BTreeMap<(Instant, u64), Held>,
    taken: BTreeMap<u64, Held>,
    parked: Vec<(Job, String)>,
    /// The last number given to a job or a pool.
    last: u64,
}

struct Held {
    job: Job,
    /// When it was put among the ready jobs.
    since: Timestamp,
    /// How often it was given to a worker.
    deliveries: u32,
    /// The pool that took it last.
    pool: u64,
}

impl Jobs {
    /// A number that no job and no pool has yet.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Every job that is held, parked ones included.
    pub(super) fn count(&self) -> usize {
        self.ready.len() + self.delayed.len() + self.taken.len() + self.parked.len()
    }

    pub(super) fn depth(&self) -> Depth {
        let ready = self.ready.front().map(|(_, held)| held.since);
        let taken = self.taken.first_key_value().map(|(_, held)| held.since);
        Depth {
            ready: self.ready.len() as u64,
            in_flight: self.taken.len() as u64,
            delayed: self.delayed.len() as u64,
            parked: self.parked.len() as u64,
            oldest: ready.into_iter().chain(taken).min(),
        }
    }

    pub(super) fn parked(&self, limit: usize) -> Vec<(Job, String)> {
        self.parked.iter().rev().take(limit).cloned().collect()
    }

    /// Puts a job at the end of the ready ones.
    pub(super) fn append(&mut self, job: Job, deliveries: u32) {
        let number = self.number();
        let held = Held {
            job,
            since: Timestamp::now(),
            deliveries,
            pool: 0,
        };
        self.ready.push_back((number, held));
    }

    /// Makes a job due `after` from `now`.
    pub(super) fn delay(&mut self, now: Instant, after: Duration, job: Job, deliveries: u32) {
        let due = now.checked_add(after).unwrap_or_else(|| now + FAR);
        let number = self.number();
        let held = Held {
            since: job.enqueued_at,
            job,
            deliveries,
            pool: 0,
        };
        self.delayed.insert((due, number), held);
    }

    /// Moves what is due to the end of the ready jobs, at most `limit`.
    pub(super) fn promote(&mut self, now: Instant, limit: usize) {
        for _ in 0..limit {
            match self.delayed.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let held = first.remove();
                    self.append(held.job, held.deliveries);
                }
                _ => break,
            }
        }
    }

    /// When the next delayed job is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next set for the pool with this number; empty when nothing is ready.
    pub(super) fn take(&mut self, pool: Pool, number: u64) -> Set {
        let suspect = suspect_from(pool.max_deliveries);
        let mut set = Set::new();
        while let Some((_, next)) = self.ready.front() {
            let alone = next.deliveries >= suspect;
            if set.len() >= pool.batch.max(1) || (alone && !set.is_empty()) {
                break;
            }
            let Some((place, mut held)) = self.ready.pop_front() else {
                break;
            };
            held.deliveries += 1;
            held.pool = number;
            set.push(Entry {
                id: EntryId(place, 0),
                job: held.job.clone(),
                deliveries: held.deliveries,
            });
            self.taken.insert(place, held);
            if alone {
                break;
            }
        }
        set
    }

    pub(super) fn settle(&mut self, fates: Settled, now: Instant, lease: Duration) {
        for (EntryId(place, _), fate) in fates {
            let Some(mut held) = self.taken.remove(&place) else {
                continue;
            };
            match fate {
                Fate::Done => {}
                Fate::Retry(after) => {
                    held.job.attempt = held.job.attempt.saturating_add(1);
                    self.delay(now, after, held.job, 0);
                }
                Fate::Park(reason) => self.parked.push((held.job, reason)),
                Fate::HandBack => {
                    held.deliveries = held.deliveries.saturating_sub(1);
                    let index = self.ready.partition_point(|(other, _)| *other < place);
                    self.ready.insert(index, (place, held));
                }
                Fate::Abandon => self.delay(now, lease, held.job, held.deliveries),
            }
        }
    }

    /// Whatever the pool with this number holds, as broken off.
    pub(super) fn left_by(&self, number: u64) -> Settled {
        let its = self.taken.iter().filter(|(_, held)| held.pool == number);
        its.map(|(place, _)| (EntryId(*place, 0), Fate::Abandon))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Pool = Pool {
        concurrency: 1,
        batch: 2,
        gather: Duration::ZERO,
        lease: Duration::ZERO,
        max_deliveries: 5,
    };

    fn filled(count: i64) -> Jobs {
        let mut jobs = Jobs::default();
        for key in 0..count {
            let job = Job {
                key,
                tenant_id: 1,
                attempt: 0,
                enqueued_at: Timestamp::from_micros(0),
                request_id: String::new(),
                body: bytes::Bytes::new(),
            };
            jobs.append(job, 0);
        }
        jobs
    }

    fn keys(set: &Set) -> Vec<i64> {
        set.iter().map(|entry| entry.job.key).collect()
    }

    fn all(set: &Set, fate: fn() -> Fate) -> Settled {
        set.iter().map(|entry| (entry.id, fate())).collect()
    }

    #[test]
    fn taken_and_parked_jobs_count() {
        let mut jobs = filled(3);
        let set = jobs.take(POOL, 7);
        assert_eq!(jobs.count(), 3);
        jobs.settle(
            all(&set, || Fate::Park("test".to_owned())),
            Instant::now(),
            POOL.lease,
        );
        assert_eq!(jobs.count(), 3);
        let set = jobs.take(POOL, 7);
        jobs.settle(all(&set, || Fate::Done), Instant::now(), POOL.lease);
        assert_eq!(jobs.count(), 2);
    }

    #[test]
    fn handed_back_jobs_keep_their_place_and_count() {
        let mut jobs = filled(6);
        let first = jobs.take(POOL, 7);
        let second = jobs.take(POOL, 7);
        for set in [first, second] {
            jobs.settle(all(&set, || Fate::HandBack), Instant::now(), POOL.lease);
        }
        let again = jobs.take(POOL, 7);
        assert_eq!(keys(&again), [0, 1]);
        assert!(again.iter().all(|entry| entry.deliveries == 1));
        assert_eq!(keys(&jobs.take(POOL, 7)), [2, 3]);
    }

    #[test]
    fn a_job_whose_worker_broke_down_twice_is_worked_on_alone() {
        let mut jobs = filled(2);
        for _ in 0..2 {
            let set = jobs.take(POOL, 7);
            assert_eq!(keys(&set), [0, 1]);
            jobs.settle(jobs.left_by(7), Instant::now(), POOL.lease);
            jobs.promote(Instant::now(), 10);
        }
        let set = jobs.take(POOL, 7);
        assert_eq!((keys(&set), set[0].deliveries), (vec![0], 3));
    }

    #[test]
    fn promotion_has_a_limit_and_a_due_time() {
        let mut jobs = Jobs::default();
        let now = Instant::now();
        for held in filled(5).take(Pool { batch: 5, ..POOL }, 7) {
            let after = Duration::from_secs(u64::from(held.job.key == 4) * 60);
            jobs.delay(now, after, held.job, 0);
        }
        jobs.promote(now, 3);
        assert_eq!(jobs.depth().ready, 3);
        jobs.promote(now, 3);
        assert_eq!((jobs.depth().ready, jobs.depth().delayed), (4, 1));
        assert_eq!(jobs.next_due(), Some(now + Duration::from_secs(60)));
        let absurd = jobs.take(POOL, 7).remove(0).job;
        jobs.delay(now, Duration::MAX, absurd, 0);
        assert_eq!(jobs.depth().delayed, 2);
    }
}
