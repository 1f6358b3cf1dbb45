//! What the workers and the sweeper record.

use std::time::Duration;

use super::{
    count, gauge, seconds, size,
    table::{
        BREAKER_CHANGES, BREAKER_OPEN, FORGOTTEN, FORWARD_ATTEMPTS, FORWARD_ITEMS, FORWARD_SECONDS,
        REVERSALS, STAGE_JOBS, STAGE_RESTS, STAGE_SET_JOBS, STAGE_SET_SECONDS, STAGE_TRIES, STAGE_WAIT,
        SWEPT_JOBS, TENANT_AMOUNT, TENANT_SALES,
    },
    tenants, wide,
};
use crate::{domain::time::Timestamp, outcome::Verdict, queue::Job, stage::Stage};

/// The verdicts of one set of jobs, and how long the set took.
pub fn set_worked(stage: Stage, verdicts: &[Verdict], took: Duration) {
    let mut seen: Vec<(&'static str, &'static str, u64)> = Vec::new();
    for verdict in verdicts {
        let (outcome, code) = (verdict.outcome(), verdict.code());
        match seen.iter_mut().find(|(o, c, _)| (*o, *c) == (outcome, code)) {
            Some((_, _, jobs)) => *jobs += 1,
            None => seen.push((outcome, code, 1)),
        }
    }
    for (outcome, code, jobs) in seen {
        count(
            &STAGE_JOBS,
            [stage.name().into(), outcome.into(), code.into()],
            jobs,
        );
    }
    seconds(&STAGE_SET_SECONDS, [stage.name().into()], took);
    size(&STAGE_SET_JOBS, [stage.name().into()], verdicts.len());
}

/// A pool makes room for tills after a set, for `rest`.
pub fn rested(stage: Stage, rest: Duration) {
    seconds(&STAGE_RESTS, [stage.name().into()], rest);
}

/// One attempt to deliver a batch: `outcome` is a fixed word (`ok`, `http_5xx`, `timeout`, …).
pub fn forward_attempt(outcome: &'static str, items: usize, took: Duration) {
    count(&FORWARD_ATTEMPTS, [outcome.into()], 1);
    count(&FORWARD_ITEMS, [outcome.into()], wide(items));
    seconds(&FORWARD_SECONDS, [], took);
}

/// Jobs enqueued again by the sweeper.
pub fn swept(stage: Stage, jobs: usize) {
    count(&SWEPT_JOBS, [stage.name().into()], wide(jobs));
}

/// Whether the breaker of a sink is open.
pub fn breaker(sink: &str, open: bool) {
    gauge(&BREAKER_OPEN, [sink.to_owned().into()], u64::from(open));
}

/// A breaker opened or closed by itself, as `to` says.
pub fn breaker_changed(to: &'static str) {
    count(&BREAKER_CHANGES, [to.into()], 1);
}

/// What became of the jobs of one set: how long those that are through took since they first entered
/// the queue, and how many tries they needed.
pub fn jobs_ended(stage: Stage, jobs: &[Job], verdicts: &[Verdict]) {
    let now = Timestamp::now();
    for (job, verdict) in jobs.iter().zip(verdicts) {
        if matches!(verdict, Verdict::Retry { .. }) {
            continue;
        }
        seconds(&STAGE_WAIT, [stage.name().into()], now.since(job.enqueued_at));
        let tries = usize::try_from(job.attempt).unwrap_or(usize::MAX);
        size(&STAGE_TRIES, [stage.name().into()], tries.saturating_add(1));
    }
}

/// One sale of a tenant was decided; `centavos` is its base amount, and counts only where it is valid
/// and positive.
pub fn sale_decided(tenant_id: i64, valid: bool, centavos: i64) {
    let tenant = tenants::label(tenant_id);
    let result = if valid { "valid" } else { "invalid" };
    count(&TENANT_SALES, [tenant.clone(), result.into()], 1);
    if let (true, Ok(amount)) = (valid, u64::try_from(centavos)) {
        count(&TENANT_AMOUNT, [tenant], amount);
    }
}

/// A void or refund (`kind`) that was accepted, forwarded or given up.
pub fn reversal(kind: &'static str, state: ReversalState) {
    let state = match state {
        ReversalState::Accepted => "accepted",
        ReversalState::Forwarded => "forwarded",
        ReversalState::Dead => "dead",
    };
    count(&REVERSALS, [kind.into(), state.into()], 1);
}

/// How far a void or refund has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversalState {
    /// In the record.
    Accepted,
    /// The web application has it.
    Forwarded,
    /// Given up.
    Dead,
}

/// Rows of bookkeeping deleted for their age.
pub fn forgotten(table: &'static str, rows: u64) {
    count(&FORGOTTEN, [table.into()], rows);
}
