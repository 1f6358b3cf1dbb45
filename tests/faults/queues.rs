//! Queues that stand still, and those who should work on them.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::{
    scenarios,
    site::{DEADLINE, Site},
};

scenarios!(Site::start("", |text| text), {
    TsmsQueuePaused => paused,
    TsmsQueueDepthHigh => deep,
    TsmsQueueOldestJobOld => old,
    TsmsQueueDrainSlow => drains_slowly,
    TsmsQueueProcessingSlow => slow,
    TsmsQueueWithoutWorkers => no_workers,
    TsmsAuditLag => audit_lags,
    TsmsJobsParked => parked,
});

async fn paused(site: &mut Site) {
    site.somebody("tsms queue pause forwarding --minutes 30 --owner 'J. Cruz' --reason 'moves'")
        .await;
    assert_eq!(site.sell(3).await, 202);
    site.alert().await;
    site.look(&["forwarding", "J. Cruz", "moves"]).await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn deep(site: &mut Site) {
    site.somebody("tsms queue pause processing --minutes 30 --owner 'J. Cruz' --reason 'forgotten'")
        .await;
    // The first may go through before the worker has heard of it.
    for _ in 0..4 {
        assert_eq!(site.sell(400).await, 202);
    }
    site.alert().await;
    site.look(&["processing", "forgotten"]).await;
    site.look(&["processing"]).await;
    site.cure().await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn old(site: &mut Site) {
    site.kill("forwarding.1");
    assert_eq!(site.sell(3).await, 202);
    site.alert().await;
    site.look(&["forwarding"]).await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn drains_slowly(site: &mut Site) {
    site.kill("validation.1");
    assert_eq!(site.sell(3).await, 202);
    site.alert().await;
    site.look(&["validation"]).await;
    site.look(&["validation"]).await;
    site.cure().await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn slow(site: &mut Site) {
    site.somebody("tsms queue pause processing --minutes 1 --owner 'J. Cruz' --reason 'a moment'")
        .await;
    // Some go through before the worker has heard of it.
    let waits = "max(tsms_queue_oldest_age_seconds{queue=\"processing\"}) > 4";
    let (mut turn, deadline) = (interval(Duration::from_millis(300)), Instant::now() + DEADLINE);
    while site.query(waits).await.is_empty() {
        assert!(Instant::now() < deadline, "nothing stays");
        turn.tick().await;
        assert_eq!(site.sell(5).await, 202);
    }
    site.somebody("tsms queue resume processing").await;
    site.alert().await;
    site.look(&["processing"]).await;
    site.look(&["processing"]).await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn no_workers(site: &mut Site) {
    site.kill("notification.1");
    site.alert().await;
    site.look(&["notification"]).await;
    site.look(&["notification"]).await;
    site.cure().await;
    site.over().await;
}

async fn audit_lags(site: &mut Site) {
    site.kill("audit.1");
    assert_eq!(site.sell(3).await, 202);
    site.alert().await;
    site.look(&["audit"]).await;
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
}

async fn parked(site: &mut Site) {
    // Something else writes to this Redis.
    site.somebody("redis-cli -u \"$REDIS\" XADD 'tsms:{validation}:ready' '*' what 'not a job'")
        .await;
    site.alert().await;
    site.look(&["validation"]).await;
    site.cure().await;
    site.over().await;
    let kept = std::fs::read_to_string(site.home().join("parked.json")).unwrap();
    assert_eq!(kept.lines().count(), 1, "{kept}");
}
