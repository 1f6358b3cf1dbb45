//! Terminals with their tenants, cached for a bounded time, for every worker that needs them.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use moka::sync::Cache;

use crate::{
    config,
    domain::directory::{Tenant, Terminal},
    store::{Store, StoreError},
};

/// Terminals with their tenants. The ingress decides who may submit; here a name or an address that
/// is some minutes old does no harm.
#[derive(Clone)]
pub struct Directory {
    store: Store,
    cache: Cache<i64, Arc<(Terminal, Tenant)>>,
    ahead: i64,
}

impl Directory {
    pub(super) fn new(store: Store, settings: &config::Fleet) -> Self {
        Self {
            store,
            cache: Cache::builder()
                .max_capacity(settings.directory_capacity)
                .time_to_live(settings.directory_ttl_ms.duration())
                .build(),
            ahead: settings.directory_ahead.into(),
        }
    }

    /// The terminals with these ids; unknown ones are left out. Asks the store once at most.
    pub(super) async fn terminals(
        &self,
        ids: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<(Terminal, Tenant)>>, StoreError> {
        let mut found = HashMap::new();
        let mut absent = HashSet::new();
        for id in ids.into_iter().collect::<HashSet<_>>() {
            match self.cache.get(&id) {
                Some(entry) => {
                    found.insert(id, entry);
                }
                None => {
                    absent.insert(id);
                }
            }
        }
        if !absent.is_empty() {
            for entry in self
                .store
                .terminals(&with_neighbours(&absent, self.ahead))
                .await?
            {
                let (id, entry) = (entry.0.id, Arc::new(entry));
                self.cache.insert(id, Arc::clone(&entry));
                if absent.contains(&id) {
                    found.insert(id, entry);
                }
            }
        }
        Ok(found)
    }
}

/// These ids and others beside them, `most` in all unless there are as many already. Rows with ids beside each
/// other lie beside each other, so they cost little more, and a process that starts knows its tills after a few
/// looks instead of one for each.
fn with_neighbours(ids: &HashSet<i64>, most: i64) -> Vec<i64> {
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let width = (most / count.max(1)).max(1);
    let blocks: BTreeSet<i64> = ids.iter().map(|id| id.div_euclid(width)).collect();
    (blocks.into_iter())
        .flat_map(|block| (0..width).map(move |place| block.saturating_mul(width).saturating_add(place)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_too_within_a_bound() {
        let ids = |ids: &[i64]| ids.iter().copied().collect::<HashSet<i64>>();
        let alone = with_neighbours(&ids(&[70]), 64);
        assert_eq!(alone, (64..128).collect::<Vec<i64>>());
        let two = with_neighbours(&ids(&[1, 70]), 64);
        assert_eq!(two, (0..32).chain(64..96).collect::<Vec<i64>>());
        assert_eq!(with_neighbours(&ids(&[1, 2]), 64).len(), 32, "of one block");
        let many: HashSet<i64> = (0..100).map(|id| id * 1000).collect();
        let read = with_neighbours(&many, 64);
        assert_eq!(read.len(), 100);
        assert_eq!(read.into_iter().collect::<HashSet<i64>>(), many);
    }
}
