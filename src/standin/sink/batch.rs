//! Reads a batch as `docs/webapp-contract.md` describes it and finds every breach of that contract.
//!
//! What is wrong with the envelope refuses the batch; what is wrong with one item refuses the item.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::{
    checksum::{self, Digest, Version},
    json::{self, Duplicates, Limits, Node},
    money::Money,
    time::Timestamp,
};

/// Deepest nesting of a batch: envelope, items, item, adjustments, adjustment; and one to spare.
const DEPTH: usize = 6;

/// Most JSON values an item of the contract has, with room for members to come.
const VALUES_PER_ITEM: usize = 100;

/// The adjustment types every item carries.
pub(super) const ADJUSTMENTS: [&str; 7] = [
    "promo_discount",
    "senior_discount",
    "pwd_discount",
    "vip_card_discount",
    "service_charge_distributed_to_employees",
    "service_charge_retained_by_management",
    "employee_discount",
];

/// The tax types every item carries.
pub(super) const TAXES: [&str; 4] = ["VAT", "VATABLE_SALES", "SC_VAT_EXEMPT_SALES", "OTHER_TAX"];

/// A batch whose envelope is sound.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) batch_id: String,
    pub(super) items: Vec<Result<Item, BadItem>>,
}

impl Batch {
    /// The same for the same sales in the same state, in whatever order: what one idempotency key
    /// may stand for.
    pub(super) fn fingerprint(&self) -> Digest {
        let mut ids: Vec<(i64, bool, Money)> = self
            .items
            .iter()
            .map(|item| match item {
                Ok(item) => (item.tsms_id, item.voided, item.refunded),
                Err(bad) => (bad.tsms_id, bad.voided, bad.refunded),
            })
            .collect();
        ids.sort_unstable();
        let mut hash = Sha256::new();
        for (id, voided, refunded) in ids {
            hash.update(id.to_be_bytes());
            hash.update([u8::from(voided)]);
            hash.update(refunded.minor().to_be_bytes());
        }
        hash.finalize().into()
    }
}

/// A sound item.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) tsms_id: i64,
    pub(super) tenant_id: i64,
    pub(super) terminal_id: i64,
    pub(super) transaction_id: Uuid,
    pub(super) sold_at: Timestamp,
    pub(super) amount: Money,
    pub(super) voided: bool,
    pub(super) refunded: Money,
}

/// An item that breaks the contract, with as much of its identity as can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadItem {
    pub(super) tsms_id: i64,
    pub(super) transaction_id: String,
    pub(super) voided: bool,
    pub(super) refunded: Money,
    pub(super) code: &'static str,
    pub(super) complaint: String,
}

/// Why a whole batch is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Not JSON: 400.
    Malformed(String),
    /// The envelope breaks the contract: 422.
    Envelope(Vec<String>),
}

/// Reads a body.
pub(super) fn read(body: &[u8], max_items: usize) -> Result<Batch, Unreadable> {
    let limits = Limits {
        depth: DEPTH,
        nodes: VALUES_PER_ITEM * (max_items + 1),
        duplicates: Duplicates::Refuse,
    };
    let envelope = json::parse(body, &limits).map_err(|error| Unreadable::Malformed(error.to_string()))?;
    let mut breaches = Vec::new();
    for (name, expected) in [("schema_version", "2.0"), ("source", "TSMS")] {
        if text(&envelope, name) != Some(expected) {
            breaches.push(format!("{name} is not {expected:?}"));
        }
    }
    let batch_id = text(&envelope, "batch_id").unwrap_or_default().to_owned();
    if batch_id.is_empty() {
        breaches.push("batch_id is missing".to_owned());
    }
    if !text(&envelope, "timestamp").is_some_and(is_instant) {
        breaches.push("timestamp is not UTC with milliseconds".to_owned());
    }
    let tenant_id = integer(&envelope, "tenant_id");
    if tenant_id.is_none() {
        breaches.push("tenant_id is not an integer".to_owned());
    }
    // `null` where the batch mixes terminals of the tenant.
    let terminal_id = integer(&envelope, "terminal_id");
    if terminal_id.is_none() && envelope.get("terminal_id") != Some(&Node::Null) {
        breaches.push("terminal_id is neither an integer nor null".to_owned());
    }
    let items = match envelope.get("transactions") {
        Some(Node::Array(items)) if (1..=max_items).contains(&items.len()) => items.as_slice(),
        _ => {
            breaches.push(format!("transactions is not a list of 1 to {max_items}"));
            &[]
        }
    };
    if integer(&envelope, "transaction_count") != i64::try_from(items.len()).ok() {
        breaches.push("transaction_count is not the number of transactions".to_owned());
    }
    let expected = batch_checksum(&batch_id, tenant_id, terminal_id, items);
    if text(&envelope, "batch_checksum") != Some(expected.as_str()) {
        breaches.push("batch_checksum does not fit".to_owned());
    }
    if !breaches.is_empty() {
        return Err(Unreadable::Envelope(breaches));
    }
    let owner = (tenant_id.unwrap_or_default(), terminal_id);
    Ok(Batch {
        batch_id,
        items: items.iter().map(|item| read_item(item, owner)).collect(),
    })
}

fn read_item(item: &Node<'_>, owner: (i64, Option<i64>)) -> Result<Item, BadItem> {
    let tsms_id = integer(item, "tsms_id");
    let transaction_id = text(item, "transaction_id");
    let bad = |code, complaint: String| BadItem {
        tsms_id: tsms_id.unwrap_or_default(),
        transaction_id: transaction_id.unwrap_or_default().to_owned(),
        voided: is_void(item),
        refunded: exact(item, "refunded_amount").unwrap_or_default(),
        code,
        complaint,
    };
    let mut breaches: Vec<String> = Vec::new();
    let uuid = transaction_id.and_then(|id| Uuid::try_parse(id).ok());
    let terminal_id = integer(item, "terminal_id");
    let (amount, net_amount) = (exact(item, "amount"), exact(item, "net_amount"));
    let exempt = exact(item, "sc_vat_exempt_sales");
    for (missing, what) in [
        (tsms_id.is_none(), "tsms_id is not an integer"),
        (uuid.is_none(), "transaction_id is not a UUID"),
        (
            terminal_id.is_none() || owner.1.is_some_and(|id| Some(id) != terminal_id),
            "terminal_id is not an integer, or not the one of the batch",
        ),
        (
            text(item, "validation_status") != Some("VALID"),
            "validation_status is not VALID",
        ),
        (
            !matches!(item.get("net_amount"), Some(Node::Null)) && net_amount.is_none(),
            "net_amount is neither null nor an exact decimal",
        ),
        (exempt.is_none(), "sc_vat_exempt_sales is not an exact decimal"),
        (
            is_void(item) != (text(item, "status") == Some("VOIDED")),
            "voided_at without status VOIDED, or the reverse",
        ),
        (amount.is_none(), "amount is not an exact decimal"),
    ] {
        if missing {
            breaches.push(what.to_owned());
        }
    }
    for name in ["transaction_timestamp", "processed_at"] {
        if !text(item, name).is_some_and(is_instant) {
            breaches.push(format!("{name} is not UTC with milliseconds"));
        }
    }
    breaches.extend(rows(item, "adjustments", "adjustment_type", &ADJUSTMENTS));
    breaches.extend(rows(item, "taxes", "tax_type", &TAXES));
    let refunded = refunds(item, amount).unwrap_or_else(|breach| {
        breaches.push(breach.to_owned());
        Money::ZERO
    });
    if text(item, "checksum") != Some(item_checksum(item).as_str()) {
        return Err(bad(
            "checksum_mismatch",
            "checksum of an item does not fit".to_owned(),
        ));
    }
    let sold_at = text(item, "transaction_timestamp").and_then(|text| Timestamp::parse(text).ok());
    match (tsms_id, uuid, terminal_id, sold_at, amount) {
        (Some(tsms_id), Some(transaction_id), Some(terminal_id), Some(sold_at), Some(amount))
            if breaches.is_empty() =>
        {
            Ok(Item {
                tsms_id,
                tenant_id: owner.0,
                terminal_id,
                transaction_id,
                sold_at,
                amount,
                voided: is_void(item),
                refunded,
            })
        }
        _ => Err(bad("invalid_item", breaches.join("; "))),
    }
}

/// What of the sale was refunded so far. Both members are there or none is.
fn refunds(item: &Node<'_>, amount: Option<Money>) -> Result<Money, &'static str> {
    let rows = match (item.get("refunded_amount"), item.get("refunds")) {
        (None, None) => return Ok(Money::ZERO),
        (Some(_), Some(Node::Array(rows))) if !rows.is_empty() => rows,
        _ => return Err("refunded_amount without refunds, or the reverse"),
    };
    let refunded = exact(item, "refunded_amount").ok_or("refunded_amount is not an exact decimal")?;
    let mut sum = Money::ZERO;
    for row in rows {
        let amount = exact(row, "amount").filter(|amount| *amount > Money::ZERO);
        let sound = text(row, "reason").is_some()
            && text(row, "reference").is_some()
            && text(row, "refunded_at").is_some_and(is_instant);
        sum = sum
            + amount
                .filter(|_| sound)
                .ok_or("a refund without amount, reason, reference or time")?;
    }
    if sum != refunded || amount.is_none_or(|amount| refunded > amount) || is_void(item) {
        return Err("refunds that do not add up, exceed the sale, or are of a void sale");
    }
    Ok(refunded)
}

fn is_void(item: &Node<'_>) -> bool {
    text(item, "voided_at").is_some_and(is_instant)
}

/// The seven adjustments or four taxes: each named once, each an exact amount.
fn rows(item: &Node<'_>, list: &str, kind: &str, names: &[&str]) -> Option<String> {
    let Some(Node::Array(rows)) = item.get(list) else {
        return Some(format!("{list} is not a list"));
    };
    let complete = names
        .iter()
        .all(|name| rows.iter().filter(|row| text(row, kind) == Some(name)).count() == 1);
    let exact = rows.iter().all(|row| exact(row, "amount").is_some());
    (rows.len() != names.len() || !complete || !exact).then(|| {
        format!(
            "{list} does not name each of its {} kinds once, exactly",
            names.len()
        )
    })
}

/// The payload checksum rule, version v1, over an item without the members it does not cover.
fn item_checksum(item: &Node<'_>) -> String {
    let bare = match item {
        Node::Object(members) => Node::Object(
            members
                .iter()
                .filter(|(name, _)| name != "checksum" && name != "sc_vat_exempt_sales")
                .cloned()
                .collect(),
        ),
        other => other.clone(),
    };
    HEXLOWER.encode(&checksum::digest(&bare, Version::V1))
}

/// SHA-256 over the envelope's identity and the sorted checksums of its items; nothing stands for
/// an id that is `null`.
fn batch_checksum(
    batch_id: &str,
    tenant_id: Option<i64>,
    terminal_id: Option<i64>,
    items: &[Node<'_>],
) -> String {
    let mut checksums: Vec<&str> = items
        .iter()
        .map(|item| text(item, "checksum").unwrap_or_default())
        .collect();
    checksums.sort_unstable();
    let number = |id: Option<i64>| id.map_or(Cow::Borrowed(""), |id| Cow::Owned(id.to_string()));
    let line = format!(
        "2.0|TSMS|{batch_id}|{}|{}|{}|{}",
        number(tenant_id),
        number(terminal_id),
        items.len(),
        checksums.join(",")
    );
    HEXLOWER.encode(&Sha256::digest(line.as_bytes()))
}

fn text<'n>(node: &'n Node<'_>, name: &str) -> Option<&'n str> {
    match node.get(name) {
        Some(Node::String(text)) => Some(text),
        _ => None,
    }
}

fn integer(node: &Node<'_>, name: &str) -> Option<i64> {
    match node.get(name) {
        Some(Node::Number(text)) => text.parse().ok(),
        _ => None,
    }
}

/// An amount as a JSON number written with exactly two decimals.
fn exact(node: &Node<'_>, name: &str) -> Option<Money> {
    let Some(Node::Number(text)) = node.get(name) else {
        return None;
    };
    let (money, _) = Money::parse(text).ok()?;
    (money.to_string() == *text).then_some(money)
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
fn is_instant(text: &str) -> bool {
    Timestamp::parse(text).is_ok_and(|instant| instant.to_rfc3339(3) == text)
}
