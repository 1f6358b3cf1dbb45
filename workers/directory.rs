//! Terminals with their tenants, cached for a bounded time, for every worker that needs them.

use std::{
    collections::{HashMap, HashSet},
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
}

impl Directory {
    pub(super) fn new(store: Store, settings: &config::Fleet) -> Self {
        Self {
            store,
            cache: Cache::builder()
                .max_capacity(settings.directory_capacity)
                .time_to_live(settings.directory_ttl_ms.duration())
                .build(),
        }
    }

    /// The terminals with these ids; unknown ones are left out. Asks the store once at most.
    pub(super) async fn terminals(
        &self,
        ids: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<(Terminal, Tenant)>>, StoreError> {
        let mut found = HashMap::new();
        let mut absent = Vec::new();
        for id in ids.into_iter().collect::<HashSet<_>>() {
            match self.cache.get(&id) {
                Some(entry) => {
                    found.insert(id, entry);
                }
                None => absent.push(id),
            }
        }
        if !absent.is_empty() {
            for entry in self.store.terminals(&absent).await? {
                let (id, entry) = (entry.0.id, Arc::new(entry));
                self.cache.insert(id, Arc::clone(&entry));
                found.insert(id, entry);
            }
        }
        Ok(found)
    }
}
