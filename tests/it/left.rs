//! What the record says is left to do.

use std::fmt::Write as _;

use tsms::{
    domain::{
        sale::{ForwardState, ValidationStatus},
        time::Timestamp,
        work::Change,
    },
    store::{AuditGap, Store},
};

/// What the record says is unfinished, for a person; empty when nothing is.
pub(crate) async fn unfinished(store: &Store) -> String {
    const PAGE: usize = 1000;
    let mut left = String::new();
    let mut after = 0;
    loop {
        let page = store
            .scan_submissions(after, Timestamp::from_micros(i64::MAX), PAGE)
            .await
            .unwrap();
        for (id, .., waits) in &page {
            if *waits {
                writeln!(left, "submission {id} waits for validation").unwrap();
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE && left.is_empty() => after = last.0,
            _ => break,
        }
    }
    after = 0;
    while left.is_empty() {
        let page = store
            .scan_audit(after, Timestamp::from_micros(i64::MAX), PAGE)
            .await
            .unwrap();
        for gap in &page {
            if let Some(what) = missing(gap) {
                writeln!(left, "transaction {}: {what}", gap.row.id).unwrap();
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.row.id,
            _ => break,
        }
    }
    after = 0;
    while left.is_empty() {
        let page = store
            .scan_reversals(after, Timestamp::from_micros(i64::MAX), PAGE)
            .await
            .unwrap();
        for gap in &page {
            let (id, state) = (gap.reversal.id, gap.reversal.state);
            if gap.reversal.settled_at.is_none() {
                writeln!(left, "void or refund {id} is {state:?}").unwrap();
            } else if gap.audited.len() != 2 {
                writeln!(left, "void or refund {id} is not audited: {:?}", gap.audited).unwrap();
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.reversal.id,
            _ => break,
        }
    }
    left
}

fn missing(gap: &AuditGap) -> Option<&'static str> {
    let audited = |change: Change| gap.audited.contains(&change.number());
    if gap.row.status == ValidationStatus::Pending {
        return Some("not decided");
    }
    if !audited(Change::Recorded) || !audited(Change::Decided) {
        return Some("record or decision not audited");
    }
    match (gap.row.status, gap.forward.map(|(state, _)| state)) {
        (ValidationStatus::Invalid, _) => None,
        (_, Some(ForwardState::Forwarded)) if audited(Change::Forwarded) => None,
        (_, Some(ForwardState::Dead)) if audited(Change::DeadLettered) => None,
        (_, Some(ForwardState::Withdrawn)) if audited(Change::Withdrawn) => None,
        (_, Some(ForwardState::Forwarded | ForwardState::Dead | ForwardState::Withdrawn)) => {
            Some("delivery not audited")
        }
        _ => Some("not delivered"),
    }
}
