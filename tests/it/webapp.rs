//! The web application misbehaves; every sale still arrives once.

use std::{num::NonZeroU64, time::Duration};

use tsms::{
    domain::checksum::Version,
    standin::sink::mode::{Answer as SinkAnswer, Denial, Mode},
};

use crate::{
    bodies::{batch, sale},
    on_both_tiers,
    world::{DEADLINE, World},
};

on_both_tiers!(
    trouble_of_every_kind_ends_with_each_sale_once,
    a_rejected_sale_becomes_a_dead_letter
);

async fn trouble_of_every_kind_ends_with_each_sale_once(world: World) {
    let till = world.till();
    let every = |n| NonZeroU64::new(n).unwrap();
    let troubles = [
        Mode::always(SinkAnswer::Status(503)).times(3),
        Mode::always(SinkAnswer::Status(500)).applied().times(2),
        Mode::always(SinkAnswer::Busy(1)).times(1),
        Mode::always(SinkAnswer::Reset).times(2),
        Mode::always(SinkAnswer::Reset).applied().times(2),
        Mode::always(SinkAnswer::Hang).applied().times(1),
        Mode::always(SinkAnswer::Slow(Duration::from_millis(50))).times(2),
        Mode::always(SinkAnswer::Empty).applied().times(1),
        Mode::always(SinkAnswer::Html).times(1),
        Mode::always(SinkAnswer::Partial {
            every: every(2),
            denial: Denial::Retry,
        })
        .times(2),
    ];
    let mut expected = 0;
    for (mode, seed) in troubles.into_iter().zip(1..) {
        world.sink.set_mode(mode);
        let body = batch(till, Version::V21, 5, seed);
        expected += 5;
        assert_eq!(world.post(till, body.body).await.status, 202);
        world
            .sink
            .wait_until(|seen| seen.distinct == expected, DEADLINE)
            .await
            .unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        world.drain().await;
    }
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    assert_eq!(world.sink.summary().clashes, 0);
    assert_eq!(world.sink.entries().len() as u64, expected);
    world.stop().await;
}

async fn a_rejected_sale_becomes_a_dead_letter(world: World) {
    let till = world.till();
    let all = NonZeroU64::new(1).unwrap();
    world.sink.set_mode(Mode::always(SinkAnswer::Partial {
        every: all,
        denial: Denial::Rejected,
    }));
    let body = sale(till, Version::V21, 1);
    assert_eq!(world.post(till, body.body.clone()).await.status, 202);
    world.drain().await;
    let path = format!("/api/v1/transactions/{}/status", body.sales[0].transaction_id);
    let status = world.get(till, &path).await.json();
    assert_eq!(status["status"], "DEAD_LETTERED", "{status}");
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
    world.stop().await;
}
