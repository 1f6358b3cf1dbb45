//! The jobs of one in-memory queue and how they move. No clock and no waiting in here.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::time::Timestamp,
    queue::{
        Depth, Job, Pool, Progress,
        fair::{Lane, Lanes, Meter},
        line::{Entry, EntryId, Fate, Set, Settled, suspect_from},
    },
};

/// Stands for a delay that the clock cannot express: ten years.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Every job is in exactly one of the four.
pub(super) struct Jobs {
    /// One a lane, each in the order of its numbers.
    ready: [VecDeque<(u64, Held)>; Lane::ALL.len()],
    /// By due time, then number.
    delayed: BTreeMap<(Instant, u64), Held>,
    taken: BTreeMap<EntryId, Held>,
    parked: Vec<(Job, String)>,
    /// The last number given to a job or a pool.
    last: u64,
    /// Jobs ever put among the ready ones.
    added: u64,
    meter: Meter,
    /// The lane that the next set begins with.
    turn: Lane,
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
    pub(super) fn new(tenant_burst: u32) -> Self {
        Self {
            ready: Default::default(),
            delayed: BTreeMap::new(),
            taken: BTreeMap::new(),
            parked: Vec::new(),
            last: 0,
            added: 0,
            meter: Meter::new(tenant_burst),
            turn: Lane::Main,
        }
    }

    /// A number that no job and no pool has yet.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Every job that is held, parked ones included.
    pub(super) fn count(&self) -> usize {
        self.ready_count() + self.delayed.len() + self.taken.len() + self.parked.len()
    }

    fn ready_count(&self) -> usize {
        self.ready.iter().map(VecDeque::len).sum()
    }

    pub(super) fn depth(&self) -> Depth {
        let ready = self
            .ready
            .iter()
            .filter_map(VecDeque::front)
            .map(|(_, held)| held.since);
        let taken = Lane::ALL.into_iter().filter_map(|lane| {
            let (_, held) = self
                .taken
                .range(EntryId(lane, 0, 0)..=EntryId(lane, u64::MAX, 0))
                .next()?;
            Some(held.since)
        });
        Depth {
            ready: self.ready_count() as u64,
            in_flight: self.taken.len() as u64,
            delayed: self.delayed.len() as u64,
            parked: self.parked.len() as u64,
            oldest: ready.chain(taken).min(),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            left: (self.ready_count() + self.taken.len()) as u64,
            added: self.added,
        }
    }

    /// The oldest jobs that are ready or taken, at most `limit` of each lane.
    pub(super) fn peek(&self, limit: usize) -> Vec<Job> {
        let taken = self.taken.values().take(limit);
        let ready = self
            .ready
            .iter()
            .flat_map(|lane| lane.iter().take(limit).map(|(_, held)| held));
        taken.chain(ready).map(|held| held.job.clone()).collect()
    }

    pub(super) fn parked(&self, limit: usize) -> Vec<(Job, String)> {
        self.parked.iter().rev().take(limit).cloned().collect()
    }

    /// Puts a job at the end of the ready ones of its tenant's lane.
    pub(super) fn append(&mut self, now: Instant, job: Job, deliveries: u32) {
        let number = self.number();
        self.added += 1;
        let lane = self.meter.lane(job.tenant_id, now.into_std());
        let held = Held {
            job,
            since: Timestamp::now(),
            deliveries,
            pool: 0,
        };
        self.ready[lane as usize].push_back((number, held));
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
                    self.append(now, held.job, held.deliveries);
                }
                _ => break,
            }
        }
    }

    /// When the next delayed job is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next set for the pool with this number, half of each lane as long as both have jobs; empty
    /// when nothing is ready.
    pub(super) fn take(&mut self, pool: Pool, lanes: Lanes, number: u64) -> Set {
        let batch = pool.batch.max(1);
        if lanes == Lanes::Main {
            let mut set = Set::new();
            self.take_from(Lane::Main, batch, pool, number, &mut set);
            return set;
        }
        let (first, second) = match self.turn {
            Lane::Main => (Lane::Main, Lane::Crowd),
            Lane::Crowd => (Lane::Crowd, Lane::Main),
        };
        // The other lane begins the next set, so that a job that must be alone gets its turn.
        self.turn = second;
        let waiting = self.ready[second as usize].len();
        let half = batch.div_ceil(2).max(batch.saturating_sub(waiting));
        let mut set = Set::new();
        for (lane, most) in [(first, half), (second, batch)] {
            self.take_from(lane, most, pool, number, &mut set);
        }
        set
    }

    /// Fills a set up to `most` from one lane. A suspect is alone in its set.
    fn take_from(&mut self, lane: Lane, most: usize, pool: Pool, number: u64, set: &mut Set) {
        let suspect = suspect_from(pool.max_deliveries);
        if set.iter().any(|entry| entry.deliveries > suspect) {
            return;
        }
        let ready = &mut self.ready[lane as usize];
        while let Some((_, next)) = ready.front() {
            let alone = next.deliveries >= suspect;
            if set.len() >= most || (alone && !set.is_empty()) {
                break;
            }
            let Some((place, mut held)) = ready.pop_front() else {
                break;
            };
            held.deliveries += 1;
            held.pool = number;
            let id = EntryId(lane, place, 0);
            set.push(Entry {
                id,
                job: held.job.clone(),
                deliveries: held.deliveries,
            });
            self.taken.insert(id, held);
            if alone {
                break;
            }
        }
    }

    pub(super) fn settle(&mut self, fates: Settled, now: Instant, lease: Duration) {
        for (id, fate) in fates {
            let Some(mut held) = self.taken.remove(&id) else {
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
                    let EntryId(lane, place, _) = id;
                    let ready = &mut self.ready[lane as usize];
                    let index = ready.partition_point(|(other, _)| *other < place);
                    ready.insert(index, (place, held));
                }
                Fate::Abandon => self.delay(now, lease, held.job, held.deliveries),
            }
        }
    }

    /// Whatever the pool with this number holds, as broken off.
    pub(super) fn left_by(&self, number: u64) -> Settled {
        let its = self.taken.iter().filter(|(_, held)| held.pool == number);
        its.map(|(id, _)| (*id, Fate::Abandon)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Gather;

    const POOL: Pool = Pool {
        concurrency: 1,
        express: 0,
        ahead: true,
        batch: 2,
        gather: Gather::NONE,
        lease: Duration::ZERO,
        max_deliveries: 5,
    };

    fn job(tenant_id: i64, key: i64) -> Job {
        Job {
            key,
            tenant_id,
            attempt: 0,
            enqueued_at: Timestamp::from_micros(0),
            request_id: String::new(),
            body: bytes::Bytes::new(),
        }
    }

    fn filled(count: i64) -> Jobs {
        let mut jobs = Jobs::new(1000);
        for key in 0..count {
            jobs.append(Instant::now(), job(1, key), 0);
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
        let set = jobs.take(POOL, Lanes::Both, 7);
        assert_eq!(jobs.count(), 3);
        jobs.settle(
            all(&set, || Fate::Park("test".to_owned())),
            Instant::now(),
            POOL.lease,
        );
        assert_eq!(jobs.count(), 3);
        let set = jobs.take(POOL, Lanes::Both, 7);
        jobs.settle(all(&set, || Fate::Done), Instant::now(), POOL.lease);
        assert_eq!(jobs.count(), 2);
    }

    #[test]
    fn handed_back_jobs_keep_their_place_and_count() {
        let mut jobs = filled(6);
        let first = jobs.take(POOL, Lanes::Both, 7);
        let second = jobs.take(POOL, Lanes::Both, 7);
        for set in [first, second] {
            jobs.settle(all(&set, || Fate::HandBack), Instant::now(), POOL.lease);
        }
        let again = jobs.take(POOL, Lanes::Both, 7);
        assert_eq!(keys(&again), [0, 1]);
        assert!(again.iter().all(|entry| entry.deliveries == 1));
        assert_eq!(keys(&jobs.take(POOL, Lanes::Both, 7)), [2, 3]);
    }

    #[test]
    fn a_job_whose_worker_broke_down_twice_is_worked_on_alone() {
        let mut jobs = filled(2);
        for _ in 0..2 {
            let set = jobs.take(POOL, Lanes::Both, 7);
            assert_eq!(keys(&set), [0, 1]);
            jobs.settle(jobs.left_by(7), Instant::now(), POOL.lease);
            jobs.promote(Instant::now(), 10);
        }
        let set = jobs.take(POOL, Lanes::Both, 7);
        assert_eq!((keys(&set), set[0].deliveries), (vec![0], 3));
    }

    #[test]
    fn a_set_is_half_of_each_lane_while_both_have_jobs() {
        let mut jobs = Jobs::new(2);
        let now = Instant::now();
        (0..20).for_each(|key| jobs.append(now, job(1, key), 0));
        [100, 200, 300]
            .into_iter()
            .for_each(|key| jobs.append(now, job(key, key), 0));
        let pool = Pool { batch: 4, ..POOL };
        let mut taken = || keys(&jobs.take(pool, Lanes::Both, 7));
        assert_eq!(taken(), [0, 1, 2, 3]);
        assert_eq!(taken(), [4, 5, 100, 200]);
        assert_eq!(taken(), [300, 6, 7, 8]);
        assert_eq!(taken(), [9, 10, 11, 12]);
    }

    #[test]
    fn a_suspect_in_the_crowd_gets_its_turn_alone() {
        let mut jobs = Jobs::new(2);
        let now = Instant::now();
        jobs.append(now, job(1, 0), 0);
        jobs.append(now, job(1, 1), 0);
        jobs.append(now, job(1, 2), 4);
        (10..16).for_each(|key| jobs.append(now, job(key, key), 0));
        let taken: Vec<Vec<i64>> = (0..4).map(|_| keys(&jobs.take(POOL, Lanes::Both, 7))).collect();
        assert_eq!(taken, [vec![0], vec![2], vec![1, 10], vec![11, 12]]);
    }

    #[test]
    fn promotion_has_a_limit_and_a_due_time() {
        let mut jobs = Jobs::new(1000);
        let now = Instant::now();
        for held in filled(5).take(Pool { batch: 5, ..POOL }, Lanes::Both, 7) {
            let after = Duration::from_secs(u64::from(held.job.key == 4) * 60);
            jobs.delay(now, after, held.job, 0);
        }
        jobs.promote(now, 3);
        assert_eq!(jobs.depth().ready, 3);
        jobs.promote(now, 3);
        assert_eq!((jobs.depth().ready, jobs.depth().delayed), (4, 1));
        assert_eq!(jobs.next_due(), Some(now + Duration::from_secs(60)));
        let absurd = jobs.take(POOL, Lanes::Both, 7).remove(0).job;
        jobs.delay(now, Duration::MAX, absurd, 0);
        assert_eq!(jobs.depth().delayed, 2);
    }
}
