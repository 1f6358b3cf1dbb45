//! What becomes of a set that fails: who may be to blame, who comes back when, who is given up.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;

use crate::{
    config::StagePool,
    domain::trace,
    outcome::{Outcome, Verdict},
    queue::Job,
    store::StoreError,
};

/// Jobs of one set that may run out of time alone; the rest of the set then waits for another turn.
/// A set is so bound to this many time limits and its own.
const SINGLE_TIMEOUTS: u32 = 2;
/// Most doublings of a pause that are computed; every pause is capped long before.
const MOST_DOUBLINGS: u32 = 30;

/// Why a set could not be worked on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("out of time")]
    Timeout,
    #[error("panicked: {0}")]
    Panic(String),
    #[error("{0} verdicts for {1} jobs")]
    Miscounted(usize, usize),
}

impl Trouble {
    const fn code(&self) -> &'static str {
        match self {
            Trouble::Store(StoreError::Unavailable(_)) => "store_unavailable",
            Trouble::Store(StoreError::Exists(_)) => "store_contended",
            Trouble::Store(
                StoreError::Missing(_)
                | StoreError::Unfit(_)
                | StoreError::Damaged(_)
                | StoreError::Settings(_),
            ) => "store_damaged",
            Trouble::Timeout => "timeout",
            Trouble::Panic(_) | Trouble::Miscounted(..) => "panic",
        }
    }

    /// Whether one job of the set may be the cause, rather than the world around it.
    const fn may_be_one_job(&self) -> bool {
        !matches!(self, Trouble::Store(StoreError::Unavailable(_)))
    }

    /// Whether trying again for ever would never help. Running out of time may be the database.
    const fn is_poison(&self) -> bool {
        matches!(
            self,
            Trouble::Panic(_)
                | Trouble::Miscounted(..)
                | Trouble::Store(
                    StoreError::Missing(_)
                        | StoreError::Unfit(_)
                        | StoreError::Damaged(_)
                        | StoreError::Settings(_)
                )
        )
    }
}

/// Works on a set; when it fails as a whole for a reason that one job may have caused, job by job.
pub(super) async fn settle<'a, W, F>(jobs: &'a [Job], pool: &StagePool, work: W) -> Outcome
where
    W: Fn(&'a [Job]) -> F,
    F: Future<Output = Result<Outcome, StoreError>>,
{
    let trouble = match counted(jobs, pool, work(jobs)).await {
        Ok(outcome) => return outcome,
        Err(trouble) => trouble,
    };
    tracing::warn!(%trouble, jobs = jobs.len(), "a set failed");
    if jobs.len() > 1 && trouble.may_be_one_job() {
        return one_by_one(jobs, pool, work).await;
    }
    Outcome {
        verdicts: jobs.iter().map(|job| verdict(job, &trouble, pool)).collect(),
        next: Vec::new(),
    }
}

async fn one_by_one<'a, W, F>(jobs: &'a [Job], pool: &StagePool, work: W) -> Outcome
where
    W: Fn(&'a [Job]) -> F,
    F: Future<Output = Result<Outcome, StoreError>>,
{
    let mut all = Outcome::default();
    let mut timeouts = 0;
    for alone in jobs.chunks(1) {
        if timeouts >= SINGLE_TIMEOUTS {
            // Not its own fault: the shortest pause, so that it parts from the ones that hang.
            let after = pause(0, pool);
            all.verdicts.push(Verdict::Retry {
                after,
                code: "timeout",
            });
            continue;
        }
        match counted(alone, pool, work(alone)).await {
            Ok(outcome) => {
                all.verdicts.extend(outcome.verdicts);
                all.next.extend(outcome.next);
            }
            Err(trouble) => {
                timeouts += u32::from(matches!(trouble, Trouble::Timeout));
                for job in alone {
                    let (key, attempt) = (job.key, job.attempt);
                    let request_id = trace::request_id(&job.request_id);
                    let trace_id = trace::context(&job.request_id).map(|trace| trace.trace_id());
                    tracing::warn!(%trouble, key, attempt, request_id, trace_id, "a job failed alone");
                    all.verdicts.push(verdict(job, &trouble, pool));
                }
            }
        }
    }
    all
}

async fn counted<F>(jobs: &[Job], pool: &StagePool, work: F) -> Result<Outcome, Trouble>
where
    F: Future<Output = Result<Outcome, StoreError>>,
{
    let outcome = once(pool.timeout_ms.duration(), work).await?;
    if outcome.verdicts.len() == jobs.len() {
        Ok(outcome)
    } else {
        Err(Trouble::Miscounted(outcome.verdicts.len(), jobs.len()))
    }
}

/// Runs `work` once. What it had open when its time is up or when it panics is rolled back; every
/// stage may be run again.
pub(super) async fn once<F>(limit: Duration, work: F) -> Result<Outcome, Trouble>
where
    F: Future<Output = Result<Outcome, StoreError>>,
{
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(panic)) => Err(Trouble::Panic(words(panic.as_ref()))),
        Err(_) => Err(Trouble::Timeout),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

fn verdict(job: &Job, trouble: &Trouble, pool: &StagePool) -> Verdict {
    if trouble.is_poison() && job.attempt.saturating_add(1) >= pool.max_deliveries {
        return Verdict::Dead { code: "poison" };
    }
    Verdict::Retry {
        after: pause(job.attempt, pool),
        code: trouble.code(),
    }
}

/// The verdicts of a set whose next jobs could not be enqueued: all of it again, since every stage
/// passes on what it has done before. What is dead stays dead.
pub(super) fn held_back(verdicts: Vec<Verdict>, jobs: &[Job], pool: &StagePool) -> Vec<Verdict> {
    let again = |(verdict, job): (Verdict, &Job)| match verdict {
        Verdict::Done | Verdict::Reject { .. } => Verdict::Retry {
            after: pause(job.attempt, pool),
            code: "enqueue_failed",
        },
        Verdict::Retry { .. } | Verdict::Dead { .. } => verdict,
    };
    verdicts.into_iter().zip(jobs).map(again).collect()
}

/// `retry_min_ms` doubled for each attempt up to `retry_max_ms`, then anything from its half to all
/// of it, so that jobs which failed together do not all come back together.
pub(super) fn pause(attempt: u32, pool: &StagePool) -> Duration {
    let longest = pool
        .retry_min_ms
        .duration()
        .saturating_mul(1 << attempt.min(MOST_DOUBLINGS))
        .min(pool.retry_max_ms.duration());
    rand::random_range(longest / 2..=longest)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::{
        config::{self, Millis},
        domain::time::Timestamp,
        stage::Stage,
        store,
    };

    fn pool() -> StagePool {
        StagePool {
            gather_ms: Millis::new(0),
            gather_most_ms: Millis::new(0),
            gather_from: 1,
            concurrency: 1,
            express: 0,
            ahead: true,
            batch: 10,
            timeout_ms: Millis::new(1000),
            lease_ms: Millis::new(1000),
            max_deliveries: 3,
            retry_min_ms: Millis::new(100),
            retry_max_ms: Millis::new(1000),
        }
    }

    fn job(key: i64, attempt: u32) -> Job {
        Job {
            key,
            tenant_id: 1,
            attempt,
            enqueued_at: Timestamp::from_micros(0),
            request_id: format!("request-{key}"),
            body: Bytes::new(),
        }
    }

    fn done(jobs: &[Job]) -> Result<Outcome, StoreError> {
        Ok(Outcome {
            verdicts: jobs.iter().map(|_| Verdict::Done).collect(),
            next: jobs.iter().map(|job| (Stage::Audit, job.clone())).collect(),
        })
    }

    fn codes(outcome: &Outcome) -> Vec<(&'static str, &'static str)> {
        outcome
            .verdicts
            .iter()
            .map(|verdict| (verdict.outcome(), verdict.code()))
            .collect()
    }

    #[tokio::test]
    async fn a_poison_job_does_not_hold_up_its_neighbours() {
        let jobs = [job(1, 0), job(2, 0), job(3, 0)];
        let work = |set: &[Job]| {
            let poisoned = set.iter().any(|job| job.key == 2);
            let result = done(set);
            async move {
                assert!(!poisoned, "key 2");
                result
            }
        };
        let outcome = settle(&jobs, &pool(), work).await;
        assert_eq!(
            codes(&outcome),
            [("done", ""), ("retried", "panic"), ("done", "")]
        );
        let next: Vec<i64> = outcome.next.iter().map(|(_, job)| job.key).collect();
        assert_eq!(next, [1, 3]);
    }

    #[tokio::test]
    async fn poison_is_given_up_at_its_last_delivery_and_only_then() {
        let panics = |_: &[Job]| async { panic!("always") };
        for (attempt, expected) in [(0, "retried"), (1, "retried"), (2, "dead"), (9, "dead")] {
            let outcome = settle(&[job(1, attempt)], &pool(), panics).await;
            assert_eq!(outcome.verdicts[0].outcome(), expected, "attempt {attempt}");
        }
        let damaged = |_: &[Job]| async { Err(StoreError::Damaged("row".into())) };
        let outcome = settle(&[job(1, 2), job(2, 0)], &pool(), damaged).await;
        assert_eq!(
            codes(&outcome),
            [("dead", "poison"), ("retried", "store_damaged")]
        );
    }

    #[tokio::test]
    async fn a_record_that_is_away_burns_nothing_and_is_asked_once() {
        let mut settings = config::Config::load(None).unwrap().database;
        settings.url = config::Secret::new("mysql://nobody@127.0.0.1:1/nothing");
        settings.acquire_timeout_ms = Millis::new(100);
        let error = Mutex::new(store::open(&settings).await.err());
        let calls = Mutex::new(0);
        let away = |_: &[Job]| {
            *calls.lock().unwrap() += 1;
            let gone = error.lock().unwrap().take();
            async { Err(gone.unwrap()) }
        };
        let outcome = settle(&[job(1, 99), job(2, 99)], &pool(), away).await;
        assert_eq!(codes(&outcome), [("retried", "store_unavailable"); 2]);
        assert_eq!(
            *calls.lock().unwrap(),
            1,
            "an outage must not be multiplied by the size of the set"
        );
    }

    #[tokio::test]
    async fn hanging_jobs_cost_a_bounded_time_and_the_rest_comes_back_soon() {
        let jobs: Vec<Job> = (0..6).map(|key| job(key, 5)).collect();
        let calls = Mutex::new(0);
        let work = |set: &[Job]| {
            *calls.lock().unwrap() += 1;
            let hangs = set.iter().any(|job| job.key % 2 == 1);
            let result = done(set);
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                result
            }
        };
        let limit = StagePool {
            timeout_ms: Millis::new(20),
            ..pool()
        };
        let outcome = settle(&jobs, &limit, work).await;
        let expected = ["done", "retried", "done", "retried", "retried", "retried"];
        let outcomes: Vec<_> = outcome.verdicts.iter().map(Verdict::outcome).collect();
        assert_eq!(outcomes, expected);
        assert_eq!(
            *calls.lock().unwrap(),
            1 + 4,
            "the set, then until two have hung alone"
        );
        let after = |verdict: &Verdict| match verdict {
            Verdict::Retry { after, .. } => *after,
            _ => Duration::ZERO,
        };
        assert!(after(&outcome.verdicts[5]) < after(&outcome.verdicts[1]));
    }

    #[tokio::test]
    async fn a_worker_that_loses_count_is_not_believed() {
        let short = |_: &[Job]| async { Ok(Outcome::default()) };
        let outcome = settle(&[job(1, 0), job(2, 0)], &pool(), short).await;
        assert_eq!(codes(&outcome), [("retried", "panic"); 2]);
    }

    #[test]
    fn what_could_not_be_passed_on_comes_back() {
        let dead = Verdict::Dead { code: "poison" };
        let verdicts = vec![Verdict::Done, Verdict::Reject { code: "x" }, dead.clone()];
        let held = held_back(verdicts, &[job(1, 0), job(2, 0), job(3, 0)], &pool());
        assert!(held[..2].iter().all(|verdict| verdict.code() == "enqueue_failed"));
        assert_eq!(held[2], dead);
    }

    #[test]
    fn pauses_double_to_their_bound() {
        for attempt in 0..40 {
            let top = Duration::from_millis((100_u64 << attempt.min(10)).min(1000));
            let pause = pause(attempt, &pool());
            assert!(pause >= top / 2 && pause <= top, "attempt {attempt}: {pause:?}");
        }
    }
}
