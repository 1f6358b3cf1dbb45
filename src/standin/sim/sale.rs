//! Makes sales: amounts that add up (or, on request, do not), written in a till's own form and signed.

use bytes::Bytes;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::wire::{Adjustment, Amount, Envelope, Tax, Transaction};
use crate::domain::{
    checksum::{self, Digest, Version},
    json::{self, Duplicates, Limits},
    money::Money,
    sale::{Adjustments, Taxes},
    time::Timestamp,
};

/// Most sales in one body.
pub const MOST_ITEMS: usize = 500;

/// How long before its submission a sale took place, at most, in milliseconds.
const TILL_LAG_MS: u64 = 30_000;

/// A terminal to play.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimTerminal {
    /// Row id.
    pub terminal_id: i64,
    /// The tenant it stands in.
    pub tenant_id: i64,
    /// Serial number, sent as `hardware_id`.
    pub serial_number: String,
    /// The tenant's customer code.
    pub customer_code: String,
    /// Its bearer token.
    pub token: String,
}

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The era of the payload and of its checksum. `V1` has `base_amount` as a JSON number, `V20`
    /// has gross and net sales as JSON numbers, `V21` has them as strings; those two also carry
    /// receipt numbers and hardware ids.
    pub version: Version,
    /// Sales in the body, from 1 to [`MOST_ITEMS`].
    pub items: usize,
    /// Whether the first sale breaks a business rule: it is accepted and then judged INVALID.
    pub flawed: bool,
}

/// A sale inside a [`SignedBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeSale {
    /// The till's id of it.
    pub transaction_id: Uuid,
    /// The amount the web application should be told.
    pub amount: Money,
    /// Whether the default business rules hold.
    pub valid: bool,
}

/// A body ready to be posted.
#[derive(Clone, Debug)]
pub struct SignedBody {
    /// The till's id of the submission.
    pub submission_uuid: Uuid,
    /// The era it follows.
    pub version: Version,
    /// The exact bytes; a retry sends the same.
    pub body: Bytes,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The sales inside, in order.
    pub sales: Vec<MadeSale>,
}

/// The body could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Zero sales, or too many.
    #[error("a body holds 1 to {MOST_ITEMS} sales, not {0}")]
    Items(usize),
    /// The JSON written could not be read back: a defect of this program.
    #[error("cannot write a sale: {0}")]
    Write(String),
}

/// Makes one signed body. The same arguments give the same bytes.
///
/// # Errors
/// See [`MakeError`].
pub fn make_sale(
    terminal: &SimTerminal,
    kind: Kind,
    seed: u64,
    now: Timestamp,
) -> Result<SignedBody, MakeError> {
    if !(1..=MOST_ITEMS).contains(&kind.items) {
        return Err(MakeError::Items(kind.items));
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let submission_uuid = random_uuid(&mut rng);
    let mut sales = Vec::with_capacity(kind.items);
    let mut transactions = Vec::with_capacity(kind.items);
    for index in 0..kind.items {
        let flawed = kind.flawed && index == 0;
        let figures = Figures::random(&mut rng, flawed, kind.version);
        let mut transaction = Transaction {
            transaction_id: random_uuid(&mut rng),
            receipt_no: (kind.version != Version::V1).then(|| format!("R{seed:016X}-{index}")),
            ..figures.written(terminal, kind.version, sold_at(&mut rng, now))
        };
        transaction.payload_checksum = Some(signature(&transaction, kind.version)?);
        sales.push(MadeSale {
            transaction_id: transaction.transaction_id,
            amount: figures.gross,
            valid: !flawed,
        });
        transactions.push(transaction);
    }
    let single = transactions.first().filter(|_| kind.items == 1);
    let mut envelope = Envelope {
        submission_uuid,
        tenant_id: terminal.tenant_id,
        terminal_id: terminal.terminal_id,
        submission_timestamp: now.to_rfc3339(0),
        transaction_count: kind.items,
        payload_checksum: None,
        transaction: single,
        transactions: single.is_none().then_some(transactions.as_slice()),
    };
    envelope.payload_checksum = Some(signature(&envelope, kind.version)?);
    let body = serde_json::to_vec(&envelope).map_err(|error| MakeError::Write(error.to_string()))?;
    Ok(SignedBody {
        submission_uuid,
        version: kind.version,
        digest: Sha256::digest(&body).into(),
        body: body.into(),
        sales,
    })
}

/// The checksum of an object that does not carry one yet.
fn signature<T: Serialize>(object: &T, version: Version) -> Result<String, MakeError> {
    let write = |error: &dyn std::fmt::Display| MakeError::Write(error.to_string());
    let text = serde_json::to_vec(object).map_err(|error| write(&error))?;
    let limits = Limits {
        depth: 8,
        nodes: 100 * (MOST_ITEMS + 1),
        duplicates: Duplicates::Refuse,
    };
    let node = json::parse(&text, &limits).map_err(|error| write(&error))?;
    Ok(data_encoding::HEXLOWER.encode(&checksum::digest(&node, version)))
}

fn random_uuid(rng: &mut StdRng) -> Uuid {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// A moment shortly before `now`, so that a sale never lies in the future.
fn sold_at(rng: &mut StdRng, now: Timestamp) -> Timestamp {
    let lag = rng.random_range(1_000..=TILL_LAG_MS);
    now.minus(std::time::Duration::from_millis(lag))
}

/// The amounts of a sale.
struct Figures {
    gross: Money,
    net: Money,
    adjustments: Adjustments,
    taxes: Taxes,
}

impl Figures {
    /// Amounts by the default rules: VAT is 12 % of vatable sales; net is vatable sales, VAT and
    /// exempt sales; gross is net, all adjustments and other tax.
    fn random(rng: &mut StdRng, flawed: bool, version: Version) -> Self {
        let vatable = rng.random_range(2_000..=250_000);
        let vat = (vatable * 12 + 50) / 100;
        let exempt = sometimes(rng, 4, 30_000);
        let other_tax = sometimes(rng, 5, 1_500);
        let net = vatable + vat + exempt;
        let mut adjustments = Adjustments::default();
        // At most 12 % of net: far below the ceiling of 30 % of gross.
        let discount = sometimes(rng, 3, net * 12 / 100);
        *match rng.random_range(0..5) {
            0 => &mut adjustments.promo_discount,
            1 => &mut adjustments.senior_discount,
            2 => &mut adjustments.pwd_discount,
            3 => &mut adjustments.vip_card_discount,
            _ => &mut adjustments.employee_discount,
        } = Money::from_minor(discount);
        // Each at most 4 % of net: together far below the ceiling of 15 % of gross.
        let distributed = sometimes(rng, 4, net * 4 / 100);
        let retained = sometimes(rng, 8, net * 4 / 100);
        adjustments.service_charge_distributed = Money::from_minor(distributed);
        adjustments.service_charge_retained = Money::from_minor(retained);
        let mut figures = Self {
            gross: Money::from_minor(net + discount + distributed + retained + other_tax),
            net: Money::from_minor(net),
            adjustments,
            taxes: Taxes {
                vat: Money::from_minor(vat),
                vatable_sales: Money::from_minor(vatable),
                sc_vat_exempt_sales: Money::from_minor(exempt),
                other_tax: Money::from_minor(other_tax),
            },
        };
        if flawed {
            figures.spoil(rng, version);
        }
        figures
    }

    /// Breaks one rule by more than any tolerance.
    fn spoil(&mut self, rng: &mut StdRng, version: Version) {
        let by = Money::from_minor(rng.random_range(100..=2_000));
        // The seed era sends no net sales, so there a wrong gross cannot be told.
        if version == Version::V1 || rng.random_ratio(1, 2) {
            self.taxes.vat = self.taxes.vat + by;
        } else {
            self.gross = self.gross + by;
        }
    }

    /// The sale without its ids and without a checksum.
    fn written<'a>(
        &self,
        terminal: &'a SimTerminal,
        version: Version,
        sold_at: Timestamp,
    ) -> Transaction<'a> {
        let amount = match version {
            Version::V1 | Version::V20 => Amount::Number,
            Version::V21 => Amount::Text,
        };
        let seed_era = version == Version::V1;
        let adjustment = |(adjustment_type, money)| Adjustment {
            adjustment_type,
            amount: amount(money),
        };
        let tax = |(tax_type, money)| Tax {
            tax_type,
            amount: amount(money),
        };
        Transaction {
            transaction_id: Uuid::nil(),
            hardware_id: (!seed_era).then_some(terminal.serial_number.as_str()),
            receipt_no: None,
            transaction_timestamp: sold_at.to_rfc3339(if seed_era { 0 } else { 3 }),
            base_amount: seed_era.then(|| amount(self.gross)),
            gross_sales: amount(self.gross),
            net_sales: (!seed_era).then(|| amount(self.net)),
            promo_status: if self.adjustments.promo_discount == Money::ZERO {
                "NONE"
            } else {
                "WITH_APPROVAL"
            },
            customer_code: &terminal.customer_code,
            payload_checksum: None,
            adjustments: self.adjustments.rows().map(adjustment),
            taxes: self.taxes.rows().map(tax),
        }
    }
}

/// In one of `odds` cases an amount up to `most` centavos, else nothing.
fn sometimes(rng: &mut StdRng, odds: u32, most: i64) -> i64 {
    if most > 0 && rng.random_ratio(1, odds) {
        rng.random_range(1..=most)
    } else {
        0
    }
}
