//! The bodies that void or refund a sale.

use std::borrow::Cow;

use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{
    Bounds, Refusal,
    fields::{Errors, Fields, Path},
};
use crate::domain::{
    checksum::{self, Digest, Mismatch, Version},
    json::{self, Node},
    money::Money,
};

const CHECKSUM: &str = "payload_checksum";
const TRANSACTION_ID: &str = "transaction_id";
const VOID_REASON: &str = "void_reason";
const REFUND_AMOUNT: &str = "refund_amount";
const REFUND_REASON: &str = "refund_reason";
const REFUND_REFERENCE: &str = "refund_reference_id";

/// Longest reason.
pub(crate) const MAX_REASON: usize = 255;
/// Longest reference of a refund.
pub(crate) const MAX_REFERENCE: usize = 191;
/// Smallest refund.
const LEAST_REFUND: Money = Money::from_minor(1);

/// A request to void a sale, its checksum verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidRequest {
    /// The sale, as the body names it.
    pub transaction_id: Uuid,
    /// Why, without blanks around it.
    pub reason: String,
    /// Equal digests mean the same request.
    pub content: Digest,
}

/// A request to refund some of a sale, its checksum verified where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRequest {
    /// The sale, if the body names it.
    pub transaction_id: Option<Uuid>,
    /// How much, above zero.
    pub amount: Money,
    /// Why, without blanks around it.
    pub reason: String,
    /// The till's id of the refund; empty where it sent none.
    pub reference: String,
    /// Equal digests mean the same request.
    pub content: Digest,
}

/// Reads a void. Its checksum is over `transaction_id` and `void_reason` alone, whatever else the
/// body holds, the reason as sent or without the blanks around it: the system in the field cuts them
/// off first. No member is money, so all versions of the rule agree.
///
/// # Errors
/// See [`Refusal`].
pub fn read_void(body: &[u8], bounds: &Bounds) -> Result<VoidRequest, Refusal> {
    let root = json::parse(body, &bounds.json).map_err(Refusal::Json)?;
    let mut errors = Errors::new(bounds.max_errors);
    let read = Fields::of(&root, Path::Root, &mut errors).and_then(|fields| {
        let transaction_id = fields.uuid(TRANSACTION_ID, &mut errors);
        let reason = fields.required_text(VOID_REASON, MAX_REASON, &mut errors);
        let given = fields.checksum(CHECKSUM, &mut errors);
        Some((transaction_id?, reason?, given?))
    });
    errors.into_result().map_err(Refusal::Fields)?;
    let Some((transaction_id, reason, given)) = read else {
        return Err(Refusal::Fields(Vec::new()));
    };
    let sent = |name| match root.get(name) {
        Some(Node::String(text)) => text,
        _ => "",
    };
    let id = sent(TRANSACTION_ID);
    let right =
        [reason, sent(VOID_REASON)].map(|reason| pairs(&[(TRANSACTION_ID, id), (VOID_REASON, reason)]));
    if !right.iter().any(|right| given.ct_eq(right).into()) {
        return Err(mismatch());
    }
    Ok(VoidRequest {
        content: pairs(&[
            (TRANSACTION_ID, &transaction_id.to_string()),
            (VOID_REASON, reason),
        ]),
        transaction_id,
        reason: reason.to_owned(),
    })
}

/// Reads a refund. A `payload_checksum` is optional; one that is there follows the rule of a
/// transaction: over the whole body without it.
///
/// # Errors
/// See [`Refusal`].
pub fn read_refund(body: &[u8], bounds: &Bounds) -> Result<RefundRequest, Refusal> {
    let root = json::parse(body, &bounds.json).map_err(Refusal::Json)?;
    let mut errors = Errors::new(bounds.max_errors);
    let mut given = None;
    let read = Fields::of(&root, Path::Root, &mut errors).and_then(|fields| {
        let named = fields.get(TRANSACTION_ID).is_some();
        let transaction_id = named.then(|| fields.uuid(TRANSACTION_ID, &mut errors)).flatten();
        let amount = amount(&fields, &mut errors);
        let reason = fields.required_text(REFUND_REASON, MAX_REASON, &mut errors);
        let reference = fields.text(REFUND_REFERENCE, MAX_REFERENCE, &mut errors);
        if fields.get(CHECKSUM).is_some() {
            given = fields.checksum(CHECKSUM, &mut errors);
        }
        Some((transaction_id, amount?, reason?, reference.unwrap_or_default()))
    });
    errors.into_result().map_err(Refusal::Fields)?;
    let Some((transaction_id, amount, reason, reference)) = read else {
        return Err(Refusal::Fields(Vec::new()));
    };
    // Only an `amount` member would differ between the versions, and there is none.
    if given.is_some_and(|given| !bool::from(given.ct_eq(&checksum::digest(&root, Version::V21)))) {
        return Err(mismatch());
    }
    Ok(RefundRequest {
        content: pairs(&[
            (REFUND_AMOUNT, &amount.to_string()),
            (REFUND_REASON, reason),
            (REFUND_REFERENCE, reference),
        ]),
        transaction_id,
        amount,
        reason: reason.to_owned(),
        reference: reference.to_owned(),
    })
}

fn amount(fields: &Fields<'_, '_, '_>, errors: &mut Errors) -> Option<Money> {
    let (amount, exact) = fields.money(REFUND_AMOUNT, errors)?;
    if !exact {
        fields.error(
            REFUND_AMOUNT,
            "format",
            "at most two decimals are allowed",
            errors,
        );
        return None;
    }
    if amount < LEAST_REFUND {
        fields.error(REFUND_AMOUNT, "range", "must be at least 0.01", errors);
        return None;
    }
    Some(amount)
}

/// The checksum of an object with these text members.
fn pairs(members: &[(&'static str, &str)]) -> Digest {
    let members = members
        .iter()
        .map(|(name, text)| (Cow::Borrowed(*name), Node::String(Cow::Borrowed(*text))))
        .collect();
    checksum::digest(&Node::Object(members), Version::V21)
}

fn mismatch() -> Refusal {
    Refusal::Checksum(vec![Mismatch {
        pointer: format!("/{CHECKSUM}"),
    }])
}

/// The checksum of a void, as a till computes it.
#[must_use]
pub fn void_checksum(transaction_id: Uuid, reason: &str) -> Digest {
    pairs(&[
        (TRANSACTION_ID, &transaction_id.to_string()),
        (VOID_REASON, reason),
    ])
}

#[cfg(test)]
mod tests {
    use data_encoding::{HEXLOWER, HEXUPPER};
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::json::{Duplicates, Limits};

    const BOUNDS: Bounds = Bounds {
        json: Limits {
            depth: 8,
            nodes: 100,
            duplicates: Duplicates::Refuse,
        },
        batch: 1,
        max_errors: 10,
    };
    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

    fn void(body: &Value) -> Result<VoidRequest, Refusal> {
        read_void(body.to_string().as_bytes(), &BOUNDS)
    }

    fn codes(refusal: Refusal) -> Vec<(String, &'static str)> {
        match refusal {
            Refusal::Fields(errors) => errors.into_iter().map(|e| (e.pointer, e.code)).collect(),
            Refusal::Checksum(errors) => errors.into_iter().map(|e| (e.pointer, "checksum")).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// The two vectors of the field's documents: one plain, one with what other libraries escape.
    #[test]
    fn the_checksum_covers_two_members_in_the_form_of_the_field() {
        for reason in ["Customer requested cancellation", "Devolución 50/50 – niño"] {
            let text = format!(r#"{{"transaction_id":"{ID}","void_reason":"{reason}"}}"#);
            let right = checksum::sha256(text.as_bytes());
            assert_eq!(void_checksum(ID.parse().unwrap(), reason), right);
            for sum in [HEXLOWER.encode(&right), HEXUPPER.encode(&right)] {
                let body = json!({"transaction_id": ID, "void_reason": reason, "payload_checksum": sum,
                    "terminal_id": 7});
                let read = void(&body).unwrap();
                assert_eq!((read.reason.as_str(), read.content), (reason, right));
            }
        }
    }

    #[test]
    fn blanks_around_the_reason_make_no_other_request() {
        let bare = HEXLOWER.encode(&void_checksum(ID.parse().unwrap(), "x"));
        let with = HEXLOWER.encode(&void_checksum(ID.parse().unwrap(), " x "));
        let read = |reason: &str, sum: &str| {
            void(&json!({"transaction_id": ID, "void_reason": reason, "payload_checksum": sum}))
        };
        let plain = read("x", &bare).unwrap();
        assert_eq!(read(" x ", &bare).unwrap(), plain);
        assert_eq!(read(" x ", &with).unwrap(), plain);
        assert_eq!(
            codes(read("x", &with).unwrap_err()),
            [("/payload_checksum".to_owned(), "checksum")]
        );
    }

    #[test]
    fn every_wrong_member_of_a_void_is_named() {
        let found = codes(void(&json!({"transaction_id": "1", "void_reason": "a\nb"})).unwrap_err());
        let found: Vec<_> = found
            .iter()
            .map(|(pointer, code)| (pointer.as_str(), *code))
            .collect();
        assert_eq!(
            found,
            [
                ("/transaction_id", "format"),
                ("/void_reason", "format"),
                ("/payload_checksum", "required")
            ]
        );
        let long = "x".repeat(256);
        let found = codes(
            void(&json!({"transaction_id": ID, "void_reason": long, "payload_checksum": "0"})).unwrap_err(),
        );
        assert_eq!(found[0], ("/void_reason".to_owned(), "too_long"));
        assert!(matches!(read_void(b"{", &BOUNDS), Err(Refusal::Json(_))));
        assert!(read_void(b"[]", &BOUNDS).is_err());
    }

    #[test]
    fn a_refund_is_exact_and_its_checksum_optional() {
        let read = |body: Value| read_refund(body.to_string().as_bytes(), &BOUNDS);
        let bare = json!({"refund_amount": 50.5, "refund_reason": "broken"});
        let refund = read(bare.clone()).unwrap();
        assert_eq!(refund.amount, Money::from_minor(5050));
        assert_eq!((refund.reference.as_str(), refund.transaction_id), ("", None));
        let same = read(json!({"refund_amount": "50.50", "refund_reason": " broken ", "x": 1})).unwrap();
        assert_eq!(same.content, refund.content);
        let mut signed = bare;
        let right = r#"{"refund_amount":50.5,"refund_reason":"broken"}"#;
        signed["payload_checksum"] = HEXLOWER.encode(&checksum::sha256(right.as_bytes())).into();
        assert_eq!(read(signed.clone()).unwrap(), refund);
        signed["refund_amount"] = json!(50.51);
        assert!(matches!(read(signed), Err(Refusal::Checksum(_))));
        for (amount, code) in [
            (json!(0), "range"),
            (json!("-1"), "range"),
            (json!("0.001"), "format"),
            (json!("1e99"), "range"),
            (json!("x"), "format"),
            (json!(true), "type"),
            (Value::Null, "required"),
        ] {
            let found = codes(read(json!({"refund_amount": amount, "refund_reason": "r"})).unwrap_err());
            assert_eq!(found, [("/refund_amount".to_owned(), code)], "{amount}");
        }
    }
}
