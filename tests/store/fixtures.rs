//! Rows to work with.

use std::time::Duration;

use tsms::{
    domain::{
        money::Money,
        sale::{Adjustments, Finding, Sale, Severity, Taxes, Transaction, ValidationStatus},
        time::Timestamp,
    },
    store::{Decision, NewNotice, NewSubmission, Sequence, Store, Validated},
};
use uuid::Uuid;

pub(crate) const TENANT: i64 = 7;
pub(crate) const TERMINAL: i64 = 11;

/// The moment all fixtures happen at.
pub(crate) fn noon() -> Timestamp {
    Timestamp::parse("2026-06-01T12:00:00.123456Z").unwrap()
}

pub(crate) fn after(seconds: u64) -> Timestamp {
    noon().plus(Duration::from_secs(seconds))
}

/// A submission with one sale.
pub(crate) fn submission(id: i64) -> NewSubmission {
    NewSubmission {
        id,
        tenant_id: TENANT,
        terminal_id: TERMINAL,
        submission_uuid: Uuid::new_v4(),
        submission_timestamp: noon(),
        payload_checksum: [id.to_be_bytes()[7]; 32],
        transaction_ids: vec![Uuid::new_v4()],
        request_id: format!("request-{id}"),
        accepted_at: noon(),
        body: format!("{{\"body\":{id}}}").into_bytes().into(),
    }
}

pub(crate) fn finding(code: &str) -> Finding {
    Finding {
        code: code.to_owned(),
        severity: Severity::Warning,
        message: "Größer als — erlaubt 😀".to_owned(),
    }
}

/// A sale with every column filled, no two alike.
pub(crate) fn sale(transaction_id: Uuid) -> Sale {
    let minor = Money::from_minor;
    Sale {
        transaction_id,
        hardware_id: Some("SN-Ñ-0001".into()),
        transaction_timestamp: after(1),
        base_amount: Some(minor(1)),
        gross_sales: Some(minor(123_456)),
        net_sales: Some(minor(-50)),
        adjustments: Adjustments {
            promo_discount: minor(1001),
            senior_discount: minor(1002),
            pwd_discount: minor(1003),
            vip_card_discount: minor(1004),
            service_charge_distributed: minor(1005),
            service_charge_retained: minor(1006),
            employee_discount: minor(1007),
        },
        taxes: Taxes {
            vat: minor(2001),
            vatable_sales: minor(2002),
            sc_vat_exempt_sales: minor(2003),
            other_tax: minor(2004),
        },
        promo_status: Some("WITH_APPROVAL".into()),
        customer_code: Some("C-T1001 日本".into()),
        receipt_no: Some("R001-0000001".into()),
        payload_checksum: [0xab; 32],
        remarks: vec![finding("amount.more_than_two_decimals")],
    }
}

/// A pending row of a submission.
pub(crate) fn row(id: i64, of: &NewSubmission, transaction_id: Uuid) -> Transaction {
    Transaction {
        id,
        tenant_id: of.tenant_id,
        terminal_id: of.terminal_id,
        submission_id: of.id,
        submission_uuid: of.submission_uuid,
        sale: sale(transaction_id),
        status: ValidationStatus::Pending,
        findings: Vec::new(),
        created_at: after(2),
        decided_at: None,
        voided_at: None,
        void_reason: None,
    }
}

pub(crate) fn validated(of: &NewSubmission, rows: Vec<Transaction>) -> Validated {
    Validated {
        submission_id: of.id,
        rows,
        results: Vec::new(),
        at: after(2),
    }
}

pub(crate) fn decision(id: i64, status: ValidationStatus) -> Decision {
    Decision {
        id,
        tenant_id: TENANT,
        sale: (TERMINAL, Uuid::nil()),
        status,
        findings: Vec::new(),
        at: after(3),
        claimed_until: None,
        notice: None,
    }
}

pub(crate) fn notice(transaction_id: i64) -> NewNotice {
    NewNotice {
        tenant_id: TENANT,
        terminal_id: TERMINAL,
        transaction_id,
        kind: "result",
        url: "https://till.example/callback".into(),
        payload: "{\"state\":\"VALID\"}".into(),
    }
}

/// Accepts and records `count` sales, one a submission, and gives their rows.
pub(crate) async fn recorded(store: &Store, count: usize) -> Vec<Transaction> {
    let submission_ids = store.next_ids(Sequence::Submission, count).await.unwrap();
    let transaction_ids = store.next_ids(Sequence::Transaction, count).await.unwrap();
    let submissions: Vec<NewSubmission> = submission_ids.into_iter().map(submission).collect();
    store.accept(&submissions).await.unwrap();
    let rows: Vec<Transaction> = submissions
        .iter()
        .zip(transaction_ids)
        .map(|(of, id)| row(id, of, of.transaction_ids[0]))
        .collect();
    let set: Vec<Validated> = submissions
        .iter()
        .zip(&rows)
        .map(|(of, row)| validated(of, vec![row.clone()]))
        .collect();
    store.record_validated(&set).await.unwrap();
    rows
}

/// As [`recorded`], decided VALID: ready to be forwarded.
pub(crate) async fn valid(store: &Store, count: usize) -> Vec<Transaction> {
    let rows = recorded(store, count).await;
    let decisions: Vec<Decision> = rows
        .iter()
        .map(|row| decision(row.id, ValidationStatus::Valid))
        .collect();
    store.decide(&decisions).await.unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    store.transactions(&ids).await.unwrap()
}
