mod rows;

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{
    json::{Duplicates, Problem, parse},
    money::Money,
};

const BOUNDS: Bounds = Bounds {
    json: Limits {
        depth: 16,
        nodes: 50_000,
        duplicates: Duplicates::Refuse,
    },
    batch: 3,
    max_errors: 50,
};

fn fixture(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

fn seed() -> Value {
    fixture("env_single-v1.json")
}

fn v2() -> Value {
    fixture("env_single-v2.1.json")
}

fn reread_value(body: &Value) -> Result<Submission, Refusal> {
    reread(body.to_string().as_bytes(), &BOUNDS)
}

/// The field errors of a body, as pointer and code.
fn errors(body: &Value) -> Vec<(String, &'static str)> {
    match reread_value(body) {
        Err(Refusal::Fields(list)) => list
            .into_iter()
            .map(|error| (error.pointer, error.code))
            .collect(),
        other => panic!("no field errors: {other:?}"),
    }
}

fn codes(sale: &Sale) -> Vec<&str> {
    sale.remarks.iter().map(|remark| remark.code.as_str()).collect()
}

/// A body with one member set (or, with `null`, as good as taken out).
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Object(members) => {
            members.insert(name.to_owned(), value);
        }
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    body
}

#[test]
fn reads_and_verifies_every_sample() {
    let vectors = fixture("checksum-vectors.json");
    for (name, envelope) in vectors["envelopes"].as_object().unwrap() {
        let submission = read(envelope.to_string().as_bytes(), &BOUNDS).unwrap();
        assert!(name.ends_with(submission.version.name()));
        assert_eq!((submission.tenant_id, submission.terminal_id), (125, 1));
        assert_eq!(
            submission.sales.len(),
            if name.starts_with("batch") { 2 } else { 1 }
        );
        let sale = &submission.sales[0];
        assert_eq!(sale.amount(), Money::from_minor(100_000));
        assert_eq!(sale.base_amount.is_some(), name.ends_with("v1"));
        assert_eq!(sale.net_sales.is_some(), !name.ends_with("v1"));
        assert_eq!(sale.adjustments.senior_discount, Money::from_minor(2_000));
        assert_eq!(sale.taxes.vatable_sales, Money::from_minor(82_143));
        assert_eq!(sale.customer_code.as_deref(), Some("C-T1001"));
        assert!(sale.remarks.is_empty());
        let again = reread_value(envelope).unwrap();
        assert_eq!(again.sales, submission.sales);
    }
}

#[test]
fn a_changed_body_fails_its_checksum_only_when_verified() {
    let body = with(v2(), "/transaction/net_sales", json!("920.01"));
    let Err(Refusal::Checksum(levels)) = read(body.to_string().as_bytes(), &BOUNDS) else {
        panic!("accepted")
    };
    assert_eq!(levels.len(), 2);
    assert_eq!(levels[0].pointer, "/transaction/payload_checksum");
    assert!(reread_value(&body).is_ok());
}

#[test]
fn exactly_one_of_transaction_and_transactions() {
    let item = v2()["transaction"].clone();
    let both = with(v2(), "/transactions", json!([item]));
    assert_eq!(errors(&both), [("/transactions".to_owned(), "conflicting")]);
    let none = with(v2(), "/transaction", Value::Null);
    assert_eq!(errors(&none), [("/transaction".to_owned(), "required")]);
    let listed = with(none.clone(), "/transactions", json!([item]));
    assert_eq!(reread_value(&listed).unwrap().sales.len(), 1);
    assert_eq!(
        errors(&with(none.clone(), "/transactions", json!([])))[0].1,
        "required"
    );
    assert_eq!(errors(&with(none, "/transactions", json!({})))[0].1, "type");
}

#[test]
fn counts_must_agree_and_batches_are_bounded() {
    assert_eq!(
        errors(&with(v2(), "/transaction_count", json!(2))),
        [("/transaction_count".to_owned(), "mismatch")]
    );
    let item = v2()["transaction"].clone();
    let many = with(
        with(v2(), "/transaction", Value::Null),
        "/transactions",
        json!([item, item, item, item]),
    );
    assert_eq!(reread_value(&many), Err(Refusal::TooMany { count: 4, limit: 3 }));
}

#[test]
fn two_items_may_not_share_an_id() {
    let item = v2()["transaction"].clone();
    let upper = item["transaction_id"].as_str().unwrap().to_uppercase();
    let twin = with(json!({ "x": item }), "/x/transaction_id", json!(upper))["x"].clone();
    let body = with(
        with(v2(), "/transaction", Value::Null),
        "/transactions",
        json!([item, twin]),
    );
    let body = with(body, "/transaction_count", json!(2));
    assert_eq!(
        errors(&body),
        [("/transactions/1/transaction_id".to_owned(), "duplicate")]
    );
}

#[test]
fn every_error_is_named_up_to_the_bound() {
    let all = errors(&json!({ "transaction": {} }));
    let pointers: Vec<&str> = all.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/submission_uuid",
            "/tenant_id",
            "/terminal_id",
            "/submission_timestamp",
            "/payload_checksum",
            "/transaction_count",
            "/transaction/transaction_id",
            "/transaction/transaction_timestamp",
            "/transaction/payload_checksum",
            "/transaction/gross_sales",
            "/transaction/net_sales",
            "/transaction/hardware_id",
            "/transaction/adjustments",
            "/transaction/taxes",
            "/transaction/receipt_no",
        ]
    );
    assert!(all.iter().all(|(_, code)| *code == "required"));
    let few = Bounds {
        max_errors: 4,
        ..BOUNDS
    };
    let Err(Refusal::Fields(list)) = read(b"{\"transaction\":{}}", &few) else {
        panic!("accepted")
    };
    assert_eq!(list.len(), 4);
    assert_eq!(errors(&json!([])), [(String::new(), "type")]);
    assert_eq!(
        errors(&with(v2(), "/transaction", json!(7))),
        [("/transaction".to_owned(), "type")]
    );
}

#[test]
fn each_member_has_its_form() {
    for (pointer, bad, code) in [
        (
            "/submission_uuid",
            json!("807b61f51a4942c19e42dd0d197b4207"),
            "format",
        ),
        ("/submission_uuid", json!(5), "type"),
        ("/tenant_id", json!("x"), "format"),
        ("/tenant_id", json!(0), "range"),
        ("/terminal_id", json!(1.5), "format"),
        ("/terminal_id", json!([]), "type"),
        (
            "/submission_timestamp",
            json!("2025-08-19T10:00:00+08:00"),
            "format",
        ),
        ("/payload_checksum", json!("abc"), "format"),
        ("/transaction_count", json!(-1), "range"),
        ("/transaction/gross_sales", json!("1,000.00"), "format"),
        ("/transaction/gross_sales", json!(-0.01), "range"),
        ("/transaction/gross_sales", json!(true), "type"),
        ("/transaction/net_sales", json!("10000000000"), "range"),
        ("/transaction/hardware_id", json!(" "), "required"),
        ("/transaction/hardware_id", json!("x".repeat(256)), "too_long"),
        ("/transaction/hardware_id", json!("SN\u{7}1"), "format"),
        ("/transaction/receipt_no", json!("R 1"), "format"),
        ("/transaction/receipt_no", json!("R".repeat(129)), "too_long"),
        ("/transaction/receipt_no", json!(17), "type"),
        ("/transaction/customer_code", json!("C\u{202e}1"), "format"),
        ("/transaction/promo_status", json!({}), "type"),
        ("/transaction/adjustments", json!({}), "type"),
        ("/transaction/adjustments/0", json!([]), "type"),
        ("/transaction/adjustments/1/amount", json!("abc"), "format"),
        ("/transaction/adjustments/1/amount", Value::Null, "required"),
        ("/transaction/taxes/0/tax_type", json!("T".repeat(21)), "too_long"),
        ("/transaction/transaction_timestamp", json!("yesterday"), "format"),
    ] {
        let found = errors(&with(v2(), pointer, bad.clone()));
        assert!(
            found.contains(&(pointer.to_owned(), code)),
            "{pointer} {bad}: {found:?}"
        );
    }
}

#[test]
fn what_the_field_accepts_is_accepted() {
    for (pointer, good) in [
        ("/tenant_id", json!("125")),
        ("/transaction_count", json!("1")),
        ("/transaction_count", json!(1.0)),
        ("/submission_timestamp", json!("2025-08-19T10:00:00.123")),
        ("/submission_uuid", json!("807B61F5-1A49-72C1-9E42-DD0D197B4207")),
        ("/transaction/net_sales", json!(-5)),
        ("/transaction/gross_sales", json!(1e3)),
        ("/transaction/receipt_no", json!(" R.1-a ")),
        ("/transaction/customer_code", Value::Null),
        ("/transaction/customer_code", json!("")),
        ("/transaction/customer_code", json!("Niño/Ñandú 日本")),
        ("/transaction/unheard_of", json!({ "a": [1, 2, { "b": null }] })),
    ] {
        assert!(
            reread_value(&with(v2(), pointer, good.clone())).is_ok(),
            "{pointer} {good}"
        );
    }
    let trimmed = reread_value(&with(v2(), "/transaction/receipt_no", json!(" R.1-a "))).unwrap();
    assert_eq!(trimmed.sales[0].receipt_no.as_deref(), Some("R.1-a"));
}

#[test]
fn the_seed_era_asks_for_less() {
    let body = with(seed(), "/transaction/adjustments", Value::Null);
    let body = with(body, "/transaction/taxes", Value::Null);
    let body = with(body, "/transaction/gross_sales", Value::Null);
    let sale = &reread_value(&body).unwrap().sales[0];
    assert_eq!(
        (sale.amount(), sale.gross_sales),
        (Money::from_minor(100_000), None)
    );
    assert_eq!(sale.adjustments, crate::domain::sale::Adjustments::default());
    let body = with(body, "/transaction/base_amount", json!(-1));
    assert_eq!(errors(&body), [("/transaction/base_amount".to_owned(), "range")]);
}

#[test]
fn numbers_beyond_a_double_are_refused_wherever_they_stand() {
    let text = v2().to_string().replacen("{", "{\"deep\":[{\"a/b\":1e999}],", 1);
    let Err(Refusal::Fields(list)) = read(text.as_bytes(), &BOUNDS) else {
        panic!("accepted")
    };
    assert_eq!(
        (list[0].pointer.as_str(), list[0].code),
        ("/deep/0/a~1b", "range")
    );
    let digits = format!("{{\"deep\":-{},", "9".repeat(310));
    let text = v2().to_string().replacen('{', &digits, 1);
    assert!(matches!(read(text.as_bytes(), &BOUNDS), Err(Refusal::Fields(_))));
    let small = v2().to_string().replacen('{', "{\"deep\":1e-999,", 1);
    assert!(reread(small.as_bytes(), &BOUNDS).is_ok());
}

#[test]
fn json_problems_come_first() {
    let twice = v2().to_string().replacen('{', "{\"tenant_id\":1,", 1);
    let Err(Refusal::Json(error)) = read(twice.as_bytes(), &BOUNDS) else {
        panic!("accepted")
    };
    assert!(matches!(error.problem, Problem::Duplicate { .. }));
    assert!(matches!(read(b"", &BOUNDS), Err(Refusal::Json(_))));
}

proptest! {
    #[test]
    fn no_body_is_refused_without_a_reason(at in any::<prop::sample::Index>(), with in "\\PC{0,3}") {
        let mut text = v2().to_string();
        let at = at.index(text.len());
        text.replace_range(at..=at, &with);
        match read(text.as_bytes(), &BOUNDS) {
            Err(Refusal::Fields(list)) => prop_assert!(!list.is_empty()),
            Err(Refusal::Checksum(list)) => prop_assert!(!list.is_empty()),
            Err(Refusal::Json(_)) => prop_assert!(parse(text.as_bytes(), &BOUNDS.json).is_err()),
            Err(Refusal::TooMany { .. }) => prop_assert!(false),
            // Case of hex digits, or a blank in place of nothing: the content is the same.
            Ok(submission) => prop_assert_eq!(submission.sales, reread_value(&v2()).unwrap().sales),
        }
    }
}
