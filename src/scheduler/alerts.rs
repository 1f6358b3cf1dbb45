//! Tells people when something is wrong: looks at the record and the queues round after round while this
//! process has the duty, writes down what began and what is over, and delivers the messages about it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::findings::{self, Recent};
use crate::{
    config::Config,
    queue::Queue,
    store::{Round, Store, StoreError, Telling},
    telemetry::metrics,
    workers::Outlet,
};

/// Looks round after round until `stop`, while this process has the duty.
pub(crate) async fn run(
    store: Store,
    queue: Queue,
    config: Arc<Config>,
    outlet: Outlet,
    duty: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut turn = interval(config.alerts.interval_ms.duration().max(Duration::from_millis(1)));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watcher = Watcher::new(store, queue, config, outlet);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        if !*duty.borrow() {
            continue;
        }
        let round = async {
            if let Err(error) = watcher.round().await {
                tracing::warn!(%error, "a round of alerts was broken off; the next one goes on");
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = round => {}
        }
    }
}

/// What looks for alerts.
pub struct Watcher {
    store: Store,
    queue: Queue,
    config: Arc<Config>,
    outlet: Outlet,
    telling: Telling,
    recent: Recent,
}

impl Watcher {
    /// A watcher that tells by the ways of `outlet`.
    #[must_use]
    pub fn new(store: Store, queue: Queue, config: Arc<Config>, outlet: Outlet) -> Self {
        let settings = &config.alerts;
        let telling = Telling {
            cool_down: settings.cool_down_ms.duration(),
            per_hour: settings.per_hour,
            most_open: settings.most_open,
            most_lines: settings.most_lines,
            channels: outlet.channels(),
            environment: config.auth.environment.clone(),
        };
        Self {
            store,
            queue,
            outlet,
            telling,
            recent: Recent::default(),
            config,
        }
    }

    /// Looks once, and delivers what is due.
    ///
    /// # Errors
    /// The record cannot be reached.
    pub async fn round(&mut self) -> Result<Round, StoreError> {
        let (watched, findings) =
            findings::now(&self.store, &self.queue, &self.config.alerts, &mut self.recent).await;
        let now = crate::domain::time::Timestamp::now();
        let round = self
            .store
            .alert_round(&watched, &findings, &self.telling, now)
            .await?;
        metrics::alerts_open(round.open);
        if round.told > 0 {
            tracing::info!(alerts = round.told, "people are told");
        }
        if round.held > 0 {
            tracing::warn!(
                alerts = round.held,
                "told later: the messages of this hour are used up"
            );
        }
        self.outlet.deliver(&self.store, None).await?;
        Ok(round)
    }
}
