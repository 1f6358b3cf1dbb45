//! A transaction row as the body of a job: each `put_x` stands beside the `x` that reads it back.

use super::parts::{Parts, Whole};
use crate::domain::sale::{Adjustments, Finding, Sale, Severity, Taxes, Transaction, ValidationStatus};

pub(super) fn put_transaction(out: &mut Whole, row: &Transaction) {
    let Transaction {
        id,
        tenant_id,
        terminal_id,
        submission_id,
        submission_uuid,
        sale,
        status,
        findings,
        created_at,
        decided_at,
        voided_at,
        void_reason,
    } = row;
    for number in [id, tenant_id, terminal_id, submission_id] {
        out.number(*number);
    }
    out.uuid(*submission_uuid);
    put_sale(out, sale);
    out.byte(match status {
        ValidationStatus::Pending => 0,
        ValidationStatus::Valid => 1,
        ValidationStatus::Invalid => 2,
    });
    put_findings(out, findings);
    out.time(*created_at);
    out.maybe(*decided_at, Whole::time);
    out.maybe(*voided_at, Whole::time);
    out.maybe(void_reason.as_deref(), Whole::text);
}

pub(super) fn transaction(parts: &mut Parts<'_>) -> Option<Transaction> {
    Some(Transaction {
        id: parts.number()?,
        tenant_id: parts.number()?,
        terminal_id: parts.number()?,
        submission_id: parts.number()?,
        submission_uuid: parts.uuid()?,
        sale: sale(parts)?,
        status: match parts.byte()? {
            0 => ValidationStatus::Pending,
            1 => ValidationStatus::Valid,
            2 => ValidationStatus::Invalid,
            _ => return None,
        },
        findings: parts.list(finding)?,
        created_at: parts.time()?,
        decided_at: parts.maybe(Parts::time)?,
        voided_at: parts.maybe(Parts::time)?,
        void_reason: parts.maybe(Parts::text)?,
    })
}

fn put_sale(out: &mut Whole, sale: &Sale) {
    let Sale {
        transaction_id,
        hardware_id,
        transaction_timestamp,
        base_amount,
        gross_sales,
        net_sales,
        adjustments,
        taxes,
        promo_status,
        customer_code,
        receipt_no,
        payload_checksum,
        remarks,
    } = sale;
    out.uuid(*transaction_id);
    out.maybe(hardware_id.as_deref(), Whole::text);
    out.time(*transaction_timestamp);
    for amount in [base_amount, gross_sales, net_sales] {
        out.maybe(*amount, Whole::money);
    }
    put_adjustments(out, adjustments);
    put_taxes(out, taxes);
    for text in [promo_status, customer_code, receipt_no] {
        out.maybe(text.as_deref(), Whole::text);
    }
    out.digest(payload_checksum);
    put_findings(out, remarks);
}

fn sale(parts: &mut Parts<'_>) -> Option<Sale> {
    Some(Sale {
        transaction_id: parts.uuid()?,
        hardware_id: parts.maybe(Parts::text)?,
        transaction_timestamp: parts.time()?,
        base_amount: parts.maybe(Parts::money)?,
        gross_sales: parts.maybe(Parts::money)?,
        net_sales: parts.maybe(Parts::money)?,
        adjustments: adjustments(parts)?,
        taxes: taxes(parts)?,
        promo_status: parts.maybe(Parts::text)?,
        customer_code: parts.maybe(Parts::text)?,
        receipt_no: parts.maybe(Parts::text)?,
        payload_checksum: parts.digest()?,
        remarks: parts.list(finding)?,
    })
}

fn put_adjustments(out: &mut Whole, adjustments: &Adjustments) {
    let Adjustments {
        promo_discount,
        senior_discount,
        pwd_discount,
        vip_card_discount,
        service_charge_distributed,
        service_charge_retained,
        employee_discount,
    } = adjustments;
    for amount in [
        promo_discount,
        senior_discount,
        pwd_discount,
        vip_card_discount,
        service_charge_distributed,
        service_charge_retained,
        employee_discount,
    ] {
        out.money(*amount);
    }
}

fn adjustments(parts: &mut Parts<'_>) -> Option<Adjustments> {
    Some(Adjustments {
        promo_discount: parts.money()?,
        senior_discount: parts.money()?,
        pwd_discount: parts.money()?,
        vip_card_discount: parts.money()?,
        service_charge_distributed: parts.money()?,
        service_charge_retained: parts.money()?,
        employee_discount: parts.money()?,
    })
}

fn put_taxes(out: &mut Whole, taxes: &Taxes) {
    let Taxes {
        vat,
        vatable_sales,
        sc_vat_exempt_sales,
        other_tax,
    } = taxes;
    for amount in [vat, vatable_sales, sc_vat_exempt_sales, other_tax] {
        out.money(*amount);
    }
}

fn taxes(parts: &mut Parts<'_>) -> Option<Taxes> {
    Some(Taxes {
        vat: parts.money()?,
        vatable_sales: parts.money()?,
        sc_vat_exempt_sales: parts.money()?,
        other_tax: parts.money()?,
    })
}

fn put_findings(out: &mut Whole, findings: &[Finding]) {
    out.length(findings.len());
    for finding in findings {
        let Finding {
            code,
            severity,
            message,
        } = finding;
        out.text(code);
        out.byte(match severity {
            Severity::Error => 0,
            Severity::Warning => 1,
        });
        out.text(message);
    }
}

fn finding(parts: &mut Parts<'_>) -> Option<Finding> {
    Some(Finding {
        code: parts.text()?,
        severity: match parts.byte()? {
            0 => Severity::Error,
            1 => Severity::Warning,
            _ => return None,
        },
        message: parts.text()?,
    })
}
