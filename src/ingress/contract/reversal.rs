//! What a till sends to void or refund a sale, as JSON Schema; made by hand for the reason given in
//! [`super::submission`].

use serde_json::{Map, Value, json};

use super::submission::{SHOWABLE, optional};
use crate::domain::payload;

/// The components, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let schemas = [("Void", void()), ("Refund", refund())];
    schemas
        .map(|(name, schema)| (format!("{name}Request"), schema))
        .into_iter()
        .collect()
}

fn reason() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": payload::MAX_REASON,
        "pattern": SHOWABLE,
        "description": "Not only blanks.",
    })
}

fn void() -> Value {
    json!({
        "type": "object",
        "description": "Members that are not listed are ignored.",
        "required": ["transaction_id", "void_reason", "payload_checksum"],
        "properties": {
            "transaction_id": { "$ref": "#/components/schemas/Uuid", "description": "As in the path." },
            "void_reason": reason(),
            "payload_checksum": { "$ref": "#/components/schemas/Checksum", "description":
                "Over an object of `transaction_id` and `void_reason` alone." },
        },
    })
}

fn refund() -> Value {
    json!({
        "type": "object",
        "description": "Members that are not listed are ignored, but a checksum covers them.",
        "required": ["refund_amount", "refund_reason"],
        "properties": {
            "transaction_id": optional(&json!({ "$ref": "#/components/schemas/Uuid" })),
            "refund_amount": {
                "description": "At least 0.01, with at most two decimals.",
                "anyOf": [
                    { "type": "number", "minimum": 0.01, "maximum": 9_999_999_999.99 },
                    { "type": "string", "pattern": "^[0-9]{1,10}(\\.[0-9]{1,2})?$" },
                ],
            },
            "refund_reason": reason(),
            "refund_reference_id": optional(&json!({
                "type": "string",
                "maxLength": payload::MAX_REFERENCE,
                "pattern": SHOWABLE,
                "description": "The till's id of the refund: the same for every retry of it.",
            })),
            "payload_checksum": optional(&json!({ "$ref": "#/components/schemas/Checksum" })),
        },
    })
}
