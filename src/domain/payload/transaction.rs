//! One transaction of a submission, of either era.

use super::{
    fields::{Errors, Fields, Path},
    rows::{ADJUSTMENTS, Remarks, TAXES},
};
use crate::domain::{json::Node, money::Money, sale::Sale};

/// Longest free text of a transaction.
pub(crate) const MAX_TEXT: usize = 255;
/// Longest receipt number.
pub(crate) const MAX_RECEIPT: usize = 128;

/// Reads a transaction; `None` when anything is wrong with it, which `errors` then holds.
pub(super) fn read(node: &Node<'_>, path: Path<'_>, errors: &mut Errors) -> Option<Sale> {
    let fields = Fields::of(node, path, errors)?;
    // July to September 2025 sent base_amount and knew neither hardware_id nor receipt_no.
    let seed_era = fields.get("base_amount").is_some();
    let mut remarks = Remarks::default();

    let transaction_id = fields.uuid("transaction_id", errors);
    let transaction_timestamp = fields.timestamp("transaction_timestamp", errors);
    let payload_checksum = fields.checksum("payload_checksum", errors);
    let mut amount = |name: &str, required: bool, least: Option<Money>| {
        let wanted = required || fields.get(name).is_some();
        let amount = wanted.then(|| fields.money(name, errors)).flatten()?;
        let amount = remarks.exact(amount, name);
        if least.is_some_and(|least| amount < least) {
            fields.error(name, "range", "must not be negative", errors);
        }
        Some(amount)
    };
    let base_amount = amount("base_amount", false, Some(Money::ZERO));
    let gross_sales = amount("gross_sales", !seed_era, Some(Money::ZERO));
    let net_sales = amount("net_sales", !seed_era, None);

    let adjustments = ADJUSTMENTS.read(&fields, &mut remarks, errors);
    let taxes = TAXES.read(&fields, &mut remarks, errors);
    let hardware_id;
    if seed_era {
        hardware_id = fields.text("hardware_id", MAX_TEXT, errors);
    } else {
        hardware_id = fields.required_text("hardware_id", MAX_TEXT, errors);
        ADJUSTMENTS.require(&fields, &adjustments, errors);
        if !taxes.is_vat_exempt_sale() {
            TAXES.require(&fields, &taxes, errors);
        }
    }
    let receipt_no = receipt_no(&fields, !seed_era, errors);
    let promo_status = fields.text("promo_status", MAX_TEXT, errors);
    let customer_code = fields.text("customer_code", MAX_TEXT, errors);

    Some(Sale {
        transaction_id: transaction_id?,
        hardware_id: hardware_id.map(str::to_owned),
        transaction_timestamp: transaction_timestamp?,
        base_amount,
        gross_sales,
        net_sales,
        adjustments: adjustments.adjustments(),
        taxes: taxes.taxes(),
        promo_status: promo_status.map(str::to_owned),
        customer_code: customer_code.map(str::to_owned),
        receipt_no: receipt_no.map(str::to_owned),
        payload_checksum: payload_checksum?,
        remarks: remarks.0,
    })
}

fn receipt_no<'n>(fields: &Fields<'_, 'n, '_>, required: bool, errors: &mut Errors) -> Option<&'n str> {
    let name = "receipt_no";
    let text = if required {
        fields.required_text(name, MAX_RECEIPT, errors)?
    } else {
        fields.text(name, MAX_RECEIPT, errors)?
    };
    let sound = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    if !sound {
        fields.error(
            name,
            "format",
            "only letters, digits, '.' and '-' are allowed",
            errors,
        );
    }
    Some(text)
}
