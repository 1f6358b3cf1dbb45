use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::domain::sale::{Adjustments, Sale, Taxes, ValidationStatus};

fn row(id: i64, terminal_id: i64) -> Transaction {
    let time = Timestamp::parse("2025-08-19T09:51:00Z").unwrap();
    Transaction {
        id,
        tenant_id: 125,
        terminal_id,
        submission_id: 9,
        submission_uuid: "807b61f5-1a49-42c1-9e42-dd0d197b4207".parse().unwrap(),
        sale: Sale {
            transaction_id: Uuid::from_u128(u128::try_from(id).unwrap()),
            hardware_id: None,
            transaction_timestamp: time,
            base_amount: None,
            gross_sales: Some(Money::from_minor(100_000)),
            net_sales: Some(Money::from_minor(-7)),
            adjustments: Adjustments {
                promo_discount: Money::from_minor(5_010),
                ..Adjustments::default()
            },
            taxes: Taxes {
                sc_vat_exempt_sales: Money::from_minor(1),
                ..Taxes::default()
            },
            promo_status: None,
            customer_code: None,
            receipt_no: None,
            payload_checksum: [0; 32],
            remarks: Vec::new(),
        },
        status: ValidationStatus::Valid,
        findings: Vec::new(),
        created_at: time,
        decided_at: Some(Timestamp::parse("2025-08-19T10:00:00Z").unwrap()),
        voided_at: None,
        void_reason: None,
    }
}

#[test]
fn batch_checksum_is_the_documented_one() {
    let checksums = [
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
    ];
    assert_eq!(
        batch_checksum("TSMS_20250915120000_68c7f0a1b2c3d", 125, Some(1), &checksums),
        "2599d608d0d3548599bf2bed10ff91410d4f82b6bf85b1db2e8125e6b97bb1d9"
    );
}

#[test]
fn amounts_are_written_with_two_decimals_and_all_rows_are_there() {
    let item = Item::new(&row(1, 4), None).unwrap();
    let text = item.json.get();
    assert!(text.contains(r#""amount":1000.00,"net_amount":-0.07,"#), "{text}");
    assert!(
        text.contains(r#"{"adjustment_type":"promo_discount","amount":50.10}"#),
        "{text}"
    );
    assert!(text.contains(r#""sc_vat_exempt_sales":0.01,"#), "{text}");
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(value["adjustments"].as_array().unwrap().len(), 7);
    assert_eq!(value["taxes"].as_array().unwrap().len(), 4);
    assert_eq!(value["processed_at"], "2025-08-19T10:00:00.000Z");
    assert!(value.get("status").is_none());
}

#[test]
fn a_receiver_can_check_an_item_by_the_payload_rule() {
    let item = Item::new(&row(1, 4), None).unwrap();
    let sent: Value = serde_json::from_str(item.json.get()).unwrap();
    let mut hashed = sent.as_object().unwrap().clone();
    hashed.remove("checksum");
    hashed.remove("sc_vat_exempt_sales");
    let text = serde_json::to_vec(&hashed).unwrap();
    let node = json::parse(&text, &OWN_TEXT).unwrap();
    let digest = HEXLOWER.encode(&checksum::digest(&node, Version::V1));
    assert_eq!(sent["checksum"], digest);
    assert_eq!(HEXLOWER.encode(&checksum::digest(&node, Version::V20)), digest);
}

#[test]
fn a_void_says_so() {
    let mut voided = row(1, 4);
    voided.voided_at = Some(Timestamp::parse("2025-08-19T11:00:00.5Z").unwrap());
    voided.void_reason = Some("wrong \"price\"".to_owned());
    let item = Item::new(&voided, None).unwrap();
    let value: Value = serde_json::from_str(item.json.get()).unwrap();
    assert_eq!(value["status"], "VOIDED");
    assert_eq!(value["voided_at"], "2025-08-19T11:00:00.500Z");
    assert_eq!(value["void_reason"], "wrong \"price\"");
}

#[test]
fn the_idempotency_key_knows_the_sales_and_nothing_else() {
    let (one, two) = (
        Item::new(&row(1, 4), None).unwrap(),
        Item::new(&row(2, 5), None).unwrap(),
    );
    let early = Envelope::new(125, &[&one, &two], &["a"], Timestamp::from_micros(0)).unwrap();
    let late = Envelope::new(125, &[&two, &one], &[], Timestamp::from_micros(5_000_000)).unwrap();
    assert_eq!(early.idempotency_key, late.idempotency_key);
    assert_ne!(early.batch_id, late.batch_id);
    let fewer = Envelope::new(125, &[&one], &[], Timestamp::from_micros(0)).unwrap();
    assert_ne!(fewer.idempotency_key, early.idempotency_key);
    let mut voided = row(1, 4);
    voided.voided_at = Some(Timestamp::from_micros(1));
    let voided = Item::new(&voided, None).unwrap();
    let void = Envelope::new(125, &[&voided], &[], Timestamp::from_micros(0)).unwrap();
    assert_ne!(fewer.idempotency_key, void.idempotency_key);
}

#[test]
fn a_batch_of_several_terminals_names_none() {
    let (one, two) = (
        Item::new(&row(1, 4), None).unwrap(),
        Item::new(&row(2, 5), None).unwrap(),
    );
    let mixed = Envelope::new(125, &[&one, &two], &["r-1"], Timestamp::from_micros(0)).unwrap();
    let value: Value = serde_json::from_slice(&mixed.body).unwrap();
    assert_eq!(value["terminal_id"], Value::Null);
    assert_eq!(value["transaction_count"], 2);
    assert_eq!(value["request_ids"][0], "r-1");
    assert_eq!(
        value["batch_id"].as_str().unwrap().len(),
        "TSMS_20250915120000_68c7f0a1b2c3d".len()
    );
    let same = Envelope::new(125, &[&one], &[], Timestamp::from_micros(0)).unwrap();
    let value: Value = serde_json::from_slice(&same.body).unwrap();
    assert_eq!(value["terminal_id"], 4);
}
