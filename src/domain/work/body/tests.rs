use proptest::prelude::*;

use super::*;
use uuid::Uuid;

use crate::domain::{
    json::{Duplicates, Limits},
    money::Money,
    payload::{Bounds, reread},
    sale::{Adjustments, Finding, ForwardState, Sale, Severity, Taxes, ValidationStatus},
    time::Timestamp,
};

fn row(sample: &[u8]) -> Transaction {
    let json = Limits {
        depth: 16,
        nodes: 1_000,
        duplicates: Duplicates::Refuse,
    };
    let bounds = Bounds {
        json,
        batch: 1,
        max_errors: 1,
    };
    let submission = reread(sample, &bounds).unwrap();
    Transaction {
        id: 7,
        tenant_id: 125,
        terminal_id: 1,
        submission_id: 5,
        submission_uuid: submission.submission_uuid,
        sale: submission.sales[0].clone(),
        status: ValidationStatus::Pending,
        findings: Vec::new(),
        created_at: Timestamp::from_micros(1_755_597_600_000_001),
        decided_at: None,
        voided_at: None,
        void_reason: None,
    }
}

fn sample() -> Transaction {
    row(include_bytes!("../../../../tests/fixtures/env_single-v2.1.json"))
}

#[test]
fn a_row_survives_the_queue() {
    let finding = Finding {
        code: "net.sum".to_owned(),
        severity: Severity::Warning,
        message: "ñ \"x\"\n".to_owned(),
    };
    let early = row(include_bytes!("../../../../tests/fixtures/env_single-v1.json"));
    let mut late = sample();
    late.sale.net_sales = Some(Money::from_minor(-1));
    late.sale.remarks = vec![finding.clone()];
    late.findings = vec![finding];
    late.status = ValidationStatus::Invalid;
    late.decided_at = Some(late.created_at);
    late.voided_at = Some(late.created_at);
    late.void_reason = Some("wrong item".to_owned());
    for row in [early, late] {
        assert_eq!(Transaction::decode(&row.encode()), Some(row));
    }
}

#[test]
fn an_event_survives_the_queue_and_says_the_same_each_time() {
    let mut row = sample();
    let recorded = AuditEvent::recorded(&row);
    let carried = AuditEvent::encode(&[recorded.clone(), recorded.clone()]);
    assert_eq!(
        AuditEvent::decode(&carried),
        Some(vec![recorded.clone(), recorded.clone()])
    );
    assert_eq!(recorded.change, Change::Recorded);
    // Members sorted, amounts as decimals: the text is hashed into the chain.
    let expected = concat!(
        r#"{"amount":"1000.00","payload_checksum":"#,
        r#""3a2692e3d0393ad6504a518a1a47e679f1dbf9bce618460f5cadd94d01496180","state":"PENDING","#,
        r#""submission_id":5,"terminal_id":1,"transaction_id":"f47ac10b-58cc-4372-a567-0e02b2c3d501"}"#,
    );
    assert_eq!(recorded.details, expected);
    assert_eq!(AuditEvent::decided(&row), None);

    row.status = ValidationStatus::Valid;
    row.decided_at = Some(row.created_at);
    assert_eq!(
        AuditEvent::recorded(&row),
        recorded,
        "a later state does not change the first event"
    );
    let decided = AuditEvent::decided(&row).unwrap();
    assert_eq!(decided.details, r#"{"findings":[],"state":"VALID"}"#);

    let at = row.created_at;
    assert_eq!(AuditEvent::delivered(1, 7, ForwardState::Sending, at), None);
    assert_eq!(AuditEvent::delivered(1, 7, ForwardState::Pending, at), None);
    let dead = AuditEvent::delivered(1, 7, ForwardState::Dead, at).unwrap();
    assert_eq!(
        (dead.change, dead.details.as_str()),
        (Change::DeadLettered, r#"{"state":"DEAD"}"#)
    );
}

#[test]
fn what_cannot_be_read_is_no_error() {
    let row = sample().encode();
    let event = AuditEvent::encode(&[AuditEvent::recorded(&sample())]);
    let longer = [&row[..], b"\0"].concat();
    for body in [
        &b""[..],
        b"1",
        b"1{}",
        b"2",
        b"3",
        b"2{}",
        &row[1..],
        &event[1..],
        &longer,
    ] {
        assert_eq!(Transaction::decode(body), None);
        assert_eq!(AuditEvent::decode(body), None);
        assert_eq!(
            AcceptedSubmission::decode(&Bytes::copy_from_slice(&body[..body.len().min(60)])),
            None
        );
    }
    for end in 0..row.len() {
        assert_eq!(Transaction::decode(&row[..end]), None, "cut at {end}");
    }
    for end in 0..event.len() {
        assert_eq!(AuditEvent::decode(&event[..end]), None, "cut at {end}");
    }
}

/// A row whose every field is different.
fn every_field() -> Transaction {
    let mut next = 0;
    let mut amount = || {
        next += 1;
        Money::from_minor(next)
    };
    let finding = |code: &str, severity| Finding {
        code: code.to_owned(),
        severity,
        message: format!("{code}!"),
    };
    Transaction {
        id: 101,
        tenant_id: 102,
        terminal_id: 103,
        submission_id: 104,
        submission_uuid: Uuid::from_u128(105),
        sale: Sale {
            transaction_id: Uuid::from_u128(106),
            hardware_id: Some("h".to_owned()),
            transaction_timestamp: Timestamp::from_micros(107),
            base_amount: Some(amount()),
            gross_sales: Some(amount()),
            net_sales: None,
            adjustments: Adjustments {
                promo_discount: amount(),
                senior_discount: amount(),
                pwd_discount: amount(),
                vip_card_discount: amount(),
                service_charge_distributed: amount(),
                service_charge_retained: amount(),
                employee_discount: amount(),
            },
            taxes: Taxes {
                vat: amount(),
                vatable_sales: amount(),
                sc_vat_exempt_sales: amount(),
                other_tax: amount(),
            },
            promo_status: Some("p".to_owned()),
            customer_code: None,
            receipt_no: Some("r".to_owned()),
            payload_checksum: [0xcc; 32],
            remarks: vec![finding("m", Severity::Warning)],
        },
        status: ValidationStatus::Invalid,
        findings: vec![finding("e", Severity::Error), finding("w", Severity::Warning)],
        created_at: Timestamp::from_micros(108),
        decided_at: Some(Timestamp::from_micros(109)),
        voided_at: None,
        void_reason: Some("v".to_owned()),
    }
}

/// When one of these fails, old and new processes would misread each other: give the changed form a
/// new version, and only then the new bytes here.
#[test]
fn the_forms_of_the_versions_in_use_do_not_change() {
    let row = every_field();
    let event = AuditEvent {
        tenant_id: 1,
        transaction_id: 2,
        change: Change::Forwarded,
        at: Timestamp::from_micros(4),
        details: "{}".to_owned(),
    };
    let submission = AcceptedSubmission {
        id: 1,
        tenant_id: 2,
        terminal_id: 3,
        submission_uuid: Uuid::from_u128(4),
        request_id: "r".to_owned(),
        accepted_at: Timestamp::from_micros(5),
        body: Bytes::from_static(b"{}"),
    };
    assert_eq!(Transaction::decode(&row.encode()), Some(row.clone()));
    // One that is claimed for its job is the same, with the end of the claim.
    let claimed = row.encode_claimed(Timestamp::from_micros(0x0102));
    let end = [0, 0, 0, 0, 0, 0, 1, 2];
    assert_eq!(claimed, [b"3", &row.encode()[1..], &end].concat());
    let until = Timestamp::from_micros(0x0102);
    assert_eq!(Transaction::decode_claimed(&claimed), Some((row.clone(), until)));
    assert_eq!(Transaction::decode(&claimed), None);
    assert_eq!(Transaction::decode_claimed(&row.encode()), None);
    for end in 0..claimed.len() {
        assert_eq!(Transaction::decode_claimed(&claimed[..end]), None, "cut at {end}");
    }
    assert_eq!(
        [row.encode(), AuditEvent::encode(&[event]), submission.encode()]
            .map(|body| data_encoding::HEXLOWER.encode(&body)),
        [
            concat!(
                "3200000000000000650000000000000066000000000000006700000000000000680000000000000000000000",
                "00000000690000000000000000000000000000006a010000000168000000000000006b010000000000000001",
                "0100000000000000020000000000000000030000000000000004000000000000000500000000000000060000",
                "00000000000700000000000000080000000000000009000000000000000a000000000000000b000000000000",
                "000c000000000000000d01000000017000010000000172cccccccccccccccccccccccccccccccccccccccccc",
                "cccccccccccccccccccccc00000001000000016d01000000026d210200000002000000016500000000026521",
                "000000017701000000027721000000000000006c01000000000000006d00010000000176",
            ),
            "3300000001000000000000000100000000000000020000000000000003000000000000000400\
             0000027b7d",
            concat!(
                "3200000000000000010000000000000002000000000000000300000000000000000000000000000004000000",
                "017200000000000000057b7d",
            ),
        ]
    );
}

proptest! {
    #[test]
    fn a_submission_survives_with_its_raw_body(
        raw in proptest::collection::vec(any::<u8>(), 0..200), request_id in "\\PC{0,20}|\n\"", id in any::<i64>(),
    ) {
        let submission = AcceptedSubmission {
            id,
            tenant_id: 125,
            terminal_id: 1,
            submission_uuid: Uuid::from_u128(42),
            request_id,
            accepted_at: Timestamp::from_micros(id),
            body: raw.into(),
        };
        prop_assert_eq!(AcceptedSubmission::decode(&submission.encode()), Some(submission));
    }
}
