//! Business rules: each finding with its code, all findings reported, not the first.

use serde::Deserialize;

use super::{
    money::Money,
    sale::{Finding, Sale},
    time::Timestamp,
};

/// The rules in force, with their tolerances. Defaults stand in `config/default.toml` under `[rules]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// Version of this set, recorded with each decision.
    pub version: u32,
    /// Largest amount of one sale.
    pub max_amount: Money,
    /// How far in the future a sale may lie, in seconds (clock skew).
    pub future_tolerance_s: u64,
    /// How old a sale may be, in days.
    pub max_age_days: u32,
    /// VAT rate in hundredths of a percent (12 % = 1200).
    pub vat_rate_bp: u32,
    /// Tolerance of VAT against rate × vatable sales.
    pub vat_tolerance: Money,
    /// Tolerance of sums (net, gross).
    pub sum_tolerance: Money,
    /// Whether net sales include VAT.
    pub net_includes_vat: bool,
    /// Largest share of gross that discounts may take, in hundredths of a percent.
    pub discount_ceiling_bp: u32,
    /// Largest share of gross that service charges may take, in hundredths of a percent.
    pub service_charge_ceiling_bp: u32,
}

/// Applies every rule to a sale accepted at `received_at`.
#[must_use]
pub fn judge(sale: &Sale, received_at: Timestamp, rules: &RuleSet) -> Vec<Finding> {
    let _ = (sale, received_at, rules);
    todo!("domain")
}
