//! The queues in memory, for the embedded tier: the same promises as on Redis as long as the process
//! lives; after that the sweeper makes the jobs again from the rows.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Activity, Depth, Job, Pool, QueueError,
    line::{Entry, EntryId, Fate, Line, Set, Settled, suspect_from},
};
use crate::{config, domain::time::Timestamp, stage::Stage};

/// How long a pool sleeps when nothing is delayed; a push wakes it before.
const IDLE: Duration = Duration::from_secs(3600);

/// Stands for a delay that the clock cannot express: ten years.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

/// All queues of the process.
pub(super) struct Memory {
    stages: [Arc<StageQueue>; Stage::ALL.len()],
    activity: Activity,
}

/// The queue of one stage.
struct StageQueue {
    jobs: Mutex<Jobs>,
    /// Something became ready, or the earliest due time moved.
    changed: Notify,
    capacity: usize,
    promote_batch: usize,
}

/// Every job is in exactly one of the four.
#[derive(Default)]
struct Jobs {
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

impl Memory {
    pub(super) fn new(settings: &config::Queue, activity: &Activity) -> Self {
        let stage = || {
            Arc::new(StageQueue {
                jobs: Mutex::default(),
                changed: Notify::new(),
                capacity: settings.memory_capacity,
                promote_batch: settings.promote_batch.max(1),
            })
        };
        Self {
            stages: std::array::from_fn(|_| stage()),
            activity: activity.clone(),
        }
    }

    fn stage(&self, stage: Stage) -> &Arc<StageQueue> {
        &self.stages[stage as usize]
    }

    pub(super) fn push(&self, stage: Stage, jobs: Vec<Job>) -> Result<(), QueueError> {
        self.stage(stage).add(jobs.len(), |held| {
            for job in jobs {
                held.append(job, 0);
            }
        })
    }

    pub(super) fn push_delayed(&self, stage: Stage, jobs: Vec<(Duration, Job)>) -> Result<(), QueueError> {
        let now = Instant::now();
        self.stage(stage).add(jobs.len(), |held| {
            for (after, job) in jobs {
                held.delay(later(now, after), job, 0);
            }
        })
    }

    pub(super) fn depth(&self, stage: Stage) -> Depth {
        let jobs = self.stage(stage).lock();
        let ready = jobs.ready.front().map(|(_, held)| held.since);
        let taken = jobs.taken.first_key_value().map(|(_, held)| held.since);
        Depth {
            ready: jobs.ready.len() as u64,
            in_flight: jobs.taken.len() as u64,
            delayed: jobs.delayed.len() as u64,
            parked: jobs.parked.len() as u64,
            oldest: ready.into_iter().chain(taken).min(),
        }
    }

    pub(super) fn parked(&self, stage: Stage, limit: usize) -> Vec<(Job, String)> {
        let jobs = self.stage(stage).lock();
        jobs.parked.iter().rev().take(limit).cloned().collect()
    }

    /// Starts the tasks behind a pool.
    pub(super) fn start(&self, stage: Stage, pool: Pool, stop: &CancellationToken) -> Line {
        let queue = self.stage(stage);
        let share = Share {
            queue: Arc::clone(queue),
            number: queue.lock().number(),
            pool,
        };
        // Room for one: a set is only taken once the one before it has been begun.
        let (give, sets) = mpsc::channel(1);
        let (settle, settled) = mpsc::channel(pool.concurrency.max(1));
        let reader = read(Arc::clone(queue), share.number, pool, give, stop.clone());
        let settler = carry_out(share, settled, self.activity.clone());
        Line {
            sets,
            settle,
            reader: AbortOnDropHandle::new(tokio::spawn(reader)),
            settler: AbortOnDropHandle::new(tokio::spawn(settler)),
        }
    }
}

/// What one pool has taken. When it is dropped, whatever the pool left unsettled comes back, as it
/// would on Redis when the lease runs out.
struct Share {
    queue: Arc<StageQueue>,
    number: u64,
    pool: Pool,
}

impl Drop for Share {
    fn drop(&mut self) {
        let jobs = self.queue.lock();
        let mine = jobs.taken.iter().filter(|(_, held)| held.pool == self.number);
        let left: Settled = mine
            .map(|(number, _)| (EntryId(*number, 0), Fate::Abandon))
            .collect();
        drop(jobs);
        if !left.is_empty() {
            self.queue.settle(left, self.pool.lease);
        }
    }
}

/// Takes sets and gives them to the worker until the stop signal.
async fn read(
    queue: Arc<StageQueue>,
    number: u64,
    pool: Pool,
    give: mpsc::Sender<Set>,
    stop: CancellationToken,
) {
    loop {
        let room = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            room = give.reserve() => room,
        };
        let Ok(room) = room else { return };
        let changed = queue.changed.notified();
        tokio::pin!(changed);
        loop {
            // Listening begins before looking, so that no change in between is missed.
            changed.as_mut().enable();
            let wake = match queue.take(pool, number) {
                Ok(set) => {
                    room.send(set);
                    break;
                }
                Err(due) => due.unwrap_or_else(|| Instant::now() + IDLE),
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = changed.as_mut() => changed.set(queue.changed.notified()),
                () = sleep_until(wake) => {}
            }
        }
    }
}

/// Carries fates out until every sender is gone.
async fn carry_out(share: Share, mut settled: mpsc::Receiver<Settled>, activity: Activity) {
    while let Some(fates) = settled.recv().await {
        let count = fates.len();
        share.queue.settle(fates, share.pool.lease);
        activity.settled(count);
    }
}

impl StageQueue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `count` jobs if there is room for all of them.
    fn add(&self, count: usize, put: impl FnOnce(&mut Jobs)) -> Result<(), QueueError> {
        let mut jobs = self.lock();
        let held = jobs.ready.len() + jobs.delayed.len() + jobs.taken.len() + jobs.parked.len();
        if held.saturating_add(count) > self.capacity {
            let full = format!("{held} jobs are held, {} is the most", self.capacity);
            return Err(QueueError::Unavailable(full));
        }
        put(&mut jobs);
        drop(jobs);
        self.changed.notify_waiters();
        Ok(())
    }

    /// The next set, or when to look again.
    fn take(&self, pool: Pool, number: u64) -> Result<Set, Option<Instant>> {
        let mut jobs = self.lock();
        jobs.promote(Instant::now(), self.promote_batch);
        let suspect = suspect_from(pool.max_deliveries);
        let mut set = Set::new();
        while let Some((_, held)) = jobs.ready.front() {
            let alone = held.deliveries >= suspect;
            if set.len() >= pool.batch.max(1) || (alone && !set.is_empty()) {
                break;
            }
            let Some((place, mut held)) = jobs.ready.pop_front() else {
                break;
            };
            held.deliveries += 1;
            held.pool = number;
            set.push(Entry {
                id: EntryId(place, 0),
                job: held.job.clone(),
                deliveries: held.deliveries,
            });
            jobs.taken.insert(place, held);
            if alone {
                break;
            }
        }
        if set.is_empty() {
            return Err(jobs.delayed.first_key_value().map(|((due, _), _)| *due));
        }
        Ok(set)
    }

    fn settle(&self, fates: Settled, lease: Duration) {
        let now = Instant::now();
        let wake = fates.iter().any(|(_, fate)| *fate != Fate::Done);
        let mut jobs = self.lock();
        for (EntryId(number, _), fate) in fates {
            let Some(mut held) = jobs.taken.remove(&number) else {
                continue;
            };
            match fate {
                Fate::Done => {}
                Fate::Retry(after) => {
                    held.job.attempt = held.job.attempt.saturating_add(1);
                    jobs.delay(later(now, after), held.job, 0);
                }
                Fate::Park(reason) => jobs.parked.push((held.job, reason)),
                Fate::HandBack => {
                    held.deliveries = held.deliveries.saturating_sub(1);
                    let place = jobs.ready.partition_point(|(other, _)| *other < number);
                    jobs.ready.insert(place, (number, held));
                }
                Fate::Abandon => jobs.delay(later(now, lease), held.job, held.deliveries),
            }
        }
        drop(jobs);
        if wake {
            self.changed.notify_waiters();
        }
    }
}

impl Jobs {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn append(&mut self, job: Job, deliveries: u32) {
        let number = self.number();
        let since = Timestamp::now();
        self.ready.push_back((
            number,
            Held {
                job,
                since,
                deliveries,
                pool: 0,
            },
        ));
    }

    fn delay(&mut self, due: Instant, job: Job, deliveries: u32) {
        let number = self.number();
        let since = job.enqueued_at;
        self.delayed.insert(
            (due, number),
            Held {
                job,
                since,
                deliveries,
                pool: 0,
            },
        );
    }

    /// Moves what is due to the end of the ready jobs, at most `limit`.
    fn promote(&mut self, now: Instant, limit: usize) {
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
}

/// The instant `after` from now; an absurd length ends where the clock does.
fn later(now: Instant, after: Duration) -> Instant {
    now.checked_add(after).unwrap_or_else(|| now + FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(key: i64) -> Job {
        Job {
            key,
            tenant_id: 1,
            attempt: 0,
            enqueued_at: Timestamp::from_micros(0),
            request_id: String::new(),
            body: bytes::Bytes::new(),
        }
    }

    fn queue(capacity: usize) -> StageQueue {
        StageQueue {
            jobs: Mutex::default(),
            changed: Notify::new(),
            capacity,
            promote_batch: 10,
        }
    }

    const POOL: Pool = Pool {
        concurrency: 1,
        batch: 2,
        lease: Duration::ZERO,
        max_deliveries: 5,
    };

    fn keys(set: &Set) -> Vec<i64> {
        set.iter().map(|entry| entry.job.key).collect()
    }

    fn push(queue: &StageQueue, count: i64) -> Result<(), QueueError> {
        queue.add(usize::try_from(count).unwrap(), |jobs| {
            (0..count).for_each(|key| jobs.append(job(key), 0))
        })
    }

    #[test]
    fn a_full_queue_refuses_and_taken_jobs_count() {
        let queue = queue(3);
        push(&queue, 3).unwrap();
        assert!(push(&queue, 1).is_err());
        let set = queue.take(POOL, 7).unwrap();
        assert!(push(&queue, 1).is_err());
        queue.settle(
            set.iter().map(|entry| (entry.id, Fate::Done)).collect(),
            POOL.lease,
        );
        push(&queue, 2).unwrap();
    }

    #[test]
    fn handed_back_jobs_keep_their_place_and_count() {
        let queue = queue(10);
        push(&queue, 6).unwrap();
        let first = queue.take(POOL, 7).unwrap();
        let second = queue.take(POOL, 7).unwrap();
        for set in [first, second] {
            queue.settle(
                set.iter().map(|entry| (entry.id, Fate::HandBack)).collect(),
                POOL.lease,
            );
        }
        let again = queue.take(POOL, 7).unwrap();
        assert_eq!(keys(&again), [0, 1]);
        assert!(again.iter().all(|entry| entry.deliveries == 1));
        assert_eq!(keys(&queue.take(POOL, 7).unwrap()), [2, 3]);
    }

    #[test]
    fn a_job_whose_worker_broke_down_twice_is_worked_on_alone() {
        let queue = queue(10);
        push(&queue, 2).unwrap();
        for _ in 0..2 {
            let set = queue.take(POOL, 7).unwrap();
            assert_eq!(keys(&set), [0, 1]);
            queue.settle(
                set.iter().map(|entry| (entry.id, Fate::Abandon)).collect(),
                POOL.lease,
            );
        }
        let set = queue.take(POOL, 7).unwrap();
        assert_eq!((keys(&set), set[0].deliveries), (vec![0], 3));
    }
}
