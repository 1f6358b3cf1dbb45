//! How each sale of a batch ends, and when one that did not get through is due again. All of it is
//! pure but the jitter.

use std::{collections::HashMap, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    super::schedule::{Schedule, jittered},
    answer::{Ruling, Said},
    batches::Batch,
    sender::Attempt,
    tried,
};
use crate::{
    domain::{
        forward::{REFUSED, REJECTED},
        sale::ForwardState,
        time::Timestamp,
    },
    outcome::Verdict,
    store::{ForwardItem, Settled},
};

/// The code of sales that were due for too long.
const TOO_OLD: &str = "too_old";
/// How long sales wait that were claimed but not reached in time.
const NOT_REACHED: Duration = Duration::from_millis(500);
/// How often the pause of a sale that meets an open breaker doubles: a large backlog must not cost
/// two writes a sale every few seconds while the web application is away.
const HELD_DOUBLINGS: u32 = 4;

/// A claimed sale and how it ended.
pub(super) struct Ended {
    pub(super) claimed: ForwardItem,
    pub(super) end: End,
    /// What was sent and answered, if anything was.
    pub(super) tried: Option<tried::Shared>,
}

/// How one sale ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The web application has it.
    Forwarded { batch_id: String },
    /// It was sent and did not get through.
    Later {
        code: &'static str,
        /// Not before.
        after: Option<Duration>,
    },
    /// It was not sent: the breaker is open, for so long at a time.
    Held { open: Duration },
    /// It was not sent: there was no time left.
    NotReached,
    /// It will never get through.
    Dead { code: &'static str, detail: String },
}

/// The ends of the sales of a batch. A refused batch has one sale, larger ones are halved first.
pub(super) fn of(batch: Batch, attempt: Attempt) -> Vec<Ended> {
    let mut uses: HashMap<Uuid, usize> = HashMap::new();
    for parcel in &batch.parcels {
        let id = parcel.claimed.row.sale.transaction_id;
        *uses.entry(id).or_default() += 1;
    }
    (batch.parcels.into_iter())
        .map(|parcel| {
            let row = &parcel.claimed.row;
            let transaction_id = row.sale.transaction_id;
            let unique = uses.get(&transaction_id) == Some(&1);
            Ended {
                end: end(&attempt, row.id, transaction_id, unique),
                claimed: parcel.claimed,
                tried: match &attempt {
                    Attempt::Judged { tried, .. } => Some(Arc::clone(tried)),
                    Attempt::NotReached | Attempt::BreakerOpen { .. } => None,
                },
            }
        })
        .collect()
}

fn end(attempt: &Attempt, id: i64, transaction_id: Uuid, unique: bool) -> End {
    let (batch_id, ruling) = match attempt {
        Attempt::NotReached => return End::NotReached,
        Attempt::BreakerOpen { open } => return End::Held { open: *open },
        Attempt::Judged { ruling, tried } => (&tried.batch_id, ruling),
    };
    let forwarded = || End::Forwarded {
        batch_id: batch_id.clone(),
    };
    match ruling {
        Ruling::Accepted => forwarded(),
        Ruling::Named(results) => match results.of(id, transaction_id, unique) {
            Said::Has => forwarded(),
            Said::Rejected { detail } => End::Dead {
                code: REJECTED,
                detail,
            },
            Said::Again => End::Later {
                code: "webapp_retry",
                after: None,
            },
        },
        Ruling::Later { code, after, .. } => End::Later { code, after: *after },
        Ruling::Refused { detail } => End::Dead {
            code: REFUSED,
            detail: detail.clone(),
        },
    }
}

impl End {
    /// The end of a sale that has been due for `age`: one that has not got through by `longest` is given up.
    /// Where it was not tried for want of time, it gets its try first.
    pub(super) fn aged(self, age: Duration, longest: Duration) -> Self {
        let code = match &self {
            _ if age < longest => return self,
            End::Later { code, .. } => code,
            End::Held { .. } => "breaker_open",
            End::Forwarded { .. } | End::NotReached | End::Dead { .. } => return self,
        };
        End::Dead {
            code: TOO_OLD,
            detail: format!("due for {} s, and the last time: {code}", age.as_secs()),
        }
    }

    /// What is written down, and what the queue is told, for the attempt number `attempt` of sale
    /// `id`, whose job came back from the queue `returns` times.
    pub(super) fn settle(
        self,
        id: i64,
        attempt: u32,
        returns: u32,
        now: Timestamp,
        schedule: &Schedule,
    ) -> (Settled, Verdict) {
        let retry = |after: Duration, code, counts| {
            let settled = Settled::Retry {
                id,
                due_at: now.plus(after),
                code,
                counts,
            };
            (settled, Verdict::Retry { after, code })
        };
        let dead = |code, detail| {
            let settled = Settled::Dead {
                id,
                at: now,
                code,
                detail,
            };
            (settled, Verdict::Dead { code })
        };
        match self {
            End::Forwarded { batch_id } => (
                Settled::Forwarded {
                    id,
                    at: now,
                    batch_id,
                },
                Verdict::Done,
            ),
            End::Dead { code, detail } => dead(code, detail),
            End::Held { open } => {
                let longest = open.saturating_mul(2 << returns.min(HELD_DOUBLINGS));
                retry(jittered(open, longest), "breaker_open", false)
            }
            End::NotReached => retry(NOT_REACHED, "not_reached", false),
            End::Later { code, after } => match schedule.pause(attempt) {
                Some(pause) => retry(pause.max(after.unwrap_or_default()), code, true),
                None => dead(
                    "attempts_exhausted",
                    format!("attempt {attempt} ended with {code}"),
                ),
            },
        }
    }
}

/// The state a settled sale is in for good, if it is.
pub(super) const fn state(settled: &Settled) -> Option<ForwardState> {
    match settled {
        Settled::Forwarded { .. } => Some(ForwardState::Forwarded),
        Settled::Dead { .. } => Some(ForwardState::Dead),
        Settled::Retry { .. } => None,
    }
}

#[cfg(test)]
mod tests;
