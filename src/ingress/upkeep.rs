//! What an ingress does between requests: read the orders that hold, tell that it is alive and hear
//! how many others are, and carry what was refused to the record.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{orders::Orders, refusals::Refusals};
use crate::{config, domain::time::Timestamp, limits::Limiter, store::Store};

/// Orders that hold at a time; those that end first are read first.
const MOST_ORDERS: usize = 10_000;
/// How often an ingress tells that it is alive, and after how long a silence it counts as gone.
const BEAT_EVERY: Duration = Duration::from_secs(1);
const GONE_AFTER: Duration = Duration::from_secs(10);
/// How often refusals are carried to the record.
const CARRY_EVERY: Duration = Duration::from_secs(5);
/// How often what nobody needs is let go of.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What the task keeps up.
pub(super) struct Upkeep {
    pub(super) store: Store,
    pub(super) limiter: Limiter,
    pub(super) orders: Arc<Orders>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) settings: config::Limits,
}

impl Upkeep {
    /// Runs until `stop`; then carries the last refusals and says that this ingress is gone.
    pub(super) async fn run(self, stop: CancellationToken) {
        let name = format!("{:032x}", rand::random::<u128>());
        let mut turn = interval(self.settings.refresh_ms.duration());
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        let (mut beat, mut carry, mut sweep) = (now, now, now + SWEEP_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = turn.tick() => {}
            }
            self.read_orders().await;
            let now = Instant::now();
            if now >= beat {
                beat = now + BEAT_EVERY;
                self.beat(&name).await;
            }
            if now >= carry {
                carry = now + CARRY_EVERY;
                self.carry().await;
            }
            if now >= sweep {
                sweep = now + SWEEP_EVERY;
                self.limiter.sweep();
            }
        }
        self.carry().await;
        let silent = Timestamp::now().minus(GONE_AFTER);
        if let Err(error) = self.store.ingress_ends(&name, silent).await {
            tracing::debug!(%error, "could not say goodbye; silence says it later");
        }
    }

    /// What cannot be read stays as it was; orders end by themselves.
    async fn read_orders(&self) {
        match self.store.standing_orders(Timestamp::now(), MOST_ORDERS).await {
            Ok(orders) => self.orders.hold(&orders),
            Err(error) => tracing::debug!(%error, "cannot read the orders about rate limits"),
        }
    }

    async fn beat(&self, name: &str) {
        match self.store.ingress_beats(name, Timestamp::now(), GONE_AFTER).await {
            Ok(alive) => self.limiter.processes(alive),
            Err(error) => tracing::debug!(%error, "cannot tell that this ingress is alive"),
        }
    }

    /// What cannot be written is lost: it is a count for people, and the log and the metrics have it.
    async fn carry(&self) {
        let refused = self.refusals.take();
        if refused.is_empty() {
            return;
        }
        if let Err(error) = self.store.add_refused(Timestamp::now(), &refused).await {
            tracing::warn!(%error, buckets = refused.len(), "refusals could not be counted in the record");
        }
    }
}
