//! What is known of tokens, in memory: so that the hot path reads no database, and so that a change of
//! access is felt within a second all the same.
//!
//! [`super::watch`] reads the feed of changes and has what they concern forgotten here. A look-up that
//! was under way meanwhile may have read the state before the change; it is noticed by the number of
//! the newest change, which is put up before anything is forgotten, and made again.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::future::Cache;

use super::caller::Till;
use crate::{
    config,
    domain::{checksum::Digest, directory::Identity, time::Timestamp},
    store::{StoreError, Subject},
    telemetry::metrics,
};

/// Look-ups made for one request while changes come in between; the last one is not remembered.
const LOOK_UPS: usize = 3;

/// What is known of a token.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) identity: Identity,
    pub(super) till: Option<Arc<Till>>,
    looked_up: Instant,
    /// When its use was last noted to be written down, in microseconds since the epoch.
    noted: AtomicI64,
}

impl From<Identity> for Known {
    fn from(mut identity: Identity) -> Self {
        let till = identity
            .terminal
            .take()
            .map(|(terminal, tenant)| Arc::new(Till { terminal, tenant }));
        Self {
            identity,
            till,
            looked_up: Instant::now(),
            noted: AtomicI64::new(0),
        }
    }
}

impl Known {
    /// Whether its use at `now` is to be written down: once in every `interval`.
    pub(super) fn is_to_be_noted(&self, now: Timestamp, interval: Duration) -> bool {
        let (last, now) = (self.noted.load(Ordering::Relaxed), now.as_micros());
        let due = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX);
        now.saturating_sub(last) >= due
            && self
                .noted
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn concerns(&self, changed: &HashSet<Subject>) -> bool {
        let token = [
            Subject::Token(self.identity.token_id),
            Subject::Family(self.identity.family_id),
        ];
        let till = self.till.as_deref().map(|till| {
            [
                Subject::Terminal(till.terminal.id),
                Subject::Tenant(till.tenant.id),
            ]
        });
        token
            .iter()
            .chain(till.iter().flatten())
            .any(|subject| changed.contains(subject))
    }
}

/// Identities by the hash of their token; unknown tokens are remembered too.
#[derive(Clone)]
pub(super) struct Identities {
    cache: Cache<Digest, Option<Arc<Known>>>,
    feed: Arc<Feed>,
    blind_ttl: Duration,
}

/// How the feed of changes stands.
#[derive(Default)]
struct Feed {
    /// The number of the newest change that was read.
    newest: AtomicI64,
    /// It cannot be read at present.
    lost: AtomicBool,
}

impl Identities {
    pub(super) fn new(settings: &config::Ingress, blind_ttl: Duration) -> Self {
        Self {
            cache: Cache::builder()
                .max_capacity(settings.identity_capacity)
                .time_to_live(settings.identity_ttl_ms.duration())
                .support_invalidation_closures()
                .build(),
            feed: Arc::default(),
            blind_ttl,
        }
    }

    /// What the token stands for. Callers that ask for the same token at the same time share one
    /// `load`; an error is not remembered.
    pub(super) async fn get<Load>(
        &self,
        digest: Digest,
        load: impl Fn() -> Load,
    ) -> Result<Option<Arc<Known>>, Arc<StoreError>>
    where
        Load: Future<Output = Result<Option<Identity>, StoreError>>,
    {
        if let Some(known) = self.cache.get(&digest).await {
            if !self.is_old(known.as_deref()) {
                metrics::cache_lookup("identities", true);
                return Ok(known);
            }
            self.cache.invalidate(&digest).await;
        }
        metrics::cache_lookup("identities", false);
        // Boxed because it is large and seldom runs: inside the future of every request it would be
        // moved about with it.
        Box::pin(self.look_up(digest, load)).await
    }

    async fn look_up<Load>(
        &self,
        digest: Digest,
        load: impl Fn() -> Load,
    ) -> Result<Option<Arc<Known>>, Arc<StoreError>>
    where
        Load: Future<Output = Result<Option<Identity>, StoreError>>,
    {
        let mut found = Ok(None);
        for _ in 0..LOOK_UPS {
            let before = self.feed.newest.load(Ordering::SeqCst);
            let loaded_here = AtomicBool::new(false);
            let load = async {
                loaded_here.store(true, Ordering::Relaxed);
                Ok(load().await?.map(|identity| Arc::new(Known::from(identity))))
            };
            found = self.cache.try_get_with(digest, load).await;
            let unchanged = self.feed.newest.load(Ordering::SeqCst) == before;
            if unchanged || !loaded_here.load(Ordering::Relaxed) {
                return found;
            }
            self.cache.invalidate(&digest).await;
        }
        found
    }

    fn is_old(&self, known: Option<&Known>) -> bool {
        self.feed.lost.load(Ordering::Relaxed)
            && known.is_some_and(|known| known.looked_up.elapsed() >= self.blind_ttl)
    }

    /// Forgets one token.
    pub(super) async fn forget(&self, digest: &Digest) {
        self.cache.invalidate(digest).await;
    }

    /// Forgets what the changes up to number `newest` concern.
    pub(super) fn forget_changed(&self, newest: i64, changed: HashSet<Subject>) {
        self.feed.newest.store(newest, Ordering::SeqCst);
        let concerned = self
            .cache
            .invalidate_entries_if(move |_, known| known.as_ref().is_some_and(|it| it.concerns(&changed)));
        if let Err(error) = concerned {
            tracing::warn!(%error, "everything known of tokens is forgotten");
            self.cache.invalidate_all();
        }
    }

    /// Forgets everything, as of change number `newest`.
    pub(super) fn forget_all(&self, newest: i64) {
        self.feed.newest.store(newest, Ordering::SeqCst);
        self.cache.invalidate_all();
    }

    /// Says whether the feed of changes can be read.
    pub(super) fn set_feed_lost(&self, lost: bool) {
        if self.feed.lost.swap(lost, Ordering::Relaxed) != lost {
            tracing::warn!(lost, "the feed of changes of access");
        }
    }
}

#[cfg(test)]
mod tests;
