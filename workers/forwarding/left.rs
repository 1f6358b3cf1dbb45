//! What sets left under way when they ended: it goes on by itself, and the jobs that follow from it are taken
//! along by the next set, because a worker enqueues nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::AbortOnDropHandle;

use super::set::Found;
use crate::{queue::Job, stage::Stage, store::StoreError};

/// Most jobs that wait for the next set; what is beyond them the sweeper makes from the rows.
const MOST_JOBS: usize = 100_000;

/// What was left under way in this process; cheap to clone, all clones are the same.
#[derive(Clone, Default)]
pub struct Left(Arc<Mutex<Vec<(Stage, Job)>>>);

impl Left {
    fn jobs(&self) -> MutexGuard<'_, Vec<(Stage, Job)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees a set through that nobody waits for any more.
    pub(super) fn adopt(&self, task: AbortOnDropHandle<Result<(), StoreError>>, found: Arc<Mutex<Found>>) {
        let left = self.clone();
        tokio::spawn(async move {
            match task.await {
                Ok(Ok(())) => {}
                // The claims run out, and the sales are sent again with the same ids.
                Ok(Err(error)) => tracing::warn!(%error, "what a set left under way could not be settled"),
                Err(error) => tracing::error!(%error, "what a set left under way was broken off"),
            }
            let next = std::mem::take(&mut found.lock().unwrap_or_else(PoisonError::into_inner).next);
            let mut jobs = left.jobs();
            let room = MOST_JOBS.saturating_sub(jobs.len());
            jobs.extend(next.into_iter().take(room));
        });
    }

    /// The jobs that follow from what has ended meanwhile.
    pub(super) fn take(&self) -> Vec<(Stage, Job)> {
        std::mem::take(&mut *self.jobs())
    }
}
