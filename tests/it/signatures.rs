//! What a receiver can check of a batch: its signatures, also while a secret is replaced; and what it can read:
//! compressed bodies, or plain ones where it cannot.

use serde_json::{Value, json};
use tsms::{
    domain::checksum::Version,
    standin::sink::{BULK_PATH, CheckKey, Heard, SinkHandle},
};

use crate::{
    bodies::sale,
    control::until,
    on_both_tiers,
    world::{SINK_TOKEN, World, issue, start_sink},
};

on_both_tiers!(
    a_secret_is_replaced_and_no_batch_is_refused,
    bodies_are_compressed_for_who_can_read_them,
    one_that_reads_no_compressed_body_gets_plain_ones
);

const SINKS: &str = "/api/v1/admin/sinks";

/// A sink of its own for the first till, and who may change it.
struct Own {
    sink: SinkHandle,
    stop: tokio_util::sync::CancellationToken,
    admin: String,
    path: String,
    sent: u64,
    /// Of these, before its ledger was begun anew.
    before: u64,
}

impl Own {
    async fn made(world: &World) -> Self {
        let (_, admin) = issue(&world.store, None, &["admin:sinks"]).await;
        let (sink, address, stop) = start_sink().await;
        let wish = json!({
            "name": "mall",
            "tenant_id": world.till().tenant_id,
            "endpoint": format!("http://{address}{BULK_PATH}"),
            "token": SINK_TOKEN,
            "allow_private": true,
        });
        let made = world.call("POST", SINKS, &admin, wish).await;
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("{SINKS}/{}", made.json()["id"]);
        let mut own = Self {
            sink,
            stop,
            admin,
            path,
            sent: 0,
            before: 0,
        };
        // What was known when the sink was made may be a moment old.
        until("the workers hear of the sink", async || {
            own.send(world).await;
            world.drain().await;
            own.sink.summary().distinct > 0
        })
        .await;
        own.sink.reset();
        own.before = own.sent;
        own
    }

    async fn send(&mut self, world: &World) {
        self.sent += 1;
        let body = sale(world.till(), Version::V21, self.sent).body;
        assert_eq!(world.post(world.till(), body).await.status, 202);
    }

    /// Sends until a batch is as `like` says: the workers know of the last change then.
    async fn until_heard(&mut self, world: &World, like: impl Fn(&Heard) -> bool) {
        until("a batch of that kind", async || {
            self.send(world).await;
            world.drain().await;
            self.sink.heard().last().is_some_and(&like)
        })
        .await;
    }

    async fn order(&self, world: &World, verb: &str, rest: &str, body: Value) -> Value {
        let path = format!("{}{rest}", self.path);
        let answer = world.call(verb, &path, &self.admin, body).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.json()
    }

    /// A new secret: what the receiver is given, which is shown nowhere else.
    async fn secret(&self, world: &World, scheme: &str) -> CheckKey {
        let made = self
            .order(world, "POST", "/secrets", json!({ "scheme": scheme }))
            .await;
        let given = made["given"].as_str().unwrap();
        let shown = world.call("GET", &self.path, &self.admin, Value::Null).await;
        assert_eq!(shown.json()["signed"], true);
        assert!(!shown.text.contains(given));
        given.parse().unwrap()
    }
}

async fn a_secret_is_replaced_and_no_batch_is_refused(world: World) {
    let mut own = Own::made(&world).await;
    let first = own.secret(&world, "hmac").await;
    let signed = |count: usize| move |heard: &Heard| heard.signatures == count;
    own.until_heard(&world, signed(1)).await;
    let refused = |own: &Own| own.sink.summary().requests.get("unsigned").copied();

    own.sink.set_keys(vec![first.clone()]);
    let second = own.secret(&world, "hmac").await;
    own.until_heard(&world, signed(2)).await;
    let third = world
        .call(
            "POST",
            &format!("{}/secrets", own.path),
            &own.admin,
            json!({ "scheme": "hmac" }),
        )
        .await;
    assert_eq!(
        (third.status.as_u16(), third.code().as_str()),
        (409, "secrets_in_use")
    );
    // The receiver changes over when it likes.
    own.sink.set_keys(vec![second.clone()]);
    own.send(&world).await;
    world.drain().await;
    let keep = json!({ "keep": "newest" });
    own.order(&world, "POST", "/secrets/retire", keep.clone()).await;
    own.until_heard(&world, signed(1)).await;
    // By a public key, alone.
    let public = own.secret(&world, "ed25519").await;
    own.until_heard(&world, signed(2)).await;
    own.sink.set_keys(vec![public]);
    own.send(&world).await;
    world.drain().await;
    assert_eq!(refused(&own), None, "{}", own.sink.summary());

    // One that is retired proves nothing, and what is refused for it is not lost.
    own.sink.set_keys(vec![first]);
    own.send(&world).await;
    until("it is refused", async || refused(&own).is_some()).await;
    own.sink.set_keys(vec![second]);
    world.drain().await;
    let summary = own.sink.summary();
    assert_eq!(summary.distinct, own.sent - own.before, "{summary}");
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    own.order(&world, "POST", "/secrets/retire", json!({ "keep": "none" }))
        .await;
    own.sink.set_keys(Vec::new());
    own.until_heard(&world, signed(0)).await;
    own.stop.cancel();
    world.stop().await;
}

async fn bodies_are_compressed_for_who_can_read_them(world: World) {
    let mut own = Own::made(&world).await;
    for coding in ["gzip", "zstd"] {
        let change = json!({ "compression": coding });
        let changed = own.order(&world, "PATCH", "", change).await;
        assert_eq!(changed["compression"], coding);
        own.until_heard(&world, |heard| heard.encoding.as_deref() == Some(coding))
            .await;
    }
    let wrong = world
        .call("PATCH", &own.path, &own.admin, json!({ "compression": "br" }))
        .await;
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/compression", "{wrong:?}");

    own.stop.cancel();
    world.stop().await;
}

async fn one_that_reads_no_compressed_body_gets_plain_ones(world: World) {
    let mut own = Own::made(&world).await;
    own.sink.set_mode("plain".parse().unwrap());
    let change = json!({ "compression": "gzip" });
    own.order(&world, "PATCH", "", change).await;
    let refused = |own: &Own| own.sink.summary().requests.get("malformed").copied();
    until("a compressed batch is refused", async || {
        own.send(&world).await;
        refused(&own).is_some()
    })
    .await;
    own.send(&world).await;
    world.drain().await;
    let summary = own.sink.summary();
    assert_eq!(summary.distinct, own.sent - own.before, "{summary}");
    assert!(own.sink.heard().iter().all(|heard| heard.encoding.is_none()));
    assert_eq!(
        world.store.count_dead_letters().await.unwrap(),
        0,
        "no sale is blamed"
    );
    own.stop.cancel();
    world.stop().await;
}
