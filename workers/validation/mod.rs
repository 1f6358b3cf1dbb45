//! Validation: reads accepted submissions again, checks the facts that need other rows, and makes
//! the transaction rows.
//!
//! A set is worked on in passes. Each pass makes the rows of those submissions that do not depend on one
//! another, and commits. A submission that repeats a transaction id of an earlier one in the set waits for
//! the next pass, so that what it is told about the first sale is committed by then. The first pass does not
//! look up which sales exist already: hardly any do, and the record refuses a second row. Once it has, every
//! pass looks; after [`PASSES`] of them the submissions go one at a time.

mod sift;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sift::{Facts, Sifted};

use super::Ctx;
use crate::{
    domain::{
        directory::{Tenant, Terminal},
        json::{Duplicates, Limits},
        payload::{self, Bounds, Submission},
        sale::{Transaction, ValidationStatus},
        time::Timestamp,
        work::AcceptedSubmission,
    },
    outcome::{Outcome, Verdict},
    queue::Job,
    stage::Stage,
    store::{ItemState, Sequence, Store, StoreError, Validated},
};

/// Passes over a whole set before its submissions go one at a time.
const PASSES: usize = 5;
/// Tries of one submission on its own; each loses only against a worker that got further.
const SINGLE_TRIES: usize = 4;
/// Most rows in one commit; a submission is never split.
const COMMIT_ROWS: usize = 1000;

/// An accepted body was within the limits of its day; these hold whatever the limits are today, and
/// the size of the body bounds the rest.
const ACCEPTED: Bounds = Bounds {
    json: Limits {
        depth: 64,
        nodes: usize::MAX,
        duplicates: Duplicates::Refuse,
    },
    batch: usize::MAX,
    max_errors: 1,
};

/// An accepted submission whose body was read again.
struct Read {
    accepted: AcceptedSubmission,
    content: Submission,
}

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    let mut set = Set {
        wary: jobs.iter().any(|job| job.attempt > 0),
        ..Set::default()
    };
    let pending = set.read(ctx, jobs).await?;
    let terminals = ctx
        .directory
        .terminals(pending.iter().map(|read| read.accepted.terminal_id))
        .await?;
    for part in parts(pending) {
        set.work_off(&ctx.store, part, &terminals).await?;
    }
    set.pass_on(ctx, jobs).await
}

/// What is known so far of the submissions of a set.
#[derive(Default)]
struct Set {
    /// Passes look up which sales exist already.
    wary: bool,
    /// Rows made, in the order they were made.
    made: Vec<Transaction>,
    /// Submissions that were processed before, by this or another worker.
    known: HashSet<i64>,
    /// Submissions with an item that conflicts with an earlier sale.
    conflicts: HashSet<i64>,
    /// Submissions that cannot be read again.
    damaged: HashSet<i64>,
}

impl Set {
    /// Reads the bodies of the jobs, or the rows where a job carries no usable copy.
    async fn read(&mut self, ctx: &Ctx, jobs: &[Job]) -> Result<Vec<Read>, StoreError> {
        let mut read = Vec::with_capacity(jobs.len());
        let mut absent = Vec::new();
        let mut seen = HashSet::new();
        for job in jobs.iter().filter(|job| seen.insert(job.key)) {
            let copy = AcceptedSubmission::decode(&job.body).filter(|copy| copy.id == job.key);
            match copy.map(reread) {
                Some(Ok(submission)) => read.push(submission),
                Some(Err(_)) | None => absent.push(job.key),
            }
        }
        self.known.extend(absent.iter().copied());
        if !absent.is_empty() {
            self.load(ctx, &absent, &mut read).await?;
        }
        read.sort_unstable_by_key(|read| read.accepted.id);
        Ok(read)
    }

    /// Reads submissions from the record. Those it does not give were processed before.
    async fn load(&mut self, ctx: &Ctx, ids: &[i64], read: &mut Vec<Read>) -> Result<(), StoreError> {
        for accepted in ctx.store.unprocessed_submissions(ids).await? {
            let id = accepted.id;
            self.known.remove(&id);
            match reread(accepted) {
                Ok(submission) => read.push(submission),
                Err(reason) => {
                    tracing::error!(
                        submission = id,
                        reason,
                        "an accepted submission cannot be read again"
                    );
                    let now = Timestamp::now();
                    ctx.store
                        .bury_submission(id, "record_damaged", &reason, now)
                        .await?;
                    self.damaged.insert(id);
                }
            }
        }
        Ok(())
    }

    /// Makes the rows of `pending`, pass by pass.
    async fn work_off(
        &mut self,
        store: &Store,
        mut pending: Vec<Read>,
        terminals: &HashMap<i64, Arc<(Terminal, Tenant)>>,
    ) -> Result<(), StoreError> {
        for _ in 0..PASSES {
            if pending.is_empty() {
                return Ok(());
            }
            pending = self.pass(store, pending, terminals).await?;
        }
        for read in pending {
            let mut alone = vec![read];
            for _ in 0..SINGLE_TRIES {
                alone = self.pass(store, alone, terminals).await?;
                if alone.is_empty() {
                    break;
                }
            }
            if !alone.is_empty() {
                return Err(StoreError::Exists("transaction"));
            }
        }
        Ok(())
    }

    /// One pass; gives the submissions that are still to be worked on.
    async fn pass(
        &mut self,
        store: &Store,
        pending: Vec<Read>,
        terminals: &HashMap<i64, Arc<(Terminal, Tenant)>>,
    ) -> Result<Vec<Read>, StoreError> {
        let facts = Facts::look_up(store, &pending, terminals, self.wary).await?;
        let Sifted { known, now, later } = sift::sift(pending, &facts);
        self.known.extend(known);
        let rows: usize = now.iter().map(|(_, plan)| plan.rows.len()).sum();
        let mut ids = store.next_ids(Sequence::Transaction, rows).await?.into_iter();
        let at = Timestamp::now();
        let validated: Vec<Validated> = now
            .iter()
            .map(|(read, plan)| plan.validated(&read.accepted, at, &mut ids))
            .collect::<Option<_>>()
            .ok_or(StoreError::Missing("row id"))?;
        match store.record_validated(&validated).await {
            Ok(left_alone) => {
                self.known.extend(left_alone);
                for done in validated {
                    if self.known.contains(&done.submission_id) {
                        continue;
                    }
                    if (done.results.iter()).any(|item| item.state == ItemState::Conflict) {
                        self.conflicts.insert(done.submission_id);
                    }
                    self.made.extend(done.rows);
                }
                // What waits repeats a sale of this pass.
                self.wary |= !later.is_empty();
                Ok(later)
            }
            Err(StoreError::Exists(_)) => {
                self.wary = true;
                Ok(now.into_iter().map(|(read, _)| read).chain(later).collect())
            }
            Err(error) => Err(error),
        }
    }

    /// Names the jobs that follow: for rows made now, and for rows of submissions processed before,
    /// whose jobs may have been lost with the worker that made them.
    async fn pass_on(mut self, ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
        if !self.known.is_empty() {
            let known: Vec<i64> = self.known.iter().copied().collect();
            self.made.extend(ctx.store.transactions_of(&known).await?);
        }
        let requests: HashMap<i64, &str> = (jobs.iter())
            .map(|job| (job.key, job.request_id.as_str()))
            .collect();
        let now = Timestamp::now();
        let mut next = Vec::with_capacity(self.made.len());
        for row in &self.made {
            let request_id = requests.get(&row.submission_id).copied().unwrap_or_default();
            if row.status == ValidationStatus::Pending {
                let body = row.encode();
                next.push((Stage::Processing, super::follow_up(row, request_id, now, body)));
            }
        }
        let verdicts = jobs.iter().map(|job| self.verdict(job.key)).collect();
        Ok(Outcome { verdicts, next })
    }

    fn verdict(&self, submission_id: i64) -> Verdict {
        if self.damaged.contains(&submission_id) {
            Verdict::Dead {
                code: "record_damaged",
            }
        } else if self.conflicts.contains(&submission_id) {
            Verdict::Reject {
                code: "transaction_conflict",
            }
        } else {
            Verdict::Done
        }
    }
}

fn reread(accepted: AcceptedSubmission) -> Result<Read, String> {
    match payload::reread(&accepted.body, &ACCEPTED) {
        Ok(content) => Ok(Read { accepted, content }),
        Err(refusal) => Err(format!("{refusal:?}")),
    }
}

/// Cuts a set into parts of about [`COMMIT_ROWS`] rows.
fn parts(pending: Vec<Read>) -> Vec<Vec<Read>> {
    let mut parts: Vec<Vec<Read>> = Vec::new();
    let mut rows = COMMIT_ROWS;
    for read in pending {
        let size = read.content.sales.len();
        match parts.last_mut() {
            Some(part) if rows + size <= COMMIT_ROWS => {
                rows += size;
                part.push(read);
            }
            _ => {
                rows = size;
                parts.push(vec![read]);
            }
        }
    }
    parts
}
