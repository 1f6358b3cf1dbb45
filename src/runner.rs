//! One set of jobs from take to verdict: run the worker within its time limit, keep panics inside,
//! enqueue what follows, and only then let the queue acknowledge.
//!
//! The life of a job that fails:
//! 1. The record is away: the whole set comes back after a pause, as often as it takes.
//! 2. A set that panics, runs out of time or meets a damaged row is run again job by job, so that
//!    one bad job never holds up its neighbours.
//! 3. A job that fails alone comes back after a pause that doubles up to `retry_max_ms`.
//! 4. A job that panics or meets a damaged row alone on its `max_deliveries`-th try is dead: its row
//!    gets a dead letter for a person to see.

mod settle;
mod traced;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    config::StagePool,
    domain::{time::Timestamp, trace},
    outcome::{Outcome, Verdict},
    queue::{Handler, Job, Queue},
    stage::Stage,
    telemetry::metrics,
    workers,
};
use settle::{held_back, once, pause, settle};
use traced::Traced;

/// Tries to write the dead letter of a parked job. After that the sweeper finds the row again.
const BURY_TRIES: u32 = 20;
/// Requests and traces named in the span of a set; a set of hundreds would drown its log lines.
const NAMED_REQUESTS: usize = 8;
/// How long jobs of a tenant that is held back wait before they are looked at again.
const HOLD_STEP: Duration = Duration::from_secs(30);

/// Until when the work of a tenant is held back at a stage.
pub type Held = HashMap<(Stage, i64), Timestamp>;

/// Runs the sets of one stage.
#[derive(Clone)]
pub struct Runner {
    stage: Stage,
    pool: StagePool,
    ctx: workers::Ctx,
    queue: Queue,
    held: Arc<RwLock<Held>>,
}

impl Runner {
    /// A runner of `stage`, which enqueues into `queue` what follows and leaves alone what is `held`.
    #[must_use]
    pub fn new(
        stage: Stage,
        pool: StagePool,
        ctx: workers::Ctx,
        queue: Queue,
        held: Arc<RwLock<Held>>,
    ) -> Self {
        Self {
            stage,
            pool,
            ctx,
            queue,
            held,
        }
    }

    /// How long each job must wait because its tenant is held back, where one is.
    fn holds(&self, jobs: &[Job]) -> Option<Vec<Option<Duration>>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.is_empty() {
            return None;
        }
        let now = Timestamp::now();
        let waits = jobs.iter().map(|job| {
            let end = held.get(&(self.stage, job.tenant_id)).filter(|end| **end > now)?;
            Some(end.since(now).min(HOLD_STEP))
        });
        let waits: Vec<_> = waits.collect();
        waits.iter().any(Option::is_some).then_some(waits)
    }

    /// Works on what is not held back; the rest comes back later, untouched.
    async fn unheld(&self, jobs: Vec<Job>) -> Vec<Verdict> {
        let Some(waits) = self.holds(&jobs) else {
            return self.set(jobs).await;
        };
        let free = jobs.into_iter().zip(&waits).filter(|(_, wait)| wait.is_none());
        let free: Vec<Job> = free.map(|(job, _)| job).collect();
        let worked = if free.is_empty() {
            Vec::new()
        } else {
            self.set(free).await
        };
        let mut worked = worked.into_iter();
        let code = "held";
        waits
            .into_iter()
            .filter_map(|wait| match wait {
                Some(after) => Some(Verdict::Retry { after, code }),
                None => worked.next(),
            })
            .collect()
    }

    async fn set(&self, mut jobs: Vec<Job>) -> Vec<Verdict> {
        let started = Instant::now();
        let traced =
            (self.ctx.tracer.as_ref()).and_then(|tracer| Traced::begin(tracer, self.stage, &mut jobs));
        let jobs = jobs.as_slice();
        let Outcome { verdicts, next } =
            settle(jobs, &self.pool, |set| workers::run(self.stage, &self.ctx, set)).await;
        let verdicts = if self.enqueue(next).await {
            verdicts
        } else {
            held_back(verdicts, jobs, &self.pool)
        };
        metrics::set_worked(self.stage, &verdicts, started.elapsed());
        metrics::jobs_ended(self.stage, jobs, &verdicts);
        if let Some(traced) = traced {
            traced.end(&verdicts);
        }
        tracing::debug!(took_ms = started.elapsed().as_millis(), "set worked");
        verdicts
    }

    /// Whether all of `next` is in its queues.
    async fn enqueue(&self, next: Vec<(Stage, Job)>) -> bool {
        if next.is_empty() {
            return true;
        }
        if let Err(error) = self.queue.push_all(next).await {
            tracing::warn!(%error, "cannot enqueue what follows; the set comes back");
            return false;
        }
        true
    }
}

impl Handler for Runner {
    async fn work(&self, jobs: Vec<Job>) -> Vec<Verdict> {
        let span = tracing::info_span!(
            "set",
            stage = self.stage.name(),
            jobs = jobs.len(),
            request_ids = request_ids(&jobs),
            trace_ids = trace_ids(&jobs)
        );
        self.unheld(jobs).instrument(span).await
    }

    async fn parked(&self, job: Job, reason: String) {
        let (stage, key) = (self.stage, job.key);
        for turn in 0..BURY_TRIES {
            let limit = self.pool.timeout_ms.duration();
            let burial =
                workers::bury(stage, &self.ctx, key, &reason).map(|done| done.map(|()| Outcome::default()));
            let Err(trouble) = once(limit, burial).await else {
                tracing::error!(
                    stage = stage.name(),
                    key,
                    reason,
                    request_id = trace::request_id(&job.request_id),
                    trace_id = trace::context(&job.request_id).map(|trace| trace.trace_id()),
                    "a job was given up"
                );
                return;
            };
            tracing::warn!(stage = stage.name(), key, %trouble, "cannot write a dead letter yet");
            tokio::time::sleep(pause(turn, &self.pool)).await;
        }
        tracing::error!(
            stage = stage.name(),
            key,
            reason,
            "no dead letter could be written; the sweeper will find the row"
        );
    }

    fn rested(&self, rest: Duration) {
        metrics::rested(self.stage, rest);
    }
}

fn request_ids(jobs: &[Job]) -> String {
    let ids = jobs.iter().map(|job| trace::request_id(&job.request_id));
    few(ids.filter(|id| !id.is_empty())).join(" ")
}

/// `None` where no job is a part of a trace.
fn trace_ids(jobs: &[Job]) -> Option<String> {
    let traces = few(jobs.iter().filter_map(|job| trace::context(&job.request_id)));
    let ids: Vec<String> = traces.iter().map(|trace| trace.trace_id()).collect();
    (!ids.is_empty()).then(|| ids.join(" "))
}

/// The first [`NAMED_REQUESTS`] different ones.
fn few<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut first = Vec::new();
    for one in all {
        if !first.contains(&one) {
            first.push(one);
        }
        if first.len() == NAMED_REQUESTS {
            break;
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn few_request_ids_are_named_and_each_once() {
        let job = |key: i64| Job {
            key,
            tenant_id: 1,
            attempt: 0,
            enqueued_at: Timestamp::from_micros(0),
            request_id: format!("request-{}", key / 2),
            body: Bytes::new(),
        };
        let mut jobs: Vec<Job> = (0..20).map(job).collect();
        jobs[0].request_id = String::new();
        assert_eq!(request_ids(&jobs).split(' ').count(), NAMED_REQUESTS);
        assert!(request_ids(&jobs).starts_with("request-0 request-1 "));
        assert_eq!(trace_ids(&jobs), None);
        let root = trace::TraceContext::root();
        for job in &mut jobs[2..6] {
            job.request_id = trace::carried("r-7", Some(root));
        }
        assert_eq!(trace_ids(&jobs), Some(root.trace_id()));
        assert_eq!(request_ids(&jobs[2..6]), "r-7");
    }
}
