//! What a service manager (systemd with `Type=notify`) is told: that the roles take work, that they are told
//! to stop, and, as long as this process gets anything done, that it does. Without one nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Beats within the time that the service manager allows between two.
const BEATS: u32 = 3;

/// Tells until `gone`. A failure to tell is logged and changes nothing: the service manager draws its own
/// conclusions.
pub(super) async fn tell(stop: CancellationToken, gone: CancellationToken) {
    say(NotifyState::Ready);
    let stopping = async {
        stop.cancelled().await;
        say(NotifyState::Stopping);
    };
    let until_gone = async {
        tokio::join!(stopping, beat(sd_notify::watchdog_enabled()));
        // Who watches roles does not end before they do.
        std::future::pending::<()>().await;
    };
    gone.run_until_cancelled(until_gone).await;
}

/// Beats while tasks and blocking calls of this process are still worked on. A database or a Redis that is away
/// is no reason to stop: to be killed for it would help nobody. A role that ends by itself ends the process.
async fn beat(allowed: Option<Duration>) {
    let Some(allowed) = allowed else {
        return;
    };
    let mut turn = tokio::time::interval((allowed / BEATS).max(Duration::from_millis(1)));
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let task = tokio::spawn(async {}).await;
        let call = tokio::task::spawn_blocking(|| ()).await;
        if task.is_ok() && call.is_ok() {
            say(NotifyState::Watchdog);
        }
    }
}

fn say(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told how this process is");
    }
}
