//! Sinks over the admin API: made, changed, disabled; every worker follows; the token is never shown.

use serde_json::{Value, json};
use tsms::{domain::checksum::Version, standin::sink::BULK_PATH};

use crate::{
    bodies::sale,
    on_both_tiers,
    world::{DEADLINE, SINK_TOKEN, World, issue, start_sink},
};

on_both_tiers!(workers_follow_what_is_ordered_over_http, a_wrong_member_is_named);

const SINKS: &str = "/api/v1/admin/sinks";

async fn workers_follow_what_is_ordered_over_http(world: World) {
    let (_, admin) = issue(&world.store, None, &["admin:sinks"]).await;
    let (own, address, stop) = start_sink().await;
    let till = world.till();
    let wish = json!({
        "name": "mall",
        "tenant_id": till.tenant_id,
        "endpoint": format!("http://{address}{BULK_PATH}"),
        "token": SINK_TOKEN,
        "allow_private": true,
    });
    let made = world.call("POST", SINKS, &admin, wish.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let sink = made.json();
    assert_eq!(
        (&sink["has_token"], &sink["enabled"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        world.call("POST", SINKS, &admin, wish).await.code(),
        "already_exists"
    );

    let send = async |seed| {
        let body = sale(till, Version::V21, seed).body;
        assert_eq!(world.post(till, body).await.status, 202);
    };
    // What was known when the sink was made may be a moment old; then everything goes to the sink.
    let mut seed = 0;
    while own.summary().distinct == 0 {
        seed += 1;
        assert!(seed < 10_000, "no worker heard of the sink");
        send(seed).await;
        world.drain().await;
    }
    let (before, elsewhere) = (own.summary().distinct, world.sink.summary().distinct);
    assert_eq!(before + elsewhere, seed);

    let path = format!("{SINKS}/{}", sink["id"]);
    let disabled = world
        .call("POST", &format!("{path}/disable"), &admin, Value::Null)
        .await;
    assert_eq!(disabled.json()["enabled"], json!(false), "{disabled:?}");
    let change = json!({ "enabled": true, "batch_size": 7, "token": null });
    let changed = world.call("PATCH", &path, &admin, change).await.json();
    let told = (&changed["enabled"], &changed["batch_size"], &changed["has_token"]);
    assert_eq!(told, (&json!(true), &json!(7), &json!(false)));
    let change = json!({ "token": SINK_TOKEN });
    world.call("PATCH", &path, &admin, change).await;
    send(seed + 1).await;
    let all = before + 1;
    own.wait_until(|seen| seen.distinct >= all, DEADLINE)
        .await
        .unwrap();
    assert_eq!(world.sink.summary().distinct, elsewhere);

    let shown = world.call("GET", &path, &admin, Value::Null).await;
    let listed = world.call("GET", SINKS, &admin, Value::Null).await;
    assert_eq!(listed.json()["items"], json!([shown.json()]));
    for answer in [&made, &disabled, &shown, &listed] {
        assert!(!answer.text.contains(SINK_TOKEN), "{answer:?}");
    }
    let actions = world.store.list_actions(0, 500).await.unwrap();
    let own_actions = actions.iter().filter(|row| row.action.starts_with("sink."));
    let told: Vec<_> = own_actions
        .map(|row| (row.action.as_str(), row.actor.starts_with("token:")))
        .collect();
    assert_eq!(told[0], ("sink.created", true));
    assert_eq!(told[1..], [("sink.changed", true); 3]);
    world.stop().await;
    stop.cancel();
}

async fn a_wrong_member_is_named(world: World) {
    let (_, admin) = issue(&world.store, None, &["admin:sinks"]).await;
    let wish = json!({ "name": "mall", "endpoint": "https://mall.example/in" });
    for (member, value) in [
        ("name", json!("webapp")),
        ("name", json!("A Mall")),
        ("tenant_id", json!(999_999)),
        ("environment", json!("LIVE")),
        ("endpoint", json!("ftp://mall.example")),
        ("endpoint", json!("https://ana:secret@mall.example")),
        ("token", json!("two words")),
        ("timeout_ms", json!(99)),
        ("timeout_ms", json!(-1)),
        ("batch_size", json!(501)),
        ("verify_ssl", json!("yes")),
        ("schema_version", json!("9.9")),
        ("ca", json!("-----BEGIN CERTIFICATE-----\nnone")),
    ] {
        let mut wrong = wish.clone();
        wrong[member] = value;
        let answer = world.call("POST", SINKS, &admin, wrong.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (422, "invalid_fields"),
            "{wrong}"
        );
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            format!("/{member}"),
            "{wrong}"
        );
    }
    let listed = world.call("GET", SINKS, &admin, Value::Null).await.json();
    assert_eq!(listed["items"], json!([]));
    world.stop().await;
}
