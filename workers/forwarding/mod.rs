//! Forwarding: claims due sales, posts them in batches, and writes down how each one ended.
//!
//! The life of a sale here:
//! 1. it is claimed: the attempt is counted and the sale is not due again before the claim ends,
//!    committed before anything is sent;
//! 2. it travels in a batch; a batch that is refused is halved until the sale that is refused stands
//!    alone, so that one bad sale never holds back the others;
//! 3. its end is committed: forwarded, due again later, or a dead letter.
//!
//! A claim is short and renewed while its batches are under way. A worker that dies leaves one that
//! runs out within seconds; the sale is then sent again with the same ids, and the web application
//! tells a repeat by them.
//!
//! A job whose sale was not claimed comes back when the claim that holds the sale could have run out.
//! If none does, the job is done: the sale has ended, or it is due later, when the delayed job of its
//! last attempt (or, if that was lost, the sweeper) comes for it.

mod answer;
mod batches;
mod breaker;
mod ends;
mod webapp;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    time::{Duration, Instant},
};

use answer::Ruling;
use batches::{Batch, Parcel};
use ends::{End, Ended};
use futures::{StreamExt, stream};
use webapp::Origin;

pub use webapp::WebApp;

use super::{
    Ctx,
    schedule::{Budget, Schedule},
};
use crate::{
    domain::{
        forward::{Envelope, Item},
        sale::Transaction,
        time::Timestamp,
        trace::{self, TraceContext},
        work::AuditEvent,
    },
    outcome::{Outcome, Verdict},
    queue::Job,
    stage::Stage,
    store::{Claim, ForwardItem, Settled, StoreError},
    telemetry::metrics,
};

/// Shortest time after which a job looks again at a sale that another claim holds.
const HELD_AT_LEAST: Duration = Duration::from_millis(100);

/// Longest time that a sale waits for others to be settled with it.
const SETTLE_AFTER: Duration = Duration::from_millis(100);

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    if !ctx.config.forwarding.enabled {
        // The sale stays due in the record, where it costs nothing; the sweeper brings it back as
        // soon as forwarding is switched on.
        return Ok(Outcome {
            verdicts: vec![Verdict::Done; jobs.len()],
            next: Vec::new(),
        });
    }
    let claim = claim(ctx, jobs).await?;
    let mut run = Run::new(ctx, jobs, &claim);
    let ids: Vec<i64> = claim.items.iter().map(|item| item.row.id).collect();
    tokio::select! {
        worked = run.work_off(claim.items) => worked?,
        never = renew(ctx, claim.token, &ids) => match never {},
    }
    Ok(Outcome {
        verdicts: (jobs.iter())
            .map(|job| run.verdicts.remove(&job.key).unwrap_or(Verdict::Done))
            .collect(),
        next: run.next,
    })
}

/// Gives up a sale whose job was set aside. The claim is taken as of the time when every claim of a
/// worker that lives has run out, for the one that holds it now is the one the sale has killed.
pub(super) async fn bury(ctx: &Ctx, id: i64, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    let hold = ctx.config.forwarding.claim_ms.duration();
    let claim = ctx
        .store
        .claim_forwards(&[id], Vec::new(), now.plus(hold), hold)
        .await?;
    if claim.items.is_empty() {
        return Ok(());
    }
    let end = Settled::Dead {
        id,
        at: now,
        code: super::PARKED,
        detail: reason.to_owned(),
    };
    ctx.store.settle_forwards(claim.token, &[end]).await?;
    Ok(())
}

async fn claim(ctx: &Ctx, jobs: &[Job]) -> Result<Claim, StoreError> {
    let mut seen = HashSet::new();
    let (mut ids, mut rows) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for job in jobs.iter().filter(|job| seen.insert(job.key)) {
        ids.push(job.key);
        // A copy that waited for a second attempt may be out of date: the sale may be voided since.
        if job.attempt == 0 {
            rows.extend(Transaction::decode(&job.body).filter(|row| row.id == job.key));
        }
    }
    let hold = ctx.config.forwarding.claim_ms.duration();
    ctx.store.claim_forwards(&ids, rows, Timestamp::now(), hold).await
}

/// Renews a claim three times in its length for as long as it is polled. Where the record is away the
/// claim may run out; the sales are then sent twice at worst, with the same ids.
async fn renew(ctx: &Ctx, token: i64, ids: &[i64]) -> Infallible {
    let hold = ctx.config.forwarding.claim_ms.duration();
    let mut turn = tokio::time::interval(hold / 3);
    turn.tick().await;
    loop {
        turn.tick().await;
        if let Err(error) = ctx
            .store
            .renew_forwards(token, ids, Timestamp::now().plus(hold))
            .await
        {
            tracing::warn!(%error, sales = ids.len(), "cannot renew a claim");
        }
    }
}

/// One set under way.
struct Run<'a> {
    ctx: &'a Ctx,
    token: i64,
    jobs: HashMap<i64, &'a Job>,
    budget: Budget,
    schedule: Schedule,
    verdicts: HashMap<i64, Verdict>,
    next: Vec<(Stage, Job)>,
}

impl<'a> Run<'a> {
    fn new(ctx: &'a Ctx, jobs: &'a [Job], claim: &Claim) -> Self {
        let settings = &ctx.config.forwarding;
        let limit = ctx.config.pool(Stage::Forwarding).timeout_ms.duration();
        let now = Timestamp::now();
        let held = claim.held.iter().map(|(id, end)| {
            let after = end.since(now).max(HELD_AT_LEAST);
            (
                *id,
                Verdict::Retry {
                    after,
                    code: "claimed_elsewhere",
                },
            )
        });
        Self {
            ctx,
            token: claim.token,
            jobs: jobs.iter().map(|job| (job.key, job)).collect(),
            budget: Budget::new(limit, settings.timeout_ms.duration()),
            schedule: Schedule {
                min: settings.retry_min_ms.duration(),
                max: settings.retry_max_ms.duration(),
                max_attempts: settings.max_attempts,
            },
            verdicts: held.collect(),
            next: Vec::new(),
        }
    }

    /// Sends what was claimed, several batches at a time, and commits the ends as they come.
    async fn work_off(&mut self, items: Vec<ForwardItem>) -> Result<(), StoreError> {
        let settings = &self.ctx.config.forwarding;
        let terminals = self
            .ctx
            .directory
            .terminals(items.iter().map(|item| item.row.terminal_id))
            .await?;
        let mut parcels = Vec::with_capacity(items.len());
        let mut unwritable = Vec::new();
        for claimed in items {
            let from = terminals.get(&claimed.row.terminal_id).map(AsRef::as_ref);
            match Item::new(&claimed.row, from) {
                Ok(item) => parcels.push(Parcel { item, claimed }),
                Err(error) => unwritable.push(Ended {
                    claimed,
                    end: End::Dead {
                        code: "record_damaged",
                        detail: error.to_string(),
                    },
                }),
            }
        }
        self.settle(unwritable).await?;
        let sender = Sender {
            ctx: self.ctx,
            budget: self.budget,
            jobs: &self.jobs.clone(),
        };
        let mut ends = stream::iter(batches::build(parcels, settings.batch_size))
            .map(|batch| sender.deliver(batch))
            .buffer_unordered(settings.parallel.max(1));
        // Ends are committed together, but never wait long for a batch that hangs.
        let mut waiting = Vec::new();
        let mut turn = tokio::time::interval(SETTLE_AFTER);
        turn.tick().await;
        loop {
            tokio::select! {
                ended = ends.next() => match ended {
                    Some(ended) => waiting.extend(ended),
                    None => break,
                },
                _ = turn.tick() => self.settle(std::mem::take(&mut waiting)).await?,
            }
        }
        self.settle(waiting).await
    }

    /// Commits ends and keeps what follows from them.
    async fn settle(&mut self, ended: Vec<Ended>) -> Result<(), StoreError> {
        if ended.is_empty() {
            return Ok(());
        }
        let now = Timestamp::now();
        let mut settled = Vec::with_capacity(ended.len());
        let mut events = Vec::new();
        for Ended { claimed, end } in ended {
            let (tenant_id, id) = (claimed.row.tenant_id, claimed.row.id);
            let returns = self.jobs.get(&id).map_or(0, |job| job.attempt);
            let (settle, verdict) = end.settle(id, claimed.attempt, returns, now, &self.schedule);
            if let Some(state) = ends::state(&settle) {
                events.extend(AuditEvent::delivered(tenant_id, id, state, now));
            }
            self.verdicts.insert(id, verdict);
            settled.push(settle);
        }
        let overtaken = self.ctx.store.settle_forwards(self.token, &settled).await?;
        if overtaken > 0 {
            // Which ones is not known here, so no event is made of a state that may not be in the
            // record: the sweeper makes them from the rows.
            tracing::warn!(sales = overtaken, "claims ran out before the sales were settled");
            return Ok(());
        }
        for event in events {
            let cause = self.jobs.get(&event.transaction_id);
            let request_id = cause.map_or("", |job| job.request_id.as_str());
            let job = super::audit_job(&[event], request_id, now);
            self.next.extend(job.map(|job| (Stage::Audit, job)));
        }
        Ok(())
    }
}

/// What the batches of a set share while they are sent side by side.
struct Sender<'a> {
    ctx: &'a Ctx,
    budget: Budget,
    jobs: &'a HashMap<i64, &'a Job>,
}

impl Sender<'_> {
    /// Sends a batch, and halves of it where it is refused; at most two POSTs a sale.
    async fn deliver(&self, batch: Batch) -> Vec<Ended> {
        let mut ended = Vec::with_capacity(batch.parcels.len());
        let mut open = vec![batch];
        while let Some(part) = open.pop() {
            match self.attempt(&part).await {
                Attempt::Judged {
                    ruling: Ruling::Refused { .. },
                    ..
                } if part.parcels.len() > 1 => {
                    let (first, second) = part.halves();
                    open.extend([second, first]);
                }
                attempt => ended.extend(ends::of(part, attempt)),
            }
        }
        ended
    }

    async fn attempt(&self, batch: &Batch) -> Attempt {
        if !self.budget.left() {
            return Attempt::NotReached;
        }
        let Some(permit) = self.ctx.webapp.breaker.permit() else {
            return Attempt::BreakerOpen {
                open: self.ctx.config.forwarding.breaker_open_ms.duration(),
            };
        };
        let items: Vec<&Item> = batch.parcels.iter().map(|parcel| &parcel.item).collect();
        let requests = self.requests_of(&items);
        let envelope = Envelope::new(batch.tenant_id, &items, &requests, Timestamp::now());
        let started = Instant::now();
        let origin = Origin {
            request_id: requests.first().copied().unwrap_or_default(),
            trace: self.trace_of(&items),
        };
        let ruling = self.ctx.webapp.post(permit, &envelope, origin).await;
        metrics::forward_attempt(ruling.outcome(), items.len(), started.elapsed());
        tracing::info!(
            batch_id = envelope.batch_id,
            tenant_id = batch.tenant_id,
            sales = items.len(),
            outcome = ruling.outcome(),
            took_ms = started.elapsed().as_millis(),
            request_ids = requests.join(","),
            trace_id = origin.trace.map(TraceContext::trace_id),
            "batch sent"
        );
        Attempt::Judged {
            batch_id: envelope.batch_id,
            ruling,
        }
    }

    /// The requests that brought the sales in, each once, in the order of the batch.
    fn requests_of(&self, items: &[&Item]) -> Vec<&str> {
        let mut seen = HashSet::new();
        items
            .iter()
            .filter_map(|item| self.jobs.get(&item.id()))
            .map(|job| trace::request_id(&job.request_id))
            .filter(|request| !request.is_empty() && seen.insert(*request))
            .collect()
    }

    /// Our step in the trace of the first sale that is a part of one.
    fn trace_of(&self, items: &[&Item]) -> Option<TraceContext> {
        items
            .iter()
            .filter_map(|item| self.jobs.get(&item.id()))
            .find_map(|job| trace::context(&job.request_id))
            .map(TraceContext::child)
    }
}

/// What came of sending a batch.
enum Attempt {
    /// There was no time left to send it within the time limit of the set.
    NotReached,
    /// The breaker is open.
    BreakerOpen { open: Duration },
    /// It was sent.
    Judged { batch_id: String, ruling: Ruling },
}
