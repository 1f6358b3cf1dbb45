//! The schema-2.0 envelope that carries valid sales to the web application, and its checksums.
//!
//! What differs from the system in the field, and why:
//! - amounts are JSON numbers with exactly two decimals, written from integers; no float is involved;
//! - every time is true UTC with milliseconds and `Z`; `processed_at` is when the sale was decided;
//! - a voided sale says so: `status` `VOIDED`, `voided_at`, `void_reason` (members of voids only);
//! - `net_amount` is `null` where the terminal sent none (the seed era), never a guess;
//! - a batch belongs to one tenant but may mix its terminals: the envelope's `terminal_id` is then
//!   `null`, and each item names its own `terminal_id`;
//! - `request_ids` names the requests that brought the sales in, so that logs can be joined.
//!
//! The item `checksum` is the payload rule ([`super::checksum`]) under v1 over every member of the
//! item but `checksum` and `sc_vat_exempt_sales`. For the members of an item v1 and v2.0 are the same
//! rule: of their money keys only `amount` occurs, and both print it as a number. The
//! `batch_checksum` is the SHA-256 of
//! `2.0|TSMS|<batch_id>|<tenant_id>|<terminal_id>|<count>|<item checksums, sorted, comma-joined>`,
//! with nothing between the bars where `terminal_id` is `null`.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{
    checksum::{self, Version},
    directory::{Tenant, Terminal},
    json::{self, Duplicates, Limits},
    money::Money,
    sale::Transaction,
    time::Timestamp,
};

const SCHEMA_VERSION: &str = "2.0";
const SOURCE: &str = "TSMS";
/// Fraction digits of every time in the envelope.
const MILLISECONDS: u8 = 3;
/// Hex digits at the end of a batch id.
const BATCH_ID_DIGITS: usize = 13;
/// Bounds for reading back an item that was written here: far above what one can hold.
const OWN_TEXT: Limits = Limits {
    depth: 8,
    nodes: 256,
    duplicates: Duplicates::Refuse,
};

/// A row cannot be written as an item. Only a damaged row can cause it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the sale as a batch item: {0}")]
pub struct Unwritable(String);

/// One sale, ready to be sent.
#[derive(Debug)]
pub struct Item {
    id: i64,
    terminal_id: i64,
    voided: bool,
    checksum: String,
    json: Box<RawValue>,
}

/// A batch, ready to be sent.
#[derive(Debug)]
pub struct Envelope {
    /// Names the batch: `TSMS_<UTC time>_<13 hex digits of the idempotency key>`.
    pub batch_id: String,
    /// Depends on nothing but which sales the batch carries and which of them are voided, so a batch
    /// that is sent again because its outcome is unknown has the same one.
    pub idempotency_key: String,
    /// The JSON text.
    pub body: Bytes,
}

impl Item {
    /// Writes a row as an item. `from` is the terminal and tenant of the row, if they are known.
    ///
    /// # Errors
    /// The row holds something that no sale can hold.
    pub fn new(row: &Transaction, from: Option<&(Terminal, Tenant)>) -> Result<Self, Unwritable> {
        let unwritable = |error: serde_json::Error| Unwritable(error.to_string());
        let mut text = serde_json::to_string(&Hashed::new(row, from)).map_err(unwritable)?;
        let node = json::parse(text.as_bytes(), &OWN_TEXT).map_err(|error| Unwritable(error.to_string()))?;
        let checksum = HEXLOWER.encode(&checksum::digest(&node, Version::V1));
        drop(node);
        text.pop();
        text.push_str(&format!(
            r#","sc_vat_exempt_sales":{},"checksum":"{checksum}"}}"#,
            row.sale.taxes.sc_vat_exempt_sales
        ));
        Ok(Self {
            id: row.id,
            terminal_id: row.terminal_id,
            voided: row.voided_at.is_some(),
            checksum,
            json: RawValue::from_string(text).map_err(unwritable)?,
        })
    }

    /// The transaction's row id, `tsms_id` on the wire.
    #[must_use]
    pub const fn id(&self) -> i64 {
        self.id
    }
}

impl Envelope {
    /// Puts items of one tenant into a batch made at `at`.
    ///
    /// # Errors
    /// Never for items made by [`Item::new`].
    pub fn new(
        tenant_id: i64,
        items: &[&Item],
        request_ids: &[&str],
        at: Timestamp,
    ) -> Result<Self, Unwritable> {
        let idempotency_key = idempotency_key(tenant_id, items);
        let batch_id = batch_id(at, &idempotency_key);
        let terminal_id = common_terminal(items);
        let checksums: Vec<&str> = items.iter().map(|item| item.checksum.as_str()).collect();
        let wire = Wire {
            schema_version: SCHEMA_VERSION,
            source: SOURCE,
            batch_id: &batch_id,
            timestamp: at.to_rfc3339(MILLISECONDS),
            tenant_id,
            terminal_id,
            transaction_count: items.len(),
            request_ids,
            batch_checksum: batch_checksum(&batch_id, tenant_id, terminal_id, &checksums),
            transactions: items.iter().map(|item| &*item.json).collect(),
        };
        let body = serde_json::to_vec(&wire).map_err(|error| Unwritable(error.to_string()))?;
        Ok(Self {
            batch_id,
            idempotency_key,
            body: body.into(),
        })
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    schema_version: &'a str,
    source: &'a str,
    batch_id: &'a str,
    timestamp: String,
    tenant_id: i64,
    terminal_id: Option<i64>,
    transaction_count: usize,
    request_ids: &'a [&'a str],
    batch_checksum: String,
    transactions: Vec<&'a RawValue>,
}

/// The members of an item that its checksum covers.
#[derive(Serialize)]
struct Hashed<'a> {
    tsms_id: i64,
    transaction_id: uuid::Uuid,
    terminal_id: i64,
    terminal_serial: Option<&'a str>,
    tenant_code: Option<&'a str>,
    tenant_name: Option<&'a str>,
    transaction_timestamp: String,
    amount: Amount,
    net_amount: Option<Amount>,
    validation_status: &'a str,
    processed_at: String,
    submission_uuid: uuid::Uuid,
    adjustments: Vec<Adjustment>,
    taxes: Vec<Tax>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voided_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    void_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Adjustment {
    adjustment_type: &'static str,
    amount: Amount,
}

#[derive(Serialize)]
struct Tax {
    tax_type: &'static str,
    amount: Amount,
}

/// An amount as a JSON number with two decimals.
struct Amount(Money);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string())
            .map_err(S::Error::custom)?
            .serialize(out)
    }
}

impl<'a> Hashed<'a> {
    fn new(row: &'a Transaction, from: Option<&'a (Terminal, Tenant)>) -> Self {
        let sale = &row.sale;
        Self {
            tsms_id: row.id,
            transaction_id: sale.transaction_id,
            terminal_id: row.terminal_id,
            terminal_serial: from.map(|(terminal, _)| terminal.serial_number.as_str()),
            tenant_code: from.map(|(_, tenant)| tenant.code.as_str()),
            tenant_name: from.map(|(_, tenant)| tenant.name.as_str()),
            transaction_timestamp: sale.transaction_timestamp.to_rfc3339(MILLISECONDS),
            amount: Amount(sale.amount()),
            net_amount: sale.net_sales.map(Amount),
            validation_status: row.status.as_str(),
            processed_at: row.decided_at.unwrap_or(row.created_at).to_rfc3339(MILLISECONDS),
            submission_uuid: row.submission_uuid,
            adjustments: (sale.adjustments.rows().into_iter())
                .map(|(adjustment_type, amount)| Adjustment {
                    adjustment_type,
                    amount: Amount(amount),
                })
                .collect(),
            taxes: (sale.taxes.rows().into_iter())
                .map(|(tax_type, amount)| Tax {
                    tax_type,
                    amount: Amount(amount),
                })
                .collect(),
            status: row.voided_at.map(|_| "VOIDED"),
            voided_at: row.voided_at.map(|at| at.to_rfc3339(MILLISECONDS)),
            void_reason: row.voided_at.and(row.void_reason.as_deref()),
        }
    }
}

fn idempotency_key(tenant_id: i64, items: &[&Item]) -> String {
    let mut ids: Vec<(i64, bool)> = items.iter().map(|item| (item.id, item.voided)).collect();
    ids.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(format!("{SOURCE}|{tenant_id}"));
    for (id, voided) in ids {
        hash.update(format!("|{id}{}", if voided { "v" } else { "" }));
    }
    HEXLOWER.encode(&hash.finalize())
}

fn batch_id(at: Timestamp, idempotency_key: &str) -> String {
    let time: String = at.to_rfc3339(0).chars().filter(char::is_ascii_digit).collect();
    let tail: String = idempotency_key.chars().take(BATCH_ID_DIGITS).collect();
    format!("{SOURCE}_{time}_{tail}")
}

fn common_terminal(items: &[&Item]) -> Option<i64> {
    let first = items.first()?.terminal_id;
    items
        .iter()
        .all(|item| item.terminal_id == first)
        .then_some(first)
}

fn batch_checksum(batch_id: &str, tenant_id: i64, terminal_id: Option<i64>, checksums: &[&str]) -> String {
    let mut sorted = checksums.to_vec();
    sorted.sort_unstable();
    let terminal = terminal_id.map(|id| id.to_string()).unwrap_or_default();
    let text = format!(
        "{SCHEMA_VERSION}|{SOURCE}|{batch_id}|{tenant_id}|{terminal}|{}|{}",
        sorted.len(),
        sorted.join(",")
    );
    HEXLOWER.encode(&Sha256::digest(text))
}

#[cfg(test)]
mod tests;
