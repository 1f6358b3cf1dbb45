//! The jobs that this pool has taken and not yet settled: those whose lease it renews.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::queue::line::EntryId;

/// The taken jobs of one pool.
#[derive(Default)]
pub(super) struct Live {
    held: Mutex<Held>,
    /// Asks the reader to look for jobs without an owner now.
    pub(super) look: Notify,
}

#[derive(Default)]
struct Held {
    /// When each was taken.
    taken: HashMap<EntryId, Instant>,
    /// The one job that may be killing its workers. Only one is in work at a time, so that when it
    /// takes the process down, no other suspect is blamed for it.
    suspect: Option<EntryId>,
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn took(&self, id: EntryId, suspect: bool) {
        let mut held = self.lock();
        held.taken.insert(id, Instant::now());
        if suspect {
            held.suspect = Some(id);
        }
    }

    pub(super) fn settled(&self, ids: impl Iterator<Item = EntryId>) {
        let mut held = self.lock();
        for id in ids {
            held.taken.remove(&id);
            if held.suspect == Some(id) {
                held.suspect = None;
                self.look.notify_one();
            }
        }
    }

    pub(super) fn has_suspect(&self) -> bool {
        self.lock().suspect.is_some()
    }

    pub(super) fn holds(&self, id: &EntryId) -> bool {
        self.lock().taken.contains_key(id)
    }

    /// The jobs taken at least `age` ago.
    pub(super) fn older_than(&self, age: Duration) -> Vec<EntryId> {
        let held = self.lock();
        let old = held.taken.iter().filter(|(_, taken)| taken.elapsed() >= age);
        old.map(|(id, _)| *id).collect()
    }
}
