//! What a batch must be, and what it does to the ledger.

use uuid::Uuid;

use super::*;
use crate::domain::{
    forward::{self, Envelope},
    money::Money,
    sale::{Adjustments, Sale, Taxes, Transaction, ValidationStatus},
    time::Timestamp,
};

#[tokio::test]
async fn a_sale_has_one_effect_however_often_it_comes() {
    let server = Server::with_mode("ok").await;
    let (status, answer) = server.post(&three()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["status"], "success");
    assert_eq!(answer["batch_id"], "TSMS_1");
    assert_eq!(
        (&answer["received_count"], &answer["processed_count"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(answer["results"][1]["tsms_id"], 2);
    assert_eq!(
        answer["results"][1]["transaction_id"],
        "00000000-0000-4000-8000-000000000002"
    );
    assert_eq!(server.statuses(&three()).await, ["duplicate"; 3]);
    let overlap = batch_of(&[item(3, "0.07"), item(4, "1.00")]);
    assert_eq!(server.statuses(&overlap).await, ["duplicate", "accepted"]);

    let summary = server.sink.summary();
    assert_eq!((summary.distinct, summary.duplicates), (4, 4));
    assert_eq!(summary.amount.to_string(), "31.57");
    assert_eq!(summary.complaints, 0, "{summary}");
    assert_eq!(server.sink.entries()[2].received, 3);
}

#[tokio::test]
async fn other_content_or_another_id_for_the_same_sale_is_rejected_and_counted() {
    let server = Server::with_mode("ok").await;
    assert_eq!(
        server.statuses(&batch_of(&[item(1, "10.00")])).await,
        ["accepted"]
    );
    assert_eq!(
        server.statuses(&batch_of(&[item(1, "10.01")])).await,
        ["rejected"]
    );
    let second_id = item_text(1, "10.00").replace(r#""tsms_id":1,"#, r#""tsms_id":77,"#);
    assert_eq!(
        server.statuses(&batch_of(&[signed(&second_id)])).await,
        ["rejected"]
    );
    let summary = server.sink.summary();
    assert_eq!((summary.distinct, summary.conflicts, summary.clashes), (1, 1, 1));
    assert_eq!(
        (server.sink.clashes()[0].first, server.sink.clashes()[0].second),
        (1, 77)
    );
    assert_eq!(summary.amount.to_string(), "10.00");
}

#[tokio::test]
async fn a_void_is_one_more_effect_once() {
    let server = Server::with_mode("ok").await;
    let sale = item_text(1, "10.00");
    let void = sale.strip_suffix('}').unwrap().to_owned()
        + r#","status":"VOIDED","voided_at":"2025-08-19T11:00:00.000Z","void_reason":"wrong"}"#;
    assert_eq!(server.statuses(&batch_of(&[signed(&sale)])).await, ["accepted"]);
    let void = batch_of(&[signed(&void)]);
    assert_eq!(server.statuses(&void).await, ["accepted"]);
    assert_eq!(server.statuses(&void).await, ["duplicate"]);
    let summary = server.sink.summary();
    assert_eq!((summary.distinct, summary.voided), (1, 1));
    assert_eq!(
        (summary.amount.to_string(), summary.net.to_string()),
        ("10.00".to_owned(), "0.00".to_owned())
    );
    assert_eq!(server.statuses(&batch_of(&[signed(&sale)])).await, ["duplicate"]);
    assert!(
        server.sink.entries()[0].voided,
        "a late copy of the sale does not make it count again"
    );
}

#[tokio::test]
async fn refunds_add_up_once_and_an_older_state_changes_nothing() {
    let server = Server::with_mode("ok").await;
    let sale = item_text(1, "10.00");
    let with = |total: &str, rows: &str| {
        let sale = sale.strip_suffix('}').unwrap();
        batch_of(&[signed(&format!(
            r#"{sale},"refunded_amount":{total},"refunds":[{rows}]}}"#
        ))])
    };
    let row = |amount: &str, reference: &str| {
        format!(
            r#"{{"amount":{amount},"reason":"r","reference":"{reference}","refunded_at":"2025-08-19T11:00:00.000Z"}}"#
        )
    };
    let one = with("1.50", &row("1.50", "a"));
    let two = with("4.00", &format!("{},{}", row("1.50", "a"), row("2.50", "b")));
    // The second state comes first, even before the sale: it says all that the others say.
    assert_eq!(server.statuses(&two).await, ["accepted"]);
    for older in [&one, &batch_of(&[signed(&sale)]), &two] {
        assert_eq!(server.statuses(older).await, ["duplicate"]);
    }
    let summary = server.sink.summary();
    assert_eq!(
        (summary.refunded.to_string(), summary.net.to_string()),
        ("4.00".to_owned(), "6.00".to_owned())
    );
    for (total, rows) in [
        ("1.00", row("1.50", "a")),
        ("11.00", row("11.00", "a")),
        ("0.00", row("0.00", "a")),
        ("1.50", String::new()),
    ] {
        assert_eq!(
            server.statuses(&with(total, &rows)).await,
            ["rejected"],
            "{total} {rows}"
        );
    }
    assert_eq!(server.sink.summary().net.to_string(), "6.00");
}

#[tokio::test]
async fn breaches_of_the_contract_are_refused_and_remembered() {
    let server = Server::with_mode("ok").await;
    let good = three();
    for (breach, from, to) in [
        (
            "schema_version",
            r#""schema_version":"2.0""#,
            r#""schema_version":"1.0""#,
        ),
        ("source", r#""source":"TSMS""#, r#""source":"POS""#),
        (
            "transaction_count",
            r#""transaction_count":3"#,
            r#""transaction_count":2"#,
        ),
        ("batch_checksum", "TSMS_1", "TSMS_2"),
        ("timestamp", "10:00:01.000Z", "10:00:01Z"),
        (
            "terminal_id",
            r#""tenant_id":9,"terminal_id":4"#,
            r#""tenant_id":9,"terminal_id":"4""#,
        ),
    ] {
        let (status, answer) = server.post(&good.replace(from, to)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{breach}");
        assert!(
            answer["errors"].to_string().contains(breach),
            "{breach}: {answer}"
        );
    }
    assert_eq!(
        server.post(r#"{"source":"TSMS","source":"TSMS"}"#).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(server.post("{").await.0, StatusCode::BAD_REQUEST);
    let summary = server.sink.summary();
    assert_eq!(summary.distinct, 0);
    assert!(summary.complaints >= 8 && !summary.first_complaints.is_empty());
    assert_eq!(
        (summary.requests["refused"], summary.requests["malformed"]),
        (6, 2)
    );
}

#[tokio::test]
async fn a_bad_item_does_not_take_its_batch_with_it() {
    let server = Server::with_mode("ok").await;
    let altered = item(1, "10.00").replace(r#""amount":10.00"#, r#""amount":11.00"#);
    let inexact = signed(&item_text(2, "10"));
    let unfinished = signed(&item_text(3, "1.00").replace("VALID", "PENDING"));
    let no_vat = signed(&item_text(4, "1.00").replace(r#""tax_type":"VAT""#, r#""tax_type":"TAV""#));
    let elsewhere = signed(&item_text(5, "1.00").replace(r#""terminal_id":4"#, r#""terminal_id":5"#));
    let batch = batch_of(&[altered, inexact, unfinished, no_vat, elsewhere, item(6, "5.00")]);
    let (status, answer) = server.post(&batch).await;
    assert_eq!(status, StatusCode::OK);
    let codes: Vec<&str> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["code"].as_str().unwrap_or_default())
        .collect();
    let invalid = "invalid_item";
    assert_eq!(
        codes,
        ["checksum_mismatch", invalid, invalid, invalid, invalid, ""]
    );
    assert_eq!(answer["processed_count"], 1);
    assert_eq!(server.sink.entries()[0].tsms_id, 6);
    assert_eq!(server.sink.summary().complaints, 5);
}

#[tokio::test]
async fn the_token_and_the_key_are_asked_for() {
    let server = Server::start(SinkOptions {
        token: Some("secret".to_owned()),
        ..SinkOptions::default()
    })
    .await;
    assert_eq!(server.post(&three()).await.0, StatusCode::UNAUTHORIZED);
    let ask = |token: &str, key: Option<&str>, body: String| {
        let request = server
            .client
            .post(format!("{}{BULK_PATH}", server.url))
            .header("content-type", "application/json; charset=utf-8")
            .bearer_auth(token)
            .body(body);
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
        .send()
    };
    let status = async |answer: reqwest::Result<Response>| answer.unwrap().status().as_u16();
    assert_eq!(status(ask("wrong", Some("k"), three()).await).await, 401);
    assert_eq!(status(ask("secret", None, three()).await).await, 422);
    assert_eq!(status(ask("secret", Some("k"), three()).await).await, 200);
    assert_eq!(status(ask("secret", Some("k"), three()).await).await, 200);
    let other = batch_of(&[item(9, "1.00")]);
    assert_eq!(status(ask("secret", Some("k"), other).await).await, 422);
    assert_eq!(server.sink.summary().distinct, 3);
}

#[tokio::test]
async fn the_documented_example_is_accepted_as_documented() {
    let page = include_str!("../../../../docs/webapp-contract.md");
    let mut blocks = page
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let (request, answer) = (blocks.next().unwrap(), blocks.next().unwrap());
    let server = Server::with_mode("ok").await;
    let (status, given) = server.post(request).await;
    assert_eq!(status, StatusCode::OK, "{}", server.sink.summary());
    let documented: Value = serde_json::from_str(answer).unwrap();
    for member in ["status", "batch_id", "received_count"] {
        assert_eq!(given[member], documented[member]);
    }
    assert_eq!(given["results"][0], documented["results"][0]);
    let summary = server.sink.summary();
    assert_eq!((summary.distinct, summary.voided), (2, 1), "{summary}");
    assert_eq!(summary.amount.to_string(), "1112.00");
}

pub(super) async fn post_envelope(server: &Server, envelope: Envelope) -> u16 {
    let request = server
        .client
        .post(format!("{}{BULK_PATH}", server.url))
        .header("content-type", "application/json")
        .header("idempotency-key", envelope.idempotency_key)
        .body(envelope.body);
    request.send().await.unwrap().status().as_u16()
}

/// What TSMS itself writes, from rows.
fn sent(rows: &[(i64, i64, bool)]) -> Envelope {
    let items: Vec<forward::Item> = rows
        .iter()
        .map(|&(id, terminal_id, voided)| forward::Item::new(&row(id, terminal_id, voided), None).unwrap())
        .collect();
    let items: Vec<&forward::Item> = items.iter().collect();
    Envelope::new(125, &items, &["r-1", "r-2"], Timestamp::now())
}

pub(super) fn row(id: i64, terminal_id: i64, voided: bool) -> Transaction {
    let time = Timestamp::parse("2026-11-20T03:59:30.5Z").unwrap();
    let centavos = Money::from_minor;
    Transaction {
        id,
        tenant_id: 125,
        terminal_id,
        submission_id: 9,
        submission_uuid: Uuid::from_u128(7),
        sale: Sale {
            transaction_id: Uuid::from_u128(u128::try_from(id).unwrap()),
            hardware_id: None,
            transaction_timestamp: time,
            base_amount: Some(centavos(100_010)),
            gross_sales: None,
            net_sales: (id % 2 == 0).then_some(centavos(-7)),
            adjustments: Adjustments {
                promo_discount: centavos(5_010),
                ..Adjustments::default()
            },
            taxes: Taxes {
                sc_vat_exempt_sales: centavos(1),
                ..Taxes::default()
            },
            promo_status: None,
            customer_code: Some("Niño/1".to_owned()),
            receipt_no: None,
            payload_checksum: [0; 32],
            remarks: Vec::new(),
        },
        status: ValidationStatus::Valid,
        findings: Vec::new(),
        created_at: time,
        decided_at: Some(time),
        voided_at: voided.then_some(time),
        void_reason: voided.then(|| "wrong \"price\" 😀".to_owned()),
    }
}

#[tokio::test]
async fn what_tsms_writes_is_what_the_contract_asks_for() {
    let server = Server::with_mode("ok").await;
    for rows in [
        &[(1, 4, false)][..],
        &[(2, 4, false), (3, 4, false)],
        &[(4, 4, false), (5, 6, false)],
        &[(4, 4, false), (5, 6, false)],
        &[(4, 4, true), (6, 6, true)],
    ] {
        assert_eq!(
            post_envelope(&server, sent(rows)).await,
            200,
            "{}",
            server.sink.summary()
        );
    }
    let summary = server.sink.summary();
    assert_eq!(summary.complaints, 0, "{summary}");
    assert_eq!((summary.distinct, summary.duplicates, summary.voided), (6, 2, 2));
    assert_eq!(summary.amount.to_string(), "6000.60");
}
