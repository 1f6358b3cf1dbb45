//! Follows the feed of changes of access: one small read every `auth.watch_interval_ms`.

use std::{collections::HashSet, time::Instant};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::identities::Identities;
use crate::{
    config,
    store::{Store, StoreError, Subject},
    telemetry::metrics,
};

/// Pages read one after the other before the next tick.
const PAGES: usize = 20;

/// Follows until `stop`.
pub(super) async fn follow(
    store: Store,
    identities: Identities,
    settings: config::Auth,
    stop: CancellationToken,
) {
    let mut follower = Follower {
        store,
        identities,
        page: settings.watch_page,
        after: None,
    };
    let patience = settings.watch_patience_ms.duration();
    let mut last_read = Instant::now();
    let mut turn = interval(settings.watch_interval_ms.duration());
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = timeout(patience, follower.read()) => read,
        };
        match read {
            Ok(Ok(())) => last_read = Instant::now(),
            Ok(Err(error)) => tracing::debug!(%error, "the feed of changes cannot be read"),
            Err(_) => tracing::debug!("the feed of changes does not answer"),
        }
        let lost = last_read.elapsed() >= patience;
        follower.identities.set_feed_lost(lost);
        metrics::auth_feed_lost(lost);
    }
}

struct Follower {
    store: Store,
    identities: Identities,
    page: usize,
    /// The newest change that was read; `None` before the first look.
    after: Option<i64>,
}

impl Follower {
    async fn read(&mut self) -> Result<(), StoreError> {
        let Some(mut after) = self.after else {
            // What was looked up before this may be older than the number that is read now.
            let newest = self.store.auth_epoch().await?;
            self.identities.forget_all(newest);
            self.after = Some(newest);
            return Ok(());
        };
        for _ in 0..PAGES {
            let changes = self.store.auth_changes(after, self.page).await?;
            let (Some((first, _)), Some((newest, _))) = (changes.first(), changes.last()) else {
                return Ok(());
            };
            if *first == after + 1 {
                let changed: HashSet<Subject> = changes.iter().map(|(_, subject)| *subject).collect();
                self.identities.forget_changed(*newest, changed);
            } else {
                self.identities.forget_all(*newest);
            }
            after = *newest;
            self.after = Some(after);
            if changes.len() < self.page {
                return Ok(());
            }
        }
        Ok(())
    }
}
