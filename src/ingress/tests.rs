//! The whole router over a real record (SQLite) and the in-memory queue.

mod limits;
mod till;
mod twins;

use std::collections::HashSet;

use http::StatusCode;
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fixture;
use till::{Answer, Mall};

fn pointers(document: &Value) -> Vec<&str> {
    let errors = document["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors
        .iter()
        .filter_map(|error| error["pointer"].as_str())
        .collect()
}

fn refused(answer: &Answer, status: u16, code: &str) {
    let document = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{document}");
    assert_eq!(document["code"], code, "{document}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

fn status_of(transaction_id: &str) -> String {
    format!("/api/v1/transactions/{transaction_id}/status")
}

fn submission_of(uuid: &str) -> String {
    format!("/api/v1/submissions/{uuid}")
}

#[tokio::test]
async fn an_accepted_sale_has_a_status_from_the_instant_of_the_202() {
    let mall = Mall::open(|_| {}).await;
    let sale = mall.till.submission(1);
    let answer = mall.post(&mall.till.token, &sale.signed()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let receipt = answer.json();
    let link = submission_of(sale.uuid());
    assert_eq!(answer.header("location"), link);
    assert_eq!(receipt["status_url"], link);
    assert_eq!(receipt["status"], "ACCEPTED");
    assert_eq!(receipt["transaction_count"], 1);
    let item = &receipt["transactions"][0];
    assert_eq!(item["transaction_id"], sale.transaction_ids()[0]);
    assert_eq!(item["state"], "ACCEPTED");

    let status = mall
        .get(&mall.till.token, item["status_url"].as_str().unwrap())
        .await
        .json();
    assert_eq!(status["status"], "ACCEPTED");
    assert_eq!(status["submission_uuid"], sale.uuid());
    assert_eq!(status["accepted_at"], receipt["accepted_at"]);
    let submission = mall.get(&mall.till.token, &link).await.json();
    assert_eq!(submission["status"], "ACCEPTED");
    assert_eq!(submission["submission_id"], receipt["submission_id"]);
    assert_eq!(submission["transactions"], receipt["transactions"]);

    mall.queued(1).await;
}

#[tokio::test]
async fn a_batch_is_one_submission_with_a_state_for_each_sale() {
    let mall = Mall::open(|_| {}).await;
    let batch = mall.till.submission(3);
    let receipt = mall.post(&mall.till.token, &batch.signed()).await.json();
    assert_eq!(receipt["transaction_count"], 3, "{receipt}");
    for (item, id) in receipt["transactions"]
        .as_array()
        .unwrap()
        .iter()
        .zip(batch.transaction_ids())
    {
        assert_eq!(item["transaction_id"], id);
        let status = mall
            .get(&mall.till.token, item["status_url"].as_str().unwrap())
            .await
            .json();
        assert_eq!(status["status"], "ACCEPTED");
    }
    mall.queued(1).await;
}

#[tokio::test]
async fn the_same_request_gets_the_same_bytes_and_other_content_a_conflict() {
    let mall = Mall::open(|_| {}).await;
    let mut sale = mall.till.submission(2);
    let first = mall.post(&mall.till.token, &sale.signed()).await;
    let again = mall.post(&mall.till.token, &sale.signed()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!((again.status, again.text()), (first.status, first.text()));
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    mall.queued(1).await;

    sale.body["transactions"][1]["gross_sales"] = json!("1.00");
    let changed = mall.post(&mall.till.token, &sale.signed()).await;
    refused(&changed, 409, "submission_conflict");
    assert_eq!(pointers(&changed.json()), ["/submission_uuid"]);
    let after = mall
        .post(&mall.till.token, &mall.till.submission(1).signed())
        .await;
    assert_eq!(
        after.status,
        StatusCode::ACCEPTED,
        "a conflict does not disturb the next sale"
    );
}

#[tokio::test]
async fn requests_that_come_together_share_commits_and_keep_their_answers_apart() {
    let mall = Mall::open(|_| {}).await;
    let twin = mall.till.submission(1).signed();
    let others: Vec<_> = (0..40).map(|_| mall.till.submission(1)).collect();
    let twins = futures::future::join_all((0..20).map(|_| mall.post(&mall.till.token, &twin)));
    let rest = futures::future::join_all(others.iter().map(async |sale| {
        let receipt = mall.post(&mall.till.token, &sale.signed()).await.json();
        assert_eq!(receipt["submission_uuid"], sale.uuid());
        receipt["submission_id"].to_string()
    }));
    let (twins, rest) = tokio::join!(twins, rest);
    assert!(twins.iter().all(|answer| answer.status == StatusCode::ACCEPTED));
    assert!(twins.iter().all(|answer| answer.text() == twins[0].text()));
    assert_eq!(rest.into_iter().collect::<HashSet<_>>().len(), 40);
    mall.queued(41).await;
    assert!(
        mall.statements("submissions.insert") < 60,
        "not a commit for each"
    );
}

#[tokio::test]
async fn a_stopped_ingress_has_handed_on_what_it_accepted() {
    let mall = Mall::open(|_| {}).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (config, store, queue) = mall.parts();
    let serving = tokio::spawn(super::serve(listener, config, store, queue, None, stop.clone()));
    let body = mall.till.submission(1).signed();
    let head = format!(
        "POST /api/v1/transactions/official HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        mall.till.bearer(),
        body.len()
    );
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    let mut first = [0; 12];
    fixture::soon(client.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 202");
    stop.cancel();
    fixture::soon(serving).await.unwrap().unwrap();
    assert_eq!(mall.ready_jobs().await, 1);
}

#[tokio::test]
async fn another_terminals_sale_looks_exactly_like_none() {
    let mall = Mall::open(|_| {}).await;
    let sale = mall.till.submission(1);
    mall.post(&mall.till.token, &sale.signed()).await;
    let nobodys = Uuid::new_v4();
    for (path, unknown) in [
        (
            status_of(sale.transaction_ids()[0]),
            status_of(&nobodys.to_string()),
        ),
        (submission_of(sale.uuid()), submission_of(&nobodys.to_string())),
    ] {
        assert_eq!(mall.get(&mall.till.token, &path).await.status, StatusCode::OK);
        let stranger = mall.get(&mall.neighbour.token, &path).await;
        let unknown = mall.get(&mall.neighbour.token, &unknown).await;
        refused(&stranger, 404, "not_found");
        let without_id = |answer: &Answer| {
            let mut document = answer.json();
            document["request_id"] = Value::Null;
            document
        };
        assert_eq!(without_id(&stranger), without_id(&unknown));
    }
    let by_row = mall.get(&mall.till.token, "/api/v1/transactions/1/status").await;
    refused(&by_row, 404, "not_found");
}

#[tokio::test]
async fn the_cheapest_reason_is_given_first() {
    let mall = Mall::open(|config| config.ingress.max_body_bytes = 20_000).await;
    let large = " ".repeat(20_001);
    let json = ("content-type", "application/json");
    for (headers, body, status, code) in [
        (&[][..], large.as_str(), 413, "body_too_large"),
        (
            &[("content-type", "text/plain")],
            "{",
            415,
            "unsupported_media_type",
        ),
        (
            &[json, ("content-encoding", "gzip")],
            "{",
            415,
            "unsupported_content_encoding",
        ),
        (&[json], "{", 401, "unauthenticated"),
        (
            &[json, ("authorization", "Bearer tsms_t_nonsense")],
            "{",
            401,
            "unauthenticated",
        ),
        (
            &[json, ("authorization", mall.blind.as_str())],
            "{",
            403,
            "ability_missing",
        ),
        (
            &[json, ("authorization", mall.closed.as_str())],
            "{",
            403,
            "terminal_inactive",
        ),
        (
            &[json, ("authorization", mall.revoked.as_str())],
            "{",
            401,
            "unauthenticated",
        ),
        (
            &[json, ("authorization", mall.till.bearer().as_str())],
            "{",
            400,
            "malformed_json",
        ),
        (
            &[json, ("authorization", mall.till.bearer().as_str())],
            "{}",
            422,
            "invalid_fields",
        ),
    ] {
        let answer = mall
            .send("POST", "/api/v1/transactions/official", headers, body)
            .await;
        refused(&answer, status, code);
    }
    assert_eq!(mall.statements("submissions.insert"), 0);
}

#[tokio::test]
async fn the_admin_api_is_closed_to_other_networks() {
    let mall = Mall::open(|config| config.admin.allow = "10.0.0.0/8".parse().unwrap()).await;
    for token in ["", "garbage", &mall.till.token] {
        let answer = mall.get(token, "/api/v1/admin/tenants").await;
        refused(&answer, 403, "network_refused");
    }
    assert_eq!(mall.statements("tokens.identity"), 0, "nobody is looked up");
}

#[tokio::test]
async fn requests_for_tokens_are_small() {
    let mall = Mall::open(|config| config.auth.max_body_bytes = 100).await;
    let headers = [("content-type", "application/json")];
    let login = |key: usize| format!(r#"{{"serial_number":"S-1","api_key":"{}"}}"#, "x".repeat(key));
    for (body, status, code) in [
        (login(50), 401, "authentication_failed"),
        (login(90), 413, "body_too_large"),
        ("{".to_owned(), 400, "malformed_json"),
        (r#"{"api_key":"k"}"#.to_owned(), 422, "invalid_fields"),
        (
            r#"{"serial_number":"a\nb","api_key":"k"}"#.to_owned(),
            422,
            "invalid_fields",
        ),
    ] {
        let answer = mall.send("POST", "/api/v1/auth/terminal", &headers, &body).await;
        refused(&answer, status, code);
    }
}

#[tokio::test]
async fn a_body_must_speak_of_the_terminal_that_sends_it() {
    let mall = Mall::open(|_| {}).await;
    let refusal = async |count: usize, change: fn(&mut Value), code: &str| {
        let mut sale = mall.till.submission(count);
        change(&mut sale.body);
        let answer = mall.post(&mall.till.token, &sale.signed()).await;
        refused(&answer, 403, code);
        let document = answer.json();
        pointers(&document).join(" ")
    };
    let terminal = refusal(1, |body| body["terminal_id"] = json!(999), "terminal_mismatch").await;
    assert_eq!(terminal, "/terminal_id");
    let tenant = refusal(1, |body| body["tenant_id"] = json!(999), "tenant_mismatch").await;
    assert_eq!(tenant, "/tenant_id");
    let single = |body: &mut Value| body["transaction"]["hardware_id"] = json!("OTHER");
    assert_eq!(
        refusal(1, single, "hardware_mismatch").await,
        "/transaction/hardware_id"
    );
    let second = |body: &mut Value| body["transactions"][1]["hardware_id"] = json!("OTHER");
    assert_eq!(
        refusal(2, second, "hardware_mismatch").await,
        "/transactions/1/hardware_id"
    );

    let mut sale = mall.till.submission(1);
    sale.body["transaction"]["customer_code"] = json!("SOMEBODY-ELSE");
    let answer = mall.post(&mall.till.token, &sale.signed()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
}

#[tokio::test]
async fn a_wrong_checksum_is_named() {
    let mall = Mall::open(|_| {}).await;
    let sale = mall.till.submission(2);
    let tampered = sale.signed().replacen("112.00", "113.00", 1);
    let answer = mall.post(&mall.till.token, &tampered).await;
    refused(&answer, 422, "checksum_mismatch");
    assert!(
        pointers(&answer.json()).contains(&"/transactions/0/payload_checksum"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn the_submit_path_reads_nothing_from_the_record() {
    let mall = Mall::open(|_| {}).await;
    mall.post(&mall.till.token, &mall.till.submission(1).signed())
        .await;
    let before = mall.all_statements();
    for _ in 0..5 {
        let answer = mall
            .post(&mall.till.token, &mall.till.submission(1).signed())
            .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
    let mut after = mall.all_statements();
    for (name, count) in before {
        let total = after.entry(name).or_default();
        *total -= count;
    }
    after.retain(|name, count| *count > 0 && *name != "ids.reserve");
    assert_eq!(after.into_iter().collect::<Vec<_>>(), [("submissions.insert", 5)]);
}

#[tokio::test]
async fn probes_and_metrics_need_no_token() {
    let mall = Mall::open(|_| {}).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = mall.send("GET", path, &[], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    }
    mall.draining.cancel();
    let ready = mall.send("GET", "/readyz", &[], "").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["status"], "draining");
    assert_eq!(mall.send("GET", "/livez", &[], "").await.status, StatusCode::OK);
}
