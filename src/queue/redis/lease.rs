//! Renews the leases of jobs in work, so that only the jobs of a worker that is gone are taken over.

use std::sync::Arc;

use ::redis::RedisResult;
use tokio::time::{MissedTickBehavior, interval};

use super::{Life, by_lane, keys::GROUP, outage, scripts::SCRIPTS};
use crate::queue::{fair::Lane, line::EntryId};

/// Runs until it is dropped.
pub(super) async fn run(life: Arc<Life>) {
    let mut outage = life.outage("lease");
    let mut tick = interval(life.third());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Younger ones have enough of their lease left until the next tick.
        let mut ids = life.live.older_than(life.third() / 2);
        ids.sort_unstable();
        for (lane, ids) in by_lane(&ids, life.settings.ack_batch) {
            match renew(&life, lane, ids).await {
                Ok(_) => outage.over(),
                Err(error) if outage::is_gone(&error) => {}
                // The next tick is soon enough, whatever the pause.
                Err(error) => {
                    outage.failed(&error);
                    break;
                }
            }
        }
    }
}

async fn renew(life: &Life, lane: Lane, ids: &[EntryId]) -> RedisResult<u64> {
    let mut call = SCRIPTS.renew.prepare_invoke();
    call.key(life.keys.lane(lane)).arg(GROUP).arg(&life.consumer);
    for id in ids {
        call.arg(id.to_string());
    }
    call.invoke_async(&mut life.shared.clone()).await
}
