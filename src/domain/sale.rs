//! A sale as TSMS knows it, from the payload to the last state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{checksum::Digest, money::Money, time::Timestamp};

/// One transaction as a terminal sent it, structurally sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// The terminal's own id of the sale; unique per terminal.
    pub transaction_id: Uuid,
    /// Serial number of the till, where the payload carries one.
    pub hardware_id: Option<String>,
    /// When the sale took place, by the till's clock.
    pub transaction_timestamp: Timestamp,
    /// Amount of the seed era (July to September 2025).
    pub base_amount: Option<Money>,
    /// Gross sales.
    pub gross_sales: Option<Money>,
    /// Net sales; may be negative.
    pub net_sales: Option<Money>,
    /// The seven adjustments.
    pub adjustments: Adjustments,
    /// The four taxes.
    pub taxes: Taxes,
    /// `WITH_APPROVAL`, `WITHOUT_APPROVAL` or `NONE`; never enforced in the field.
    pub promo_status: Option<String>,
    /// The tenant's customer code as sent.
    pub customer_code: Option<String>,
    /// Receipt number, unique per terminal and day.
    pub receipt_no: Option<String>,
    /// The verified checksum of the transaction.
    #[serde(with = "hex_digest")]
    pub payload_checksum: Digest,
    /// What was noticed while reading the payload and is a matter for the rules, not for a 422
    /// (more than two decimals, unknown or repeated adjustment types).
    pub remarks: Vec<Finding>,
}

/// The adjustments of a sale, zero where unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustments {
    /// `promo_discount`
    pub promo_discount: Money,
    /// `senior_discount`
    pub senior_discount: Money,
    /// `pwd_discount`
    pub pwd_discount: Money,
    /// `vip_card_discount`
    pub vip_card_discount: Money,
    /// `service_charge_distributed_to_employees`
    pub service_charge_distributed: Money,
    /// `service_charge_retained_by_management`
    pub service_charge_retained: Money,
    /// `employee_discount`
    pub employee_discount: Money,
}

impl Adjustments {
    /// The wire names with their amounts, in the order of the wire format.
    #[must_use]
    pub const fn rows(&self) -> [(&'static str, Money); 7] {
        [
            ("promo_discount", self.promo_discount),
            ("senior_discount", self.senior_discount),
            ("pwd_discount", self.pwd_discount),
            ("vip_card_discount", self.vip_card_discount),
            (
                "service_charge_distributed_to_employees",
                self.service_charge_distributed,
            ),
            (
                "service_charge_retained_by_management",
                self.service_charge_retained,
            ),
            ("employee_discount", self.employee_discount),
        ]
    }
}

/// The taxes of a sale, zero where unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taxes {
    /// `VAT`
    pub vat: Money,
    /// `VATABLE_SALES`: the base of the VAT, not a tax.
    pub vatable_sales: Money,
    /// `SC_VAT_EXEMPT_SALES`: a base, not a tax.
    pub sc_vat_exempt_sales: Money,
    /// `OTHER_TAX`
    pub other_tax: Money,
}

impl Taxes {
    /// The wire names with their amounts, in the order of the wire format.
    #[must_use]
    pub const fn rows(&self) -> [(&'static str, Money); 4] {
        [
            ("VAT", self.vat),
            ("VATABLE_SALES", self.vatable_sales),
            ("SC_VAT_EXEMPT_SALES", self.sc_vat_exempt_sales),
            ("OTHER_TAX", self.other_tax),
        ]
    }
}

impl Sale {
    /// The amount the web application is told: gross where sent, else the seed era's base amount.
    #[must_use]
    pub fn amount(&self) -> Money {
        self.gross_sales.or(self.base_amount).unwrap_or(Money::ZERO)
    }
}

/// Something a check has to say about a sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Stable code, e.g. `amount.not_positive`.
    #[schema(pattern = "^[a-z0-9_.]+$")]
    pub code: String,
    /// Whether it makes the sale invalid.
    pub severity: Severity,
    /// What is wrong, for a person.
    pub message: String,
}

/// Weight of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Makes the sale INVALID.
    Error,
    /// Noted; the sale stays valid.
    Warning,
}

/// The decision on a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ValidationStatus {
    /// Not decided yet.
    Pending,
    /// Every rule holds.
    Valid,
    /// A rule is broken.
    Invalid,
}

impl ValidationStatus {
    /// The word kept in the database and shown on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ValidationStatus::Pending => "PENDING",
            ValidationStatus::Valid => "VALID",
            ValidationStatus::Invalid => "INVALID",
        }
    }

    /// The status a stored word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Pending, Self::Valid, Self::Invalid]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// A transaction row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Row id; `tsms_id` towards the web application.
    pub id: i64,
    /// Owner.
    pub tenant_id: i64,
    /// Sender.
    pub terminal_id: i64,
    /// The submission it came in.
    pub submission_id: i64,
    /// The terminal's id of that submission.
    pub submission_uuid: Uuid,
    /// What was sold.
    pub sale: Sale,
    /// The decision so far.
    pub status: ValidationStatus,
    /// What validation and processing found.
    pub findings: Vec<Finding>,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When VALID or INVALID was decided.
    pub decided_at: Option<Timestamp>,
    /// When it was voided, if it was.
    pub voided_at: Option<Timestamp>,
    /// Why it was voided.
    pub void_reason: Option<String>,
}

/// How far the delivery of a valid sale has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ForwardState {
    /// Due now or later.
    Pending,
    /// Claimed by a worker; a lease bounds it.
    Sending,
    /// Accepted by the web application.
    Forwarded,
    /// Given up; a dead letter holds the reason.
    Dead,
    /// Ended without having arrived for certain, because the sale was voided.
    Withdrawn,
}

impl ForwardState {
    /// The word kept in the database and shown on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ForwardState::Pending => "PENDING",
            ForwardState::Sending => "SENDING",
            ForwardState::Forwarded => "FORWARDED",
            ForwardState::Dead => "DEAD",
            ForwardState::Withdrawn => "WITHDRAWN",
        }
    }

    /// The state a stored word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [
            Self::Pending,
            Self::Sending,
            Self::Forwarded,
            Self::Dead,
            Self::Withdrawn,
        ];
        all.into_iter().find(|state| state.as_str() == word)
    }
}

/// Digests as lower-case hex in JSON.
pub mod hex_digest {
    use data_encoding::HEXLOWER;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{super::checksum::from_hex, Digest};

    /// Writes 64 hex digits.
    ///
    /// # Errors
    /// Whatever the serializer reports.
    pub fn serialize<S: Serializer>(digest: &Digest, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&HEXLOWER.encode(digest))
    }

    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// Anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(input)?;
        from_hex(&text).ok_or_else(|| D::Error::custom("not a SHA-256 digest in hex"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_words_name_one_state_each() {
        for status in [
            ValidationStatus::Pending,
            ValidationStatus::Valid,
            ValidationStatus::Invalid,
        ] {
            assert_eq!(ValidationStatus::from_word(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for state in [
            ForwardState::Pending,
            ForwardState::Sending,
            ForwardState::Forwarded,
            ForwardState::Dead,
            ForwardState::Withdrawn,
        ] {
            assert_eq!(ForwardState::from_word(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for word in ["", "valid", "FAILED"] {
            assert_eq!(ValidationStatus::from_word(word), None);
            assert_eq!(ForwardState::from_word(word), None);
        }
    }

    #[test]
    fn digests_travel_as_hex_only() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Holder(#[serde(with = "hex_digest")] Digest);

        let holder = Holder([0xab; 32]);
        let json = serde_json::to_string(&holder).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Holder>(&json).unwrap(), holder);
        for bad in ["\"\"", "\"ab\"", "7"] {
            assert!(serde_json::from_str::<Holder>(bad).is_err(), "{bad}");
        }
    }
}
