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
//! A void or refund is delivered as its sale in its newer state, under the same id, after the sale's
//! own delivery has ended: the job of either names the sale, and what of the sale is due is claimed. A
//! web application that books the newest state of an id can so be told again and in any order.
//!
//! A job whose sale was not claimed comes back when the claim that holds the sale could have run out.
//! If none does, the job is done: the sale has ended, or it is due later, when the delayed job of its
//! last attempt (or, if that was lost, the sweeper) comes for it.

mod answer;
mod batches;
mod breaker;
mod ends;
mod sender;
mod sinks;
mod webapp;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use batches::Parcel;
use ends::{End, Ended};
use futures::{StreamExt, stream};
use sender::Sender;
use webapp::WebApp;

pub use breaker::Breakers;
pub use sinks::Sinks;

use super::{
    Ctx,
    schedule::{Budget, Schedule, jittered},
};
use crate::{
    domain::{
        forward::Item,
        reversal::Reversal,
        sale::{ForwardState, Transaction},
        time::Timestamp,
        work::AuditEvent,
    },
    outcome::{Outcome, Verdict},
    queue::Job,
    stage::Stage,
    store::{Claim, ForwardItem, Settled, StoreError},
    telemetry::metrics::{self, ReversalState},
};

/// Shortest time after which a job looks again at a sale that another claim holds.
const HELD_AT_LEAST: Duration = Duration::from_millis(100);

/// How long sales wait, at most, before it is looked again whether their sink takes them.
const WAIT: Duration = Duration::from_secs(10);

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
    let routes = ctx.sinks.routes().await?;
    let mut sinks: HashMap<i64, Arc<WebApp>> = HashMap::new();
    let (mut sendable, mut waits) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for job in jobs {
        // Sales that cannot be sent are not even claimed: they wait untouched.
        let wait = match routes.of(job.tenant_id) {
            Ok(sink) => {
                sinks.entry(job.tenant_id).or_insert_with(|| Arc::clone(sink));
                sendable.push(job);
                None
            }
            Err(code) => Some(Verdict::Retry {
                after: jittered(WAIT / 2, WAIT),
                code,
            }),
        };
        waits.push(wait);
    }
    let claim = claim(ctx, &sendable).await?;
    let mut run = Run::new(ctx, &sendable, sinks, &claim);
    let (reversed, sold): (Vec<&ForwardItem>, Vec<&ForwardItem>) =
        claim.items.iter().partition(|item| item.reversals.is_some());
    let ids = |items: Vec<&ForwardItem>| items.iter().map(|item| item.row.id).collect();
    let (sold, reversed): (Vec<i64>, Vec<i64>) = (ids(sold), ids(reversed));
    tokio::select! {
        worked = run.work_off(claim.items) => worked?,
        never = renew(ctx, claim.token, &sold, &reversed) => match never {},
    }
    Ok(Outcome {
        verdicts: (jobs.iter().zip(waits))
            .map(|(job, wait)| wait.unwrap_or_else(|| run.verdict(job.key)))
            .collect(),
        next: run.next,
    })
}

/// Gives up a sale whose job was set aside. The claim is taken as of the time when every claim of a
/// worker that lives has run out, for the one that holds it now is the one the sale has killed.
pub(super) async fn bury(ctx: &Ctx, id: i64, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    let hold = ctx.config.forwarding.claim_ms.duration();
    let mut claim = ctx
        .store
        .claim_forwards(&[id], Vec::new(), now.plus(hold), hold)
        .await?;
    let end = [Settled::Dead {
        id,
        at: now,
        code: super::PARKED,
        detail: reason.to_owned(),
    }];
    if !claim.items.is_empty() {
        ctx.store.settle_forwards(claim.token, &end).await?;
        return Ok(());
    }
    ctx.store
        .claim_reversals(&mut claim, &[id], now.plus(hold), hold)
        .await?;
    if !claim.items.is_empty() {
        ctx.store.settle_reversals(claim.token, &end).await?;
    }
    Ok(())
}

async fn claim(ctx: &Ctx, jobs: &[&Job]) -> Result<Claim, StoreError> {
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
    let now = Timestamp::now();
    let mut claim = ctx.store.claim_forwards(&ids, rows, now, hold).await?;
    if claim.items.len() + claim.held.len() < ids.len() {
        // What is left has ended, or is due later, or has a void or refund that is due.
        ctx.store.claim_reversals(&mut claim, &ids, now, hold).await?;
    }
    Ok(claim)
}

/// Renews a claim three times in its length for as long as it is polled. Where the record is away the
/// claim may run out; the sales are then sent twice at worst, with the same ids.
async fn renew(ctx: &Ctx, token: i64, sold: &[i64], reversed: &[i64]) -> Infallible {
    let hold = ctx.config.forwarding.claim_ms.duration();
    let mut turn = tokio::time::interval(hold / 3);
    turn.tick().await;
    loop {
        turn.tick().await;
        let until = Timestamp::now().plus(hold);
        let renewed = match ctx.store.renew_forwards(token, sold, until).await {
            Ok(()) => ctx.store.renew_reversals(token, reversed, until).await,
            failed => failed,
        };
        if let Err(error) = renewed {
            tracing::warn!(%error, sales = sold.len() + reversed.len(), "cannot renew a claim");
        }
    }
}

/// One set under way.
struct Run<'a> {
    ctx: &'a Ctx,
    token: i64,
    jobs: HashMap<i64, &'a Job>,
    /// Where the sales of each tenant go.
    sinks: HashMap<i64, Arc<WebApp>>,
    budget: Budget,
    schedule: Schedule,
    verdicts: HashMap<i64, Verdict>,
    /// The sales of the claim.
    claimed: HashSet<i64>,
    next: Vec<(Stage, Job)>,
}

impl<'a> Run<'a> {
    fn new(ctx: &'a Ctx, jobs: &[&'a Job], sinks: HashMap<i64, Arc<WebApp>>, claim: &Claim) -> Self {
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
            jobs: jobs.iter().map(|job| (job.key, *job)).collect(),
            sinks,
            budget: Budget::new(limit, Duration::ZERO),
            schedule: Schedule {
                min: settings.retry_min_ms.duration(),
                max: settings.retry_max_ms.duration(),
                max_attempts: settings.max_attempts,
            },
            claimed: claim.items.iter().map(|item| item.row.id).collect(),
            verdicts: held.collect(),
            next: Vec::new(),
        }
    }

    /// The verdict on the next job that names a sale. The first one takes the verdict on the sale; a
    /// second one comes back to look whether more of the sale is due: it may be there for a void.
    fn verdict(&mut self, sale: i64) -> Verdict {
        match self.verdicts.remove(&sale) {
            Some(verdict) => verdict,
            None if self.claimed.contains(&sale) => Verdict::Retry {
                after: HELD_AT_LEAST,
                code: "claimed_elsewhere",
            },
            None => Verdict::Done,
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
            let item = match &claimed.reversals {
                None => Item::new(&claimed.row, from),
                Some(reversals) => Item::reversed(&claimed.row, from, &reversals.refunds),
            };
            match item {
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
            sinks: &self.sinks.clone(),
        };
        let size = |tenant| sender.sinks.get(&tenant).map_or(1, |sink| sink.batch_size);
        let mut ends = stream::iter(batches::build(parcels, size))
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
        let mut reversed = Vec::new();
        for Ended { claimed, end } in ended {
            let (tenant_id, id) = (claimed.row.tenant_id, claimed.row.id);
            let returns = self.jobs.get(&id).map_or(0, |job| job.attempt);
            let (settle, verdict) = end.settle(id, claimed.attempt, returns, now, &self.schedule);
            self.verdicts.insert(id, verdict);
            if let Some(reversals) = claimed.reversals {
                reversed.push((reversals.claimed, settle));
                continue;
            }
            if let Some(state) = ends::state(&settle) {
                events.extend(AuditEvent::delivered(tenant_id, id, state, now));
            }
            settled.push(settle);
        }
        self.settle_reversals(reversed, now).await?;
        let overtaken = self.ctx.store.settle_forwards(self.token, &settled).await?;
        if overtaken > 0 {
            // Which ones is not known here, so no event is made of a state that may not be in the
            // record: the sweeper makes them from the rows.
            tracing::warn!(sales = overtaken, "claims ran out before the sales were settled");
            return Ok(());
        }
        for event in events {
            self.audit(event.transaction_id, event, now);
        }
        Ok(())
    }

    /// The same for voids and refunds, with the end of each sale.
    async fn settle_reversals(
        &mut self,
        ended: Vec<(Vec<Reversal>, Settled)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ends: Vec<Settled> = ended.iter().map(|(_, end)| end.clone()).collect();
        let overtaken = self.ctx.store.settle_reversals(self.token, &ends).await?;
        for (reversals, end) in ended {
            let Some(state) = ends::state(&end) else {
                continue;
            };
            for mut reversal in reversals {
                let sale = reversal.sale_id.unwrap_or(0);
                if overtaken.contains(&sale) {
                    continue;
                }
                reversal.state = state;
                let ended = if state == ForwardState::Forwarded {
                    ReversalState::Forwarded
                } else {
                    ReversalState::Dead
                };
                metrics::reversal(reversal.kind.label(), ended);
                reversal.settled_at = Some(now);
                if let Some(event) = AuditEvent::reversal_delivered(&reversal) {
                    self.audit(sale, event, now);
                }
            }
        }
        Ok(())
    }

    /// Passes an event on, with the request of the job that named the sale.
    fn audit(&mut self, sale: i64, event: AuditEvent, now: Timestamp) {
        let cause = self.jobs.get(&sale);
        let request_id = cause.map_or("", |job| job.request_id.as_str());
        let job = super::audit_job(&[event], request_id, now);
        self.next.extend(job.map(|job| (Stage::Audit, job)));
    }
}
