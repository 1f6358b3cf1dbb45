//! The payload as tills write it, members in the order of the seed era (the checksum stands before
//! the transactions and before the lists), which every era accepts.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::money::Money;

/// An amount as the till prints it: exact text either way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    /// A JSON number with two decimals.
    Number(Money),
    /// A string with two decimals.
    Text(Money),
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Amount::Number(money) => RawValue::from_string(money.to_string())
                .map_err(serde::ser::Error::custom)?
                .serialize(out),
            Amount::Text(money) => out.collect_str(money),
        }
    }
}

/// The envelope of a submission.
#[derive(Serialize)]
pub(super) struct Envelope<'a> {
    pub(super) submission_uuid: Uuid,
    pub(super) tenant_id: i64,
    pub(super) terminal_id: i64,
    pub(super) submission_timestamp: String,
    pub(super) transaction_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload_checksum: Option<String>,
    /// Sent for a count of 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transaction: Option<&'a Transaction<'a>>,
    /// Sent for any other count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transactions: Option<&'a [Transaction<'a>]>,
}

/// One sale.
#[derive(Serialize)]
pub(super) struct Transaction<'a> {
    pub(super) transaction_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hardware_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receipt_no: Option<String>,
    pub(super) transaction_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base_amount: Option<Amount>,
    pub(super) gross_sales: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) net_sales: Option<Amount>,
    pub(super) promo_status: &'static str,
    pub(super) customer_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload_checksum: Option<String>,
    pub(super) adjustments: [Adjustment; 7],
    pub(super) taxes: [Tax; 4],
}

/// A row of `adjustments`.
#[derive(Serialize)]
pub(super) struct Adjustment {
    pub(super) adjustment_type: &'static str,
    pub(super) amount: Amount,
}

/// A row of `taxes`.
#[derive(Serialize)]
pub(super) struct Tax {
    pub(super) tax_type: &'static str,
    pub(super) amount: Amount,
}
