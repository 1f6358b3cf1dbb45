use serde_json::json;

use super::{words::ItemWord, *};
use crate::{
    domain::sale::{Adjustments, Sale, Severity, Taxes, Transaction},
    store::{ItemResult, ItemState},
};

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);
const C: Uuid = Uuid::from_u128(0xc);
const SUBMISSION: Uuid = Uuid::from_u128(0x5);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000 + 250)
}

fn recorded(status: ValidationStatus, forward: Option<ForwardState>) -> TransactionView {
    let sale = Sale {
        transaction_id: A,
        hardware_id: None,
        transaction_timestamp: at(0),
        base_amount: None,
        gross_sales: Some(Money::from_minor(11_205)),
        net_sales: Some(Money::from_minor(-50)),
        adjustments: Adjustments::default(),
        taxes: Taxes::default(),
        promo_status: None,
        customer_code: None,
        receipt_no: None,
        payload_checksum: [0; 32],
        remarks: Vec::new(),
    };
    TransactionView {
        row: Transaction {
            id: 9,
            tenant_id: 3,
            terminal_id: 7,
            submission_id: 5,
            submission_uuid: SUBMISSION,
            sale,
            status,
            findings: vec![Finding {
                code: "amount.not_positive".to_owned(),
                severity: Severity::Warning,
                message: "says why".to_owned(),
            }],
            created_at: at(2),
            decided_at: Some(at(3)),
            voided_at: None,
            void_reason: None,
        },
        dead_code: None,
        forward,
        forward_attempts: 2,
        forward_settled_at: None,
        accepted_at: Some(at(1)),
        reversed: false,
    }
}

fn submission(ids: &[Uuid]) -> SubmissionView {
    SubmissionView {
        id: 5,
        submission_uuid: SUBMISSION,
        accepted_at: at(1),
        processed_at: None,
        dead_code: None,
        transaction_ids: ids.to_vec(),
        results: Vec::new(),
    }
}

fn result(transaction_id: Uuid, state: ItemState) -> ItemResult {
    ItemResult {
        transaction_id,
        state,
        original: 1,
    }
}

fn states(view: SubmissionView, words: &[(Uuid, SaleState)]) -> serde_json::Value {
    let status = SubmissionStatus::new(view, &words.iter().copied().collect());
    let items: Vec<ItemWord> = status.transactions.iter().map(|item| item.state).collect();
    json!([status.status, items])
}

#[test]
fn one_word_for_a_till() {
    use ForwardState as F;
    use ValidationStatus as V;
    for (status, forward, expected) in [
        (V::Pending, None, "PENDING"),
        (V::Invalid, None, "INVALID"),
        (V::Valid, None, "VALID"),
        (V::Valid, Some(F::Pending), "VALID"),
        (V::Valid, Some(F::Sending), "VALID"),
        (V::Valid, Some(F::Forwarded), "FORWARDED"),
        (V::Valid, Some(F::Dead), "DEAD_LETTERED"),
    ] {
        assert_eq!(json!(word(&recorded(status, forward))), expected);
    }
    let mut given_up = recorded(V::Pending, None);
    given_up.dead_code = Some("poison".to_owned());
    assert_eq!(word(&given_up), SaleState::DeadLettered);
}

#[test]
fn a_recorded_sale_shows_exact_amounts_and_utc_times() {
    let view = recorded(ValidationStatus::Valid, Some(ForwardState::Sending));
    let shown = serde_json::to_value(TransactionStatus::recorded(view)).unwrap();
    let expected = json!({
        "transaction_id": A,
        "submission_uuid": SUBMISSION,
        "status": "VALID",
        "validation_status": "VALID",
        "findings": [{ "code": "amount.not_positive", "severity": "warning", "message": "says why" }],
        "forward": { "state": "SENDING", "attempts": 2, "settled_at": null },
        "amounts": { "gross_sales": "112.05", "net_sales": "-0.50", "base_amount": null },
        "accepted_at": "1970-01-01T00:00:01.000250Z",
        "recorded_at": "1970-01-01T00:00:02.000250Z",
        "decided_at": "1970-01-01T00:00:03.000250Z",
        "voided_at": null,
        "void_reason": null,
        "void_forward": null,
        "refunded_amount": null,
        "refunds": [],
    });
    assert_eq!(shown, expected);
}

#[test]
fn a_sale_without_a_row_is_accepted_or_given_up() {
    let mut view = submission(&[A]);
    assert_eq!(TransactionStatus::waiting(A, &view).status, SaleState::Accepted);
    assert_eq!(states(view.clone(), &[]), json!(["ACCEPTED", ["ACCEPTED"]]));
    view.dead_code = Some("poison".to_owned());
    assert_eq!(
        TransactionStatus::waiting(A, &view).status,
        SaleState::DeadLettered
    );
    assert_eq!(states(view, &[]), json!(["FAILED", ["DEAD_LETTERED"]]));
}

#[test]
fn items_show_their_row_or_why_they_made_none() {
    let mut view = submission(&[A, B, C]);
    view.processed_at = Some(at(2));
    view.results = vec![result(B, ItemState::Duplicate), result(C, ItemState::Conflict)];
    let expected = json!(["PROCESSED", ["VALID", "DUPLICATE", "CONFLICT"]]);
    assert_eq!(states(view, &[(A, SaleState::Valid)]), expected);
}

#[tokio::test]
async fn only_a_uuid_in_its_usual_form_is_an_id() {
    use axum::{Router, body::Body, routing::get};
    use tower::ServiceExt;

    let uuid = A.hyphenated().to_string();
    for (text, found) in [
        (uuid.clone(), true),
        (uuid.to_uppercase(), true),
        (A.simple().to_string(), false),
        (format!("%7B{uuid}%7D"), false),
        (format!("urn:uuid:{uuid}"), false),
        ("7".to_owned(), false),
        ("%ff".to_owned(), false),
    ] {
        let router = Router::new().route("/{id}", get(async |PathId(id): PathId| id.to_string()));
        let request = http::Request::get(format!("/{text}"))
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status() == http::StatusCode::OK, found, "{text}");
    }
}
