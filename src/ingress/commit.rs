//! Group commit: whoever waits joins the next commit; there is no timer, so an idle ingress adds no
//! latency and a busy one needs few commits.
//!
//! A submission handed over is committed whether or not its client still waits for the answer.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::FutureExt;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    enqueue,
    seats::{Seat, Seats},
};
use crate::{
    config,
    domain::{checksum::Digest, time::Timestamp, work},
    queue::{Job, Queue, QueueError},
    stage::Stage,
    store::{Accepted, NewSubmission, Sequence, Store, StoreError},
    telemetry::metrics,
};

/// A submission that passed every check, before it has an id.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) tenant_id: i64,
    pub(super) terminal_id: i64,
    pub(super) submission_uuid: Uuid,
    pub(super) submission_timestamp: Timestamp,
    pub(super) payload_checksum: Digest,
    pub(super) transaction_ids: Vec<Uuid>,
    pub(super) request_id: String,
    pub(super) body: Bytes,
}

/// What the record made of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is in the record, now or since an earlier request with the same content.
    Accepted { id: i64, accepted_at: Timestamp },
    /// Its uuid stands for other content.
    Conflict { accepted_at: Timestamp },
}

/// Nothing was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many wait, or the ingress is stopping.
    Everybody,
    /// Too many of this tenant wait; others are still taken.
    Tenant,
}

/// The commit failed; whether something was kept is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

struct Waiting {
    draft: Draft,
    /// Held until the commit is over: the body is in memory as long.
    share: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<Kept, Failed>>,
    /// Given up when a writer takes it.
    _seat: Seat,
}

/// The way into the next commit.
#[derive(Clone)]
pub(super) struct Committer {
    sender: mpsc::Sender<Waiting>,
    seats: Arc<Seats>,
    pace: Arc<Pace>,
}

impl Committer {
    /// Whether the next submission would be refused.
    pub(super) fn is_full(&self) -> bool {
        self.sender.is_closed() || self.sender.capacity() == 0
    }

    /// About how long the work that waits now will take.
    pub(super) fn ahead(&self) -> Duration {
        let waiting = self.sender.max_capacity().saturating_sub(self.sender.capacity());
        self.pace.estimate(waiting)
    }

    /// Joins the next commit. The receiver may be dropped: the commit goes on.
    pub(super) fn submit(
        &self,
        draft: Draft,
        share: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<Kept, Failed>>, Full> {
        let (answer, receiver) = oneshot::channel();
        if self.is_full() {
            return Err(Full::Everybody);
        }
        let seat = Seats::take(&self.seats, draft.tenant_id).ok_or(Full::Tenant)?;
        let waiting = Waiting {
            draft,
            share,
            answer,
            _seat: seat,
        };
        self.sender.try_send(waiting).map_err(|_| Full::Everybody)?;
        Ok(receiver)
    }
}

/// How fast commits go, for an honest `Retry-After`.
struct Pace {
    last_micros: AtomicU64,
    rows_at_once: usize,
}

impl Pace {
    fn estimate(&self, waiting: usize) -> Duration {
        let commits = u32::try_from(waiting.div_ceil(self.rows_at_once.max(1))).unwrap_or(u32::MAX);
        Duration::from_micros(self.last_micros.load(Ordering::Relaxed)).saturating_mul(commits)
    }
}

/// The running tasks behind a [`Committer`].
pub(super) struct Pipeline {
    closing: CancellationToken,
    tasks: JoinSet<()>,
}

impl Pipeline {
    /// Takes no more, commits and enqueues what waits, for at most `limit`. What is cut off was
    /// either never answered or is in the record.
    pub(super) async fn flush(mut self, limit: Duration) {
        self.closing.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::warn!("stopped before everything was flushed; the sweeper enqueues what is committed");
        }
    }
}

/// Starts the committer on the record and the queue.
pub(super) fn start(settings: &config::Ingress, store: Store, queue: Queue) -> (Committer, Pipeline) {
    let commit = move |drafts| {
        let store = store.clone();
        async move { accept(&store, drafts).await }
    };
    let push = move |jobs: Vec<Job>| {
        let queue = queue.clone();
        async move {
            // Together: a Redis that hangs is waited for once.
            let ((), pushed) = tokio::join!(queue.committed(jobs.len()), queue.push(Stage::Validation, jobs));
            pushed
        }
    };
    start_with(settings, commit, push)
}

async fn accept(store: &Store, drafts: Vec<Draft>) -> Result<Vec<(NewSubmission, Accepted)>, StoreError> {
    let ids = store.next_ids(Sequence::Submission, drafts.len()).await?;
    let accepted_at = Timestamp::now();
    let rows: Vec<NewSubmission> = drafts
        .into_iter()
        .zip(ids)
        .map(|(draft, id)| row(draft, id, accepted_at))
        .collect();
    let accepted = store.accept(&rows).await?;
    Ok(rows.into_iter().zip(accepted).collect())
}

fn row(draft: Draft, id: i64, accepted_at: Timestamp) -> NewSubmission {
    NewSubmission {
        id,
        tenant_id: draft.tenant_id,
        terminal_id: draft.terminal_id,
        submission_uuid: draft.submission_uuid,
        submission_timestamp: draft.submission_timestamp,
        payload_checksum: draft.payload_checksum,
        transaction_ids: draft.transaction_ids,
        request_id: draft.request_id,
        accepted_at,
        body: draft.body,
    }
}

fn start_with<C, CF, P, PF>(settings: &config::Ingress, commit: C, push: P) -> (Committer, Pipeline)
where
    C: Fn(Vec<Draft>) -> CF + Clone + Send + Sync + 'static,
    CF: Future<Output = Result<Vec<(NewSubmission, Accepted)>, StoreError>> + Send + 'static,
    P: Fn(Vec<Job>) -> PF + Send + Sync + 'static,
    PF: Future<Output = Result<(), QueueError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(settings.commit_queue.max(1));
    let (enqueue, sets) = mpsc::channel(settings.enqueue_queue.max(1));
    let writers = settings.commit_writers.max(1);
    let pace = Arc::new(Pace {
        last_micros: AtomicU64::new(0),
        rows_at_once: settings.commit_rows.saturating_mul(writers),
    });
    let closing = CancellationToken::new();
    let receiver = Arc::new(Mutex::new(receiver));
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let writer = Writer {
            waiting: Arc::clone(&receiver),
            closing: closing.clone(),
            rows: settings.commit_rows.max(1),
            bytes: settings.commit_bytes,
            limit: settings.request_timeout_ms.duration(),
            job_body_bytes: settings.job_body_bytes,
            bodies: settings.enqueue_bodies,
            enqueue: enqueue.clone(),
            pace: Arc::clone(&pace),
        };
        tasks.spawn(writer.run(commit.clone()));
    }
    let most = settings.enqueue_bodies.max(1);
    tasks.spawn(async move { enqueue::run(sets, most, push).await });
    let seats = Arc::new(Seats::new(settings));
    (Committer { sender, seats, pace }, Pipeline { closing, tasks })
}

/// One commit at a time, one after the other.
struct Writer {
    waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    closing: CancellationToken,
    rows: usize,
    bytes: usize,
    limit: Duration,
    job_body_bytes: usize,
    bodies: usize,
    enqueue: mpsc::Sender<Vec<Job>>,
    pace: Arc<Pace>,
}

impl Writer {
    async fn run<C, F>(self, commit: C)
    where
        C: Fn(Vec<Draft>) -> F,
        F: Future<Output = Result<Vec<(NewSubmission, Accepted)>, StoreError>>,
    {
        loop {
            let set = self.take().await;
            if set.is_empty() {
                return;
            }
            self.settle(set, &commit).await;
        }
    }

    /// Everything that waits, up to the bounds of one commit; empty when the ingress has stopped and
    /// nothing waits any more.
    async fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().await;
        let first = tokio::select! {
            biased;
            first = waiting.recv() => first,
            () = self.closing.cancelled() => {
                waiting.close();
                waiting.recv().await
            }
        };
        let mut bytes = 0_usize;
        let mut set = Vec::new();
        let mut next = first;
        while let Some(one) = next {
            bytes = bytes.saturating_add(one.draft.body.len());
            set.push(one);
            let room = set.len() < self.rows && bytes < self.bytes;
            next = if room { waiting.try_recv().ok() } else { None };
        }
        set
    }

    /// Commits a set and answers everybody in it; then hands the new ones on.
    async fn settle<C, F>(&self, set: Vec<Waiting>, commit: &C)
    where
        C: Fn(Vec<Draft>) -> F,
        F: Future<Output = Result<Vec<(NewSubmission, Accepted)>, StoreError>>,
    {
        let started = Instant::now();
        let mut drafts = Vec::with_capacity(set.len());
        let mut answers = Vec::with_capacity(set.len());
        for Waiting {
            draft, share, answer, ..
        } in set
        {
            drafts.push(draft);
            answers.push((answer, share));
        }
        // A panic or a hanging server must not take the writer away: it would stop the whole ingress.
        let outcome = tokio::time::timeout(self.limit, AssertUnwindSafe(commit(drafts)).catch_unwind()).await;
        let took = started.elapsed();
        self.pace.last_micros.store(
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
        let rows = match outcome {
            Ok(Ok(Ok(rows))) if rows.len() == answers.len() => rows,
            failed => {
                let error = match failed {
                    Ok(Ok(Ok(_))) => "the record answered for another number of submissions".to_owned(),
                    Ok(Ok(Err(error))) => error.to_string(),
                    Ok(Err(_)) => "the commit panicked".to_owned(),
                    Err(_) => "the commit took too long".to_owned(),
                };
                tracing::error!(error, submissions = answers.len(), "commit failed");
                answers
                    .into_iter()
                    .for_each(|(answer, _)| tell(answer, Err(Failed)));
                return;
            }
        };
        metrics::commit(rows.len(), took);
        let mut jobs = Vec::with_capacity(rows.len());
        let waiting = self
            .enqueue
            .max_capacity()
            .saturating_sub(self.enqueue.capacity());
        let body_bytes = if waiting < self.bodies {
            self.job_body_bytes
        } else {
            0
        };
        for ((row, accepted), (answer, _)) in rows.into_iter().zip(answers) {
            let kept = match accepted {
                Accepted::New => Kept::Accepted {
                    id: row.id,
                    accepted_at: row.accepted_at,
                },
                Accepted::Replay { id, accepted_at } => Kept::Accepted { id, accepted_at },
                Accepted::Conflict { accepted_at } => Kept::Conflict { accepted_at },
            };
            tell(answer, Ok(kept));
            if accepted == Accepted::New {
                jobs.push(job(row, body_bytes));
            }
        }
        let count = jobs.len();
        if count > 0 && self.enqueue.try_send(jobs).is_err() {
            metrics::enqueue_left_to_sweeper(count);
        }
    }
}

/// The job of a submission, with a copy of the row whose body has at most `body_bytes`.
fn job(row: NewSubmission, body_bytes: usize) -> Job {
    let accepted = work::AcceptedSubmission {
        id: row.id,
        tenant_id: row.tenant_id,
        terminal_id: row.terminal_id,
        submission_uuid: row.submission_uuid,
        request_id: row.request_id,
        accepted_at: row.accepted_at,
        body: row.body,
    };
    let fits = accepted.body.len() <= body_bytes;
    Job {
        key: accepted.id,
        tenant_id: accepted.tenant_id,
        attempt: 0,
        enqueued_at: Timestamp::now(),
        body: if fits { accepted.encode() } else { Bytes::new() },
        request_id: accepted.request_id,
    }
}

/// Answers a client, if it is still there.
fn tell(answer: oneshot::Sender<Result<Kept, Failed>>, kept: Result<Kept, Failed>) {
    if answer.send(kept).is_err() {
        tracing::debug!(?kept, "the client went away before its answer");
    }
}

#[cfg(test)]
mod tests;
