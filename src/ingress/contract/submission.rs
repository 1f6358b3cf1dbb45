//! What a till sends, as JSON Schema. The reader in `domain::payload` works on raw JSON, because the
//! checksum needs the text as it was sent, so that there is no type to derive these from; the
//! contract tests hold the two together.

use serde_json::{Map, Value, json};

use crate::domain::payload;

/// A text that can be shown: no control characters, line separators or marks of direction.
pub(super) const SHOWABLE: &str = r"^[^\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]*$";

const EXAMPLE: &str = include_str!("example.json");

/// The components, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let schemas = [
        (
            "AnyJson",
            json!({ "description": "A submission, a void, or any other JSON." }),
        ),
        ("Submission", submission()),
        ("Sale", sale()),
        ("SaleOfFirstGeneration", first_generation()),
        ("SaleOfSecondGeneration", second_generation()),
        ("Adjustments", rows(&payload::ADJUSTMENTS)),
        ("Taxes", rows(&payload::TAXES)),
        ("Amount", amount(true)),
        ("AmountFromZero", amount(false)),
        ("Uuid", uuid()),
        ("TillTime", till_time()),
        ("Checksum", checksum()),
        ("TillId", till_id()),
    ];
    schemas
        .map(|(name, schema)| (name.to_owned(), schema))
        .into_iter()
        .collect()
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn submission() -> Value {
    json!({
        "type": "object",
        "description": "Members that are not listed are ignored, but the checksum covers them.",
        "required": [
            "submission_uuid", "tenant_id", "terminal_id", "submission_timestamp", "transaction_count",
            "payload_checksum",
        ],
        "properties": {
            "submission_uuid": { "$ref": "#/components/schemas/Uuid", "description":
                "New for every submission, the same for every retry of it." },
            "tenant_id": { "$ref": "#/components/schemas/TillId", "description": "The tenant of the token." },
            "terminal_id": { "$ref": "#/components/schemas/TillId", "description": "The terminal of the token." },
            "submission_timestamp": of("TillTime"),
            "transaction_count": { "$ref": "#/components/schemas/TillId", "description":
                "How many transactions follow." },
            "payload_checksum": of("Checksum"),
            "transaction": of("Sale"),
            "transactions": {
                "type": "array",
                "minItems": 1,
                "maxItems": 500,
                "items": of("Sale"),
                "description": "No two of the same `transaction_id`.",
            },
        },
        "oneOf": [{ "required": ["transaction"] }, { "required": ["transactions"] }],
        "examples": [example()],
    })
}

/// A submission that is signed as it should be.
fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap_or_default()
}

fn sale() -> Value {
    json!({
        "description": "A body with `base_amount` is of the first generation.",
        "oneOf": [of("SaleOfSecondGeneration"), of("SaleOfFirstGeneration")],
    })
}

/// The members of both generations; the arrays and texts as an optional member is written.
fn members() -> Value {
    json!({
        "transaction_id": { "$ref": "#/components/schemas/Uuid", "description":
            "Made on the till before the first attempt, kept with the sale, never used twice." },
        "transaction_timestamp": of("TillTime"),
        "payload_checksum": of("Checksum"),
        "gross_sales": optional(&of("AmountFromZero")),
        "net_sales": optional(&of("Amount")),
        "hardware_id": optional(&shown(0, payload::MAX_TEXT, "The serial number of the token's terminal.")),
        "receipt_no": optional(&json!({
            "type": "string",
            "pattern": format!("^[A-Za-z0-9.-]{{1,{}}}$", payload::MAX_RECEIPT),
        })),
        "customer_code": optional(&shown(0, payload::MAX_TEXT, "Recorded as sent.")),
        "promo_status": optional(&shown(0, payload::MAX_TEXT,
            "`WITH_APPROVAL`, `WITHOUT_APPROVAL` or `NONE`; recorded, not enforced.")),
        "adjustments": optional(&of("Adjustments")),
        "taxes": optional(&of("Taxes")),
    })
}

fn first_generation() -> Value {
    let mut properties = members();
    properties["base_amount"] = of("AmountFromZero");
    json!({
        "type": "object",
        "description": "July to September 2025.",
        "required": ["transaction_id", "transaction_timestamp", "base_amount", "payload_checksum"],
        "properties": properties,
    })
}

fn second_generation() -> Value {
    let mut properties = members();
    let serial = "The serial number of the token's terminal.";
    let required = [
        ("gross_sales", of("AmountFromZero")),
        ("net_sales", of("Amount")),
        ("hardware_id", shown(1, payload::MAX_TEXT, serial)),
        (
            "receipt_no",
            json!({
                "type": "string",
                "pattern": format!("^[A-Za-z0-9.-]{{1,{}}}$", payload::MAX_RECEIPT),
            }),
        ),
        ("adjustments", at_least(&payload::ADJUSTMENTS)),
        ("taxes", at_least(&payload::TAXES)),
    ];
    for (name, schema) in required {
        properties[name] = schema;
    }
    properties["base_amount"] = json!({ "type": "null" });
    json!({
        "type": "object",
        "description": "Since September 2025.",
        "required": [
            "transaction_id", "transaction_timestamp", "gross_sales", "net_sales", "hardware_id",
            "receipt_no", "adjustments", "taxes", "payload_checksum",
        ],
        "properties": properties,
    })
}

/// A member that may be missing may be null as well.
pub(super) fn optional(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn shown(least: usize, most: usize, what: &str) -> Value {
    json!({ "type": "string", "minLength": least, "maxLength": most, "pattern": SHOWABLE, "description": what })
}

fn rows(kind: &payload::Kind) -> Value {
    let known: Vec<&str> = kind.names().collect();
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": [kind.type_member, "amount"],
            "properties": {
                kind.type_member: {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": kind.longest,
                    "pattern": SHOWABLE,
                    "description": format!("One of `{}`, each once; any other makes the sale INVALID.", known.join("`, `")),
                },
                "amount": of("Amount"),
            },
        },
    })
}

/// The rows of the second generation, which must name every type of the wire format.
fn at_least(kind: &payload::Kind) -> Value {
    let required: Vec<&str> = kind.required_names().collect();
    let (least, but) = match kind.array {
        "taxes" => (1, " A sale wholly exempt from VAT may leave out the rows of VAT."),
        _ => (required.len(), ""),
    };
    json!({
        "allOf": [of(if kind.array == "taxes" { "Taxes" } else { "Adjustments" }), { "minItems": least }],
        "description": format!("A row for each of `{}`; 0 for unused ones.{but}", required.join("`, `")),
    })
}

/// An amount as a till may write it.
fn amount(negative: bool) -> Value {
    let (least, sign) = if negative {
        (-9_999_999_999.99, "-?")
    } else {
        (0.0, "")
    };
    json!({
        "description": "Two decimals at most: a sale with more is INVALID. Never a float inside TSMS.",
        "anyOf": [
            { "type": "number", "minimum": least, "maximum": 9_999_999_999.99 },
            { "type": "string", "pattern": format!(r"^{sign}[0-9]{{1,10}}(\.[0-9]{{1,2}})?$") },
        ],
    })
}

fn uuid() -> Value {
    json!({
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
    })
}

fn till_time() -> Value {
    json!({
        "type": "string",
        "description": "UTC. A fraction of up to 9 digits may follow the seconds; an offset may not. The Z may be missing.",
        "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z?$",
        "examples": ["2025-08-19T10:00:00Z"],
    })
}

fn checksum() -> Value {
    json!({
        "type": "string",
        "pattern": "^[0-9A-Fa-f]{64}$",
        "description": "SHA-256 over the canonical text of the object without this member; see docs/integration.md.",
    })
}

fn till_id() -> Value {
    json!({
        "description": "A whole number from 1 on; as text too.",
        "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": i64::MAX },
            { "type": "string", "pattern": "^[1-9][0-9]{0,17}$" },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        checksum::Version,
        json::{Duplicates, Limits},
        payload::Bounds,
    };

    #[test]
    fn the_example_is_accepted() {
        let json = Limits {
            depth: 16,
            nodes: 500,
            duplicates: Duplicates::Refuse,
        };
        let bounds = Bounds {
            json,
            batch: 500,
            max_errors: 50,
        };
        let read = payload::read(EXAMPLE.as_bytes(), &bounds).unwrap();
        assert_eq!((read.version, read.sales.len()), (Version::V21, 1));
        // As the document shows it, members sorted, it is the same.
        assert_eq!(payload::read(example().to_string().as_bytes(), &bounds), Ok(read));
    }
}
