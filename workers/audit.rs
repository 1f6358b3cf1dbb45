//! Audit: appends one hash-chained row per state change.
//!
//! Every event is derived from committed rows and has a unique (transaction, change), so a job that
//! comes twice appends nothing, and a job that was lost is made again with the same content.

use super::Ctx;
use crate::{
    domain::{time::Timestamp, work::AuditEvent},
    outcome::{Outcome, Verdict},
    queue::Job,
    store::{AuditGap, ReversalGap, StoreError},
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

/// The key is of a transaction, or of a void or refund: one series of ids.
async fn derived(ctx: &Ctx, id: i64) -> Result<Vec<AuditEvent>, StoreError> {
    let (after, now) = (id.saturating_sub(1), Timestamp::now());
    let gaps = ctx.store.scan_audit(after, now, 1).await?;
    let mut events: Vec<AuditEvent> = (gaps.iter())
        .filter(|gap| gap.row.id == id)
        .flat_map(missing)
        .collect();
    if events.is_empty() {
        let gaps = ctx.store.scan_reversals(after, now, 1).await?;
        let gaps = gaps.iter().filter(|gap| gap.reversal.id == id);
        events.extend(gaps.flat_map(missing_of_reversal));
    }
    Ok(events)
}

/// The events that the row of a void or refund proves and the audit log does not have yet.
pub(crate) fn missing_of_reversal(gap: &ReversalGap) -> Vec<AuditEvent> {
    let events = [
        Some(AuditEvent::reversed(&gap.reversal)),
        AuditEvent::reversal_delivered(&gap.reversal),
    ];
    (events.into_iter().flatten())
        .filter(|event| !gap.audited.contains(&event.change.number()))
        .collect()
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
