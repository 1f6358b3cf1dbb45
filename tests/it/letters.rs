//! Dead letters over the admin API: counted by cause, looked into, brought back by the scheduler, discarded.

use serde_json::{Value, json};
use tsms::{
    domain::checksum::Version,
    standin::sink::mode::{Answer as SinkAnswer, Mode},
    store::RedriveState,
};

use crate::{
    bodies::{batch, sale},
    control::until,
    on_both_tiers,
    world::{World, issue},
};

on_both_tiers!(
    letters_are_counted_shown_and_brought_back,
    what_cannot_be_ordered_is_named
);

const LETTERS: &str = "/api/v1/admin/dead-letters";
const REDRIVES: &str = "/api/v1/admin/redrives";

/// Sales that the web application refused, with this status.
async fn refused(world: &World, status: u16, items: usize, seed: u64) {
    world.sink.set_mode(Mode::always(SinkAnswer::Status(status)));
    let body = match items {
        1 => sale(world.till(), Version::V21, seed),
        items => batch(world.till(), Version::V21, items, seed),
    };
    assert_eq!(world.post(world.till(), body.body).await.status, 202);
    world.drain().await;
    world.sink.set_mode(Mode::OK);
}

/// Waits for the scheduler; the record is asked, for calls about letters are counted.
async fn done(world: &World, id: &Value) {
    let id = id.as_i64().unwrap();
    until("it is done", async || {
        world.store.redrive(id).await.unwrap().state == RedriveState::Done
    })
    .await;
}

async fn letters_are_counted_shown_and_brought_back(world: World) {
    let (_, admin) = issue(&world.store, None, &["admin:letters"]).await;
    let get = async |path: &str| world.call("GET", path, &admin, Value::Null).await;
    refused(&world, 422, 5, 1).await;
    refused(&world, 409, 1, 2).await;
    let causes = get(&format!("{LETTERS}/causes")).await.json();
    assert_eq!(
        (&causes["letters"], &causes["complete"]),
        (&json!(6), &json!(true))
    );
    let counts: Vec<_> = causes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["letters"].clone())
        .collect();
    assert_eq!(counts, [json!(5), json!(1)]);
    let which = format!("cause={}", causes["items"][0]["cause"].as_str().unwrap());

    let page = get(&format!("{LETTERS}?where={which}&limit=3")).await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    let rest = get(&format!("{LETTERS}?where={which}&limit=3&after={}", page["next"]))
        .await
        .json();
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["next"]),
        (2, &Value::Null)
    );
    let letter = &page["items"][0];
    let shown = get(&format!("{LETTERS}/{}", letter["id"])).await.json();
    assert_eq!(&shown["letter"], letter);
    assert_eq!(shown["tries"][0]["status"], 422, "{shown}");
    assert_eq!(shown["tries"][0]["request_sha256"].as_str().unwrap().len(), 64);

    // One is put away for good, the others go out again; the scheduler does both.
    let order =
        |kind: &str, which: &str| json!({ "kind": kind, "where": which, "reason": "mended", "rate": 1000 });
    let one = order("discard", &format!("id={}", letter["id"]));
    let discarded = world.call("POST", REDRIVES, &admin, one).await;
    assert_eq!(discarded.status, 201, "{discarded:?}");
    done(&world, &discarded.json()["id"]).await;
    let started = world
        .call("POST", REDRIVES, &admin, order("retry", &which))
        .await
        .json();
    done(&world, &started["id"]).await;
    world.drain().await;
    assert_eq!(world.sink.summary().distinct, 4);
    assert_eq!(
        world.store.count_dead_letters().await.unwrap(),
        1,
        "of the other cause"
    );
    let listed = get(REDRIVES).await.json();
    let told: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["kind"].clone(), row["moved"].clone()))
        .collect();
    assert_eq!(told, [(json!("discard"), json!(1)), (json!("retry"), json!(4))]);
    let actions = world.store.list_actions(0, 500).await.unwrap();
    let ordered = actions
        .iter()
        .filter(|row| row.action == "dlq.retry" || row.action == "dlq.discard");
    assert!(ordered.clone().count() == 2 && ordered.clone().all(|row| row.actor.starts_with("token:")));
    world.stop().await;
}

async fn what_cannot_be_ordered_is_named(world: World) {
    let (_, admin) = issue(&world.store, None, &["admin:letters"]).await;
    let good = json!({ "kind": "retry", "where": "id=999999", "reason": "x" });
    for (member, value) in [
        ("kind", json!("forget")),
        ("where", json!("colour=red")),
        ("reason", json!("")),
        ("rate", json!(0)),
        ("rate", json!(10_001)),
    ] {
        let mut wrong = good.clone();
        wrong[member] = value;
        let answer = world.call("POST", REDRIVES, &admin, wrong.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (422, "invalid_fields"),
            "{wrong}"
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("/{member}"));
    }
    let query = world
        .call(
            "GET",
            &format!("{LETTERS}?where=colour%3Dred"),
            &admin,
            Value::Null,
        )
        .await;
    assert_eq!(
        (query.status.as_u16(), query.code().as_str()),
        (400, "invalid_query")
    );
    let started = world.call("POST", REDRIVES, &admin, good).await.json();
    let path = format!("{REDRIVES}/{}", started["id"]);
    done(&world, &started["id"]).await;
    let paused = world
        .call("POST", &format!("{path}/pause"), &admin, Value::Null)
        .await;
    assert_eq!(paused.status, 404, "what is done cannot be paused");
    world.stop().await;
}
