//! Business rules: each finding with its code, all findings reported, not the first.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;

use super::{
    money::Money,
    sale::{Finding, Sale, Severity},
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

/// Applies every rule to a sale accepted at `received_at`: the remarks made while it was read, then
/// the findings of the rules in a fixed order. A sale without an error among them is VALID.
#[must_use]
pub fn judge(sale: &Sale, received_at: Timestamp, rules: &RuleSet) -> Vec<Finding> {
    let mut findings = Findings(sale.remarks.clone());
    amount(sale, rules, &mut findings);
    time(sale, received_at, rules, &mut findings);
    signs(sale, &mut findings);
    vat(sale, rules, &mut findings);
    sums(sale, rules, &mut findings);
    ceilings(sale, rules, &mut findings);
    findings.0
}

/// Hundredths of a percent in one.
const BASIS: i128 = 10_000;
const MICROS_A_DAY: u64 = 24 * 60 * 60 * 1_000_000;

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, code: &str, message: String) {
        self.0.push(Finding {
            code: code.to_owned(),
            severity: Severity::Error,
            message,
        });
    }
}

fn amount(sale: &Sale, rules: &RuleSet, findings: &mut Findings) {
    let amount = sale.amount();
    if amount <= Money::ZERO {
        findings.error(
            "amount.not_positive",
            format!("the amount {amount} is not above zero"),
        );
    }
    if amount > rules.max_amount {
        findings.error(
            "amount.too_large",
            format!("the amount {amount} is above {}", rules.max_amount),
        );
    }
}

fn time(sale: &Sale, received_at: Timestamp, rules: &RuleSet, findings: &mut Findings) {
    let sold_at = sale.transaction_timestamp;
    if sold_at > received_at.plus(Duration::from_secs(rules.future_tolerance_s)) {
        findings.error(
            "time.future",
            format!("{sold_at} was in the future when the sale came in"),
        );
    }
    let oldest = Duration::from_micros(u64::from(rules.max_age_days) * MICROS_A_DAY);
    if received_at.since(sold_at) > oldest {
        let message = format!(
            "{sold_at} was more than {} days past when the sale came in",
            rules.max_age_days
        );
        findings.error("time.too_old", message);
    }
}

fn signs(sale: &Sale, findings: &mut Findings) {
    for (name, amount) in sale.adjustments.rows() {
        if amount < Money::ZERO {
            findings.error("adjustment.negative", format!("{name} is negative: {amount}"));
        }
    }
    for (name, amount) in sale.taxes.rows() {
        if amount < Money::ZERO {
            findings.error("tax.negative", format!("{name} is negative: {amount}"));
        }
    }
}

fn vat(sale: &Sale, rules: &RuleSet, findings: &mut Findings) {
    let taxes = &sale.taxes;
    // Clients of the seed era may leave VATABLE_SALES out, so that nothing is known to compare with.
    if sale.net_sales.is_none() && taxes.vatable_sales == Money::ZERO {
        return;
    }
    let expected = wide(taxes.vatable_sales) * i128::from(rules.vat_rate_bp);
    let apart = (wide(taxes.vat) * BASIS - expected).abs();
    if apart > wide(rules.vat_tolerance) * BASIS {
        let message = format!(
            "VAT {} is not {} % of VATABLE_SALES {}",
            taxes.vat,
            percent(rules.vat_rate_bp),
            taxes.vatable_sales
        );
        findings.error("vat.rate", message);
    }
}

fn sums(sale: &Sale, rules: &RuleSet, findings: &mut Findings) {
    if let (Some(base), Some(gross)) = (sale.base_amount, sale.gross_sales)
        && base > gross + rules.sum_tolerance
    {
        findings.error(
            "gross.below_base",
            format!("gross_sales {gross} is less than base_amount {base}"),
        );
    }
    let Some(net) = sale.net_sales else {
        return;
    };
    let taxes = &sale.taxes;
    let vat = if rules.net_includes_vat {
        taxes.vat
    } else {
        Money::ZERO
    };
    let expected = taxes.vatable_sales + vat + taxes.sc_vat_exempt_sales;
    if !close(net, expected, rules.sum_tolerance) {
        let with_vat = if rules.net_includes_vat { " + VAT" } else { "" };
        let message =
            format!("net_sales {net} is not VATABLE_SALES{with_vat} + SC_VAT_EXEMPT_SALES = {expected}");
        findings.error("net.sum", message);
    }
    let Some(gross) = sale.gross_sales else {
        return;
    };
    let adjustments: Money = sale
        .adjustments
        .rows()
        .into_iter()
        .map(|(_, amount)| amount)
        .sum();
    let expected = net + adjustments + taxes.other_tax;
    if !close(gross, expected, rules.sum_tolerance) {
        let message = format!("gross_sales {gross} is not net_sales + adjustments + OTHER_TAX = {expected}");
        findings.error("gross.sum", message);
    }
}

fn ceilings(sale: &Sale, rules: &RuleSet, findings: &mut Findings) {
    let rows = &sale.adjustments;
    let discounts = rows.promo_discount
        + rows.senior_discount
        + rows.pwd_discount
        + rows.vip_card_discount
        + rows.employee_discount;
    let charges = rows.service_charge_distributed + rows.service_charge_retained;
    for (code, what, part, ceiling) in [
        (
            "discount.ceiling",
            "discounts",
            discounts,
            rules.discount_ceiling_bp,
        ),
        (
            "service_charge.ceiling",
            "service charges",
            charges,
            rules.service_charge_ceiling_bp,
        ),
    ] {
        if wide(part) * BASIS > wide(sale.amount()) * i128::from(ceiling) {
            let message = format!(
                "{what} of {part} are above {} % of {}",
                percent(ceiling),
                sale.amount()
            );
            findings.error(code, message);
        }
    }
}

fn wide(amount: Money) -> i128 {
    i128::from(amount.minor())
}

fn close(one: Money, other: Money, tolerance: Money) -> bool {
    (wide(one) - wide(other)).abs() <= wide(tolerance)
}

/// Hundredths of a percent as percent.
fn percent(basis_points: u32) -> String {
    let text = Money::from_minor(i64::from(basis_points)).to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
