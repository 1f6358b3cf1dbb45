//! The gauges of the fleet as a whole: depth, age and time to drain of each queue, its workers, dead
//! letters, the memory of Redis. Read by the process that has the scheduler's duty.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    domain::{breaker, time::Timestamp},
    queue::{Moved, Progress, Queue, QueueError},
    stage::Stage,
    store::{Store, StoreError},
    telemetry::metrics,
};

/// Holds that are counted; more than a person gives.
const MOST_HOLDS: usize = 10_000;
/// Breakers that are shown; the others would be labels without a bound.
const MOST_BREAKERS: usize = 64;
/// The rate at which a queue is worked off is taken over at least this long.
const SPAN: Duration = Duration::from_secs(10);
/// Longer than this nobody waits.
const DAY: Duration = Duration::from_secs(86_400);

/// Reads round after round until `stop`, while this process has the duty.
pub(crate) async fn run(
    store: Store,
    queue: Queue,
    config: Arc<Config>,
    mut duty: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut turn = interval(config.ops.gauge_interval_ms.duration());
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rates = [Rate::default(); Stage::ALL.len()];
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
            // At once when the duty comes here, so that nothing is missing meanwhile.
            Ok(()) = duty.changed() => {}
        }
        if !*duty.borrow() {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = read(&store, &queue, &config, &mut rates) => {}
        }
    }
}

async fn read(store: &Store, queue: &Queue, config: &Config, rates: &mut [Rate]) {
    if let Err(error) = queues(queue, rates).await {
        tracing::debug!(%error, "cannot read the state of the queues");
        metrics::gauge_error("queue");
    }
    if let Err(error) = record(store, config).await {
        tracing::debug!(%error, "cannot read the state of the record");
        metrics::gauge_error("store");
    }
}

async fn queues(queue: &Queue, rates: &mut [Rate]) -> Result<(), QueueError> {
    for (stage, rate) in Stage::ALL.into_iter().zip(rates) {
        metrics::queue_depth(stage, &queue.depth(stage).await?);
        let progress = queue.progress(stage).await?;
        metrics::time_to_drain(stage, rate.time_to_drain(progress, Instant::now()));
    }
    if let Some(server) = queue.server().await? {
        metrics::redis_memory(server.memory_used, server.memory_limit);
    }
    Ok(())
}

async fn record(store: &Store, config: &Config) -> Result<(), StoreError> {
    let now = Timestamp::now();
    metrics::dead_letters(store.count_dead_letters().await?);
    metrics::admin_actions(store.count_actions().await?);
    breakers(store, now).await?;
    let staff = store.staff(now.minus(config.fleet.lease_ms.duration())).await?;
    let holds = store.standing_holds(now, MOST_HOLDS).await?;
    for stage in Stage::ALL {
        let name = stage.name();
        let holding = holds.iter().filter(|hold| hold.concerns(name)).count();
        let (processes, width) = staff
            .iter()
            .find(|staff| staff.queue == name)
            .map_or((0, 0), |staff| (staff.processes, staff.concurrency));
        let holding = u64::try_from(holding).unwrap_or(u64::MAX);
        metrics::queue_staff(stage, processes, width, holding);
    }
    Ok(())
}

async fn breakers(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    for breaker in breaker::with_untouched(store.breakers(MOST_BREAKERS).await?, Vec::new()) {
        metrics::breaker(&breaker.sink, !breaker.stance(now).lets_through());
    }
    Ok(())
}

/// How fast a queue is worked off.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    /// Where the span that is measured began.
    since: Option<(Instant, Progress)>,
    /// What moved within the last whole span, and how long it was.
    last: Option<(Moved, Duration)>,
}

impl Rate {
    /// What is left divided by the rate of the last span; a day where nothing moves.
    fn time_to_drain(&mut self, now: Progress, at: Instant) -> Duration {
        let (began, before) = *self.since.get_or_insert((at, now));
        let span = at.duration_since(began);
        let moved = now.since(before);
        match moved {
            None => {
                *self = Self {
                    since: Some((at, now)),
                    last: None,
                }
            }
            Some(moved) if span >= SPAN => {
                self.last = Some((moved, span));
                self.since = Some((at, now));
            }
            Some(_) => {}
        }
        if now.left == 0 {
            return Duration::ZERO;
        }
        let measured = self.last.or_else(|| Some((moved?, span)));
        let drain = measured.and_then(|(moved, span)| moved.time_to_drain(now.left, span));
        drain.map_or(DAY, |drain| drain.min(DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_to_drain_is_what_is_left_by_the_rate() {
        let mut rate = Rate::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let state = |left, added| Progress { left, added };
        assert_eq!(rate.time_to_drain(state(0, 0), start), Duration::ZERO);
        assert_eq!(
            rate.time_to_drain(state(1000, 1000), after(1)),
            DAY,
            "nothing has moved"
        );
        // 100 jobs a second are worked off while 50 a second come in.
        assert_eq!(
            rate.time_to_drain(state(600, 1500), after(10)),
            Duration::from_millis(6_666),
            "600 left, 900 done within 10 s"
        );
        assert_eq!(rate.time_to_drain(state(0, 1500), after(15)), Duration::ZERO);
        // Redis forgot everything.
        assert_eq!(rate.time_to_drain(state(5, 5), after(16)), DAY);
        assert_eq!(rate.time_to_drain(state(0, 5), after(17)), Duration::ZERO);
    }
}
