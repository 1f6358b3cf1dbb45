use super::*;
use crate::{
    domain::{checksum::Version, time::Timestamp},
    standin::sim::{MadeReversal, MadeSale},
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
        reversals: Vec::new(),
    }
}

/// The same with a void (`None`) or refunds asked for later.
fn taken_back(mut record: Record, asked: &[(Option<i64>, Outcome)]) -> Record {
    record.reversals = (asked.iter().cloned())
        .map(|(centavos, outcome)| MadeReversal {
            transaction_id: record.sales[0].transaction_id,
            refund: centavos.map(Money::from_minor),
            outcome,
        })
        .collect();
    record
}

#[test]
fn voids_and_refunds_are_held_against_the_state_of_each_sale() {
    let records = [
        taken_back(sent(accepted(), 1, 100, true), &[(None, accepted())]),
        taken_back(sent(accepted(), 2, 100, true), &[(None, accepted())]),
        taken_back(sent(accepted(), 3, 100, true), &[(None, refused())]),
        taken_back(
            sent(accepted(), 4, 100, true),
            &[
                (Some(10), accepted()),
                (Some(20), accepted()),
                (Some(5), Outcome::Unknown),
            ],
        ),
        taken_back(sent(accepted(), 5, 100, true), &[(None, Outcome::Unknown)]),
    ];
    let state = |tsms_id, number, voided, refunded| Entry {
        voided,
        refunded: Money::from_minor(refunded),
        ..held(tsms_id, number, 100)
    };
    // The first one was void before it was sent; of the last two both outcomes are right.
    for (unknown_refund, unknown_void) in [(0, false), (5, true)] {
        let entries = [
            state(12, 2, true, 0),
            state(13, 3, false, 0),
            state(14, 4, false, 30 + unknown_refund),
            state(15, 5, unknown_void, 0),
        ];
        let findings = compare(&records, &entries, &[]);
        assert!(findings.is_clean(), "{findings}");
    }
    let entries = [
        state(11, 1, false, 0),
        state(13, 3, true, 0),
        state(14, 4, false, 20),
    ];
    let findings = compare(&records, &entries, &[]);
    let wrong: Vec<_> = findings
        .states
        .iter()
        .map(|((_, sale), wrong)| (*sale, *wrong))
        .collect();
    let (told, held) = (Money::from_minor(30), Money::from_minor(20));
    assert_eq!(
        wrong,
        [
            (id(1), WrongState::VoidLost),
            (id(3), WrongState::VoidMadeUp),
            (id(4), WrongState::Refunded { told, held }),
        ]
    );
    assert!(!findings.is_clean() && findings.lost.is_empty());
}

fn held(tsms_id: i64, number: u128, centavos: i64) -> Entry {
    Entry {
        tsms_id,
        tenant_id: 1,
        terminal_id: TERMINAL,
        transaction_id: id(number),
        sold_at: Timestamp::from_micros(0),
        amount: Money::from_minor(centavos),
        voided: false,
        refunded: Money::ZERO,
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
