//! Fair shares before the record: one tenant takes only a part of the places in the commit queue, so
//! that there is always one for the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::config;

/// Who waits for a commit, by tenant.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    taken: Mutex<HashMap<i64, usize>>,
}

/// A place in the queue, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    tenant: i64,
}

impl Seats {
    pub(super) fn new(settings: &config::Ingress) -> Self {
        let share = settings
            .commit_queue
            .saturating_mul(settings.commit_tenant_percent.into())
            / 100;
        Self {
            most: share.max(1),
            taken: Mutex::default(),
        }
    }

    /// A place for `tenant`, unless it has its share of them.
    pub(super) fn take(seats: &Arc<Self>, tenant: i64) -> Option<Seat> {
        let mut taken = seats.taken();
        let its = taken.entry(tenant).or_default();
        if *its >= seats.most {
            return None;
        }
        *its += 1;
        drop(taken);
        Some(Seat {
            seats: Arc::clone(seats),
            tenant,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(its) = taken.get_mut(&self.tenant) {
            *its = its.saturating_sub(1);
            if *its == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::fixture;

    #[test]
    fn a_tenant_has_its_share_and_nobody_is_remembered() {
        let settings = config::Ingress {
            commit_queue: 10,
            commit_tenant_percent: 30,
            ..fixture::settings()
        };
        let seats = Arc::new(Seats::new(&settings));
        let mut hot: Vec<Seat> = std::iter::from_fn(|| Seats::take(&seats, 1)).take(10).collect();
        assert_eq!(hot.len(), 3);
        let other = Seats::take(&seats, 2);
        assert!(other.is_some());
        hot.pop();
        assert!(Seats::take(&seats, 1).is_some());
        drop((hot, other));
        assert!(seats.taken().is_empty());
    }
}
