//! What goes wrong between TSMS and the web application.

use tsms::standin::sink::mode::{Answer, Mode};

use crate::{scenarios, site::Site};

scenarios!(start(), {
    TsmsBreakerOpen => breaker_open,
});

async fn start() -> Site {
    // A probe must not be quicker than the person.
    let edit = |text: String| text.replace("breaker_open_ms = 200", "breaker_open_ms = 6000");
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
    site.fleet.drain().await;
    site.cure().await;
}
