//! What sets left under way when they ended: it goes on by itself. The jobs that follow from it are taken along
//! by the next set, because a worker enqueues nothing; and a job that comes back to look is told when its sale
//! is due again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::task::AbortOnDropHandle;

use super::set::Found;
use crate::{outcome::Verdict, queue::Job, stage::Stage, store::StoreError};

/// Most jobs, and most verdicts, that wait for a set; what is beyond them the sweeper finds in the rows.
const MOST: usize = 100_000;

/// What a job is told whose sale is under way.
pub(super) const UNDER_WAY: Verdict = Verdict::Retry {
    after: Duration::from_secs(5),
    code: "under_way",
};

/// What was left under way in this process; cheap to clone, all clones are the same.
#[derive(Clone, Default)]
pub struct Left(Arc<Mutex<Ended>>);

#[derive(Default)]
struct Ended {
    /// Sales under way.
    out: HashSet<i64>,
    next: Vec<(Stage, Job)>,
    /// By sale, when it is to be looked at again.
    again: HashMap<i64, Verdict>,
}

impl Left {
    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees a set through that nobody waits for any more.
    pub(super) fn adopt(
        &self,
        task: AbortOnDropHandle<Result<(), StoreError>>,
        sales: HashSet<i64>,
        found: Arc<Mutex<Found>>,
    ) {
        let left = self.clone();
        self.ended().out.extend(&sales);
        tokio::spawn(async move {
            match task.await {
                Ok(Ok(())) => {}
                // The claims run out, and the sales are sent again with the same ids.
                Ok(Err(error)) => tracing::warn!(%error, "what a set left under way could not be settled"),
                Err(error) => tracing::error!(%error, "what a set left under way was broken off"),
            }
            let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
            let mut ended = left.ended();
            ended.out.retain(|sale| !sales.contains(sale));
            let room = MOST.saturating_sub(ended.next.len());
            ended.next.extend(found.next.into_iter().take(room));
            let again = (found.verdicts.into_iter())
                .filter(|(_, verdict)| matches!(verdict, Verdict::Retry { .. }))
                .take(MOST.saturating_sub(ended.again.len()));
            ended.again.extend(again);
        });
    }

    /// The jobs that follow from what has ended meanwhile.
    pub(super) fn take(&self) -> Vec<(Stage, Job)> {
        std::mem::take(&mut self.ended().next)
    }

    /// What a job about a sale is told that is under way, or was and did not get through. A job that asks for
    /// something else of the sale, such as a void, comes back a little later than it could.
    pub(super) fn again(&self, sale: i64) -> Option<Verdict> {
        let mut ended = self.ended();
        if ended.out.contains(&sale) {
            return Some(UNDER_WAY);
        }
        ended.again.remove(&sale)
    }
}
