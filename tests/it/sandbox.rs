//! The checksum sandbox helps, keeps nothing, and is the only place that names a right checksum.

use serde_json::{Value, json};
use tsms::domain::checksum::Version;

use crate::{
    bodies::{sale, value},
    on_both_tiers,
    world::{Answer, World},
};

on_both_tiers!(the_sandbox_helps_and_the_live_path_tells_nothing);

async fn compare(world: &World, body: &str) -> Answer {
    let request = world
        .http
        .post(format!("{}/api/v1/checksum/sandbox", world.base))
        .bearer_auth(&world.till().token)
        .header("content-type", "application/json")
        .body(body.to_owned());
    Answer::of(request).await
}

async fn the_sandbox_helps_and_the_live_path_tells_nothing(world: World) {
    let till = world.till();
    let mut body = value(&sale(till, Version::V21, 31));
    let right = body["transaction"]["payload_checksum"]
        .as_str()
        .unwrap()
        .to_owned();
    let envelope = body["payload_checksum"].as_str().unwrap().to_owned();
    body["transaction"]["payload_checksum"] = json!("0".repeat(64));

    let refused = world.post(till, body.to_string()).await;
    assert_eq!(refused.code(), "checksum_mismatch");
    assert_eq!(
        refused.json()["errors"][0]["pointer"],
        "/transaction/payload_checksum"
    );
    assert!(!refused.text.contains(&right), "{refused:?}");

    let shown = compare(&world, &body.to_string()).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let shown = shown.json();
    assert_eq!(shown["fits"], Value::Null);
    assert_eq!(shown["levels"][0]["pointer"], "/transaction");
    assert_eq!(shown["levels"][0]["versions"][0]["sha256"], right);
    let canonical = shown["levels"][0]["versions"][0]["canonical"].as_str().unwrap();

    // What the till hashed, against what it should have: the place where they part.
    let hashed = canonical.replace("\"net_sales\":\"", "\"net_sales\": \"");
    let asked = json!({ "payload": body, "hashed": { "/transaction": hashed, "": "x" } });
    let shown = compare(&world, &asked.to_string()).await.json();
    let difference = &shown["levels"][0]["difference"];
    assert_eq!(
        (&difference["path"], &difference["version"]),
        (&json!("/net_sales"), &json!("v2.1"))
    );
    assert_eq!(shown["levels"][1]["difference"]["offset"], 0);

    // Put right as the sandbox says, it is accepted; so nothing was kept of all that.
    body["transaction"]["payload_checksum"] = json!(right);
    body["payload_checksum"] = json!(envelope);
    assert_eq!(world.post(till, body.to_string()).await.status, 202);

    let most = "x".repeat(70_000);
    for (body, status, code) in [
        ("{", 400, "malformed_json"),
        ("", 400, "malformed_json"),
        (&*format!("\"{most}\""), 413, "body_too_large"),
        (&*"[".repeat(100), 400, "json_too_deep"),
    ] {
        let refused = compare(&world, body).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (status, code));
    }
    world.stop().await;
}
