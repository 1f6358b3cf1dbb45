//! What the ingress refuses, with which status, code and pointer; and that nothing of it is kept.

use serde_json::{Value, json};
use tsms::domain::{checksum::Version, time::Timestamp};

use crate::{
    bodies::{batch, sale, sign, value},
    on_both_tiers,
    world::{Answer, World, issue},
};

on_both_tiers!(
    bodies_are_refused_by_field,
    requests_are_refused_before_the_body_counts,
    ownership_is_held,
    nothing_refused_is_kept,
);

/// Changes a good body, and says what must come of it.
type Change = fn(&mut Value);

/// (what is done, status, code, pointer of the first error)
const CASES: &[(Change, u16, &str, &str)] = &[
    (
        |b| b["submission_uuid"] = json!("not-a-uuid"),
        422,
        "invalid_fields",
        "/submission_uuid",
    ),
    (
        |b| b["submission_timestamp"] = json!("2025-08-19T10:00:00+08:00"),
        422,
        "invalid_fields",
        "/submission_timestamp",
    ),
    (
        |b| b["transaction_count"] = json!(2),
        422,
        "invalid_fields",
        "/transaction_count",
    ),
    (
        |b| b["transactions"] = json!([b["transaction"]]),
        422,
        "invalid_fields",
        "/transactions",
    ),
    (
        |b| drop(b.as_object_mut().unwrap().remove("transaction")),
        422,
        "invalid_fields",
        "/transaction",
    ),
    (
        |b| b["transaction"]["transaction_id"] = json!(17),
        422,
        "invalid_fields",
        "/transaction/transaction_id",
    ),
    (
        |b| b["transaction"]["gross_sales"] = json!("a lot"),
        422,
        "invalid_fields",
        "/transaction/gross_sales",
    ),
    (
        |b| b["transaction"]["gross_sales"] = json!("-1.00"),
        422,
        "invalid_fields",
        "/transaction/gross_sales",
    ),
    (
        |b| b["transaction"]["gross_sales"] = json!("10000000000.00"),
        422,
        "invalid_fields",
        "/transaction/gross_sales",
    ),
    (
        |b| b["transaction"]["receipt_no"] = json!("no blanks"),
        422,
        "invalid_fields",
        "/transaction/receipt_no",
    ),
    (
        |b| b["transaction"]["customer_code"] = json!("line\nfeed"),
        422,
        "invalid_fields",
        "/transaction/customer_code",
    ),
    (
        |b| b["transaction"]["adjustments"][0]["amount"] = json!("x"),
        422,
        "invalid_fields",
        "/transaction/adjustments/0/amount",
    ),
];

async fn bodies_are_refused_by_field(world: World) {
    let till = world.till();
    for (number, (change, status, code, pointer)) in CASES.iter().enumerate() {
        let mut body = value(&sale(till, Version::V21, 1000 + number as u64));
        change(&mut body);
        let answer = world.post(till, sign(body, Version::V21)).await;
        assert_eq!(answer.status, *status, "{pointer}: {answer:?}");
        assert_eq!(answer.code(), *code, "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], *pointer, "{answer:?}");
    }
    let good = sale(till, Version::V21, 1).body;
    let text = std::str::from_utf8(&good).unwrap();
    let mut wrong = value(&sale(till, Version::V21, 2));
    wrong["transaction"]["customer_code"] = "changed after signing".into();
    let malformed: Vec<(String, u16, &str)> = vec![
        (wrong.to_string(), 422, "checksum_mismatch"),
        (String::new(), 400, "malformed_json"),
        ("{".to_owned(), 400, "malformed_json"),
        ("[]".to_owned(), 422, "invalid_fields"),
        (
            text.replacen('{', "{\"tenant_id\":1,", 1),
            400,
            "duplicate_member",
        ),
        (
            format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)),
            400,
            "json_too_deep",
        ),
        (format!("\u{feff}{text}"), 400, "malformed_json"),
        (
            text.replacen("\"transaction_count\":1", "\"transaction_count\":NaN", 1),
            400,
            "malformed_json",
        ),
    ];
    for (body, status, code) in malformed {
        let shown: String = body.chars().take(60).collect();
        let answer = world.post(till, body).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert_eq!(answer.code(), code, "{shown}: {answer:?}");
    }
    let invalid_utf8 = world.post(till, b"{\"a\":\"\xff\"}".to_vec()).await;
    assert_eq!(
        (invalid_utf8.status.as_u16(), invalid_utf8.code().as_str()),
        (400, "malformed_json")
    );
    let too_many = batch(till, Version::V21, 500, 3);
    assert_eq!(world.post(till, too_many.body.clone()).await.status, 202);
    let mut one_more = value(&too_many);
    let extra = value(&sale(till, Version::V21, 4))["transaction"].clone();
    one_more["transactions"].as_array_mut().unwrap().push(extra);
    one_more["transaction_count"] = 501.into();
    let answer = world.post(till, sign(one_more, Version::V21)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (413, "too_many_transactions")
    );
    world.stop().await;
}

async fn requests_are_refused_before_the_body_counts(world: World) {
    let till = world.till();
    let url = format!("{}/api/v1/transactions/official", world.base);
    let good = sale(till, Version::V21, 1).body;
    let post = |token: &str| world.http.post(&url).bearer_auth(token);
    let json = |token: &str| post(token).header("content-type", "application/json");
    let get = |path: &str| {
        world
            .http
            .get(format!("{}{path}", world.base))
            .bearer_auth(&till.token)
    };
    let revoked = token(&world, "transaction:create", true).await;
    let reader = token(&world, "transaction:read", false).await;
    let large = vec![b' '; 2 * 1024 * 1024 + 1];
    let anonymous = world.http.post(&url).header("content-type", "application/json");
    let cases = [
        (anonymous.body(good.clone()), 401, "unauthenticated"),
        (json("garbage").body(good.clone()), 401, "unauthenticated"),
        (json(&revoked).body(good.clone()), 401, "unauthenticated"),
        (json(&reader).body(good.clone()), 403, "ability_missing"),
        (
            post(&till.token).body(good.clone()),
            415,
            "unsupported_media_type",
        ),
        (json(&till.token).body(large), 413, "body_too_large"),
        (get("/nowhere"), 404, "not_found"),
        (get("/api/v1/transactions/official"), 405, "method_not_allowed"),
        (get("/api/v1/transactions/7/status"), 404, "not_found"),
    ];
    for (request, status, code) in cases {
        let answer = Answer::of(request.header("x-request-id", "a-test.1")).await;
        assert_eq!(answer.status, status, "{code}: {answer:?}");
        assert_eq!(answer.code(), code, "{answer:?}");
        assert_eq!(answer.headers["x-request-id"], "a-test.1", "{code}");
        assert_eq!(answer.json()["request_id"], "a-test.1", "{code}");
    }
    world.stop().await;
}

/// A further token of the first till.
async fn token(world: &World, ability: &str, revoked: bool) -> String {
    let (id, plain) = issue(&world.store, Some(world.till().terminal_id), &[ability]).await;
    if revoked {
        world.store.revoke_token(id, Timestamp::now()).await.unwrap();
    }
    plain
}

async fn ownership_is_held(world: World) {
    let till = world.till();
    for (member, other) in [
        ("terminal_id", json!(world.tills[1].terminal_id)),
        ("tenant_id", json!(world.tills[2].tenant_id)),
    ] {
        let mut body = value(&sale(till, Version::V21, 50));
        body[member] = other;
        let answer = world.post(till, sign(body, Version::V21)).await;
        assert_eq!(answer.status, 403, "{member}: {answer:?}");
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            format!("/{member}"),
            "{answer:?}"
        );
    }
    let mut body = value(&sale(till, Version::V21, 51));
    body["transaction"]["hardware_id"] = "SN-OF-ANOTHER".into();
    let answer = world.post(till, sign(body, Version::V21)).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(answer.code(), "hardware_mismatch");
    world.stop().await;
}

async fn nothing_refused_is_kept(world: World) {
    let till = world.till();
    let mut body = value(&sale(till, Version::V21, 60));
    let uuid = body["submission_uuid"].as_str().unwrap().to_owned();
    body["transaction"]["customer_code"] = "unsigned change".into();
    assert_eq!(world.post(till, body.to_string()).await.status, 422);
    assert_eq!(
        world
            .get(till, &format!("/api/v1/submissions/{uuid}"))
            .await
            .status,
        404
    );
    // The uuid is not burnt: the same submission, right this time, is accepted.
    assert_eq!(world.post(till, sign(body, Version::V21)).await.status, 202);
    world.stop().await;
}
