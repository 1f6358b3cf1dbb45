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
        memory::held::{Held, Room},
    },
};

/// Stands for a delay that the clock cannot express: ten years.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// So many places are kept for jobs that are ready, though they are not used.
const SPARE: usize = 4096;

/// Every job is in exactly one of the four.
pub(super) struct Jobs {
    /// One a lane, each in the order of its numbers.
    ready: [VecDeque<(u64, Held)>; Lane::ALL.len()],
    /// By due time, then number.
    delayed: BTreeMap<(Instant, u64), Held>,
    /// With the number of the pool that has each.
    taken: BTreeMap<EntryId, (u64, Held)>,
    parked: Vec<(Job, String)>,
    /// The last number given to a job or a pool.
    last: u64,
    /// Jobs ever put among the ready ones.
    added: u64,
    meter: Meter,
    room: Room,
    /// The lane that the next set begins with.
    turn: Lane,
}

impl Jobs {
    /// `body_bytes` is the room for the bodies of all jobs together.
    pub(super) fn new(tenant_burst: u32, body_bytes: usize) -> Self {
        Self {
            ready: Default::default(),
            delayed: BTreeMap::new(),
            taken: BTreeMap::new(),
            parked: Vec::new(),
            last: 0,
            added: 0,
            meter: Meter::new(tenant_burst),
            room: Room::new(body_bytes),
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
            let (_, (_, held)) = self
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
        let taken = self.taken.values().take(limit).map(|(_, held)| held);
        let ready = self
            .ready
            .iter()
            .flat_map(|lane| lane.iter().take(limit).map(|(_, held)| held));
        taken.chain(ready).map(Held::job).collect()
    }

    pub(super) fn parked(&self, limit: usize) -> Vec<(Job, String)> {
        self.parked.iter().rev().take(limit).cloned().collect()
    }

    /// Puts a job at the end of the ready ones of its tenant's lane.
    pub(super) fn append(&mut self, now: Instant, job: Job, deliveries: u32) {
        let held = self.room.hold(job, Timestamp::now(), deliveries);
        self.enqueue(now, held);
    }

    /// Makes a job due `after` from `now`.
    pub(super) fn delay(&mut self, now: Instant, after: Duration, job: Job, deliveries: u32) {
        let enqueued_at = job.enqueued_at;
        let held = self.room.hold(job, enqueued_at, deliveries);
        self.put_off(now, after, held);
    }

    fn enqueue(&mut self, now: Instant, held: Held) {
        let number = self.number();
        self.added += 1;
        let lane = self.meter.lane(held.tenant_id(), now.into_std());
        self.ready[lane as usize].push_back((number, held));
    }

    fn put_off(&mut self, now: Instant, after: Duration, held: Held) {
        let due = now.checked_add(after).unwrap_or_else(|| now + FAR);
        let number = self.number();
        self.delayed.insert((due, number), held);
    }

    /// Moves what is due to the end of the ready jobs, at most `limit`.
    pub(super) fn promote(&mut self, now: Instant, limit: usize) {
        for _ in 0..limit {
            match self.delayed.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let mut held = first.remove();
                    held.since = Timestamp::now();
                    self.enqueue(now, held);
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
            let id = EntryId(lane, place, 0);
            set.push(Entry {
                id,
                job: held.job(),
                deliveries: held.deliveries,
            });
            self.taken.insert(id, (number, held));
            if alone {
                break;
            }
        }
        // What a backlog took is given back as it goes.
        if ready.capacity() > SPARE && ready.len() < ready.capacity() / 4 {
            ready.shrink_to(ready.capacity() / 2);
        }
    }

    pub(super) fn settle(&mut self, fates: Settled, now: Instant, lease: Duration) {
        for (id, fate) in fates {
            let Some((_, mut held)) = self.taken.remove(&id) else {
                continue;
            };
            match fate {
                Fate::Done => self.room.release(&held),
                Fate::Retry(after) => {
                    held.try_again();
                    held.deliveries = 0;
                    self.put_off(now, after, held);
                }
                // Its body keeps its room: it stays until the process ends.
                Fate::Park(reason) => self.parked.push((held.job(), reason)),
                Fate::HandBack => {
                    held.deliveries = held.deliveries.saturating_sub(1);
                    let EntryId(lane, place, _) = id;
                    let ready = &mut self.ready[lane as usize];
                    let index = ready.partition_point(|(other, _)| *other < place);
                    ready.insert(index, (place, held));
                }
                Fate::Abandon => self.put_off(now, lease, held),
            }
        }
    }

    /// Whatever the pool with this number holds, as broken off.
    pub(super) fn left_by(&self, number: u64) -> Settled {
        let its = self.taken.iter().filter(|(_, (pool, _))| *pool == number);
        its.map(|(id, _)| (*id, Fate::Abandon)).collect()
    }
}

#[cfg(test)]
mod tests;
