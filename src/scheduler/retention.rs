//! Forgets bookkeeping that is old enough, a bounded piece at a time. What belongs to a sale is none of it.
//!
//! Two schedulers at once only find less to do.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    config,
    domain::time::Timestamp,
    store::{Passing, Store, StoreError},
    telemetry::metrics,
};

/// Works round after round until `stop`.
pub async fn run(store: Store, settings: config::Retention, stop: CancellationToken) {
    let mut turn = interval(settings.interval_ms.duration());
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rounds = async {
        loop {
            turn.tick().await;
            round(&store, &settings, Timestamp::now()).await;
        }
    };
    stop.run_until_cancelled(rounds).await;
}

/// One round over every table; rows forgotten in all. A table that cannot be worked on is left to the
/// next round, and its neighbours are not.
pub async fn round(store: &Store, settings: &config::Retention, now: Timestamp) -> u64 {
    let mut all = 0;
    for passing in Passing::ALL {
        match forget(store, settings, passing, now).await {
            Ok(0) => {}
            Ok(rows) => {
                all += rows;
                tracing::info!(table = passing.table(), rows, "forgot what is old enough");
            }
            Err(error) => {
                tracing::warn!(table = passing.table(), %error, "cannot forget; the next round goes on");
            }
        }
    }
    all
}

async fn forget(
    store: &Store,
    settings: &config::Retention,
    passing: Passing,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let before = now.minus(kept(settings, passing));
    let page = settings.page.max(1);
    let mut all = 0;
    for _ in 0..settings.pages_per_round.max(1) {
        let rows = store.forget(passing, before, page).await?;
        metrics::forgotten(passing.table(), rows);
        all += rows;
        if rows < u64::try_from(page).unwrap_or(u64::MAX) {
            break;
        }
    }
    Ok(all)
}

/// How long rows of a kind are kept.
fn kept(settings: &config::Retention, passing: Passing) -> Duration {
    const DAY: Duration = Duration::from_secs(86_400);
    DAY.saturating_mul(match passing {
        Passing::SecurityEvents => settings.security_events_days,
        Passing::AdminActions => settings.admin_actions_days,
        Passing::LimitOrders => settings.limit_orders_days,
        Passing::LimitRefusals => settings.limit_refusals_days,
        Passing::Enrolments => settings.enrolments_days,
        Passing::IngressBeats => settings.ingress_beats_days,
        Passing::Alerts => settings.alerts_days,
        Passing::AlertMessages => settings.alert_messages_days,
        Passing::Callbacks => settings.callbacks_days,
        Passing::Tries => settings.tries_days,
    })
}
