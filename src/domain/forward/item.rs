//! One sale as a batch item, in the text that is sent and the text that is hashed.

use std::fmt::Write as _;

use super::{MILLISECONDS, Unwritable};
use crate::domain::{
    checksum::write_escaped,
    directory::{Tenant, Terminal},
    money::Money,
    reversal::Reversal,
    sale::Transaction,
};

/// Room for an ordinary item in either form, in bytes.
const ROOM: usize = 1_280;

/// An item in both forms, written side by side from the same values, members in the order of their
/// names. The hashed form is what the payload rule (v1 and v2.0) makes of the sent one: there is one
/// difference for the members of an item, that amounts lose the zeros at the end, as every amount
/// has two decimals and at most 12 digits. A receiver's way of hashing (reading the item and writing
/// it by the rule) is what the tests hold this against.
pub(super) struct Texts {
    /// As sent, but for the checksum and the bracket that ends it.
    pub(super) sent: String,
    /// What the checksum is over.
    pub(super) hashed: String,
}

impl Texts {
    pub(super) fn of(
        row: &Transaction,
        from: Option<&(Terminal, Tenant)>,
        refunds: &[Reversal],
    ) -> Result<Self, Unwritable> {
        let sale = &row.sale;
        let mut texts = Self {
            sent: String::with_capacity(ROOM),
            hashed: String::with_capacity(ROOM),
        };
        texts.both(r#"{"adjustments":["#);
        for (position, (name, amount)) in sale.adjustments.rows().into_iter().enumerate() {
            texts.both(if position == 0 { "" } else { "," });
            texts.both(r#"{"adjustment_type":""#);
            texts.both(name);
            texts.both(r#"","amount":"#);
            texts.amount(amount)?;
            texts.both("}");
        }
        texts.both(r#"],"amount":"#);
        texts.amount(sale.amount())?;
        texts.both(r#","net_amount":"#);
        match sale.net_sales {
            Some(amount) => texts.amount(amount)?,
            None => texts.both("null"),
        }
        let processed_at = row.decided_at.unwrap_or(row.created_at);
        texts.word(r#","processed_at":"#, &processed_at.to_rfc3339(MILLISECONDS));
        if !refunds.is_empty() {
            texts.refunds(refunds)?;
        }
        if row.voided_at.is_some() {
            texts.word(r#","status":"#, "VOIDED");
        }
        texts.word(
            r#","submission_uuid":"#,
            uuid_text(row.submission_uuid, &mut [0; 36]),
        );
        texts.both(r#","taxes":["#);
        for (position, (name, amount)) in sale.taxes.rows().into_iter().enumerate() {
            texts.both(if position == 0 { "" } else { "," });
            texts.both(r#"{"amount":"#);
            texts.amount(amount)?;
            texts.word(r#","tax_type":"#, name);
            texts.both("}");
        }
        texts.both("]");
        let (terminal, tenant) = (from.map(|from| &from.0), from.map(|from| &from.1));
        texts.maybe(r#","tenant_code":"#, tenant.map(|tenant| &*tenant.code));
        texts.maybe(r#","tenant_name":"#, tenant.map(|tenant| &*tenant.name));
        texts.number(r#","terminal_id":"#, row.terminal_id);
        texts.maybe(
            r#","terminal_serial":"#,
            terminal.map(|terminal| &*terminal.serial_number),
        );
        texts.word(
            r#","transaction_id":"#,
            uuid_text(sale.transaction_id, &mut [0; 36]),
        );
        let sold_at = sale.transaction_timestamp.to_rfc3339(MILLISECONDS);
        texts.word(r#","transaction_timestamp":"#, &sold_at);
        texts.number(r#","tsms_id":"#, row.id);
        texts.word(r#","validation_status":"#, row.status.as_str());
        if let Some(at) = row.voided_at {
            if let Some(reason) = &row.void_reason {
                texts.text(r#","void_reason":"#, reason);
            }
            texts.word(r#","voided_at":"#, &at.to_rfc3339(MILLISECONDS));
        }
        texts.hashed.push('}');
        texts.sent.push_str(r#","sc_vat_exempt_sales":"#);
        push_amount(&mut texts.sent, sale.taxes.sc_vat_exempt_sales)?;
        Ok(texts)
    }

    fn refunds(&mut self, refunds: &[Reversal]) -> Result<(), Unwritable> {
        self.both(r#","refunded_amount":"#);
        self.amount(refunds.iter().map(|refund| refund.amount).sum())?;
        self.both(r#","refunds":["#);
        for (position, refund) in refunds.iter().enumerate() {
            self.both(if position == 0 { "" } else { "," });
            self.both(r#"{"amount":"#);
            self.amount(refund.amount)?;
            self.text(r#","reason":"#, &refund.reason);
            self.text(r#","reference":"#, &refund.reference);
            self.word(r#","refunded_at":"#, &refund.made_at.to_rfc3339(MILLISECONDS));
            self.both("}");
        }
        self.both("]");
        Ok(())
    }

    fn both(&mut self, text: &str) {
        self.sent.push_str(text);
        self.hashed.push_str(text);
    }

    fn amount(&mut self, amount: Money) -> Result<(), Unwritable> {
        let start = self.sent.len();
        push_amount(&mut self.sent, amount)?;
        let written = self.sent.get(start..).unwrap_or_default();
        self.hashed
            .push_str(written.trim_end_matches('0').trim_end_matches('.'));
        Ok(())
    }

    fn number(&mut self, member: &str, number: i64) {
        self.both(member);
        let start = self.sent.len();
        // Writing to a text cannot fail.
        write!(self.sent, "{number}").unwrap_or_default();
        self.hashed.push_str(self.sent.get(start..).unwrap_or_default());
    }

    /// A text that needs no escape.
    fn word(&mut self, member: &str, text: &str) {
        self.both(member);
        self.both("\"");
        self.both(text);
        self.both("\"");
    }

    fn text(&mut self, member: &str, text: &str) {
        self.both(member);
        let start = self.sent.len();
        self.sent.push('"');
        write_escaped(&mut self.sent, text);
        self.sent.push('"');
        self.hashed.push_str(self.sent.get(start..).unwrap_or_default());
    }

    fn maybe(&mut self, member: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(member, text),
            None => {
                self.both(member);
                self.both("null");
            }
        }
    }
}

fn uuid_text(uuid: uuid::Uuid, place: &mut [u8; 36]) -> &str {
    uuid.hyphenated().encode_lower(place)
}

/// Two decimals.
fn push_amount(out: &mut String, amount: Money) -> Result<(), Unwritable> {
    if amount > Money::MAX || amount < -Money::MAX {
        return Err(Unwritable("an amount that no column holds"));
    }
    write!(out, "{amount}").map_err(|_| Unwritable("an amount that cannot be written"))
}
