//! A pool: an apalis worker between a backend's two channels, and the order in which it stops.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use apalis::layers::WorkerBuilderExt;
use apalis_core::{
    error::WorkerError,
    worker::{builder::WorkerBuilder, context::WorkerContext},
};
use futures::FutureExt;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{debug, error, warn};

use super::{
    Handler, Job, Pool, Valve,
    feed::Feed,
    line::{Entry, EntryId, Fate, Line, Set, Settled},
    press::Press,
};
use crate::{domain::time::Timestamp, outcome::Verdict};

/// How long the reader may take to come back from a blocking read after the stop signal.
const READER_STOP: Duration = Duration::from_secs(1);
/// How long cut-off sets may take to let go, after the drain time is over.
const CUT_STOP: Duration = Duration::from_secs(1);
/// How long the last acknowledgements may take; what is not sent by then is done again by others.
const FLUSH: Duration = Duration::from_secs(3);
/// Pause before an apalis worker that ended by itself is built anew.
const REBUILD_PAUSE: Duration = Duration::from_millis(100);
/// When a job comes back for which the handler gave no verdict.
const NO_VERDICT_RETRY: Duration = Duration::from_secs(1);

/// What every set of a pool is worked on with.
#[derive(Clone)]
struct Work<H> {
    handler: H,
    settle: mpsc::Sender<Settled>,
    valve: Valve,
    /// What has the pool rest after a set.
    press: Option<Press>,
    stop: CancellationToken,
    /// Drain time is over: let go of everything.
    cut: CancellationToken,
    max_deliveries: u32,
}

/// Runs the pool until `stop`, then drains it as [`super::Queue::work`] promises.
pub(super) async fn run<H: Handler>(
    name: &str,
    line: Line,
    (pool, valve): (Pool, &Valve),
    stop: CancellationToken,
    drain: Duration,
    handler: H,
) {
    let Line {
        sets,
        settle,
        press,
        reader,
        settler,
    } = line;
    let feed = Feed::new(sets);
    let cut = CancellationToken::new();
    let halt = CancellationToken::new();
    let work = Work {
        handler,
        settle: settle.clone(),
        valve: valve.clone(),
        press,
        stop: stop.clone(),
        cut: cut.clone(),
        max_deliveries: pool.max_deliveries,
    };
    let mut worker = start(name, &feed, pool.concurrency, &halt, work.clone());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            ended = &mut worker => {
                error!(worker = name, ?ended, "the worker ended by itself; building it anew");
                sleep(REBUILD_PAUSE).await;
                valve.forget();
                worker = start(name, &feed, pool.concurrency, &halt, work.clone());
            }
        }
    }
    drop(work);

    // The reader first, so that nothing can be put in the feed after it was emptied.
    if timeout(READER_STOP, reader).await.is_err() {
        debug!(
            worker = name,
            "the reader did not come back in time; its jobs go back with its name"
        );
    }
    for set in feed.close() {
        let unworked = set.iter().map(|entry| (entry.id, Fate::HandBack)).collect();
        send(&settle, unworked).await;
    }
    halt.cancel();
    if timeout(drain, &mut worker).await.is_err() {
        warn!(
            worker = name,
            "drain time is over; handing back the sets that still run"
        );
        cut.cancel();
        if timeout(CUT_STOP, &mut worker).await.is_err() {
            error!(
                worker = name,
                "a set does not let go; its jobs come back when their lease runs out"
            );
        }
    }
    drop(worker);
    drop(settle);
    if timeout(FLUSH, settler).await.is_err() {
        warn!(
            worker = name,
            "some acknowledgements could not be sent; their jobs will be done again"
        );
    }
}

/// Builds the apalis worker and gives it a task of its own.
fn start<H: Handler>(
    name: &str,
    feed: &Feed,
    concurrency: usize,
    halt: &CancellationToken,
    work: Work<H>,
) -> AbortOnDropHandle<Result<(), WorkerError>> {
    let halt = halt.clone();
    let worker = WorkerBuilder::new(WorkerContext::new(name))
        .backend(feed.clone())
        .concurrency(concurrency.max(1))
        .build(move |set: Set| {
            let work = work.clone();
            let mut taken = work.valve.begin();
            // A task of its own for each set: sets then use all cores, and neither a panic nor a
            // long computation of one can reach its neighbours.
            async move {
                let ids: Vec<EntryId> = set.iter().map(|entry| entry.id).collect();
                let settle = work.settle.clone();
                // A set that has no place when the drain time is over is handed back like one that runs.
                tokio::select! {
                    () = taken.run() => {}
                    () = work.cut.cancelled() => {}
                }
                let set = AbortOnDropHandle::new(tokio::spawn(work.set(set)));
                if let Err(broken) = set.await {
                    error!(%broken, jobs = ids.len(), "a set broke down; it comes back when its lease runs out");
                    send(&settle, ids.into_iter().map(|id| (id, Fate::Abandon)).collect()).await;
                }
            }
        });
    let run = worker.run_until(async move {
        halt.cancelled().await;
        Ok::<(), WorkerError>(())
    });
    AbortOnDropHandle::new(tokio::spawn(run.boxed()))
}

impl<H: Handler> Work<H> {
    /// Works on one set and settles every job of it.
    async fn set(self, set: Set) {
        let started = Instant::now();
        let oldest = set.iter().map(|entry| entry.job.enqueued_at).min();
        let (poison, set): (Set, Set) = set
            .into_iter()
            .partition(|entry| entry.deliveries > self.max_deliveries);
        let mut settled = Settled::with_capacity(poison.len() + set.len());
        for Entry { id, job, deliveries } in poison {
            let times = deliveries.saturating_sub(1);
            let reason = format!("delivered {times} times without an acknowledgement");
            settled.push((id, self.bury(job, reason).await));
        }
        if !set.is_empty() {
            self.judge(set, &mut settled).await;
        }
        let took = started.elapsed();
        self.valve.ended_after(took);
        send(&self.settle, settled).await;
        self.rest(took, oldest).await;
    }

    /// Rests, while many tills wait, after a set that took `took`. The set keeps its place meanwhile.
    async fn rest(&self, took: Duration, oldest: Option<Timestamp>) {
        let (Some(press), Some(oldest)) = (&self.press, oldest) else {
            return;
        };
        if let Some(rest) = press.rest(took, Timestamp::now().since(oldest)).await {
            self.handler.rested(rest);
            // A pool that stops is not held up.
            tokio::select! {
                () = sleep(rest) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Has the handler work on the set and turns its verdicts into fates.
    async fn judge(&self, set: Set, settled: &mut Settled) {
        let jobs: Vec<Job> = set.iter().map(|entry| entry.job.clone()).collect();
        // The handler promises not to panic; a broken promise must not cost the pool.
        let verdicts = AssertUnwindSafe(async { self.handler.work(jobs).await }).catch_unwind();
        let verdicts = tokio::select! {
            biased;
            verdicts = verdicts => verdicts,
            () = self.cut.cancelled() => {
                settled.extend(set.iter().map(|entry| (entry.id, Fate::HandBack)));
                return;
            }
        };
        let Ok(verdicts) = verdicts else {
            error!(
                jobs = set.len(),
                "the handler panicked; its jobs come back when the lease runs out"
            );
            settled.extend(set.iter().map(|entry| (entry.id, Fate::Abandon)));
            return;
        };
        if verdicts.len() != set.len() {
            error!(
                jobs = set.len(),
                verdicts = verdicts.len(),
                "the handler gave a wrong number of verdicts"
            );
        }
        let mut verdicts = verdicts.into_iter();
        for Entry { id, job, .. } in set {
            let fate = match verdicts.next() {
                Some(Verdict::Done | Verdict::Reject { .. }) => Fate::Done,
                Some(Verdict::Retry { after, .. }) => Fate::Retry(after),
                Some(Verdict::Dead { code }) => self.bury(job, code.to_owned()).await,
                None => Fate::Retry(NO_VERDICT_RETRY),
            };
            settled.push((id, fate));
        }
    }

    /// Tells the handler before the job is set aside: a crash in between tells it twice, never not
    /// at all.
    async fn bury(&self, job: Job, reason: String) -> Fate {
        let told = AssertUnwindSafe(async { self.handler.parked(job, reason.clone()).await }).catch_unwind();
        tokio::select! {
            biased;
            told = told => match told {
                Ok(()) => Fate::Park(reason),
                Err(_) => {
                    error!("the handler panicked over a parked job; it comes back when the lease runs out");
                    Fate::Abandon
                }
            },
            () = self.cut.cancelled() => Fate::HandBack,
        }
    }
}

async fn send(settle: &mpsc::Sender<Settled>, settled: Settled) {
    if settle.send(settled).await.is_err() {
        error!("nobody is left to acknowledge a set; its jobs come back when their lease runs out");
    }
}
