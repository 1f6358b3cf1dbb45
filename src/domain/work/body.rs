//! The bodies of jobs. Every one starts with the version of its form: a worker that meets another
//! version, or anything it cannot read, loads the rows instead, so that old and new processes can
//! share a queue.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{AcceptedSubmission, AuditEvent};
use crate::domain::{sale::Transaction, time::Timestamp};

/// First byte of a body that is one JSON text.
const ROW_VERSION: u8 = b'1';
/// First byte of a body that is a line of JSON, then the raw submission.
const SUBMISSION_VERSION: u8 = b'1';

fn encode(row: &impl Serialize) -> Bytes {
    let mut body = vec![ROW_VERSION];
    // These rows have no map keys or values that JSON lacks; were it so, the worker would load the row.
    match serde_json::to_writer(&mut body, row) {
        Ok(()) => body.into(),
        Err(_) => Bytes::new(),
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let json = body.strip_prefix(&[ROW_VERSION])?;
    serde_json::from_slice(json).ok()
}

impl Transaction {
    /// The row as the body of a job.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// Reads what [`Transaction::encode`] wrote; `None` means: load the row.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        decode(body)
    }
}

impl AuditEvent {
    /// The event as the body of a job.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// Reads what [`AuditEvent::encode`] wrote; `None` means: derive the event from the rows.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        decode(body)
    }
}

/// An [`AcceptedSubmission`] without its raw body.
#[derive(Serialize, Deserialize)]
struct Header<'a> {
    id: i64,
    tenant_id: i64,
    terminal_id: i64,
    submission_uuid: Uuid,
    #[serde(borrow)]
    request_id: std::borrow::Cow<'a, str>,
    accepted_at: Timestamp,
}

impl AcceptedSubmission {
    /// The submission as the body of a job: a line of JSON, then the raw body as it came.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let header = Header {
            id: self.id,
            tenant_id: self.tenant_id,
            terminal_id: self.terminal_id,
            submission_uuid: self.submission_uuid,
            request_id: self.request_id.as_str().into(),
            accepted_at: self.accepted_at,
        };
        let Ok(header) = serde_json::to_vec(&header) else {
            return Bytes::new();
        };
        let mut body = BytesMut::with_capacity(header.len() + self.body.len() + 2);
        body.put_u8(SUBMISSION_VERSION);
        body.put_slice(&header);
        body.put_u8(b'\n');
        body.put_slice(&self.body);
        body.freeze()
    }

    /// Reads what [`AcceptedSubmission::encode`] wrote, without copying the raw body; `None` means:
    /// load the row.
    #[must_use]
    pub fn decode(body: &Bytes) -> Option<Self> {
        let end = body.iter().position(|byte| *byte == b'\n')?;
        let line = body.get(..end)?.strip_prefix(&[SUBMISSION_VERSION])?;
        let header: Header<'_> = serde_json::from_slice(line).ok()?;
        Some(Self {
            id: header.id,
            tenant_id: header.tenant_id,
            terminal_id: header.terminal_id,
            submission_uuid: header.submission_uuid,
            request_id: header.request_id.into_owned(),
            accepted_at: header.accepted_at,
            body: body.slice(end + 1..),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        json::{Duplicates, Limits},
        money::Money,
        payload::{Bounds, reread},
        sale::{Finding, ForwardState, Severity, ValidationStatus},
        work::Change,
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
        row(include_bytes!("../../../tests/fixtures/env_single-v2.1.json"))
    }

    #[test]
    fn a_row_survives_the_queue() {
        let finding = Finding {
            code: "net.sum".to_owned(),
            severity: Severity::Warning,
            message: "ñ \"x\"\n".to_owned(),
        };
        let early = row(include_bytes!("../../../tests/fixtures/env_single-v1.json"));
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
        assert_eq!(AuditEvent::decode(&recorded.encode()), Some(recorded.clone()));
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
        let whole = sample().encode();
        for body in [
            &b""[..],
            b"1",
            b"1{}",
            b"2{}",
            b"\n",
            b"1\n",
            b"1{}\n",
            &whole[1..],
            &whole[..whole.len() - 1],
        ] {
            assert_eq!(Transaction::decode(body), None);
            assert_eq!(AuditEvent::decode(body), None);
            assert_eq!(AcceptedSubmission::decode(&Bytes::copy_from_slice(body)), None);
        }
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
}
