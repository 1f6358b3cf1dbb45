//! The queues in memory, for the embedded tier: the same promises as on Redis as long as the process
//! lives; after that the sweeper makes the jobs again from the rows.

mod held;
mod jobs;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::jobs::Jobs;
use super::{
    Activity, Depth, Job, Pool, Progress, QueueError, Valve,
    fair::Lanes,
    line::{Fate, Line, Set, Settled},
};
use crate::{config, stage::Stage};

/// How long a pool sleeps when nothing is delayed; a push wakes it before.
const IDLE: Duration = Duration::from_secs(3600);

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

impl Memory {
    pub(super) fn new(settings: &config::Queue, activity: &Activity) -> Self {
        let stage = |_| {
            Arc::new(StageQueue {
                jobs: Mutex::new(Jobs::new(
                    settings.tenant_burst,
                    settings.memory_body_kib.saturating_mul(1024),
                )),
                changed: Notify::new(),
                capacity: settings.memory_capacity,
                promote_batch: settings.promote_batch.max(1),
            })
        };
        Self {
            stages: std::array::from_fn(stage),
            activity: activity.clone(),
        }
    }

    fn stage(&self, stage: Stage) -> &Arc<StageQueue> {
        &self.stages[stage as usize]
    }

    pub(super) fn push(&self, stage: Stage, jobs: Vec<Job>) -> Result<(), QueueError> {
        self.stage(stage).add(jobs.len(), |held| {
            let now = Instant::now();
            for job in jobs {
                held.append(now, job, 0);
            }
        })
    }

    pub(super) fn push_delayed(&self, stage: Stage, jobs: Vec<(Duration, Job)>) -> Result<(), QueueError> {
        let now = Instant::now();
        self.stage(stage).add(jobs.len(), |held| {
            for (after, job) in jobs {
                held.delay(now, after, job, 0);
            }
        })
    }

    pub(super) fn depth(&self, stage: Stage) -> Depth {
        self.stage(stage).lock().depth()
    }

    pub(super) fn progress(&self, stage: Stage) -> Progress {
        self.stage(stage).lock().progress()
    }

    pub(super) fn parked(&self, stage: Stage, limit: usize) -> Vec<(Job, String)> {
        self.stage(stage).lock().parked(limit)
    }

    pub(super) fn peek(&self, stage: Stage, limit: usize) -> Vec<Job> {
        self.stage(stage).lock().peek(limit)
    }

    /// Starts the tasks behind a pool.
    pub(super) fn start(
        &self,
        stage: Stage,
        pool: Pool,
        (lanes, valve): (Lanes, &Valve),
        stop: &CancellationToken,
    ) -> Line {
        let queue = self.stage(stage);
        let number = queue.lock().number();
        let share = Share {
            queue: Arc::clone(queue),
            number,
            lease: pool.lease,
        };
        // Room for one: a set is only taken once the one before it has been begun.
        let (give, sets) = mpsc::channel(1);
        let (settle, settled) = mpsc::channel(pool.concurrency.max(1));
        let taker = Taker {
            queue: Arc::clone(queue),
            number,
            pool,
            lanes,
            valve: valve.clone(),
        };
        let reader = taker.read(give, stop.clone());
        let settler = carry_out(share, settled, self.activity.clone());
        Line {
            sets,
            settle,
            press: None,
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
    lease: Duration,
}

impl Drop for Share {
    fn drop(&mut self) {
        let left = self.queue.lock().left_by(self.number);
        self.queue.settle(left, self.lease);
    }
}

/// What takes sets for a pool.
struct Taker {
    queue: Arc<StageQueue>,
    number: u64,
    pool: Pool,
    lanes: Lanes,
    valve: Valve,
}

impl Taker {
    /// Takes sets and gives them to the worker until the stop signal.
    async fn read(self, give: mpsc::Sender<Set>, stop: CancellationToken) {
        let Self {
            queue, pool, valve, ..
        } = &self;
        loop {
            let room = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                room = give.reserve() => room,
            };
            let Ok(room) = room else { return };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = valve.may_take(pool.ahead) => {}
            }
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            loop {
                // Listening begins before looking, so that no change in between is missed.
                changed.as_mut().enable();
                if valve.flow().shut {
                    break;
                }
                let wake = match queue.take(*pool, self.lanes, self.number) {
                    Ok(set) => {
                        let taken = set.len();
                        valve.took();
                        room.send(set);
                        if taken < pool.batch
                            // Sets wait for the one writer here: longer pauses only made them larger.
                            && let Some(pause) = pool.gather.after(taken, Duration::ZERO)
                        {
                            tokio::select! {
                                () = stop.cancelled() => return,
                                () = sleep(pause) => {}
                            }
                        }
                        break;
                    }
                    Err(due) => due.unwrap_or_else(|| Instant::now() + IDLE),
                };
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = valve.shut() => {}
                    () = changed.as_mut() => changed.set(queue.changed.notified()),
                    () = sleep_until(wake) => {}
                }
            }
        }
    }
}

/// Carries fates out until every sender is gone.
async fn carry_out(share: Share, mut settled: mpsc::Receiver<Settled>, activity: Activity) {
    while let Some(fates) = settled.recv().await {
        let count = fates.len();
        share.queue.settle(fates, share.lease);
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
        let held = jobs.count();
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
    fn take(&self, pool: Pool, lanes: Lanes, number: u64) -> Result<Set, Option<Instant>> {
        let mut jobs = self.lock();
        jobs.promote(Instant::now(), self.promote_batch);
        let set = jobs.take(pool, lanes, number);
        if set.is_empty() {
            return Err(jobs.next_due());
        }
        Ok(set)
    }

    fn settle(&self, fates: Settled, lease: Duration) {
        let wake = fates.iter().any(|(_, fate)| *fate != Fate::Done);
        self.lock().settle(fates, Instant::now(), lease);
        if wake {
            self.changed.notify_waiters();
        }
    }
}
