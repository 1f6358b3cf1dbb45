//! `tsms top` tells what the record and the queues hold, on both tiers, and what it cannot see.

use std::process::Command;

use serde_json::{Value, json};
use tokio::time::Duration;
use tsms::{
    domain::{
        breaker::{DEFAULT_SINK, Force},
        checksum::Version,
        time::Timestamp,
    },
    stage::Stage,
    standin::sink::mode::{Answer as SinkAnswer, Mode},
};

use crate::{
    bodies::{batch, sale},
    control::{heard, hold, until},
    on_both_tiers,
    world::World,
};

on_both_tiers!(
    it_tells_what_waits_stands_still_and_was_given_up,
    what_is_away_is_told_and_the_rest_is_shown
);

/// The exit code, standard output and standard error of `tsms top`.
fn top(world: &World, args: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsms"));
    command.args(["top", "--every", "1"]).args(args);
    command.env("TSMS_CONFIG", world.config_file());
    command.envs(settings.iter().copied());
    let ended = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

/// Where the embedded tier serves `/metrics`; the fleet tier does not ask there.
fn metrics(world: &World) -> String {
    world.base.strip_prefix("http://").unwrap().to_owned()
}

fn document(world: &World) -> Value {
    let (code, out, err) = top(world, &["--json", "--metrics", &metrics(world)], &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).unwrap()
}

fn of_queue<'d>(document: &'d Value, queue: &str) -> &'d Value {
    let queues = document["queues"].as_array().unwrap();
    queues.iter().find(|row| row["queue"] == queue).unwrap()
}

/// Three sales of one tenant and one of another that are forwarded, and one that is given up.
async fn sell(world: &World) {
    let (till, other) = (&world.tills[0], &world.tills[2]);
    for (till, body) in [
        (till, batch(till, Version::V21, 3, 1)),
        (other, sale(other, Version::V21, 2)),
    ] {
        assert_eq!(world.post(till, body.body).await.status, 202);
    }
    world.drain().await;
    world.sink.set_mode(Mode::always(SinkAnswer::Status(422)));
    let refused = world.post(till, sale(till, Version::V21, 3).body).await;
    assert_eq!(refused.status, 202);
    world.drain().await;
    world.sink.set_mode(Mode::OK);
}

/// Holds the breaker open and the queue of validation; the id of the latter order.
async fn order(world: &World) -> i64 {
    let ends_at = Timestamp::now().plus(Duration::from_secs(3600));
    let force = Force {
        open: true,
        until: ends_at,
        owner: "J. Cruz".to_owned(),
        reason: "the web application moves".to_owned(),
    };
    let ordered = world.store.force_breaker(DEFAULT_SINK, &force, Timestamp::now());
    ordered.await.unwrap();
    let hold = hold(Some(Stage::Validation), None);
    world.store.hold_queue(&hold).await.unwrap()
}

/// Posts sales of the first till, all of which stay in the queue that is held: how many.
async fn pile_up(world: &World) -> u64 {
    heard(world, Stage::Validation).await;
    let till = world.till();
    let posted = 5;
    for seed in 0..posted {
        let body = sale(till, Version::V21, 100 + seed).body;
        assert_eq!(world.post(till, body).await.status, 202);
    }
    until("every sale is in its queue", async || {
        let depth = world.queue.depth(Stage::Validation).await.unwrap();
        depth.ready == posted && depth.in_flight == 0
    })
    .await;
    posted
}

async fn it_tells_what_waits_stands_still_and_was_given_up(world: World) {
    sell(&world).await;
    let hold_id = order(&world).await;
    let waiting = pile_up(&world).await;
    let mut told = Value::Null;
    until("top sees the queue as it is", async || {
        told = document(&world);
        let rows = told["sales"]["tenants"].as_array().unwrap();
        let sales = rows.iter().find(|row| row["code"] == "C-T1").unwrap();
        let held = of_queue(&told, "validation");
        held["ready"] == waiting && held["in_per_second"] == 0.0 && sales["sales"] == 4
    })
    .await;

    shows_the_held_queue(&world, &told);
    assert_eq!(told["holds"][0]["id"], hold_id);
    assert_eq!(told["holds"][0]["reason"], "a test");
    let breaker = &told["breakers"][0];
    assert_eq!(
        (&breaker["sink"], &breaker["state"]),
        (&json!(DEFAULT_SINK), &json!("forced_open"))
    );
    assert!(breaker["why"].as_str().unwrap().contains("web application moves"));
    let letters = &told["dead_letters"];
    assert_eq!(
        (&letters["total"], &letters["all_looked_at"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(letters["causes"][0]["letters"], 1);
    assert_eq!(letters["causes"][0]["stage"], "forwarding");
    assert_eq!(told["sales"]["all_counted"], true);
    assert_eq!(told["sales"]["tenants"][1]["code"], "C-T2");
    assert_eq!(told["sales"]["tenants"][1]["sales"], 1);

    let (code, out, err) = top(&world, &["--once", "--metrics", &metrics(&world)], &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    for words in [
        "Queues · rates over",
        "Breakers · 1 of 1 keep sales back",
        "forced_open",
        "Dead letters · 1",
        "Paused · 1",
        "C-T2",
    ] {
        assert!(out.contains(words), "no {words:?} in:\n{out}");
    }
    world.end().await;
}

fn shows_the_held_queue(world: &World, told: &Value) {
    let embedded = world.redis.is_none();
    assert_eq!(told["tier"], if embedded { "embedded" } else { "fleet" });
    assert_eq!(told["errors"], json!([]));
    assert!(told["rates_over_seconds"].as_f64().unwrap() >= 1.0, "{told}");
    let validation = of_queue(told, "validation");
    for (member, value) in [
        ("class", json!("high")),
        ("in_flight", json!(0)),
        ("delayed", json!(0)),
        ("parked", json!(0)),
        ("in_per_second", json!(0.0)),
        ("out_per_second", json!(0.0)),
        ("time_to_drain_seconds", Value::Null),
        ("processes", json!(1)),
        ("held", json!("all")),
    ] {
        assert_eq!(validation[member], value, "{member}: {validation}");
    }
    assert!(
        validation["oldest_age_seconds"].as_u64().is_some(),
        "{validation}"
    );
    let width = world.config.width(Stage::Validation);
    assert_eq!(validation["width"], width);
    assert_eq!(validation["sets"], width);
    assert_eq!(of_queue(told, "audit")["held"], "no");
}

async fn what_is_away_is_told_and_the_rest_is_shown(world: World) {
    let nobody = [
        ("TSMS__QUEUE__RESPONSE_TIMEOUT_MS", "300"),
        ("TSMS__QUEUE__BLOCK_MS", "100"),
        ("TSMS__DATABASE__ACQUIRE_TIMEOUT_MS", "300"),
    ];
    let queue = ("TSMS__QUEUE__URL", "redis://127.0.0.1:1/0");
    let queue = world.redis.as_ref().map(|_| queue);
    let settings: Vec<_> = nobody.into_iter().chain(queue).collect();
    let (code, out, err) = top(&world, &["--json", "--metrics", "127.0.0.1:1"], &settings);
    assert_eq!(code, Some(4), "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["errors"][0]["source"], "queues");
    let audit = of_queue(&told, "audit");
    assert_eq!(
        (&audit["ready"], &audit["in_per_second"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        told["dead_letters"]["total"], 0,
        "the record is read all the same"
    );

    let settings: Vec<_> = nobody
        .into_iter()
        .chain([("TSMS__DATABASE__URL", "mysql://nobody@127.0.0.1:1/nothing")])
        .collect();
    let mut told = Value::Null;
    until("the queues were looked at", async || {
        let (code, out, err) = top(&world, &["--json", "--metrics", &metrics(&world)], &settings);
        told = serde_json::from_str(&out).unwrap();
        let queues = told["errors"].as_array().unwrap().len() == 1;
        assert_eq!(code, Some(3), "{out}{err}");
        queues
    })
    .await;
    assert_eq!(told["errors"][0]["source"], "record");
    let audit = of_queue(&told, "audit");
    assert_eq!((&audit["ready"], &audit["width"]), (&json!(0), &Value::Null));
    assert_eq!(told["breakers"], Value::Null);
    world.stop().await;
}
