//! The admin API: what it does, who may, and that every change names its token.

use std::time::Duration;

use serde_json::{Value, json};
use tsms::domain::time::Timestamp;

use crate::{
    on_both_tiers,
    world::{Answer, World, issue},
};

on_both_tiers!(
    a_shop_is_let_in_and_shut_out,
    each_area_has_its_ability,
    nobody_gives_more_than_he_has,
    lists_come_in_pages,
    a_till_is_kept_out_by_an_order_and_let_in_again,
);

const TENANTS: &str = "/api/v1/admin/tenants";
const TERMINALS: &str = "/api/v1/admin/terminals";
const TOKENS: &str = "/api/v1/admin/tokens";
const ORDERS: &str = "/api/v1/admin/limits/orders";

async fn admin(world: &World, abilities: &[&str]) -> (i64, String) {
    issue(&world.store, None, abilities).await
}

fn made(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (status, code),
        "{answer:?}"
    );
}

async fn a_shop_is_let_in_and_shut_out(world: World) {
    let (admin_id, admin) = admin(&world, &["admin:*"]).await;
    let post = async |path: &str, body: Value| world.call("POST", path, &admin, body).await;
    let shop = json!({ "code": "C-NEW", "name": "New shop", "company_code": "NEW" });
    let tenant = made(&post(TENANTS, shop.clone()).await);
    assert_eq!(
        (&tenant["active"], &tenant["timezone"]),
        (&json!(true), &json!("Asia/Manila"))
    );
    refused(&post(TENANTS, shop).await, 409, "already_exists");

    let till = json!({ "tenant_id": tenant["id"], "serial_number": "SN-ADMIN" });
    let terminal = made(&post(TERMINALS, till.clone()).await);
    refused(&post(TERMINALS, till).await, 409, "already_exists");
    let orphan = json!({ "tenant_id": 999_999, "serial_number": "SN-ORPHAN" });
    let answer = post(TERMINALS, orphan).await;
    refused(&answer, 422, "invalid_fields");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/tenant_id");

    let wish = json!({ "terminal_id": terminal["id"], "name": "till" });
    let issued = made(&post(TOKENS, wish).await);
    let token = issued["token"].as_str().unwrap();
    world.until(token, 200).await;
    let terminal_path = format!("{TERMINALS}/{}", terminal["id"]);
    let change = json!({ "status": "inactive", "callback_url": "https://till.example/cb" });
    let changed = world.call("PATCH", &terminal_path, &admin, change).await.json();
    assert_eq!(changed["status"], "inactive");
    assert_eq!(changed["callback_url"], "https://till.example/cb");
    world.until(token, 403).await;
    let change = json!({ "status": "active", "callback_url": null });
    let changed = world.call("PATCH", &terminal_path, &admin, change).await.json();
    assert_eq!(changed["callback_url"], Value::Null);
    world.until(token, 200).await;

    let token_path = format!("{TOKENS}/{}", issued["id"]);
    let next = made(&post(&format!("{token_path}/rotate"), Value::Null).await);
    world.until(next["token"].as_str().unwrap(), 200).await;
    world.until(token, 200).await;
    let revoked = post(&format!("{token_path}/revoke"), json!({})).await.json();
    assert_ne!(revoked["revoked_at"], Value::Null);
    world.until(token, 401).await;
    world.until(next["token"].as_str().unwrap(), 200).await;
    refused(
        &post(&format!("{token_path}/rotate"), Value::Null).await,
        409,
        "token_ended",
    );
    post(&format!("{token_path}/revoke"), json!({ "family": true })).await;
    world.until(next["token"].as_str().unwrap(), 401).await;

    let change = json!({ "status": "revoked" });
    world.call("PATCH", &terminal_path, &admin, change).await;
    let back = json!({ "status": "active" });
    refused(
        &world.call("PATCH", &terminal_path, &admin, back).await,
        409,
        "terminal_revoked",
    );
    let own = actions_of(&world, admin_id, &admin).await;
    assert_eq!(
        own,
        [
            "tenant.created",
            "terminal.created",
            "token.issued",
            "terminal.changed",
            "terminal.changed",
            "token.replaced",
            "token.revoked",
            "family.revoked",
            "terminal.changed",
        ]
    );
    world.stop().await;
}

/// What was done by a token, in order.
async fn actions_of(world: &World, token_id: i64, admin: &str) -> Vec<String> {
    let path = "/api/v1/admin/actions";
    let actions = world.call("GET", path, admin, Value::Null).await.json();
    let own = actions["items"].as_array().unwrap().iter();
    own.filter(|action| action["actor"] == format!("token:{token_id}"))
        .map(|action| action["action"].as_str().unwrap().to_owned())
        .collect()
}

async fn each_area_has_its_ability(world: World) {
    let areas = [
        ("admin:tenants", TENANTS),
        ("admin:terminals", TERMINALS),
        ("admin:tokens", TOKENS),
        ("admin:security", "/api/v1/admin/security-events"),
        ("admin:sinks", "/api/v1/admin/sinks"),
    ];
    for (held, _) in areas {
        let (_, token) = admin(&world, &[held]).await;
        for (wanted, path) in areas {
            let answer = world.call("GET", path, &token, Value::Null).await;
            if held == wanted {
                assert_eq!(answer.status, 200, "{answer:?}");
            } else {
                refused(&answer, 403, "ability_missing");
            }
        }
    }
    for (_, path) in areas {
        refused(
            &world.call("GET", path, "", Value::Null).await,
            401,
            "unauthenticated",
        );
        let till = world.call("GET", path, &world.till().token, Value::Null).await;
        refused(&till, 403, "ability_missing");
    }
    world.stop().await;
}

async fn nobody_gives_more_than_he_has(world: World) {
    let (_, clerk) = admin(&world, &["admin:tokens", "admin:tenants"]).await;
    let (root_id, _) = admin(&world, &["admin:*"]).await;
    let post = async |path: &str, body: Value| world.call("POST", path, &clerk, body).await;
    for more in ["admin:*", "admin:terminals"] {
        let wish = json!({ "name": "more", "abilities": [more] });
        refused(&post(TOKENS, wish).await, 403, "ability_missing");
    }
    let rotate = format!("{TOKENS}/{root_id}/rotate");
    refused(&post(&rotate, Value::Null).await, 403, "ability_missing");
    let revoke = format!("{TOKENS}/{root_id}/revoke");
    refused(&post(&revoke, json!({})).await, 403, "ability_missing");
    let mixed = json!({ "name": "mixed", "abilities": ["transaction:create"] });
    refused(&post(TOKENS, mixed).await, 422, "invalid_fields");
    let wish = json!({ "name": "same", "abilities": ["admin:tenants"] });
    made(&post(TOKENS, wish).await);
    world.stop().await;
}

async fn lists_come_in_pages(world: World) {
    let (_, admin) = admin(&world, &["admin:*"]).await;
    let get = async |path: &str| world.call("GET", path, &admin, Value::Null).await;
    let mut seen = Vec::new();
    let mut next = json!(0);
    while !next.is_null() {
        let page = get(&format!("{TERMINALS}?after={next}&limit=3")).await.json();
        assert!(page["items"].as_array().unwrap().len() <= 3);
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["id"].clone()),
        );
        next = page["next"].clone();
    }
    let all: Vec<Value> = world.tills.iter().map(|till| json!(till.terminal_id)).collect();
    assert_eq!(seen, all);
    let tenant = world.till().tenant_id;
    let own = get(&format!("{TERMINALS}?tenant_id={tenant}")).await.json();
    assert_eq!(own["items"].as_array().unwrap().len(), 2);
    for query in ["limit=0", "limit=501", "limit=x", "after=1.5"] {
        refused(&get(&format!("{TERMINALS}?{query}")).await, 400, "invalid_query");
    }
    for path in ["/0", "/01", "/x", "/999999"] {
        refused(&get(&format!("{TENANTS}{path}")).await, 404, "not_found");
    }
    world.stop().await;
}

async fn a_till_is_kept_out_by_an_order_and_let_in_again(world: World) {
    let (_, admin) = admin(&world, &["admin:limits"]).await;
    let post = async |path: &str, body: Value| world.call("POST", path, &admin, body).await;
    let till = world.till();
    let ends = |seconds: u64| Timestamp::now().plus(Duration::from_secs(seconds)).to_string();
    let order = json!({
        "order": "block",
        "subject": format!("terminal:{}", till.terminal_id),
        "owner": "Ana",
        "reason": "it repeats itself",
        "ends_at": ends(3600),
    });
    for (member, value) in [
        ("order", json!("ban")),
        ("subject", json!("till:7")),
        ("subject", json!("terminal:999999")),
        ("owner", json!("")),
        ("reason", json!("two\nlines")),
        ("ends_at", json!(Timestamp::from_micros(1).to_string())),
        ("ends_at", json!(ends(31 * 86_400))),
        ("ends_at", json!("tomorrow")),
    ] {
        let mut wrong = order.clone();
        wrong[member] = value;
        let answer = post(ORDERS, wrong).await;
        refused(&answer, 422, "invalid_fields");
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("/{member}"));
    }
    let orders = world.call("GET", ORDERS, &admin, Value::Null).await.json();
    assert_eq!(orders["items"], json!([]), "a refused order is none");

    let given = made(&post(ORDERS, order).await);
    let kept_out = world.until(&till.token, 429).await;
    assert_eq!(kept_out.code(), "blocked");
    let lift = format!("{ORDERS}/{}/lift", given["id"]);
    let lifted = post(&lift, Value::Null).await.json();
    assert_ne!(lifted["lifted_at"], Value::Null);
    world.until(&till.token, 200).await;
    let again = post(&lift, Value::Null).await.json();
    assert_eq!(again, lifted, "the first time stands");
    world.stop().await;
}
