//! What stands still, page by page, as jobs: the rows of every stage in one shape.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    domain::{
        sale::{ForwardState, ValidationStatus},
        time::Timestamp,
    },
    queue::Job,
    stage::Stage,
    store::{AuditGap, Mark, ReversalGap, Store, StoreError},
    workers,
};

/// Rows that are read by one order of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// What a stage works on.
    Of(Stage),
    /// Voids and refunds that the audit log misses.
    Reversals,
}

impl Source {
    /// All of them; those of one stage stand together.
    pub(super) fn all() -> impl Iterator<Item = Source> {
        Stage::ALL.into_iter().flat_map(|stage| {
            let more = (stage == Stage::Audit).then_some(Source::Reversals);
            std::iter::once(Source::Of(stage)).chain(more)
        })
    }

    /// The stage that takes the jobs.
    pub(super) const fn stage(self) -> Stage {
        match self {
            Source::Of(stage) => stage,
            Source::Reversals => Stage::Audit,
        }
    }
}

/// A void that waits for the row of its sale is looked at this often.
const PARKED_PAUSE: Duration = Duration::from_secs(60);

/// A place in the rows of a stage, in the order in which they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    /// Behind the row with this id.
    Id(i64),
    /// Behind the row with this due time and transaction id.
    Due(Timestamp, i64),
}

/// Which rows a page may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Only rows due before.
    pub(super) before: Timestamp,
    /// Only rows made before move a mark: younger ones may have neighbours that are not committed yet.
    pub(super) mark_before: Timestamp,
    /// Most rows.
    pub(super) limit: usize,
}

/// A page of rows.
#[derive(Debug)]
pub(super) struct Page {
    /// Jobs for the rows that stand still.
    pub(super) jobs: Vec<Job>,
    /// Where the next page starts.
    pub(super) end: Cursor,
    /// Whether there may be a next page.
    pub(super) more: bool,
    /// How far, from the start of the page, every row is finished and old.
    pub(super) finished_to: Option<i64>,
    /// Whether that is the whole page.
    pub(super) all_finished: bool,
}

/// Where the rows start, and the mark that may be moved over finished ones.
pub(super) async fn start(store: &Store, source: Source) -> Result<Cursor, StoreError> {
    Ok(match mark(source) {
        Some(mark) => Cursor::Id(store.mark(mark).await?),
        None => Cursor::Due(Timestamp::from_micros(i64::MIN), 0),
    })
}

/// The mark of rows that are read by id.
pub(super) const fn mark(source: Source) -> Option<Mark> {
    match source {
        Source::Of(Stage::Validation) => Some(Mark::Validation),
        Source::Of(Stage::Processing) => Some(Mark::Processing),
        Source::Of(Stage::Audit) => Some(Mark::Audit),
        Source::Reversals => Some(Mark::Reversals),
        Source::Of(Stage::Forwarding | Stage::Notification) => None,
    }
}

/// Reads the page behind `cursor`.
pub(super) async fn read(
    store: &Store,
    source: Source,
    cursor: Cursor,
    window: &Window,
) -> Result<Page, StoreError> {
    let (after, due) = match cursor {
        Cursor::Id(id) => (id, (Timestamp::from_micros(i64::MIN), id)),
        Cursor::Due(at, id) => (id, (at, id)),
    };
    let (before, limit) = (window.before, window.limit);
    let now = Timestamp::now();
    match source {
        Source::Of(Stage::Validation) => {
            let rows = store.scan_submissions(after, before, limit).await?;
            Ok(by_id(cursor, window, rows, |(id, tenant, request, at, waits)| {
                let found = waits.then(|| job(id, tenant, request, now));
                (id, at, found.into_iter().collect(), !waits)
            }))
        }
        Source::Of(Stage::Processing) => {
            let rows = store.scan_transactions(after, before, limit).await?;
            Ok(by_id(cursor, window, rows, |(id, tenant, at, pending)| {
                let found = pending.then(|| job(id, tenant, String::new(), now));
                (id, at, found.into_iter().collect(), !pending)
            }))
        }
        Source::Of(Stage::Audit) => {
            let decided_to = store.mark(Mark::Processing).await?;
            let rows = store.scan_audit(after, before, limit).await?;
            Ok(by_id(cursor, window, rows, |gap| {
                audit(&gap, decided_to, before, now)
            }))
        }
        Source::Reversals => {
            let rows = store.scan_reversals(after, before, limit).await?;
            Ok(by_id(cursor, window, rows, |gap| reversal(&gap, before, now)))
        }
        Source::Of(Stage::Forwarding) => {
            store.unpark_due(before, now.plus(PARKED_PAUSE), limit).await?;
            let mut rows = store.due_forwards(due, before, limit).await?;
            rows.extend(store.due_reversals(due, before, limit).await?);
            rows.sort_unstable_by_key(|&(id, _, due_at)| (due_at, id));
            rows.truncate(limit);
            Ok(by_due(cursor, limit, rows, now))
        }
        Source::Of(Stage::Notification) => {
            let rows = store.due_notices(due, before, limit).await?;
            Ok(by_due(cursor, limit, rows, now))
        }
    }
}

/// A row read by id: its id, when it was made, its jobs, and whether it is finished.
type Row = (i64, Timestamp, Vec<Job>, bool);

fn by_id<T>(cursor: Cursor, window: &Window, rows: Vec<T>, read: impl Fn(T) -> Row) -> Page {
    let mut page = Page {
        jobs: Vec::new(),
        end: cursor,
        more: rows.len() >= window.limit,
        finished_to: None,
        all_finished: true,
    };
    for (id, made_at, jobs, finished) in rows.into_iter().map(read) {
        page.end = Cursor::Id(id);
        page.jobs.extend(jobs);
        page.all_finished &= finished && made_at < window.mark_before;
        if page.all_finished {
            page.finished_to = Some(id);
        }
    }
    page
}

fn by_due(cursor: Cursor, limit: usize, rows: Vec<(i64, i64, Timestamp)>, now: Timestamp) -> Page {
    Page {
        end: rows
            .last()
            .map_or(cursor, |&(id, _, due_at)| Cursor::Due(due_at, id)),
        more: rows.len() >= limit,
        jobs: (rows.into_iter())
            .map(|(id, tenant, _)| job(id, tenant, String::new(), now))
            .collect(),
        finished_to: None,
        all_finished: false,
    }
}

/// A transaction is finished for the audit log when its life has ended and all of it is recorded.
/// One that is still PENDING below the mark of processing (`decided_to`) was given up.
fn audit(gap: &AuditGap, decided_to: i64, before: Timestamp, now: Timestamp) -> Row {
    let missing = workers::audit::missing(gap);
    let ended = match (gap.row.status, gap.forward) {
        (ValidationStatus::Invalid, _) => true,
        (ValidationStatus::Pending, _) => gap.row.id <= decided_to,
        (
            ValidationStatus::Valid,
            Some((ForwardState::Forwarded | ForwardState::Dead | ForwardState::Withdrawn, settled_at)),
        ) => settled_at.is_some(),
        (ValidationStatus::Valid, _) => false,
    };
    let finished = ended && missing.is_empty();
    let due: Vec<_> = (missing.into_iter()).filter(|event| event.at < before).collect();
    let jobs = workers::audit_job(&due, "", now).into_iter().collect();
    (gap.row.id, gap.row.created_at, jobs, finished)
}

/// A void or refund is finished when its delivery has ended and all of it is recorded.
fn reversal(gap: &ReversalGap, before: Timestamp, now: Timestamp) -> Row {
    let missing = workers::audit::missing_of_reversal(gap);
    let finished = gap.reversal.settled_at.is_some() && missing.is_empty();
    let due: Vec<_> = (missing.into_iter()).filter(|event| event.at < before).collect();
    let jobs = workers::audit_job(&due, "", now).into_iter().collect();
    (gap.reversal.id, gap.reversal.made_at, jobs, finished)
}

fn job(key: i64, tenant_id: i64, request_id: String, now: Timestamp) -> Job {
    Job {
        key,
        tenant_id,
        attempt: 0,
        enqueued_at: now,
        request_id,
        body: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn page(rows: &[(i64, i64, bool)], limit: usize) -> Page {
        let window = Window {
            before: at(100),
            mark_before: at(50),
            limit,
        };
        by_id(Cursor::Id(3), &window, rows.to_vec(), |(id, made, finished)| {
            let jobs = (!finished).then(|| job(id, 1, String::new(), at(100)));
            (id, at(made), jobs.into_iter().collect(), finished)
        })
    }

    #[test]
    fn a_mark_stops_before_the_first_row_that_is_unfinished_or_young() {
        let unfinished = page(&[(4, 10, true), (5, 11, false), (6, 12, true)], 3);
        assert_eq!(
            (unfinished.finished_to, unfinished.all_finished),
            (Some(4), false)
        );
        let young = page(&[(4, 10, true), (5, 60, true), (6, 12, true)], 3);
        assert_eq!((young.finished_to, young.all_finished), (Some(4), false));
        let all = page(&[(4, 10, true), (5, 11, true)], 3);
        assert_eq!((all.finished_to, all.all_finished), (Some(5), true));
    }

    #[test]
    fn pages_go_on_behind_their_last_row() {
        let full = page(&[(4, 10, false), (9, 11, true)], 2);
        assert_eq!((full.end, full.more), (Cursor::Id(9), true));
        assert_eq!(full.jobs.iter().map(|job| job.key).collect::<Vec<_>>(), [4]);
        let empty = page(&[], 2);
        assert_eq!((empty.end, empty.more), (Cursor::Id(3), false));
        let due = by_due(
            Cursor::Due(at(1), 1),
            2,
            vec![(8, 1, at(2)), (7, 1, at(3))],
            at(9),
        );
        assert_eq!(
            (due.end, due.more, due.jobs.len()),
            (Cursor::Due(at(3), 7), true, 2)
        );
    }
}
