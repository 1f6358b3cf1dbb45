//! What a worker answers for the jobs it took.

use std::time::Duration;

use crate::{queue::Job, stage::Stage};

/// The fate of one job. The words in `code` are fixed: they become metric labels and the reason of
/// a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The work is committed; the job may be forgotten.
    Done,
    /// The work is committed and its result is a refusal (an invalid sale, a conflict). Not a
    /// failure: it is never retried and makes no dead letter.
    Reject {
        /// Which refusal.
        code: &'static str,
    },
    /// Not now. Attempts and the next due time are already committed where the stage keeps them.
    Retry {
        /// How long to wait before the job becomes due again.
        after: Duration,
        /// Why.
        code: &'static str,
    },
    /// Never. The dead letter is already committed; a person will see it.
    Dead {
        /// Why.
        code: &'static str,
    },
}

impl Verdict {
    /// The metric label of the outcome.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Verdict::Done => "done",
            Verdict::Reject { .. } => "rejected",
            Verdict::Retry { .. } => "retried",
            Verdict::Dead { .. } => "dead",
        }
    }

    /// The reason, where there is one.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Verdict::Done => "",
            Verdict::Reject { code } | Verdict::Retry { code, .. } | Verdict::Dead { code } => code,
        }
    }
}

/// What a worker returns for a set of jobs: one verdict for each, in the order of the jobs, and the
/// jobs that follow from the work it has committed. The runner enqueues `next` before it
/// acknowledges anything.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One verdict a job, in the order the jobs came.
    pub verdicts: Vec<Verdict>,
    /// Jobs for later stages.
    pub next: Vec<(Stage, Job)>,
}
