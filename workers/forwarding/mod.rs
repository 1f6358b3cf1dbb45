//! Forwarding: claims due sales, posts them in batches, and writes down how each one ended.
//!
//! The life of a sale here:
//! 1. it is claimed: the attempt is counted and the sale is not due again before the claim ends,
//!    committed before anything is sent; usually it was made claimed, with its decision, for the job that comes
//!    within half of that claim, and the attempt is counted when its end is;
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
//! A set does not wait for a sink that hangs: after `forwarding.patience_ms` the calls under way go on by
//! themselves (`set.rs`, `left.rs`), and while one is out for longer than that, jobs of its sink are turned away
//! before they are claimed (`gate.rs`, `lane.rs`).
//!
//! A job whose sale was not claimed comes back when the claim that holds the sale could have run out.
//! If none does, the job is done: the sale has ended, or it is due later, when the delayed job of its
//! last attempt (or, if that was lost, the sweeper) comes for it.

mod answer;
mod batches;
mod breaker;
mod coding;
mod ends;
mod gate;
mod lane;
mod left;
mod sender;
mod set;
mod sinks;
mod traced;
mod tried;
mod webapp;

use std::collections::HashSet;

use gate::Gate;
use set::Run;

pub use breaker::Breakers;
pub use left::Left;
pub use sinks::Sinks;

use super::Ctx;
use crate::{
    domain::{sale::Transaction, time::Timestamp},
    outcome::{Outcome, Verdict},
    queue::Job,
    stage::Stage,
    store::{Claim, Settled, StoreError},
};

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
    let Gate {
        sinks,
        sendable,
        waits,
    } = gate::open(jobs, &routes, &ctx.left);
    let claim = claim(ctx, &sendable).await?;
    // With one sink there is nobody to be held up.
    let patience = (!routes.is_lone()).then(|| ctx.config.forwarding.patience_ms.duration());
    let run = Run::new(ctx, &sendable, sinks, &claim);
    let mut finished = run.finish(claim, patience).await?;
    Ok(Outcome {
        verdicts: (jobs.iter().zip(waits))
            .map(|(job, wait)| wait.unwrap_or_else(|| finished.verdict(job.key)))
            .collect(),
        next: finished.next,
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

/// The copy of the row that a job carries, and until when the sale is claimed for it, if it was made so.
fn copy(job: &Job) -> Option<(Transaction, Option<Timestamp>)> {
    // One that waited for a second attempt may be out of date: the sale may be voided since.
    if job.attempt > 0 {
        return None;
    }
    let claimed = Transaction::decode_claimed(&job.body).map(|(row, until)| (row, Some(until)));
    claimed
        .or_else(|| Some((Transaction::decode(&job.body)?, None)))
        .filter(|(row, _)| row.id == job.key)
}

async fn claim(ctx: &Ctx, jobs: &[&Job]) -> Result<Claim, StoreError> {
    let mut seen = HashSet::new();
    let (mut ids, mut rows) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    let (mut made, mut late) = (Vec::with_capacity(jobs.len()), Vec::new());
    let hold = ctx.config.forwarding.claim_ms.duration();
    // Later than that another worker may have the job too, or the claim ends before it is renewed.
    let lease = ctx.config.pool(Stage::Forwarding).lease_ms.duration();
    let at_least = hold - lease.min(hold / 2);
    let now = Timestamp::now();
    for job in jobs.iter().filter(|job| seen.insert(job.key)) {
        match copy(job) {
            Some((row, Some(until))) if until.since(now) >= at_least => made.push(row),
            Some((row, Some(_))) => late.push(row),
            copy => {
                ids.push(job.key);
                rows.extend(copy.map(|(row, _)| row));
            }
        }
    }
    let mut claim = Claim::empty();
    for row in ctx.store.claim_made_forwards(&mut claim, late, now, hold).await? {
        ids.push(row.id);
        rows.push(row);
    }
    let before = claim.items.len();
    ctx.store
        .claim_due_forwards(&mut claim, &ids, rows, now, hold)
        .await?;
    if claim.items.len() - before + claim.held.len() < ids.len() {
        // What is left has ended, or is due later, or has a void or refund that is due.
        ctx.store.claim_reversals(&mut claim, &ids, now, hold).await?;
    }
    claim.add_made(made);
    Ok(claim)
}
