use bytes::Bytes;

use super::*;
use crate::domain::{
    checksum::Version,
    payload::Submission,
    sale::{Adjustments, Taxes},
};

const TERMINAL: i64 = 4;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn sale(id: u128, content: u8) -> Sale {
    Sale {
        transaction_id: Uuid::from_u128(id),
        hardware_id: None,
        transaction_timestamp: at(1_000_000),
        base_amount: None,
        gross_sales: None,
        net_sales: None,
        adjustments: Adjustments::default(),
        taxes: Taxes::default(),
        promo_status: None,
        customer_code: None,
        receipt_no: None,
        payload_checksum: [content; 32],
        remarks: Vec::new(),
    }
}

fn with_receipt(id: u128, number: &str, seconds: i64) -> Sale {
    Sale {
        receipt_no: Some(number.to_owned()),
        transaction_timestamp: at(seconds),
        ..sale(id, 1)
    }
}

fn submission(id: i64, sales: Vec<Sale>) -> Read {
    Read {
        accepted: AcceptedSubmission {
            id,
            tenant_id: 1,
            terminal_id: TERMINAL,
            submission_uuid: Uuid::from_u128(1),
            request_id: String::new(),
            accepted_at: at(2_000_000),
            body: Bytes::new(),
        },
        content: Submission {
            submission_uuid: Uuid::from_u128(1),
            tenant_id: 1,
            terminal_id: TERMINAL,
            submission_timestamp: at(1),
            payload_checksum: [0; 32],
            version: Version::V1,
            sales,
        },
    }
}

fn terminals() -> HashMap<i64, Arc<(Terminal, Tenant)>> {
    let terminal = Terminal {
        id: TERMINAL,
        tenant_id: 1,
        serial_number: "SN-1".to_owned(),
        status: TerminalStatus::Active,
        expires_at: None,
        callback_url: None,
    };
    let tenant = Tenant {
        id: 1,
        company_id: 1,
        code: "C-1".to_owned(),
        name: "Shop".to_owned(),
        timezone: "Asia/Manila".to_owned(),
        active: true,
    };
    HashMap::from([(TERMINAL, Arc::new((terminal, tenant)))])
}

fn sifted(pending: Vec<Read>, existing: &[(u128, Existing)]) -> Sifted {
    let terminals = terminals();
    let facts = Facts {
        existing: (existing.iter())
            .map(|(id, row)| ((TERMINAL, Uuid::from_u128(*id)), *row))
            .collect(),
        receipts: HashMap::new(),
        terminals: &terminals,
    };
    sift(pending, &facts)
}

fn existing(id: i64, submission_id: i64, content: u8) -> Existing {
    Existing {
        id,
        submission_id,
        payload_checksum: [content; 32],
    }
}

fn validated(sifted: &Sifted) -> Vec<Validated> {
    let mut ids = 100..;
    (sifted.now.iter())
        .map(|(read, plan)| plan.validated(&read.accepted, at(3), &mut ids).unwrap())
        .collect()
}

#[test]
fn a_known_sale_is_a_duplicate_or_a_conflict_by_its_content() {
    let pending = vec![submission(9, vec![sale(1, 1), sale(2, 1), sale(3, 1)])];
    let sifted = sifted(pending, &[(1, existing(50, 8, 1)), (2, existing(51, 8, 7))]);
    let made = validated(&sifted).remove(0);
    assert_eq!(made.rows.len(), 1);
    assert_eq!((made.rows[0].id, made.rows[0].submission_id), (100, 9));
    let results: Vec<_> = (made.results.iter())
        .map(|item| (item.state, item.original))
        .collect();
    assert_eq!(results, [(ItemState::Duplicate, 50), (ItemState::Conflict, 51)]);
}

#[test]
fn a_submission_does_not_meet_its_own_rows_as_duplicates() {
    let pending = vec![submission(9, vec![sale(1, 1), sale(2, 1)])];
    let sifted = sifted(pending, &[(1, existing(50, 9, 1)), (2, existing(51, 9, 1))]);
    assert_eq!(sifted.known, [9]);
    assert!(sifted.now.is_empty() && sifted.later.is_empty());
}

#[test]
fn the_first_of_a_set_wins_and_the_others_wait_for_its_commit() {
    let pending = vec![
        submission(7, vec![sale(1, 1)]),
        submission(8, vec![sale(2, 1), sale(1, 1)]),
        submission(9, vec![sale(2, 9)]),
        submission(10, vec![sale(3, 1)]),
    ];
    let sifted = sifted(pending, &[]);
    let now: Vec<i64> = sifted.now.iter().map(|(read, _)| read.accepted.id).collect();
    let later: Vec<i64> = sifted.later.iter().map(|read| read.accepted.id).collect();
    // 9 waits behind 8, not ahead of it.
    assert_eq!((now, later), (vec![7, 10], vec![8, 9]));
}

#[test]
fn a_repeat_within_one_submission_points_at_its_sibling() {
    let sifted = sifted(vec![submission(9, vec![sale(1, 1), sale(1, 1), sale(1, 2)])], &[]);
    let made = validated(&sifted).remove(0);
    assert_eq!(made.rows.len(), 1);
    let results: Vec<_> = (made.results.iter())
        .map(|item| (item.state, item.original))
        .collect();
    assert_eq!(results, [(ItemState::Duplicate, 100), (ItemState::Conflict, 100)]);
}

fn receipt_codes(sales: Vec<Sale>, used: &[(u128, i64)]) -> Vec<Vec<String>> {
    let terminals = terminals();
    let used = used
        .iter()
        .map(|(id, seconds)| (Uuid::from_u128(*id), at(*seconds)));
    let facts = Facts {
        existing: HashMap::new(),
        receipts: HashMap::from([((TERMINAL, "R1".to_owned()), used.collect())]),
        terminals: &terminals,
    };
    let sifted = sift(vec![submission(9, sales)], &facts);
    (validated(&sifted).remove(0).rows.into_iter())
        .map(|row| row.findings.into_iter().map(|finding| finding.code).collect())
        .collect()
}

#[test]
fn a_receipt_number_comes_back_within_a_day_or_it_is_fine() {
    const DAY: i64 = 86_400;
    let one = |seconds| receipt_codes(vec![with_receipt(1, "R1", 1_000_000)], &[(2, seconds)]).remove(0);
    assert_eq!(one(1_000_000 - DAY + 1), ["receipt.duplicate"]);
    assert_eq!(one(1_000_000 + DAY - 1), ["receipt.duplicate"]);
    assert!(one(1_000_000 - DAY).is_empty());
    assert!(one(1_000_000 + DAY).is_empty());
    let own = receipt_codes(vec![with_receipt(1, "R1", 1_000_000)], &[(1, 1_000_000)]);
    assert!(own[0].is_empty());
}

#[test]
fn the_first_sale_of_a_set_keeps_a_receipt_number() {
    let sales = vec![
        with_receipt(1, "R2", 1_000_000),
        with_receipt(2, "R2", 1_000_060),
        with_receipt(3, "R3", 1_000_060),
    ];
    let codes = receipt_codes(sales, &[]);
    assert_eq!(codes, [vec![], vec!["receipt.duplicate".to_owned()], vec![]]);
}

#[test]
fn only_an_end_before_the_acceptance_makes_a_sale_invalid() {
    let from = terminals().remove(&TERMINAL).unwrap();
    let judged = |change: fn(&mut Terminal, &mut Tenant)| {
        let (mut terminal, mut tenant) = from.as_ref().clone();
        change(&mut terminal, &mut tenant);
        standing(Some(&(terminal, tenant)), at(100))
            .into_iter()
            .map(|finding| (finding.code, finding.severity))
            .collect::<Vec<_>>()
    };
    assert!(judged(|_, _| ()).is_empty());
    let noted = |code: &str| vec![(code.to_owned(), Severity::Warning)];
    let broken = |code: &str| vec![(code.to_owned(), Severity::Error)];
    assert_eq!(
        judged(|terminal, _| terminal.status = TerminalStatus::Inactive),
        noted("terminal.inactive")
    );
    assert_eq!(
        judged(|terminal, _| terminal.status = TerminalStatus::Revoked),
        noted("terminal.revoked")
    );
    assert_eq!(
        judged(|_, tenant| tenant.active = false),
        noted("tenant.inactive")
    );
    assert_eq!(
        judged(|terminal, _| terminal.expires_at = Some(at(100))),
        broken("terminal.expired")
    );
    assert!(judged(|terminal, _| terminal.expires_at = Some(at(101))).is_empty());
    assert_eq!(standing(None, at(100))[0].code, "terminal.unknown");
}
