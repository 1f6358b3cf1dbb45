//! What an administrator's requests are about: made before the matrix begins.

use std::time::Duration;

use tsms::{
    domain::{
        checksum::Version,
        orders::{OrderKind, Subject},
        sink::Change,
        time::Timestamp,
    },
    sinks::{self, Wish},
    standin::sink::mode::{Answer as SinkAnswer, Mode},
    store::{NewOrder, RedriveKind, RedriveState},
};

use crate::{bodies::sale, control::until, world::World};

/// An order to be lifted, about an address that nobody has.
pub(super) async fn order(world: &World) -> i64 {
    let order = NewOrder {
        kind: OrderKind::Block,
        subject: Subject::Address([192, 0, 2, 1].into()),
        owner: "the matrix".to_owned(),
        reason: "of the matrix".to_owned(),
        ends_at: Timestamp::now().plus(Duration::from_secs(3600)),
    };
    world.store.give_order(&order).await.unwrap()
}

/// A sale that the web application refused.
pub(super) async fn letter(world: &World) -> i64 {
    let refuse = Mode::always(SinkAnswer::Status(422)).times(1);
    world.sink.set_mode(refuse);
    let body = sale(world.till(), Version::V21, 770_077).body;
    assert_eq!(world.post(world.till(), body).await.status, 202);
    world.drain().await;
    world.store.dead_letters(0, 1).await.unwrap()[0].id
}

/// A redrive of nothing, which is done.
pub(super) async fn redrive(world: &World) -> i64 {
    let nothing = "id=999999".parse().unwrap();
    let store = &world.store;
    let id = store
        .start_redrive(RedriveKind::Retry, &nothing, "of the matrix", 1)
        .await
        .unwrap();
    until("it is done", async || {
        let order = store.redrive_step(id, 1, Timestamp::now()).await.unwrap();
        order.state == RedriveState::Done
    })
    .await;
    id
}

/// A sink of another environment, where nothing is sent to.
pub(super) async fn sink(world: &World) -> i64 {
    let wish = Wish {
        name: "elsewhere".to_owned(),
        tenant_id: None,
        environment: Some("test".to_owned()),
        endpoint: "https://mall.example/in".to_owned(),
    };
    let made = sinks::create(&world.store, &world.config, wish, &Change::default(), None).await;
    made.unwrap().id
}
