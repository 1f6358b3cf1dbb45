//! What the benches work on: bodies as simulated tills write them, always the same ones.

use bytes::Bytes;
use tsms::{
    domain::{
        checksum::Version,
        json::{Duplicates, Limits},
        payload::{self, Bounds},
        sale::{Transaction, ValidationStatus},
        time::Timestamp,
        work::AcceptedSubmission,
    },
    standin::sim::{Kind, SimTerminal, make_sale},
};

/// Sales in the bodies that stand for the largest batches of the field.
pub(crate) const LARGE: usize = 100;

/// When every sale is sent.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_755_597_600_000_000);

/// The bounds of `config/default.toml`, wide enough for [`LARGE`].
pub(crate) const BOUNDS: Bounds = Bounds {
    json: Limits {
        depth: 16,
        nodes: 50_000,
        duplicates: Duplicates::Refuse,
    },
    batch: 500,
    max_errors: 50,
};

pub(crate) fn terminal() -> SimTerminal {
    SimTerminal {
        terminal_id: 17,
        tenant_id: 125,
        serial_number: "SN-2025-000017".to_owned(),
        customer_code: "CC-000125".to_owned(),
        token: String::new(),
    }
}

/// A signed body.
pub(crate) fn body(version: Version, items: usize, seed: u64) -> Bytes {
    let kind = Kind {
        version,
        items,
        flawed: false,
    };
    make_sale(&terminal(), kind, seed, NOW).unwrap().body
}

/// The row of the first sale of [`body`], decided.
pub(crate) fn row(version: Version, seed: u64) -> Transaction {
    let submission = payload::read(&body(version, 1, seed), &BOUNDS).unwrap();
    let id = i64::try_from(seed).unwrap();
    Transaction {
        id,
        tenant_id: submission.tenant_id,
        terminal_id: submission.terminal_id,
        submission_id: id + 1_000,
        submission_uuid: submission.submission_uuid,
        sale: submission.sales.into_iter().next().unwrap(),
        status: ValidationStatus::Valid,
        findings: Vec::new(),
        created_at: NOW,
        decided_at: Some(NOW),
        voided_at: None,
        void_reason: None,
    }
}

/// The accepted submission of [`body`].
pub(crate) fn accepted(version: Version, items: usize) -> AcceptedSubmission {
    let body = body(version, items, 1);
    let submission = payload::read(&body, &BOUNDS).unwrap();
    AcceptedSubmission {
        id: 4_711,
        tenant_id: submission.tenant_id,
        terminal_id: submission.terminal_id,
        submission_uuid: submission.submission_uuid,
        request_id: "01990000-0000-7000-8000-000000000001".to_owned(),
        accepted_at: NOW,
        body,
    }
}
