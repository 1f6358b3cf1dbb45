//! The envelope: who, when, how many, and the transactions inside.

use std::collections::HashSet;

use super::{
    Bounds, Refusal, Submission,
    fields::{Errors, Fields, Path},
    transaction,
};
use crate::domain::{checksum, json::Node, sale::Sale};

const SINGLE: &str = "transaction";
const BATCH: &str = "transactions";

/// Shortest number text that can pass the range of a double without an exponent.
const LONG_NUMBER: usize = 300;

/// Reads a submission without verifying its checksums; `version` is a guess from the shape.
pub(super) fn read(root: &Node<'_>, bounds: &Bounds) -> Result<Submission, Refusal> {
    let mut errors = Errors::new(bounds.max_errors);
    let found = Fields::of(root, Path::Root, &mut errors);
    let read = match found {
        None => None,
        Some(fields) => {
            let items = items(&fields, &mut errors);
            if items.len() > bounds.batch {
                return Err(Refusal::TooMany {
                    count: items.len(),
                    limit: bounds.batch,
                });
            }
            refuse_overflow(root, Path::Root, &mut errors);
            submission(&fields, &items, root, &mut errors)
        }
    };
    errors.into_result().map_err(Refusal::Fields)?;
    // Without an error all was read; the other way round is not possible.
    read.ok_or_else(|| Refusal::Fields(Vec::new()))
}

fn submission(
    fields: &Fields<'_, '_, '_>,
    items: &[Item<'_, '_>],
    root: &Node<'_>,
    errors: &mut Errors,
) -> Option<Submission> {
    let submission_uuid = fields.uuid("submission_uuid", errors);
    let tenant_id = fields.integer("tenant_id", errors);
    let terminal_id = fields.integer("terminal_id", errors);
    let submission_timestamp = fields.timestamp("submission_timestamp", errors);
    let payload_checksum = fields.checksum("payload_checksum", errors);
    let count = fields.integer("transaction_count", errors);
    if !items.is_empty() && count.is_some_and(|count| usize::try_from(count) != Ok(items.len())) {
        let message = format!("does not equal the {} transactions sent", items.len());
        fields.error("transaction_count", "mismatch", &message, errors);
    }
    let sales = sales(fields, items, errors);
    Some(Submission {
        submission_uuid: submission_uuid?,
        tenant_id: tenant_id?,
        terminal_id: terminal_id?,
        submission_timestamp: submission_timestamp?,
        payload_checksum: payload_checksum?,
        version: checksum::likely(root),
        sales,
    })
}

/// A transaction and its index, if it is one of a batch.
type Item<'n, 'a> = (Option<usize>, &'n Node<'a>);

/// The transactions under the one key that is there. Both keys at once would let what is checked
/// differ from what is kept.
fn items<'n, 'a>(fields: &Fields<'_, 'n, 'a>, errors: &mut Errors) -> Vec<Item<'n, 'a>> {
    match (fields.get(SINGLE), fields.get(BATCH)) {
        (Some(_), Some(_)) => {
            fields.error(
                BATCH,
                "conflicting",
                "send either transaction or transactions, not both",
                errors,
            );
        }
        (None, None) => {
            fields.error(
                SINGLE,
                "required",
                "transaction or transactions is required",
                errors,
            );
        }
        (Some(node), None) => return vec![(None, node)],
        (None, Some(Node::Array(nodes))) if nodes.is_empty() => {
            fields.error(BATCH, "required", "at least one transaction is required", errors);
        }
        (None, Some(Node::Array(nodes))) => {
            return nodes
                .iter()
                .enumerate()
                .map(|(index, node)| (Some(index), node))
                .collect();
        }
        (None, Some(_)) => fields.error(BATCH, "type", "an array is expected", errors),
    }
    Vec::new()
}

fn sales(fields: &Fields<'_, '_, '_>, items: &[Item<'_, '_>], errors: &mut Errors) -> Vec<Sale> {
    let (single, batch) = (
        Path::Member(&fields.path, SINGLE),
        Path::Member(&fields.path, BATCH),
    );
    let mut known = HashSet::with_capacity(items.len());
    let mut sales = Vec::with_capacity(items.len());
    for (index, node) in items {
        if errors.full() {
            break;
        }
        let path = index.map_or(single, |index| Path::Item(&batch, index));
        let Some(sale) = transaction::read(node, path, errors) else {
            continue;
        };
        if !known.insert(sale.transaction_id) {
            let member = Path::Member(&path, "transaction_id");
            errors.add(
                &member,
                "duplicate",
                "an earlier transaction of this body has the same id",
            );
        }
        sales.push(sale);
    }
    sales
}

/// Refuses numbers that no double holds, wherever they stand: the system in the field hashed a body
/// with one as the empty text, so that its checksum said nothing.
fn refuse_overflow(node: &Node<'_>, path: Path<'_>, errors: &mut Errors) {
    match node {
        Node::Number(text) => {
            let suspicious = text.len() > LONG_NUMBER || text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
            if suspicious && text.parse::<f64>().is_ok_and(f64::is_infinite) {
                errors.add(&path, "range", "the number is too large");
            }
        }
        Node::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                refuse_overflow(item, Path::Item(&path, index), errors);
            }
        }
        Node::Object(members) => {
            for (name, value) in members {
                refuse_overflow(value, Path::Member(&path, name), errors);
            }
        }
        Node::Null | Node::Bool(_) | Node::String(_) => {}
    }
}
