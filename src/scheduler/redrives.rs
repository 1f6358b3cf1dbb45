//! Drives the redrives of dead letters that are under way, so that one ordered over HTTP needs nobody to
//! wait for it, and one whose command was killed goes on by itself. The order keeps the pace: the command line
//! may drive it too.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config,
    domain::time::Timestamp,
    store::{RedriveState, Store, StoreError},
};

/// Works round after round until `stop`, while this process has the scheduler's `duty`.
pub async fn run(
    store: Store,
    settings: config::Redrive,
    duty: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let idle = settings.interval_ms.duration();
    let rounds = async {
        loop {
            let mut wait = idle;
            if *duty.borrow() {
                match round(&store, &settings, Timestamp::now()).await {
                    Ok(next) => wait = next.map_or(idle, |next| next.min(idle)),
                    Err(error) => tracing::warn!(%error, "cannot go on with a redrive; the next round does"),
                }
            }
            // Never at once: a round that moves nothing must not spin.
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    };
    stop.run_until_cancelled(rounds).await;
}

/// One step of every redrive under way; how long until one of them may go on, if there is any.
///
/// # Errors
/// The record cannot be reached.
pub async fn round(
    store: &Store,
    settings: &config::Redrive,
    now: Timestamp,
) -> Result<Option<Duration>, StoreError> {
    let mut wait: Option<Duration> = None;
    for id in store.running_redrives(settings.most_running).await? {
        let order = store.redrive_step(id, usize::MAX, now).await?;
        match order.state {
            RedriveState::Running => {
                let next = order.next_at.since(now);
                wait = Some(wait.map_or(next, |wait| wait.min(next)));
            }
            RedriveState::Done => {
                tracing::info!(
                    run = id,
                    moved = order.moved,
                    kept = order.kept,
                    "a redrive is done"
                );
            }
            RedriveState::Paused => {}
        }
    }
    Ok(wait)
}
