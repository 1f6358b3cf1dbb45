//! The bodies of jobs. Every one starts with the version of its form: a worker that meets another
//! version, or anything it cannot read, loads the rows instead, so that old and new processes can
//! share a queue.
//!
//! A body is read once for each stage of each sale, so its form is the plainest there is: the fields
//! in a fixed order, numbers big-endian, texts after their length, a byte before what may be missing.
//! Nothing in it names a field, therefore **whoever changes a field, or the order, changes the version**;
//! a test holds the bytes of each form, and no field can be forgotten, as the rows are taken apart by
//! name here.

mod parts;
mod row;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::parts::{Parts, Whole};
use super::{AcceptedSubmission, AuditEvent, Change};
use crate::domain::{sale::Transaction, time::Timestamp};

/// First byte of a body that is a transaction row. `1` was JSON.
const ROW_VERSION: u8 = b'2';
/// The same of a row with the end of the claim that was made for its job.
const CLAIMED_ROW_VERSION: u8 = b'3';
/// First byte of a body that is a list of audit events. `1` was JSON, `2` one event.
const EVENTS_VERSION: u8 = b'3';
/// First byte of a body that is a submission. `1` was a line of JSON before the raw submission.
const SUBMISSION_VERSION: u8 = b'2';

/// Room for the fields of fixed size and the texts of an ordinary row, in bytes.
const ROW_ROOM: usize = 512;
/// The same of an audit event, without its details, and of a submission, without the raw body.
const SMALL_ROOM: usize = 128;

impl Transaction {
    /// The row as the body of a job.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Whole::new(ROW_VERSION, ROW_ROOM);
        row::put_transaction(&mut out, self);
        out.finish()
    }

    /// Reads what [`Transaction::encode`] wrote; `None` means: load the row.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut parts = Parts::of(body, ROW_VERSION)?;
        let row = row::transaction(&mut parts)?;
        parts.are_all_read().then_some(row)
    }

    /// The row as the body of the job that a claim was made for, with the end of that claim.
    #[must_use]
    pub fn encode_claimed(&self, until: Timestamp) -> Bytes {
        let mut out = Whole::new(CLAIMED_ROW_VERSION, ROW_ROOM);
        row::put_transaction(&mut out, self);
        out.time(until);
        out.finish()
    }

    /// Reads what [`Transaction::encode_claimed`] wrote; `None` where it is anything else.
    #[must_use]
    pub fn decode_claimed(body: &[u8]) -> Option<(Self, Timestamp)> {
        let mut parts = Parts::of(body, CLAIMED_ROW_VERSION)?;
        let claimed = (row::transaction(&mut parts)?, parts.time()?);
        parts.are_all_read().then_some(claimed)
    }
}

impl AuditEvent {
    /// Events of one transaction as the body of a job.
    #[must_use]
    pub fn encode(events: &[Self]) -> Bytes {
        let room: usize = events.iter().map(|event| SMALL_ROOM + event.details.len()).sum();
        let mut out = Whole::new(EVENTS_VERSION, SMALL_ROOM + room);
        out.length(events.len());
        for event in events {
            let Self {
                tenant_id,
                transaction_id,
                change,
                at,
                details,
            } = event;
            out.number(*tenant_id);
            out.number(*transaction_id);
            out.number(change.number());
            out.time(*at);
            out.text(details);
        }
        out.finish()
    }

    /// Reads what [`AuditEvent::encode`] wrote; `None` means: derive the events from the rows.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Vec<Self>> {
        let mut parts = Parts::of(body, EVENTS_VERSION)?;
        let events = parts.list(|parts| {
            Some(Self {
                tenant_id: parts.number()?,
                transaction_id: parts.number()?,
                change: {
                    let number = parts.number()?;
                    Change::ALL.into_iter().find(|change| change.number() == number)?
                },
                at: parts.time()?,
                details: parts.text()?,
            })
        })?;
        parts.are_all_read().then_some(events)
    }
}

impl AcceptedSubmission {
    /// The submission as the body of a job, the raw body last, as it came.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Self {
            id,
            tenant_id,
            terminal_id,
            submission_uuid,
            request_id,
            accepted_at,
            body,
        } = self;
        let mut out = Whole::new(SUBMISSION_VERSION, SMALL_ROOM + body.len());
        out.number(*id);
        out.number(*tenant_id);
        out.number(*terminal_id);
        out.uuid(*submission_uuid);
        out.text(request_id);
        out.time(*accepted_at);
        out.rest(body);
        out.finish()
    }

    /// Reads what [`AcceptedSubmission::encode`] wrote, without copying the raw body; `None` means:
    /// load the row.
    #[must_use]
    pub fn decode(body: &Bytes) -> Option<Self> {
        let mut parts = Parts::of(body, SUBMISSION_VERSION)?;
        Some(Self {
            id: parts.number()?,
            tenant_id: parts.number()?,
            terminal_id: parts.number()?,
            submission_uuid: parts.uuid()?,
            request_id: parts.text()?,
            accepted_at: parts.time()?,
            body: body.slice(body.len() - parts.rest().len()..),
        })
    }
}
