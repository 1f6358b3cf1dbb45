//! Which tenants have series of their own. A fleet may have thousands of tenants, and Prometheus keeps
//! every series it ever saw, so only the busiest are told apart; the others share `other`.
//!
//! A tenant that got a series keeps it while the process lives: a counter must not jump back. The first
//! half of the places goes to whoever comes first, so that a small fleet sees everybody at once; for the
//! second half a tenant must have shown [`BUSY`] sales, which the busiest have soonest.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use super::{MOST_TENANTS, Value};

/// Sales that earn a place of the second half.
const BUSY: u32 = 50;
/// Tenants that are counted towards a place; beyond it those seen once are forgotten, and where that is not
/// enough the counts are halved.
const CANDIDATES: usize = 4 * MOST_TENANTS;
/// What all others share.
const OTHER: &str = "other";

static TENANTS: Mutex<Option<Tenants>> = Mutex::new(None);

/// Sets how many tenants have series of their own; the first call counts.
pub fn keep_tenants(most: usize) {
    let mut tenants = TENANTS.lock().unwrap_or_else(PoisonError::into_inner);
    tenants.get_or_insert_with(|| Tenants::new(most));
}

/// The label of a tenant's sale.
pub(super) fn label(tenant_id: i64) -> Value {
    let mut tenants = TENANTS.lock().unwrap_or_else(PoisonError::into_inner);
    let tenants = tenants.get_or_insert_with(|| Tenants::new(MOST_TENANTS));
    if tenants.has_series(tenant_id) {
        tenant_id.to_string().into()
    } else {
        OTHER.into()
    }
}

struct Tenants {
    most: usize,
    own: HashSet<i64>,
    seen: HashMap<i64, u32>,
}

impl Tenants {
    fn new(most: usize) -> Self {
        Self {
            most: most.min(MOST_TENANTS),
            own: HashSet::new(),
            seen: HashMap::new(),
        }
    }

    /// Counts a sale; whether the tenant has a series.
    fn has_series(&mut self, tenant_id: i64) -> bool {
        if self.own.contains(&tenant_id) {
            return true;
        }
        if self.own.len() >= self.most {
            return false;
        }
        if self.own.len() < self.most.div_ceil(2) {
            return self.own.insert(tenant_id);
        }
        if self.seen.len() >= CANDIDATES && !self.seen.contains_key(&tenant_id) {
            self.seen.retain(|_, sales| *sales > 1);
        }
        if self.seen.len() >= CANDIDATES && !self.seen.contains_key(&tenant_id) {
            self.seen.retain(|_, sales| {
                *sales /= 2;
                *sales > 1
            });
        }
        if self.seen.len() >= CANDIDATES && !self.seen.contains_key(&tenant_id) {
            return false;
        }
        let sales = self.seen.entry(tenant_id).or_insert(0);
        *sales += 1;
        if *sales < BUSY {
            return false;
        }
        self.seen.remove(&tenant_id);
        self.own.insert(tenant_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busy_get_a_series_and_the_number_is_bounded() {
        let mut tenants = Tenants::new(4);
        assert!(tenants.has_series(1) && tenants.has_series(2));
        assert!(!tenants.has_series(3), "the second half must be earned");
        // Thousands of tenants with one sale each, and one busy one among them.
        for round in 0..i64::from(BUSY) * 4 {
            for quiet in 0..50 {
                assert!(!tenants.has_series(1_000 + round * 50 + quiet));
            }
            tenants.has_series(7);
            assert!(tenants.seen.len() <= CANDIDATES);
        }
        assert!(tenants.has_series(7), "the busy one has a series");
        assert!(tenants.own.len() <= 4);
        for _ in 0..BUSY * 2 {
            tenants.has_series(8);
            tenants.has_series(9);
        }
        assert_eq!(tenants.own.len(), 4);
        assert!(tenants.has_series(1), "who has a series keeps it");
    }
}
