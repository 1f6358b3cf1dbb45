//! What must be done by one process of the fleet: whichever scheduler holds the duty in the record does
//! it, and when that one is gone another takes over once its time has run out.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{domain::time::Timestamp, store::Store, telemetry::metrics::SpeaksForFleet};

/// The name of the duty in the record.
const DUTY: &str = "scheduler";

/// Tells who wants to know whether this process has the duty.
pub(crate) struct Duty {
    store: Store,
    ttl: Duration,
    name: String,
    has: watch::Sender<bool>,
}

impl Duty {
    pub(crate) fn new(store: Store, ttl: Duration) -> Self {
        Self {
            store,
            ttl,
            name: format!("{:032x}", rand::random::<u128>()),
            has: watch::Sender::new(false),
        }
    }

    /// Whether this process has it.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.has.subscribe()
    }

    /// Takes and renews it until `stop`, then gives it back.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut turn = interval((self.ttl / 3).max(Duration::from_millis(1)));
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until = Instant::now();
        let mut speaks = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = turn.tick() => {}
            }
            let asked = Instant::now();
            let take = self.store.take_duty(DUTY, &self.name, Timestamp::now(), self.ttl);
            let taken = tokio::select! {
                () = stop.cancelled() => break,
                taken = tokio::time::timeout(self.ttl, take) => taken,
            };
            match taken {
                Ok(Ok(true)) => until = asked + self.ttl,
                Ok(Ok(false)) => until = asked,
                // The record is away: it is ours until its time is over, for no other can take it.
                Ok(Err(error)) => tracing::debug!(%error, "cannot renew the scheduler's duty"),
                Err(_) => tracing::debug!("the record is too slow to renew the scheduler's duty"),
            }
            self.tell(Instant::now() < until, &mut speaks);
        }
        self.tell(false, &mut speaks);
        if let Err(error) = self.store.drop_duty(DUTY, &self.name).await {
            tracing::debug!(%error, "could not give the scheduler's duty back; it runs out");
        }
    }

    fn tell(&self, has: bool, speaks: &mut Option<SpeaksForFleet>) {
        let before = self.has.send_replace(has);
        if before != has {
            *speaks = has.then(SpeaksForFleet::new);
            tracing::info!(has, "the scheduler's duty");
        }
    }
}
