//! Processing: applies the business rules to PENDING transactions and decides VALID or INVALID.
//!
//! A decision is made once. Where the store says that a row was decided before (or given up), what
//! follows is named from the stored row, whatever the rules say today.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use super::Ctx;
use crate::{
    config::Config,
    domain::{
        directory::{Tenant, Terminal},
        money::Money,
        rules,
        sale::{Finding, Severity, Transaction, ValidationStatus},
        time::Timestamp,
        work::AuditEvent,
    },
    outcome::{Outcome, Verdict},
    queue::Job,
    stage::Stage,
    store::{DecidedBatch, Decision, NewNotice, StoreError},
    telemetry::metrics,
};

/// The kind of notice that tells a terminal the result of its sale.
const RESULT: &str = "result";
/// The kind of notice that sums up a batch; about its first sale.
const BATCH: &str = "batch";

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    let rows = read(ctx, jobs).await?;
    let terminals = ctx
        .directory
        .terminals(rows.iter().map(|row| row.terminal_id))
        .await?;
    let (pending, mut decided): (Vec<_>, Vec<_>) =
        (rows.into_iter()).partition(|row| row.status == ValidationStatus::Pending);
    let now = Timestamp::now();
    let forwarding = &ctx.config.forwarding;
    let claimed_until = (forwarding.enabled).then(|| now.plus(forwarding.claim_ms.duration()));
    // The jobs that sales are claimed for are named here and nowhere else, so that there is one for each.
    let mut claimed: HashMap<i64, Timestamp> = HashMap::new();
    let pending: Vec<Transaction> = (pending.into_iter())
        .map(|row| judged(row, &ctx.config, now))
        .collect();
    if !pending.is_empty() {
        let decisions: Vec<Decision> = pending
            .iter()
            .map(|row| {
                let from = terminals.get(&row.terminal_id).map(AsRef::as_ref);
                decision(row, from, now, claimed_until)
            })
            .collect();
        let made = ctx.store.decide(&decisions).await?;
        let claimed_until = claimed_until.filter(|_| made.claimed);
        let left_alone: HashSet<i64> = made.left_alone.into_iter().collect();
        let before = decided.len();
        decided.extend(pending.into_iter().filter(|row| !left_alone.contains(&row.id)));
        for row in decided.iter().skip(before) {
            claimed.extend(claimed_until.map(|until| (row.id, until)));
            let valid = row.status == ValidationStatus::Valid;
            metrics::sale_decided(row.tenant_id, valid, row.sale.base_amount.map_or(0, Money::minor));
        }
        if !left_alone.is_empty() {
            let left_alone: Vec<i64> = left_alone.into_iter().collect();
            decided.extend(ctx.store.transactions(&left_alone).await?);
        }
    }
    let batches = sum_up(ctx, &decided, &terminals, now).await?;
    let mut outcome = pass_on(jobs, &decided, &claimed, &terminals, now);
    outcome.next.extend(batches);
    Ok(outcome)
}

/// Makes the callback that sums up a batch when the last of its sales is decided. Each set looks after its
/// own commit, so that of two that decide the last sales at once one sees them all.
async fn sum_up(
    ctx: &Ctx,
    decided: &[Transaction],
    terminals: &HashMap<i64, Arc<(Terminal, Tenant)>>,
    now: Timestamp,
) -> Result<Vec<(Stage, Job)>, StoreError> {
    let mut told: HashMap<i64, &Transaction> = HashMap::new();
    for row in decided {
        let from = terminals.get(&row.terminal_id);
        if from.is_some_and(|from| from.0.callback_url.is_some()) {
            told.insert(row.submission_id, row);
        }
    }
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let submissions: Vec<i64> = told.keys().copied().collect();
    let (mut notices, mut jobs) = (Vec::new(), Vec::new());
    for batch in ctx.store.decided_batches(&submissions).await? {
        let row = told.get(&batch.submission_id);
        let from = row.and_then(|row| terminals.get(&row.terminal_id));
        let (Some(row), Some(from)) = (row, from) else {
            continue;
        };
        let Some(url) = from.0.callback_url.clone() else {
            continue;
        };
        notices.push(NewNotice {
            tenant_id: row.tenant_id,
            terminal_id: row.terminal_id,
            transaction_id: batch.first_sale,
            kind: BATCH,
            url,
            payload: summary(&batch, row, &from.1, now),
        });
        let job = Job {
            key: batch.first_sale,
            ..super::follow_up(row, "", now, Bytes::new())
        };
        jobs.push((Stage::Notification, job));
    }
    ctx.store.make_notices(&notices, now).await?;
    Ok(jobs)
}

/// What a terminal is told of a batch, in the form of the system in the field.
fn summary(batch: &DecidedBatch, row: &Transaction, tenant: &Tenant, now: Timestamp) -> String {
    let failed = batch.total.saturating_sub(batch.valid);
    let overall = match (batch.valid, failed) {
        (_, 0) => "SUCCESS",
        (0, _) => "FAILED",
        _ => "PARTIAL",
    };
    let customer_code = row.sale.customer_code.as_deref().unwrap_or(&tenant.code);
    serde_json::json!({
        "batch_id": batch.submission_uuid,
        "submission_uuid": batch.submission_uuid,
        "total_count": batch.total,
        "success_count": batch.valid,
        "failed_count": failed,
        "overall_status": overall,
        "processing_timestamp": now.to_rfc3339(3),
        "terminal_id": row.terminal_id,
        "customer_code": customer_code,
    })
    .to_string()
}

/// The rows of the jobs: the copies they carry, or the stored ones.
async fn read(ctx: &Ctx, jobs: &[Job]) -> Result<Vec<Transaction>, StoreError> {
    let mut rows = Vec::with_capacity(jobs.len());
    let mut absent = Vec::new();
    let mut seen = HashSet::new();
    for job in jobs.iter().filter(|job| seen.insert(job.key)) {
        match Transaction::decode(&job.body).filter(|row| row.id == job.key) {
            Some(row) => rows.push(row),
            None => absent.push(job.key),
        }
    }
    if !absent.is_empty() {
        let stored = ctx.store.transactions(&absent).await?;
        if stored.len() < absent.len() {
            tracing::warn!(
                asked = absent.len(),
                found = stored.len(),
                "jobs name transactions that do not exist"
            );
        }
        rows.extend(stored);
    }
    Ok(rows)
}

/// The row with the decision on it.
fn judged(mut row: Transaction, config: &Config, now: Timestamp) -> Transaction {
    for finding in rules::judge(&row.sale, row.created_at, &config.rules) {
        if !row.findings.contains(&finding) {
            row.findings.push(finding);
        }
    }
    let broken = (row.findings.iter()).any(|finding| finding.severity == Severity::Error);
    row.status = if broken {
        ValidationStatus::Invalid
    } else {
        ValidationStatus::Valid
    };
    row.decided_at = Some(now);
    row
}

fn decision(
    row: &Transaction,
    from: Option<&(Terminal, Tenant)>,
    now: Timestamp,
    claimed_until: Option<Timestamp>,
) -> Decision {
    let url = from.and_then(|(terminal, _)| terminal.callback_url.clone());
    Decision {
        id: row.id,
        tenant_id: row.tenant_id,
        sale: (row.terminal_id, row.sale.transaction_id),
        status: row.status,
        findings: row.findings.clone(),
        at: now,
        claimed_until,
        notice: url.map(|url| NewNotice {
            tenant_id: row.tenant_id,
            terminal_id: row.terminal_id,
            transaction_id: row.id,
            kind: RESULT,
            url,
            payload: notice(row, from, now),
        }),
    }
}

/// What a terminal is told, in the form of the system in the field.
fn notice(row: &Transaction, from: Option<&(Terminal, Tenant)>, now: Timestamp) -> String {
    let errors: Vec<String> = (row.findings.iter())
        .filter(|finding| finding.severity == Severity::Error)
        .map(|Finding { code, message, .. }| format!("{code}: {message}"))
        .collect();
    let status = match row.status {
        ValidationStatus::Valid => "success",
        ValidationStatus::Pending | ValidationStatus::Invalid => "failed",
    };
    let customer_code =
        (row.sale.customer_code.as_deref()).or_else(|| from.map(|(_, tenant)| tenant.code.as_str()));
    serde_json::json!({
        "transaction_id": row.sale.transaction_id,
        "submission_uuid": row.submission_uuid,
        "validation_result": row.status,
        "validation_status": status,
        "processing_timestamp": now.to_rfc3339(3),
        "errors": errors,
        "terminal_id": row.terminal_id,
        "customer_code": customer_code,
    })
    .to_string()
}

/// Names the jobs that follow from decided rows.
fn pass_on(
    jobs: &[Job],
    decided: &[Transaction],
    claimed: &HashMap<i64, Timestamp>,
    terminals: &HashMap<i64, Arc<(Terminal, Tenant)>>,
    now: Timestamp,
) -> Outcome {
    let requests: HashMap<i64, &str> = (jobs.iter())
        .map(|job| (job.key, job.request_id.as_str()))
        .collect();
    let mut next = Vec::with_capacity(decided.len() * 3);
    let mut invalid = HashSet::new();
    for row in decided {
        // A row that was given up is still PENDING and leads nowhere.
        let Some(decided) = AuditEvent::decided(row) else {
            continue;
        };
        let request_id = requests.get(&row.id).copied().unwrap_or_default();
        if row.status == ValidationStatus::Valid {
            let body = match claimed.get(&row.id) {
                Some(until) => row.encode_claimed(*until),
                None => row.encode(),
            };
            next.push((Stage::Forwarding, super::follow_up(row, request_id, now, body)));
        } else {
            invalid.insert(row.id);
        }
        // That the row was made is told here too: one job instead of two, and no later but by the
        // moments that a sale waits for its decision. Where it waits long, the sweeper tells it.
        let events = [AuditEvent::recorded(row), decided];
        next.extend(super::audit_job(&events, request_id, now).map(|job| (Stage::Audit, job)));
        let told = (terminals.get(&row.terminal_id)).is_some_and(|from| from.0.callback_url.is_some());
        if told {
            let job = super::follow_up(row, request_id, now, Bytes::new());
            next.push((Stage::Notification, job));
        }
    }
    let verdicts = (jobs.iter())
        .map(|job| match invalid.contains(&job.key) {
            true => Verdict::Reject { code: "invalid" },
            false => Verdict::Done,
        })
        .collect();
    Outcome { verdicts, next }
}
