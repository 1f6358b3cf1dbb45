//! Reads what `/metrics` tells about the queues and the record, every `ops.gauge_interval_ms`.

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{config, queue::Queue, stage::Stage, store::Store, telemetry::metrics};

/// Reads round after round until `stop`. Something that cannot be read is counted and left as it was.
pub(super) async fn run(store: Store, queue: Queue, settings: config::Ops, stop: CancellationToken) {
    let mut turn = interval(settings.gauge_interval_ms.duration());
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = read(&store, &queue) => {}
        }
    }
}

async fn read(store: &Store, queue: &Queue) {
    for stage in Stage::ALL {
        match queue.depth(stage).await {
            Ok(depth) => metrics::queue_depth(stage, &depth),
            Err(error) => {
                tracing::debug!(%error, stage = stage.name(), "cannot read the depth of a queue");
                metrics::gauge_error("queue");
                break;
            }
        }
    }
    match store.count_dead_letters().await {
        Ok(count) => metrics::dead_letters(count),
        Err(error) => {
            tracing::debug!(%error, "cannot count dead letters");
            metrics::gauge_error("store");
        }
    }
    metrics::statements(&store.statements());
    metrics::upkeep();
}
