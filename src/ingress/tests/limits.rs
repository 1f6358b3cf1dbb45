//! Rate limits as a till meets them: the 429, its fields, and who shares what.

use http::StatusCode;

use super::{
    refused,
    till::{Answer, Mall},
};
use crate::config::{Limits, Millis, Policy};

/// A mall with these quotas in ten minutes, which no test takes.
async fn mall(terminal: u32, tenant: u32, change: fn(&mut Limits)) -> Mall {
    let policy = |quota| Policy {
        quota,
        period_ms: Millis::new(600_000),
    };
    Mall::open(|config| {
        config.limits.terminal = policy(terminal);
        config.limits.tenant = policy(tenant);
        change(&mut config.limits);
        config.ingress.retry_after_min_s = 5;
        config.ingress.retry_after_max_s = 7;
    })
    .await
}

async fn post(mall: &Mall) -> Answer {
    mall.post(&mall.till.token, &mall.till.submission(1).signed())
        .await
}

#[tokio::test]
async fn a_till_is_told_where_it_stands_and_then_to_wait() {
    let mall = mall(3, 50, |_| {}).await;
    for left in [2, 1, 0] {
        let answer = post(&mall).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        let policy = "\"terminal\";q=3;w=600, \"tenant\";q=50;w=600";
        assert_eq!(answer.header("ratelimit-policy"), policy);
        let (terminal, tenant) = answer.header("ratelimit").split_once(", ").unwrap();
        assert!(
            terminal.starts_with(&format!("\"terminal\";r={left};t=")),
            "{terminal}"
        );
        assert!(
            tenant.starts_with(&format!("\"tenant\";r={};t=", left + 47)),
            "{tenant}"
        );
    }
    let stored = mall.statements("submissions.insert");
    for _ in 0..5 {
        let answer = post(&mall).await;
        refused(&answer, 429, "rate_limited");
        let wait = answer.header("retry-after").parse::<u64>().unwrap();
        assert!((5..=7).contains(&wait), "clamped: {wait}");
        assert_eq!(answer.json()["retry_after"], wait, "the same in the body");
        assert!(answer.header("ratelimit").starts_with("\"terminal\";r=0;t="));
        assert!(
            answer.header("ratelimit").contains("\"tenant\";r=47"),
            "no mark elsewhere"
        );
    }
    assert_eq!(mall.statements("submissions.insert"), stored);
    let neighbour = mall
        .post(&mall.neighbour.token, &mall.neighbour.submission(1).signed())
        .await;
    assert_eq!(
        neighbour.status,
        StatusCode::ACCEPTED,
        "another till, another bucket"
    );
}

#[tokio::test]
async fn a_batch_is_one_request_and_a_look_is_one_too() {
    let mall = mall(2, 50, |_| {}).await;
    let batch = mall.till.submission(30);
    let answer = mall.post(&mall.till.token, &batch.signed()).await;
    assert!(answer.header("ratelimit").starts_with("\"terminal\";r=1;"));
    let path = super::submission_of(batch.uuid());
    assert_eq!(mall.get(&mall.till.token, &path).await.status, StatusCode::OK);
    refused(&mall.get(&mall.till.token, &path).await, 429, "rate_limited");
}

/// What a client says of itself in headers moves it to no other bucket.
#[tokio::test]
async fn no_header_chooses_a_bucket() {
    let mall = mall(1, 50, |_| {}).await;
    post(&mall).await;
    let bearer = mall.till.bearer();
    for (name, value) in [
        ("x-tenant-id", "999"),
        ("x-terminal-id", "999"),
        ("x-forwarded-for", "192.0.2.9"),
        ("forwarded", "for=192.0.2.9"),
        ("x-real-ip", "192.0.2.9"),
        ("x-hardware-id", "other"),
    ] {
        let headers = [
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
            (name, value),
        ];
        let body = mall.till.submission(1).signed();
        let answer = mall
            .send("POST", "/api/v1/transactions/official", &headers, &body)
            .await;
        refused(&answer, 429, "rate_limited");
    }
}

#[tokio::test]
async fn the_tenant_and_everybody_have_budgets_too() {
    let by_tenant = mall(50, 2, |_| {}).await;
    for _ in 0..2 {
        assert_eq!(post(&by_tenant).await.status, StatusCode::ACCEPTED);
    }
    let answer = post(&by_tenant).await;
    refused(&answer, 429, "rate_limited");
    assert!(answer.text().contains("tenant"), "{}", answer.text());

    let by_all = mall(50, 50, |limits| limits.global.quota = 1).await;
    post(&by_all).await;
    let neighbour = &by_all.neighbour;
    let answer = by_all
        .post(&neighbour.token, &neighbour.submission(1).signed())
        .await;
    refused(&answer, 429, "rate_limited");
    assert!(answer.header("ratelimit").contains("\"global\";r=0;t="));
}

/// The order of D9: a limit is asked after the token and before a byte of the body is read.
#[tokio::test]
async fn who_is_not_known_is_not_counted_and_a_refused_body_is_not_read() {
    let mall = mall(1, 50, |_| {}).await;
    for _ in 0..3 {
        let stranger = mall.post("tsms_t_nonsense", "{").await;
        refused(&stranger, 401, "unauthenticated");
        assert_eq!(stranger.header("ratelimit"), "");
    }
    refused(&mall.post(&mall.till.token, "{").await, 400, "malformed_json");
    refused(&mall.post(&mall.till.token, "{").await, 429, "rate_limited");
}

#[tokio::test]
async fn tries_to_get_a_token_are_few_by_till_and_by_address() {
    let mall = mall(50, 50, |limits| {
        limits.auth_serial.quota = 3;
        limits.auth_address.quota = 5;
    })
    .await;
    let login = async |serial: &str| {
        let body = serde_json::json!({ "serial_number": serial, "api_key": "a guess" }).to_string();
        let headers = [("content-type", "application/json")];
        mall.send("POST", "/api/v1/auth/terminal", &headers, &body).await
    };
    for _ in 0..3 {
        refused(&login("S-1").await, 401, "authentication_failed");
    }
    let answer = login("S-1").await;
    refused(&answer, 429, "rate_limited");
    assert!(answer.text().contains("auth_serial"), "{}", answer.text());
    let wait = answer.header("retry-after").parse::<u64>().unwrap();
    assert!((5..=7).contains(&wait), "{wait}");
    for serial in ["S-2", "S-3"] {
        refused(&login(serial).await, 401, "authentication_failed");
    }
    let answer = login("S-4").await;
    refused(&answer, 429, "rate_limited");
    assert!(answer.text().contains("auth_address"), "{}", answer.text());
    let posted = post(&mall).await;
    assert_eq!(
        posted.status,
        StatusCode::ACCEPTED,
        "sales have buckets of their own"
    );
}
