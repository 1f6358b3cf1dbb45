//! The row of a transaction: its columns, written and read in one order.

use super::{
    StoreError,
    cells::Cells,
    dialect::Sql,
    pieces::fits,
    values::{Value, list_text},
};
use crate::domain::{
    sale::{Adjustments, Sale, Taxes, Transaction, ValidationStatus},
    time::Timestamp,
};

/// The columns read, in the order of [`read`]; the table goes by `t`.
macro_rules! columns {
    () => {
        "t.id, t.tenant_id, t.terminal_id, t.submission_id, t.submission_uuid, t.transaction_id, \
         t.hardware_id, t.transaction_timestamp, t.base_amount, t.gross_sales, t.net_sales, \
         t.promo_discount, t.senior_discount, t.pwd_discount, t.vip_card_discount, \
         t.service_charge_distributed, t.service_charge_retained, t.employee_discount, t.vat, \
         t.vatable_sales, t.sc_vat_exempt_sales, t.other_tax, t.promo_status, t.customer_code, \
         t.receipt_no, t.payload_checksum, t.remarks, t.validation_status, t.findings, \
         t.created_at, NULLIF(t.decided_at, 0), t.voided_at, t.void_reason"
    };
}

pub(super) const INSERT: Sql = Sql {
    name: "transactions.insert",
    text: "INSERT INTO transactions (id, tenant_id, terminal_id, submission_id, submission_uuid, \
           transaction_id, hardware_id, transaction_timestamp, base_amount, gross_sales, net_sales, \
           promo_discount, senior_discount, pwd_discount, vip_card_discount, \
           service_charge_distributed, service_charge_retained, employee_discount, vat, \
           vatable_sales, sc_vat_exempt_sales, other_tax, promo_status, customer_code, receipt_no, \
           payload_checksum, remarks, validation_status, findings, created_at, decided_at, \
           voided_at, void_reason) \
           VALUES {(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
           ?, ?, ?, ?, ?, ?)}",
};

/// Columns of [`INSERT`].
pub(super) const COLUMNS: usize = 33;

/// A row with its lists as they are kept.
pub(super) struct Written<'a> {
    row: &'a Transaction,
    remarks: Option<String>,
    findings: Option<String>,
}

/// Refuses what the columns would not hold and writes the lists out.
pub(super) fn write(row: &Transaction) -> Result<Written<'_>, StoreError> {
    let sale = &row.sale;
    let widths = [
        ("hardware_id", &sale.hardware_id, 255),
        ("promo_status", &sale.promo_status, 255),
        ("customer_code", &sale.customer_code, 255),
        ("receipt_no", &sale.receipt_no, 128),
        ("void_reason", &row.void_reason, 1000),
    ];
    for (column, text, characters) in widths {
        if let Some(text) = text {
            fits(column, text, characters)?;
        }
    }
    Ok(Written {
        row,
        remarks: list_text(&sale.remarks)?,
        findings: list_text(&row.findings)?,
    })
}

impl Written<'_> {
    /// The values of one row of [`INSERT`].
    pub(super) fn values(&self) -> [Value<'_>; COLUMNS] {
        let Self {
            row,
            remarks,
            findings,
        } = self;
        let sale = &row.sale;
        let Adjustments {
            promo_discount,
            senior_discount,
            pwd_discount,
            vip_card_discount,
            service_charge_distributed,
            service_charge_retained,
            employee_discount,
        } = sale.adjustments;
        let Taxes {
            vat,
            vatable_sales,
            sc_vat_exempt_sales,
            other_tax,
        } = sale.taxes;
        [
            row.id.into(),
            row.tenant_id.into(),
            row.terminal_id.into(),
            row.submission_id.into(),
            row.submission_uuid.into(),
            sale.transaction_id.into(),
            sale.hardware_id.as_deref().into(),
            sale.transaction_timestamp.into(),
            sale.base_amount.into(),
            sale.gross_sales.into(),
            sale.net_sales.into(),
            promo_discount.into(),
            senior_discount.into(),
            pwd_discount.into(),
            vip_card_discount.into(),
            service_charge_distributed.into(),
            service_charge_retained.into(),
            employee_discount.into(),
            vat.into(),
            vatable_sales.into(),
            sc_vat_exempt_sales.into(),
            other_tax.into(),
            sale.promo_status.as_deref().into(),
            sale.customer_code.as_deref().into(),
            sale.receipt_no.as_deref().into(),
            (&sale.payload_checksum).into(),
            remarks.as_deref().into(),
            row.status.as_str().into(),
            findings.as_deref().into(),
            row.created_at.into(),
            row.decided_at.map_or(0, Timestamp::as_micros).into(),
            row.voided_at.into(),
            row.void_reason.as_deref().into(),
        ]
    }
}

/// Reads the columns of [`columns`].
pub(super) fn read(cells: &mut Cells<'_>) -> Result<Transaction, StoreError> {
    // Fields are read in the order they are written down here, which is the order of the columns.
    let (id, tenant_id, terminal_id) = (cells.int()?, cells.int()?, cells.int()?);
    let (submission_id, submission_uuid) = (cells.int()?, cells.uuid()?);
    let sale = Sale {
        transaction_id: cells.uuid()?,
        hardware_id: cells.text_or_null()?,
        transaction_timestamp: cells.time()?,
        base_amount: cells.money_or_null()?,
        gross_sales: cells.money_or_null()?,
        net_sales: cells.money_or_null()?,
        adjustments: Adjustments {
            promo_discount: cells.money()?,
            senior_discount: cells.money()?,
            pwd_discount: cells.money()?,
            vip_card_discount: cells.money()?,
            service_charge_distributed: cells.money()?,
            service_charge_retained: cells.money()?,
            employee_discount: cells.money()?,
        },
        taxes: Taxes {
            vat: cells.money()?,
            vatable_sales: cells.money()?,
            sc_vat_exempt_sales: cells.money()?,
            other_tax: cells.money()?,
        },
        promo_status: cells.text_or_null()?,
        customer_code: cells.text_or_null()?,
        receipt_no: cells.text_or_null()?,
        payload_checksum: cells.digest()?,
        remarks: cells.list()?,
    };
    Ok(Transaction {
        id,
        tenant_id,
        terminal_id,
        submission_id,
        submission_uuid,
        sale,
        status: cells.word(ValidationStatus::from_word)?,
        findings: cells.list()?,
        created_at: cells.time()?,
        decided_at: cells.time_or_null()?,
        voided_at: cells.time_or_null()?,
        void_reason: cells.text_or_null()?,
    })
}
