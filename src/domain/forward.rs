//! The schema-2.0 envelope that carries valid sales to the web application, and its checksums.
//!
//! What differs from the system in the field, and why:
//! - amounts are JSON numbers with exactly two decimals, written from integers; no float is involved;
//! - every time is true UTC with milliseconds and `Z`; `processed_at` is when the sale was decided;
//! - a voided sale says so: `status` `VOIDED`, `voided_at`, `void_reason` (members of voids only);
//! - a refunded sale says so: `refunded_amount` and `refunds` (members of refunded sales only);
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

mod item;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use self::item::Texts;
use super::{
    checksum::{Digest, sha256, write_escaped},
    directory::{Tenant, Terminal},
    money::Money,
    reversal::Reversal,
    sale::Transaction,
    time::Timestamp,
};

const SCHEMA_VERSION: &str = "2.0";
const SOURCE: &str = "TSMS";
/// Fraction digits of every time in the envelope.
const MILLISECONDS: u8 = 3;
/// Hex digits at the end of a batch id.
const BATCH_ID_DIGITS: usize = 13;
/// Room for the envelope around its items and for each item's own part of it, in bytes.
const ENVELOPE_ROOM: usize = 512;
/// Room for a request id with its quotes and comma, in bytes.
const REQUEST_ROOM: usize = 48;

/// The code of a delivery that ended because the web application named the sale as one it will never
/// take.
pub const REJECTED: &str = "webapp_rejected";
/// The same, where it refused a request that carried this sale alone.
pub const REFUSED: &str = "webapp_refused";

/// Whether a delivery that ended with `code` ended by the web application's word: it does not hold
/// the sale.
#[must_use]
pub fn is_refusal(code: &str) -> bool {
    [REJECTED, REFUSED].contains(&code)
}

/// A row cannot be written as an item. Only a damaged row can cause it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the sale as a batch item: {0}")]
pub struct Unwritable(&'static str);

/// One sale, ready to be sent.
#[derive(Debug)]
pub struct Item {
    id: i64,
    terminal_id: i64,
    voided: bool,
    refunded: Money,
    checksum: Digest,
    json: String,
}

/// A batch, ready to be sent.
#[derive(Debug)]
pub struct Envelope {
    /// Names the batch: `TSMS_<UTC time>_<13 hex digits of the idempotency key>`.
    pub batch_id: String,
    /// Depends on nothing but which sales the batch carries, which of them are voided and how much of
    /// them is refunded, so a batch that is sent again because its outcome is unknown has the same one.
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
        Self::reversed(row, from, &[])
    }

    /// The same for a sale with refunds: all of them so far, so that the newest item of a sale says
    /// all that is to be said of it.
    ///
    /// # Errors
    /// As [`Item::new`].
    pub fn reversed(
        row: &Transaction,
        from: Option<&(Terminal, Tenant)>,
        refunds: &[Reversal],
    ) -> Result<Self, Unwritable> {
        let Texts { sent, hashed } = Texts::of(row, from, refunds)?;
        let checksum = sha256(hashed.as_bytes());
        let mut json = sent;
        json.push_str(r#","checksum":""#);
        HEXLOWER.encode_append(&checksum, &mut json);
        json.push_str(r#""}"#);
        Ok(Self {
            id: row.id,
            terminal_id: row.terminal_id,
            voided: row.voided_at.is_some(),
            refunded: refunds.iter().map(|refund| refund.amount).sum(),
            checksum,
            json,
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
    #[must_use]
    pub fn new(tenant_id: i64, items: &[&Item], request_ids: &[&str], at: Timestamp) -> Self {
        let idempotency_key = idempotency_key(tenant_id, items);
        let batch_id = batch_id(at, &idempotency_key);
        let terminal_id = common_terminal(items);
        let mut checksums: Vec<Digest> = items.iter().map(|item| item.checksum).collect();
        let checksum = batch_checksum(&batch_id, tenant_id, terminal_id, &mut checksums);

        let room = items.iter().map(|item| item.json.len() + 1).sum::<usize>();
        let mut out = String::with_capacity(room + request_ids.len() * REQUEST_ROOM + ENVELOPE_ROOM);
        let terminal = terminal_id.map(|id| id.to_string());
        push(
            &mut out,
            format_args!(
                r#"{{"schema_version":"{SCHEMA_VERSION}","source":"{SOURCE}","batch_id":"{batch_id}","timestamp":"{}","tenant_id":{tenant_id},"terminal_id":{},"transaction_count":{},"request_ids":["#,
                at.to_rfc3339(MILLISECONDS),
                terminal.as_deref().unwrap_or("null"),
                items.len(),
            ),
        );
        for (position, id) in request_ids.iter().enumerate() {
            out.push_str(if position == 0 { "\"" } else { ",\"" });
            write_escaped(&mut out, id);
            out.push('"');
        }
        push(
            &mut out,
            format_args!(r#"],"batch_checksum":"{checksum}","transactions":["#),
        );
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            out.push_str(&item.json);
        }
        out.push_str("]}");
        Self {
            batch_id,
            idempotency_key,
            body: out.into(),
        }
    }
}

/// Writing to a text cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

fn idempotency_key(tenant_id: i64, items: &[&Item]) -> String {
    let mut ids: Vec<(i64, bool, Money)> = items
        .iter()
        .map(|item| (item.id, item.voided, item.refunded))
        .collect();
    ids.sort_unstable();
    let mut text = format!("{SOURCE}|{tenant_id}");
    for (id, voided, refunded) in ids {
        push(&mut text, format_args!("|{id}{}", if voided { "v" } else { "" }));
        if refunded > Money::ZERO {
            push(&mut text, format_args!("r{refunded}"));
        }
    }
    HEXLOWER.encode(&sha256(text.as_bytes()))
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

/// Digests sort like their texts in hex.
fn batch_checksum(
    batch_id: &str,
    tenant_id: i64,
    terminal_id: Option<i64>,
    checksums: &mut [Digest],
) -> String {
    checksums.sort_unstable();
    let terminal = terminal_id.map(|id| id.to_string()).unwrap_or_default();
    let count = checksums.len();
    let mut hash = Sha256::new();
    hash.update(format!(
        "{SCHEMA_VERSION}|{SOURCE}|{batch_id}|{tenant_id}|{terminal}|{count}|"
    ));
    let mut hex = [0; 2 * size_of::<Digest>()];
    for (position, checksum) in checksums.iter().enumerate() {
        if position > 0 {
            hash.update(",");
        }
        hash.update(HEXLOWER.encode_mut_str(checksum, &mut hex));
    }
    HEXLOWER.encode(&hash.finalize())
}
