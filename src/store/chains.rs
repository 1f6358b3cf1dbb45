//! Where this process left the end of each audit chain, so that appending needs no look at it.
//!
//! An end remembered here may be stale: the keys of the log decide, and a writer that meets them looks
//! again. Where writers of several processes share a tenant, they would meet all the time; such a chain
//! is looked up for a while before its remembered end is trusted again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{domain::checksum::Digest, telemetry::metrics};

/// How long after a meeting with another writer the end of a chain is looked up each time.
const DISTRUST: Duration = Duration::from_secs(5);

/// The last place and hash of chains, by tenant.
pub(super) type Ends = HashMap<i64, (i64, Digest)>;

/// The ends of the chains this process has written to.
pub(super) struct Chains {
    known: Mutex<HashMap<i64, Known>>,
    most: usize,
}

struct Known {
    end: Option<(i64, Digest)>,
    distrusted_until: Option<Instant>,
}

impl Chains {
    /// Remembers at most `most` chains.
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: Mutex::default(),
            most,
        }
    }

    /// The ends of all these chains, if every one is known and trusted.
    pub(super) fn ends(&self, tenants: &[i64]) -> Option<Ends> {
        let known = self.lock();
        let now = Instant::now();
        let ends: Option<Ends> = tenants
            .iter()
            .map(|tenant| {
                let chain = known.get(tenant)?;
                let trusted = chain.distrusted_until.is_none_or(|until| until <= now);
                chain.end.filter(|_| trusted).map(|end| (*tenant, end))
            })
            .collect();
        metrics::cache_lookup("audit_chains", ends.is_some());
        ends
    }

    /// What was written and committed.
    pub(super) fn remember(&self, ends: Ends) {
        let mut known = self.lock();
        if known.len() + ends.len() > self.most {
            known.clear();
        }
        for (tenant, end) in ends.into_iter().take(self.most) {
            let chain = known.entry(tenant).or_insert(Known {
                end: None,
                distrusted_until: None,
            });
            chain.end = Some(end);
        }
    }

    /// Another writer appends to one of these chains.
    pub(super) fn contended(&self, tenants: &[i64]) {
        let mut known = self.lock();
        let until = Instant::now() + DISTRUST;
        for tenant in tenants {
            if let Some(chain) = known.get_mut(tenant) {
                chain.end = None;
                chain.distrusted_until = Some(until);
            }
        }
    }

    /// Whether the last rows were written is not known.
    pub(super) fn forget(&self, tenants: &[i64]) {
        let mut known = self.lock();
        for tenant in tenants {
            known.remove(tenant);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(seq: i64) -> (i64, Digest) {
        (seq, Digest::default())
    }

    #[test]
    fn an_end_is_trusted_until_another_writer_is_met() {
        let chains = Chains::new(10);
        assert_eq!(chains.ends(&[1]), None);
        chains.remember(Ends::from([(1, end(7)), (2, end(9))]));
        assert_eq!(chains.ends(&[1, 2]), Some(Ends::from([(1, end(7)), (2, end(9))])));
        assert_eq!(chains.ends(&[1, 3]), None, "one of them is not known");
        chains.contended(&[1]);
        chains.remember(Ends::from([(1, end(8))]));
        assert_eq!(chains.ends(&[1]), None, "looked up again for a while");
        assert!(chains.ends(&[2]).is_some());
        chains.forget(&[2]);
        assert_eq!(chains.ends(&[2]), None);
    }

    #[test]
    fn memory_is_bounded() {
        let chains = Chains::new(2);
        for tenant in 0..100 {
            chains.remember(Ends::from([(tenant, end(1))]));
            assert!(chains.lock().len() <= 2);
        }
        chains.remember((0..100).map(|tenant| (tenant, end(1))).collect());
        assert!(chains.lock().len() <= 2);
    }
}
