//! Audit: appends one hash-chained row per state change.
//!
//! Every event is derived from committed rows and has a unique (transaction, change), so a job that
//! comes twice appends nothing, and a job that was lost is made again with the same content.

use super::Ctx;
use crate::{
    domain::{time::Timestamp, work::AuditEvent},
    outcome::{Outcome, Verdict},
    queue::Job,
    store::{AuditGap, StoreError},
};

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    let mut events = Vec::with_capacity(jobs.len());
    for job in jobs {
        match AuditEvent::decode(&job.body) {
            Some(carried) => events.extend(carried),
            // Rare: jobs are made with their events. The rows tell which ones are missing.
            None => events.extend(derived(ctx, job.key).await?),
        }
    }
    if !events.is_empty() {
        ctx.store.append_audit(&events).await?;
    }
    Ok(Outcome {
        verdicts: vec![Verdict::Done; jobs.len()],
        next: Vec::new(),
    })
}

async fn derived(ctx: &Ctx, transaction_id: i64) -> Result<Vec<AuditEvent>, StoreError> {
    let after = transaction_id.saturating_sub(1);
    let gaps = ctx.store.scan_audit(after, Timestamp::now(), 1).await?;
    Ok(gaps
        .iter()
        .filter(|gap| gap.row.id == transaction_id)
        .flat_map(missing)
        .collect())
}

/// The events that the rows prove and the audit log does not have yet.
pub(crate) fn missing(gap: &AuditGap) -> Vec<AuditEvent> {
    let delivered = gap.forward.and_then(|(state, settled_at)| {
        AuditEvent::delivered(gap.row.tenant_id, gap.row.id, state, settled_at?)
    });
    [
        Some(AuditEvent::recorded(&gap.row)),
        AuditEvent::decided(&gap.row),
        delivered,
    ]
    .into_iter()
    .flatten()
    .filter(|event| !gap.audited.contains(&event.change.number()))
    .collect()
}
