//! What goes wrong between TSMS and the web application.

use std::{num::NonZeroU64, time::Duration};

use tokio::time::interval;
use tsms::standin::sink::mode::{Answer, Denial, Mode};

use crate::{scenarios, site::Site, world::DEADLINE};

/// How long a breaker stays open: a probe must not be quicker than the person.
const OPEN: Duration = Duration::from_secs(4);
/// How long a sale may rest that was held back often, as its page says.
const LONGEST_HELD: Duration = OPEN.saturating_mul(32);

scenarios!(start(), {
    TsmsBreakerOpen => breaker_open,
    TsmsForwardFailing => failing,
    TsmsDeadLettersGrow => dead_letters,
    TsmsSalesFailing => sales_fail,
    RiskSaleNotDelivered => lost_there,
});

async fn start() -> Site {
    let open = format!("breaker_open_ms = {}", OPEN.as_millis());
    let edit = |text: String| text.replace("breaker_open_ms = 200", &open);
    Site::start("", edit).await
}

async fn breaker_open(site: &mut Site) {
    // Not the first failure ever: a counter that begins at its first event has no rate at that moment.
    site.fleet
        .sink
        .set_mode(Mode::always(Answer::Status(503)).times(2));
    assert_eq!(site.sell(1).await, 202);
    site.fleet.drain().await;
    site.shows("tsms_forward_attempts_total{outcome=\"http_5xx\"}")
        .await;
    site.fleet.sink.set_mode(Mode::always(Answer::Status(503)));
    assert_eq!(site.sell(20).await, 202);
    site.alert().await;
    site.look(&["open", "breaker.opened"]).await;
    site.look(&["http_5xx"]).await;
    site.fleet.sink.set_mode(Mode::OK);
    site.cure().await;
    site.over().await;
    site.fleet.drain_within(LONGEST_HELD + DEADLINE).await;
    site.cure().await;
}

/// Refuses every sale for good.
const REJECTS: Mode = Mode::always(Answer::Partial {
    every: NonZeroU64::MIN,
    denial: Denial::Rejected,
});

async fn failing(site: &mut Site) {
    let traffic = site.traffic(10);
    // One POST in a while is answered too late to count, but not so many that the breaker opens.
    let sink = site.fleet.sink.clone();
    let overloaded = tokio::spawn(async move {
        let mut turn = interval(Duration::from_millis(400));
        loop {
            turn.tick().await;
            sink.set_mode(Mode::always(Answer::Status(429)).times(1));
        }
    });
    site.alert().await;
    site.look(&["http_429"]).await;
    site.look(&["{}"]).await;
    site.cure().await;
    overloaded.abort();
    site.over().await;
    traffic.end().await;
    site.fleet.drain().await;
}

async fn dead_letters(site: &mut Site) {
    let had = site.fleet.sink.entries().len();
    site.fleet.sink.set_mode(REJECTS);
    assert_eq!(site.sell(5).await, 202);
    site.alert().await;
    site.look(&["webapp_rejected"]).await;
    // A letter that is made after the cure would stay.
    site.fleet.drain().await;
    site.fleet.sink.set_mode(Mode::OK);
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
    assert_eq!(site.fleet.sink.entries().len(), had + 5);
    assert_eq!(site.fleet.store.count_dead_letters().await.unwrap(), 0);

    site.fleet.sink.set_mode(REJECTS);
    assert_eq!(site.sell(1).await, 202);
    site.shows("tsms_dead_letters == 1").await;
    site.fleet.sink.set_mode(Mode::OK);
    let letter = site.somebody("tsms dlq show --json").await;
    let letter: serde_json::Value = serde_json::from_str(letter.lines().next().unwrap()).unwrap();
    site.set("LETTER", &letter["id"].to_string());
    site.cure().await;
    site.over().await;
    assert_eq!(site.fleet.store.count_dead_letters().await.unwrap(), 0);
    assert_eq!(site.fleet.sink.entries().len(), had + 5, "it is not sent again");
}

async fn sales_fail(site: &mut Site) {
    site.fleet.sink.set_mode(REJECTS);
    assert_eq!(site.sell(5).await, 202);
    site.alert().await;
    site.look(&["webapp_rejected"]).await;
    site.look(&["webapp_rejected"]).await;
    // A letter that is made after the cure would stay.
    site.fleet.drain().await;
    site.fleet.sink.set_mode(Mode::OK);
    site.cure().await;
    site.over().await;
    site.fleet.drain().await;
    assert_eq!(site.fleet.store.count_dead_letters().await.unwrap(), 0);
}

async fn lost_there(site: &mut Site) {
    assert_eq!(site.sell(5).await, 202);
    site.fleet.drain().await;
    let entries = site.fleet.sink.entries();
    let lost = entries.last().unwrap().clone();
    assert!(site.fleet.sink.tamper(lost.tsms_id, |_| None));
    site.set("DAY", &site.today());
    site.look(&["missing"]).await;
    site.cure().await;
    site.fleet.drain().await;
    site.cure().await;
    assert_eq!(site.fleet.sink.entries().len(), entries.len());
    site.settled();
}
