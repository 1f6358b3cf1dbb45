use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::domain::{
    checksum::{self, Version},
    json::{self, Duplicates, Limits},
    money::Money,
    sale::{Adjustments, Sale, Taxes, ValidationStatus},
};

const LIMITS: Limits = Limits {
    depth: 8,
    nodes: 256,
    duplicates: Duplicates::Refuse,
};

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
    let mut checksums = checksums.map(|hex| checksum::from_hex(hex).unwrap());
    assert_eq!(
        batch_checksum("TSMS_20250915120000_68c7f0a1b2c3d", 125, Some(1), &mut checksums),
        "2599d608d0d3548599bf2bed10ff91410d4f82b6bf85b1db2e8125e6b97bb1d9"
    );
}

#[test]
fn amounts_are_written_with_two_decimals_and_all_rows_are_there() {
    let item = Item::new(&row(1, 4), None).unwrap();
    let text = &item.json;
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

/// The checksum as a receiver computes it: of the item as it came, under both rules that may be used.
fn received(item: &Item) -> (Value, [String; 2]) {
    let sent: Value = serde_json::from_str(&item.json).unwrap();
    let mut node = json::parse(item.json.as_bytes(), &LIMITS).unwrap();
    if let json::Node::Object(members) = &mut node {
        members.retain(|(name, _)| name != "checksum" && name != "sc_vat_exempt_sales");
    }
    let digest = |version| HEXLOWER.encode(&checksum::digest(&node, version));
    (sent, [digest(Version::V1), digest(Version::V20)])
}

#[test]
fn an_amount_no_column_holds_is_not_written() {
    let mut row = row(1, 4);
    row.sale.taxes.vat = Money::MAX;
    assert!(Item::new(&row, None).is_ok());
    row.sale.taxes.vat = Money::from_minor(-Money::MAX.minor() - 1);
    assert!(Item::new(&row, None).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_receiver_can_check_an_item_by_the_payload_rule(
        minor in proptest::collection::vec(
            prop_oneof![-1_000_i64..=1_000, -999_999_999_999_i64..=999_999_999_999], 13,
        ),
        seed_era in any::<bool>(),
        texts in proptest::collection::vec("\\PC{0,12}|[a\"\\\\/\n\u{2028}é]{0,6}", 4),
        voided in any::<bool>(),
        with_reason in any::<bool>(),
        known in any::<bool>(),
        ids in any::<(i64, i64)>(),
    ) {
        let mut row = row(1, ids.1);
        row.id = ids.0;
        let amounts: Vec<Money> = minor.into_iter().map(Money::from_minor).collect();
        row.sale.gross_sales = Some(amounts[0]);
        row.sale.net_sales = (!seed_era).then_some(amounts[1]);
        row.sale.adjustments = Adjustments {
            promo_discount: amounts[2],
            senior_discount: amounts[3],
            pwd_discount: amounts[4],
            vip_card_discount: amounts[5],
            service_charge_distributed: amounts[6],
            service_charge_retained: amounts[7],
            employee_discount: amounts[8],
        };
        row.sale.taxes = Taxes {
            vat: amounts[9],
            vatable_sales: amounts[10],
            sc_vat_exempt_sales: amounts[11],
            other_tax: amounts[12],
        };
        row.voided_at = voided.then_some(row.created_at);
        row.void_reason = with_reason.then(|| texts[3].clone());
        let from = from(&texts);
        let item = Item::new(&row, known.then_some(&from)).unwrap();
        let (sent, right) = received(&item);
        prop_assert_eq!(&sent["checksum"], &right[0]);
        prop_assert_eq!(&right[0], &right[1]);
        prop_assert_eq!(sent["terminal_serial"].as_str(), known.then_some(&*texts[0]));
        prop_assert_eq!(sent["tenant_name"].as_str(), known.then_some(&*texts[2]));
        prop_assert_eq!(sent["void_reason"].as_str(), (voided && with_reason).then_some(&*texts[3]));
        let amount = format!("\"amount\":{},\"net_amount\"", amounts[0]);
        prop_assert!(item.json.contains(&amount));
    }
}

fn from(texts: &[String]) -> (Terminal, Tenant) {
    let terminal = Terminal {
        id: 4,
        tenant_id: 125,
        serial_number: texts[0].clone(),
        status: crate::domain::directory::TerminalStatus::Active,
        expires_at: None,
        callback_url: None,
    };
    let tenant = Tenant {
        id: 125,
        company_id: 1,
        code: texts[1].clone(),
        name: texts[2].clone(),
        timezone: "Asia/Manila".to_owned(),
        active: true,
    };
    (terminal, tenant)
}

#[test]
fn a_void_says_so() {
    let mut voided = row(1, 4);
    voided.voided_at = Some(Timestamp::parse("2025-08-19T11:00:00.5Z").unwrap());
    voided.void_reason = Some("wrong \"price\"".to_owned());
    let item = Item::new(&voided, None).unwrap();
    let value: Value = serde_json::from_str(&item.json).unwrap();
    assert_eq!(value["status"], "VOIDED");
    assert_eq!(value["voided_at"], "2025-08-19T11:00:00.500Z");
    assert_eq!(value["void_reason"], "wrong \"price\"");
}

fn refund(id: i64, centavos: i64) -> Reversal {
    Reversal {
        id,
        tenant_id: 125,
        terminal_id: 4,
        transaction_id: Uuid::from_u128(1),
        sale_id: Some(1),
        kind: crate::domain::reversal::ReversalKind::Refund,
        reference: format!("RF-{id}"),
        amount: Money::from_minor(centavos),
        reason: "zurück \"/\"".to_owned(),
        content: [0; 32],
        made_at: Timestamp::parse("2025-08-19T12:00:00.25Z").unwrap(),
        state: crate::domain::sale::ForwardState::Pending,
        attempts: 0,
        settled_at: None,
    }
}

#[test]
fn refunds_are_told_with_their_sum_and_their_checksum_holds() {
    let item = Item::reversed(&row(1, 4), None, &[refund(8, 1_050), refund(9, 5)]).unwrap();
    let (sent, right) = received(&item);
    assert_eq!(
        (&sent["checksum"], &right[0]),
        (&Value::from(right[1].clone()), &right[1])
    );
    assert!(
        item.json
            .contains(r#""refunded_amount":10.55,"refunds":[{"amount":10.50,"#),
        "{}",
        item.json
    );
    assert_eq!(sent["refunds"][1]["reference"], "RF-9");
    assert_eq!(sent["refunds"][1]["refunded_at"], "2025-08-19T12:00:00.250Z");
    assert_eq!(sent["refunds"][0]["reason"], "zurück \"/\"");
    let key = |refunds: &[Reversal]| {
        let item = Item::reversed(&row(1, 4), None, refunds).unwrap();
        Envelope::new(125, &[&item], &[], Timestamp::from_micros(0)).idempotency_key
    };
    let keys = [
        key(&[]),
        key(&[refund(8, 1_050)]),
        key(&[refund(8, 1_050), refund(9, 5)]),
    ];
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    assert_eq!(key(&[refund(8, 1_050)]), keys[1]);
}

#[test]
fn the_idempotency_key_knows_the_sales_and_nothing_else() {
    let (one, two) = (
        Item::new(&row(1, 4), None).unwrap(),
        Item::new(&row(2, 5), None).unwrap(),
    );
    let early = Envelope::new(125, &[&one, &two], &["a"], Timestamp::from_micros(0));
    let late = Envelope::new(125, &[&two, &one], &[], Timestamp::from_micros(5_000_000));
    assert_eq!(early.idempotency_key, late.idempotency_key);
    assert_ne!(early.batch_id, late.batch_id);
    let fewer = Envelope::new(125, &[&one], &[], Timestamp::from_micros(0));
    assert_ne!(fewer.idempotency_key, early.idempotency_key);
    let mut voided = row(1, 4);
    voided.voided_at = Some(Timestamp::from_micros(1));
    let voided = Item::new(&voided, None).unwrap();
    let void = Envelope::new(125, &[&voided], &[], Timestamp::from_micros(0));
    assert_ne!(fewer.idempotency_key, void.idempotency_key);
}

#[test]
fn a_batch_of_several_terminals_names_none() {
    let (one, two) = (
        Item::new(&row(1, 4), None).unwrap(),
        Item::new(&row(2, 5), None).unwrap(),
    );
    let mixed = Envelope::new(125, &[&one, &two], &["r-1"], Timestamp::from_micros(0));
    let value: Value = serde_json::from_slice(&mixed.body).unwrap();
    assert_eq!(value["terminal_id"], Value::Null);
    assert_eq!(value["transaction_count"], 2);
    assert_eq!(value["request_ids"][0], "r-1");
    assert_eq!(
        value["batch_id"].as_str().unwrap().len(),
        "TSMS_20250915120000_68c7f0a1b2c3d".len()
    );
    let same = Envelope::new(125, &[&one], &[], Timestamp::from_micros(0));
    let value: Value = serde_json::from_slice(&same.body).unwrap();
    assert_eq!(value["terminal_id"], 4);
}
