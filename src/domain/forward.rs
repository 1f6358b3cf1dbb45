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
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::domain::sale::{Adjustments, Sale, Taxes, ValidationStatus};

    fn row(id: i64, terminal_id: i64) -> Transaction {
        let time = Timestamp::parse("2025-08-19T09:51:00Z").unwrap();
        Transaction {
            id,
            tenant_id: 125,
            terminal_id,
            submission_id: 9,
            submission_uuid: "807b61f5-1a49-42c1-9e42-dd0d197b4207".parse().unwrap(),
            sale: Sale {
                transaction_id: Uuid::from_u128(u128::try_from(id).unwrap()),
                hardware_id: None,
                transaction_timestamp: time,
                base_amount: None,
                gross_sales: Some(Money::from_minor(100_000)),
                net_sales: Some(Money::from_minor(-7)),
                adjustments: Adjustments {
                    promo_discount: Money::from_minor(5_010),
                    ..Adjustments::default()
                },
                taxes: Taxes {
                    sc_vat_exempt_sales: Money::from_minor(1),
                    ..Taxes::default()
                },
                promo_status: None,
                customer_code: None,
                receipt_no: None,
                payload_checksum: [0; 32],
                remarks: Vec::new(),
            },
            status: ValidationStatus::Valid,
            findings: Vec::new(),
            created_at: time,
            decided_at: Some(Timestamp::parse("2025-08-19T10:00:00Z").unwrap()),
            voided_at: None,
            void_reason: None,
        }
    }

    #[test]
    fn batch_checksum_is_the_documented_one() {
        let checksums = [
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
            "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
        ];
        assert_eq!(
            batch_checksum("TSMS_20250915120000_68c7f0a1b2c3d", 125, Some(1), &checksums),
            "2599d608d0d3548599bf2bed10ff91410d4f82b6bf85b1db2e8125e6b97bb1d9"
        );
    }

    #[test]
    fn amounts_are_written_with_two_decimals_and_all_rows_are_there() {
        let item = Item::new(&row(1, 4), None).unwrap();
        let text = item.json.get();
        assert!(text.contains(r#""amount":1000.00,"net_amount":-0.07,"#), "{text}");
        assert!(
            text.contains(r#"{"adjustment_type":"promo_discount","amount":50.10}"#),
            "{text}"
        );
        assert!(text.contains(r#""sc_vat_exempt_sales":0.01,"#), "{text}");
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value["adjustments"].as_array().unwrap().len(), 7);
        assert_eq!(value["taxes"].as_array().unwrap().len(), 4);
        assert_eq!(value["processed_at"], "2025-08-19T10:00:00.000Z");
        assert!(value.get("status").is_none());
    }

    #[test]
    fn a_receiver_can_check_an_item_by_the_payload_rule() {
        let item = Item::new(&row(1, 4), None).unwrap();
        let sent: Value = serde_json::from_str(item.json.get()).unwrap();
        let mut hashed = sent.as_object().unwrap().clone();
        hashed.remove("checksum");
        hashed.remove("sc_vat_exempt_sales");
        let text = serde_json::to_vec(&hashed).unwrap();
        let node = json::parse(&text, &OWN_TEXT).unwrap();
        let digest = HEXLOWER.encode(&checksum::digest(&node, Version::V1));
        assert_eq!(sent["checksum"], digest);
        assert_eq!(HEXLOWER.encode(&checksum::digest(&node, Version::V20)), digest);
    }

    #[test]
    fn a_void_says_so() {
        let mut voided = row(1, 4);
        voided.voided_at = Some(Timestamp::parse("2025-08-19T11:00:00.5Z").unwrap());
        voided.void_reason = Some("wrong \"price\"".to_owned());
        let item = Item::new(&voided, None).unwrap();
        let value: Value = serde_json::from_str(item.json.get()).unwrap();
        assert_eq!(value["status"], "VOIDED");
        assert_eq!(value["voided_at"], "2025-08-19T11:00:00.500Z");
        assert_eq!(value["void_reason"], "wrong \"price\"");
    }

    #[test]
    fn the_idempotency_key_knows_the_sales_and_nothing_else() {
        let (one, two) = (
            Item::new(&row(1, 4), None).unwrap(),
            Item::new(&row(2, 5), None).unwrap(),
        );
        let early = Envelope::new(125, &[&one, &two], &["a"], Timestamp::from_micros(0)).unwrap();
        let late = Envelope::new(125, &[&two, &one], &[], Timestamp::from_micros(5_000_000)).unwrap();
        assert_eq!(early.idempotency_key, late.idempotency_key);
        assert_ne!(early.batch_id, late.batch_id);
        let fewer = Envelope::new(125, &[&one], &[], Timestamp::from_micros(0)).unwrap();
        assert_ne!(fewer.idempotency_key, early.idempotency_key);
        let mut voided = row(1, 4);
        voided.voided_at = Some(Timestamp::from_micros(1));
        let voided = Item::new(&voided, None).unwrap();
        let void = Envelope::new(125, &[&voided], &[], Timestamp::from_micros(0)).unwrap();
        assert_ne!(fewer.idempotency_key, void.idempotency_key);
    }

    #[test]
    fn a_batch_of_several_terminals_names_none() {
        let (one, two) = (
            Item::new(&row(1, 4), None).unwrap(),
            Item::new(&row(2, 5), None).unwrap(),
        );
        let mixed = Envelope::new(125, &[&one, &two], &["r-1"], Timestamp::from_micros(0)).unwrap();
        let value: Value = serde_json::from_slice(&mixed.body).unwrap();
        assert_eq!(value["terminal_id"], Value::Null);
        assert_eq!(value["transaction_count"], 2);
        assert_eq!(value["request_ids"][0], "r-1");
        assert_eq!(
            value["batch_id"].as_str().unwrap().len(),
            "TSMS_20250915120000_68c7f0a1b2c3d".len()
        );
        let same = Envelope::new(125, &[&one], &[], Timestamp::from_micros(0)).unwrap();
        let value: Value = serde_json::from_slice(&same.body).unwrap();
        assert_eq!(value["terminal_id"], 4);
    }
}
