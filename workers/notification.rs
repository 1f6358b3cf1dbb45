//! Notification: posts results to the callback addresses of terminals.
//!
//! A callback is claimed right before it is sent, a few at a time, so that a slow receiver never
//! makes a claim run out. Whatever is not claimed was delivered, is not due, or is with another
//! worker; the sweeper brings back what a worker that died left behind.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::{StreamExt, stream};
use reqwest::header::CONTENT_TYPE;

use super::{
    Ctx, SetupError, outbound,
    schedule::{Budget, Schedule},
};
use crate::{
    config::Config,
    domain::{egress::Policy, time::Timestamp},
    outcome::{Outcome, Verdict},
    queue::Job,
    stage::Stage,
    store::{Notice, NoticeOutcome, StoreError},
};

/// How long callbacks wait that were taken but not reached in time.
const NOT_REACHED: Duration = Duration::from_millis(500);

/// The client for terminals' callback addresses.
#[derive(Clone)]
pub struct Callbacks {
    client: outbound::Outside,
    schedule: Schedule,
    max_answer_bytes: usize,
}

impl Callbacks {
    pub(super) fn new(config: &Config) -> Result<Self, SetupError> {
        let settings = &config.notification;
        // Who names a callback is not who runs the fleet: private addresses are not for it.
        let policy = Policy {
            allow: config.egress.allow.clone(),
            private: false,
        };
        let timeout = settings.timeout_ms.duration();
        Ok(Self {
            client: outbound::Door::new(timeout, timeout, policy).client()?,
            schedule: Schedule {
                min: settings.retry_min_ms.duration(),
                max: settings.retry_max_ms.duration(),
                max_attempts: settings.max_attempts,
            },
            max_answer_bytes: config.forwarding.max_answer_bytes,
        })
    }

    async fn deliver(&self, notice: &Notice) -> Answer {
        let Some(url) = outbound::web_address(&notice.url) else {
            return Answer::NoAddress;
        };
        let call = match self.client.post(url) {
            Ok(call) => call,
            Err(code) => return Answer::Failure(code),
        };
        let call = call
            .header(CONTENT_TYPE, "application/json")
            .body(notice.payload.clone());
        match call.send().await {
            Ok(mut answer) => {
                let status = answer.status().as_u16();
                // The body means nothing; it is read so that the connection can be used again.
                if let Err(error) = outbound::body(&mut answer, self.max_answer_bytes).await {
                    tracing::debug!(%error, "a callback's answer broke off");
                }
                Answer::Status(status)
            }
            Err(error) => Answer::Failure(outbound::failure(&error)),
        }
    }
}

/// How a receiver answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Status(u16),
    Failure(&'static str),
    NoAddress,
}

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    let settings = &ctx.config.notification;
    let pool = ctx.config.pool(Stage::Notification);
    let budget = Budget::new(pool.timeout_ms.duration(), settings.timeout_ms.duration());
    let mut seen = HashSet::new();
    let ids: Vec<i64> = (jobs.iter().map(|job| job.key))
        .filter(|key| seen.insert(*key))
        .collect();
    let mut verdicts: HashMap<i64, Verdict> = HashMap::new();
    for part in ids.chunks(settings.parallel.max(1)) {
        if !budget.left() {
            let later = Verdict::Retry {
                after: NOT_REACHED,
                code: "not_reached",
            };
            verdicts.extend(part.iter().map(|id| (*id, later.clone())));
            continue;
        }
        work_off(ctx, part, &mut verdicts).await?;
    }
    Ok(Outcome {
        verdicts: (jobs.iter())
            .map(|job| verdicts.remove(&job.key).unwrap_or(Verdict::Done))
            .collect(),
        next: Vec::new(),
    })
}

/// Claims, sends and settles the callbacks of a few transactions.
async fn work_off(
    ctx: &Ctx,
    transaction_ids: &[i64],
    verdicts: &mut HashMap<i64, Verdict>,
) -> Result<(), StoreError> {
    let settings = &ctx.config.notification;
    let hold = settings.claim_ms.duration();
    let notices = ctx
        .store
        .claim_notices(transaction_ids, Timestamp::now(), hold)
        .await?;
    let answers: Vec<(Notice, Answer)> = stream::iter(notices)
        .map(|notice| async move {
            let answer = ctx.callbacks.deliver(&notice).await;
            (notice, answer)
        })
        .buffer_unordered(settings.parallel.max(1))
        .collect()
        .await;
    let now = Timestamp::now();
    let mut ends = Vec::with_capacity(answers.len());
    for (notice, answer) in answers {
        let (end, verdict) = end(&notice, answer, &ctx.callbacks.schedule, now);
        ends.push(end);
        let kept = verdicts.entry(notice.transaction_id).or_insert(Verdict::Done);
        *kept = sooner(kept.clone(), verdict);
    }
    if !ends.is_empty() {
        ctx.store.settle_notices(&ends).await?;
    }
    Ok(())
}

/// How an attempt ends: 2xx is delivered, all else is tried again until the attempts are used up.
fn end(notice: &Notice, answer: Answer, schedule: &Schedule, now: Timestamp) -> (NoticeOutcome, Verdict) {
    let id = notice.id;
    let code = match answer {
        Answer::Status(status @ 200..=299) => {
            return (NoticeOutcome::Delivered { id, at: now, status }, Verdict::Done);
        }
        Answer::NoAddress => {
            let code = "bad_address";
            return (
                NoticeOutcome::Failed { id, at: now, code },
                Verdict::Dead { code },
            );
        }
        Answer::Status(500..) => "http_5xx",
        Answer::Status(400..=499) => "http_4xx",
        Answer::Status(_) => "http_other",
        Answer::Failure(code) => code,
    };
    match schedule.pause(notice.attempt) {
        Some(after) => (
            NoticeOutcome::Retry {
                id,
                due_at: now.plus(after),
                code,
            },
            Verdict::Retry { after, code },
        ),
        None => (
            NoticeOutcome::Failed { id, at: now, code },
            Verdict::Dead {
                code: "attempts_exhausted",
            },
        ),
    }
}

/// The verdict on a job with several callbacks: it comes back as long as one of them has to.
fn sooner(one: Verdict, other: Verdict) -> Verdict {
    match (&one, &other) {
        (Verdict::Retry { after: a, .. }, Verdict::Retry { after: b, .. }) if b < a => other,
        (Verdict::Retry { .. }, _) => one,
        (_, Verdict::Retry { .. }) | (Verdict::Done, _) => other,
        _ => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        min: Duration::from_secs(1),
        max: Duration::from_secs(60),
        max_attempts: 3,
    };

    fn notice(attempt: u32) -> Notice {
        Notice {
            id: 7,
            transaction_id: 1,
            url: "http://127.0.0.1/".to_owned(),
            payload: "{}".to_owned(),
            attempt,
        }
    }

    fn verdict(attempt: u32, answer: Answer) -> Verdict {
        end(&notice(attempt), answer, &SCHEDULE, Timestamp::from_micros(0)).1
    }

    #[test]
    fn only_a_2xx_is_delivered() {
        for status in [200, 202, 204, 299] {
            assert_eq!(verdict(1, Answer::Status(status)), Verdict::Done);
        }
        for (status, code) in [(301, "http_other"), (404, "http_4xx"), (503, "http_5xx")] {
            assert!(
                matches!(verdict(1, Answer::Status(status)), Verdict::Retry { code: c, .. } if c == code),
                "{status}"
            );
        }
        assert!(matches!(
            verdict(1, Answer::Failure("timeout")),
            Verdict::Retry { code: "timeout", .. }
        ));
    }

    #[test]
    fn attempts_end() {
        assert!(matches!(
            end(
                &notice(3),
                Answer::Status(500),
                &SCHEDULE,
                Timestamp::from_micros(0)
            ),
            (
                NoticeOutcome::Failed {
                    id: 7,
                    code: "http_5xx",
                    ..
                },
                Verdict::Dead { .. }
            )
        ));
        assert!(matches!(
            verdict(1, Answer::NoAddress),
            Verdict::Dead { code: "bad_address" }
        ));
    }

    #[test]
    fn a_job_comes_back_while_one_of_its_callbacks_must() {
        let retry = |secs| Verdict::Retry {
            after: Duration::from_secs(secs),
            code: "timeout",
        };
        assert_eq!(sooner(Verdict::Done, retry(5)), retry(5));
        assert_eq!(sooner(retry(5), Verdict::Done), retry(5));
        assert_eq!(sooner(retry(5), retry(2)), retry(2));
        assert_eq!(sooner(retry(2), retry(5)), retry(2));
        let dead = Verdict::Dead { code: "bad_address" };
        assert_eq!(sooner(dead.clone(), retry(5)), retry(5));
        assert_eq!(sooner(Verdict::Done, dead.clone()), dead);
    }
}
