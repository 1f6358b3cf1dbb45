use super::*;
use crate::{
    domain::{checksum::Version, time::Timestamp},
    standin::sim::MadeSale,
};

const TERMINAL: i64 = 7;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn accepted() -> Outcome {
    Outcome::Accepted { status: 202 }
}

fn refused() -> Outcome {
    Outcome::Refused {
        status: 422,
        code: "checksum_mismatch".to_owned(),
    }
}

/// A submission with one sale.
fn sent(outcome: Outcome, number: u128, centavos: i64, valid: bool) -> Record {
    Record {
        submission_uuid: id(number + 1000),
        terminal_id: TERMINAL,
        version: Version::V21,
        sent_at: Timestamp::from_micros(0),
        tries: 1,
        outcome,
        body_digest: [0; 32],
        sales: vec![MadeSale {
            transaction_id: id(number),
            amount: Money::from_minor(centavos),
            valid,
        }],
    }
}

fn held(tsms_id: i64, number: u128, centavos: i64) -> Entry {
    Entry {
        tsms_id,
        tenant_id: 1,
        terminal_id: TERMINAL,
        transaction_id: id(number),
        amount: Money::from_minor(centavos),
        voided: false,
        first_seen: Timestamp::from_micros(0),
        first_batch: "TSMS_1".to_owned(),
        received: 1,
    }
}

#[test]
fn a_true_delivery_is_clean() {
    let records = [
        sent(accepted(), 1, 100, true),
        sent(accepted(), 2, 250, true),
        sent(accepted(), 3, 999, false),
        sent(refused(), 4, 999, true),
    ];
    let entries = [held(11, 1, 100), held(12, 2, 250)];
    let findings = compare(&records, &entries, &[]);
    assert!(findings.is_clean(), "{findings}");
    assert_eq!(findings.judged, 2);
    assert_eq!(findings.held_sum.to_string(), "3.50");
    assert!(compare(&[], &[], &[]).is_clean());
}

#[test]
fn an_unknown_outcome_may_be_held_or_not_but_never_changed() {
    let records = [
        sent(Outcome::Unknown, 1, 100, true),
        sent(Outcome::Unknown, 2, 200, true),
    ];
    let findings = compare(&records, &[held(11, 1, 100)], &[]);
    assert!(findings.is_clean(), "{findings}");
    assert_eq!(findings.judged, 1);
    assert!(!compare(&records, &[held(11, 1, 101)], &[]).is_clean());
}

#[test]
fn a_missing_sale_is_lost() {
    let records = [sent(accepted(), 1, 100, true), sent(accepted(), 2, 200, true)];
    let findings = compare(&records, &[held(12, 2, 200)], &[]);
    assert_eq!(findings.lost, [(TERMINAL, id(1))]);
    assert!(!findings.is_clean());
    assert!(findings.to_string().contains(&id(1).to_string()));
}

#[test]
fn a_sale_under_two_ids_is_doubled() {
    let records = [sent(accepted(), 1, 100, true)];
    let twice = compare(&records, &[held(11, 1, 100), held(12, 1, 100)], &[]);
    assert_eq!(twice.doubled, [(TERMINAL, id(1))]);
    let clash = Clash {
        terminal_id: TERMINAL,
        transaction_id: id(1),
        first: 11,
        second: 12,
    };
    let told = compare(&records, &[held(11, 1, 100)], &[clash]);
    assert_eq!(told.doubled, [(TERMINAL, id(1))]);
    assert!(!told.is_clean());
}

#[test]
fn the_same_id_at_two_terminals_is_two_sales() {
    let mut other = sent(accepted(), 1, 300, true);
    other.terminal_id = TERMINAL + 1;
    let mut there = held(12, 1, 300);
    there.terminal_id = TERMINAL + 1;
    let records = [sent(accepted(), 1, 100, true), other];
    assert!(compare(&records, &[held(11, 1, 100), there], &[]).is_clean());
    assert_eq!(
        compare(&records, &[held(11, 1, 100)], &[]).lost,
        [(TERMINAL + 1, id(1))]
    );
}

#[test]
fn a_sale_with_no_right_to_be_there_is_unexpected() {
    for (record, why) in [
        (sent(accepted(), 2, 1, true), Unexpected::NeverSent),
        (sent(refused(), 1, 100, true), Unexpected::Refused),
        (sent(accepted(), 1, 100, false), Unexpected::Invalid),
        (sent(Outcome::Unknown, 1, 100, false), Unexpected::Invalid),
    ] {
        let findings = compare(&[record], &[held(11, 1, 100)], &[]);
        assert_eq!(findings.unexpected, [((TERMINAL, id(1)), why)]);
        assert!(!findings.is_clean());
    }
}

#[test]
fn a_changed_amount_is_found_even_when_the_sums_agree() {
    let records = [sent(accepted(), 1, 100, true), sent(accepted(), 2, 200, true)];
    let findings = compare(&records, &[held(11, 1, 101), held(12, 2, 199)], &[]);
    assert_eq!(findings.sent_sum, findings.held_sum);
    assert_eq!(findings.amounts.len(), 2);
    assert_eq!(findings.amounts[0].sent.to_string(), "1.00");
    assert_eq!(findings.amounts[0].held.to_string(), "1.01");
    assert!(!findings.is_clean());
}
