//! The ledger that the simulated terminals keep: what they sent and what they were told.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sale::MadeSale;
use crate::domain::{
    checksum::{Digest, Version},
    money::Money,
    sale::hex_digest,
    time::Timestamp,
};

/// How a submission ended for the till.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// A 2xx answer: from now on it must not be lost.
    Accepted {
        /// The status.
        status: u16,
    },
    /// Told that it will never be taken.
    Refused {
        /// The status.
        status: u16,
        /// The code of the problem document, empty where there is none.
        code: String,
    },
    /// The till was stopped, or gave up, before it got an answer. It may have been taken.
    Unknown,
}

/// One submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The till's id of it.
    pub submission_uuid: Uuid,
    /// Who sent it.
    pub terminal_id: i64,
    /// The era of the payload.
    pub version: Version,
    /// When it was first sent, by the till's clock.
    pub sent_at: Timestamp,
    /// Requests made for it, retries included.
    pub tries: u32,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// SHA-256 of the bytes sent.
    #[serde(with = "hex_digest")]
    pub body_digest: Digest,
    /// The sales inside.
    pub sales: Vec<MadeSale>,
    /// The voids and refunds of them that were asked for later.
    #[serde(default)]
    pub reversals: Vec<MadeReversal>,
}

/// A void or refund that a till asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeReversal {
    /// The sale.
    pub transaction_id: Uuid,
    /// How much was to go back; `None` is a void.
    pub refund: Option<Money>,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The records, appended and never changed; in a file as well if one is named.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) records: Vec<Record>,
    /// Records that did not fit into memory; the file has them.
    pub(super) left_out: u64,
    capacity: usize,
    file: Option<File>,
}

impl Ledger {
    pub(super) fn open(capacity: usize, file: Option<&Path>) -> io::Result<Self> {
        let append = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            records: Vec::new(),
            left_out: 0,
            capacity,
            file: file.map(append).transpose()?,
        })
    }

    /// Appends a record. One write a line, so that a till that is killed leaves whole lines.
    pub(super) fn append(&mut self, record: Record) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }
        if self.records.len() < self.capacity {
            self.records.push(record);
        } else {
            self.left_out += 1;
        }
        Ok(())
    }
}

/// Reads a ledger file back.
///
/// # Errors
/// The file cannot be read, or a line is not a record.
pub fn read_ledger(path: &Path) -> io::Result<Vec<Record>> {
    let text = std::fs::read_to_string(path)?;
    let records = text.lines().map(serde_json::from_str);
    records.collect::<Result<_, _>>().map_err(io::Error::from)
}
