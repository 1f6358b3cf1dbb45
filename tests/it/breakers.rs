//! The breaker of a sink: one for all processes, and under a person's orders.

use serde_json::{Value, json};
use tokio::time::Duration;
use tsms::{
    domain::{checksum::Version, sink::Settings, time::Timestamp},
    fleet::Roles,
    stage::Stage,
    standin::sink::mode::{Answer as SinkAnswer, Mode},
    store::NewSink,
};

use crate::{
    bodies::{batch, sale},
    control::until,
    on_both_tiers,
    world::{Answer, Tier, World, issue},
};

on_both_tiers!(
    an_order_stops_what_goes_out_until_it_ends,
    calls_that_steer_breakers_are_counted,
    a_sink_that_never_failed_has_one_too
);

const BREAKERS: &str = "/api/v1/admin/breakers";

fn order(state: &str) -> Value {
    json!({
        "state": state,
        "owner": "J. Cruz",
        "reason": "the web application moves",
        "ends_at": Timestamp::now().plus(Duration::from_secs(3600)).to_string(),
    })
}

async fn state(world: &World, token: &str) -> String {
    let answer = world.call("GET", BREAKERS, token, Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"][0]["state"].as_str().unwrap().to_owned()
}

async fn an_order_stops_what_goes_out_until_it_ends(world: World) {
    let (_, admin) = issue(&world.store, None, &["admin:breakers"]).await;
    let post = async |path: &str, body: Value| world.call("POST", path, &admin, body).await;
    assert_eq!(state(&world, &admin).await, "closed");
    for (member, value) in [
        ("state", json!("ajar")),
        ("owner", json!("")),
        ("ends_at", json!("2001-01-01T00:00:00Z")),
    ] {
        let mut wrong = order("open");
        wrong[member] = value;
        let answer = post(&format!("{BREAKERS}/webapp/force"), wrong).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("/{member}"));
    }
    let nobody = post(&format!("{BREAKERS}/nobody/force"), order("open")).await;
    assert_eq!(
        (nobody.status.as_u16(), nobody.code().as_str()),
        (404, "not_found")
    );

    let forced = post(&format!("{BREAKERS}/webapp/force"), order("open")).await;
    assert_eq!(forced.json()["state"], "forced_open", "{forced:?}");
    let till = world.till();
    until("a sale is held back", async || {
        // Sales posted before the workers heard of it go out; the first that stays is the proof.
        let seed = u64::try_from(Timestamp::now().as_micros()).unwrap();
        assert_eq!(
            world.post(till, sale(till, Version::V21, seed).body).await.status,
            202
        );
        world.queue.depth(Stage::Forwarding).await.unwrap().delayed > 0
    })
    .await;
    let released = post(&format!("{BREAKERS}/webapp/release"), Value::Null).await;
    assert_eq!(released.json()["state"], "half_open", "{released:?}");
    world.drain().await;
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    assert_eq!(state(&world, &admin).await, "closed");
    let events = world
        .call("GET", &format!("{BREAKERS}/history"), &admin, Value::Null)
        .await
        .json();
    let actions: Vec<&str> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        ["breaker.forced_open", "breaker.released", "breaker.closed"]
    );
    world.stop().await;
}

async fn a_sink_that_never_failed_has_one_too(world: World) {
    let (_, admin) = issue(&world.store, None, &["admin:breakers"]).await;
    let sink = NewSink {
        name: "mall".to_owned(),
        tenant_id: None,
        environment: "elsewhere".to_owned(),
        settings: Settings::new("https://mall.example/in".to_owned(), 30_000, 50),
    };
    world.store.create_sink(&sink, 10).await.unwrap();
    let listed = world.call("GET", BREAKERS, &admin, Value::Null).await.json();
    let listed: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["sink"].clone(), row["state"].clone()))
        .collect();
    let closed = |name: &str| (json!(name), json!("closed"));
    assert_eq!(listed, [closed("mall"), closed("webapp")]);
    let path = format!("{BREAKERS}/mall/release");
    let released = world.call("POST", &path, &admin, Value::Null).await;
    assert_eq!(
        (released.status.as_u16(), released.json()["state"].clone()),
        (200, json!("closed"))
    );
    assert_eq!(
        world.store.breaker("mall").await.unwrap(),
        None,
        "nothing was released"
    );
    world.stop().await;
}

/// Asks again and again until the limit is reached; how many were let through.
async fn let_through(world: &World, token: &str) -> (usize, Answer) {
    for asked in 0..100 {
        let answer = world.call("GET", BREAKERS, token, Value::Null).await;
        if answer.status != 200 {
            return (asked, answer);
        }
    }
    panic!("no limit");
}

async fn calls_that_steer_breakers_are_counted(world: World) {
    let (_, admin) = issue(&world.store, None, &["admin:*"]).await;
    let (_, other) = issue(&world.store, None, &["admin:breakers"]).await;
    let (asked, refused) = let_through(&world, &admin).await;
    assert_eq!(asked, 30, "thirty a minute");
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (429, "rate_limited")
    );
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.text.contains("control"), "{refused:?}");
    assert_eq!(state(&world, &other).await, "closed", "each token has its own");
    let elsewhere = world
        .call("GET", "/api/v1/admin/tenants", &admin, Value::Null)
        .await;
    assert_eq!(elsewhere.status, 200, "{elsewhere:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_agree_and_heal_by_themselves() {
    let mut world = World::start(Tier::Fleet).await;
    let forwarder = Roles {
        stages: vec![Stage::Forwarding],
        ..Roles::default()
    };
    world.join(&forwarder).await;
    world.sink.set_mode(Mode::always(SinkAnswer::Status(503)));
    let till = world.till();
    let mut sales = 0;
    until("it opens", async || {
        sales += 5;
        let seed = u64::try_from(Timestamp::now().as_micros()).unwrap();
        let body = batch(till, Version::V21, 5, seed);
        assert_eq!(world.post(till, body.body).await.status, 202);
        let breaker = world.store.breaker("webapp").await.unwrap();
        breaker.is_some_and(|breaker| breaker.open)
    })
    .await;
    until("some calls tried in vain", async || {
        let breaker = world.store.breaker("webapp").await.unwrap().unwrap();
        breaker.version > 8
    })
    .await;
    world.sink.set_mode(Mode::always(SinkAnswer::Ok));
    world.drain().await;
    assert_eq!(world.sink.entries().len(), sales);
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    let events = world.store.breaker_history(0, 100).await.unwrap();
    let actions: Vec<&str> = events.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(
        actions,
        ["breaker.opened", "breaker.closed"],
        "one opened it and one closed it"
    );
    world.stop().await;
}
