//! The rows of `adjustments` and `taxes`: which types there are, under which names they come, and where
//! their amounts go.

use super::fields::{Errors, Fields, Path};
use crate::domain::{
    json::Node,
    money::Money,
    sale::{Adjustments, Finding, Severity, Taxes},
};

/// Findings kept of one sale while it is read; a body with more says nothing new.
const MAX_REMARKS: usize = 20;

/// A table of row types: the two differ in names and widths only.
pub(crate) struct Kind {
    /// The member that holds the rows.
    pub(crate) array: &'static str,
    /// The member of a row that names its type.
    pub(crate) type_member: &'static str,
    /// Longest type name.
    pub(crate) longest: usize,
    /// Wire name and aliases of each type, in the order of the wire format.
    types: &'static [&'static [&'static str]],
    /// How many of the types a body of the v2 era must name.
    required: usize,
    unknown: &'static str,
    repeated: &'static str,
}

pub(crate) const ADJUSTMENTS: Kind = Kind {
    array: "adjustments",
    type_member: "adjustment_type",
    longest: 50,
    types: &[
        &["promo_discount"],
        &["senior_discount", "senior_citizen_discount"],
        &["pwd_discount", "pwd"],
        &["vip_card_discount", "vip"],
        &["service_charge_distributed_to_employees", "service_charge"],
        &[
            "service_charge_retained_by_management",
            "management_service_charge",
        ],
        &["employee_discount", "employee"],
    ],
    required: 7,
    unknown: "adjustment.unknown_type",
    repeated: "adjustment.repeated",
};

pub(crate) const TAXES: Kind = Kind {
    array: "taxes",
    type_member: "tax_type",
    longest: 20,
    types: &[
        &["VAT", "VAT_AMOUNT"],
        &["VATABLE_SALES"],
        &["SC_VAT_EXEMPT_SALES"],
        &["OTHER_TAX"],
    ],
    required: 3,
    unknown: "tax.unknown_type",
    repeated: "tax.repeated",
};

/// The amounts of a table in the order of its types; `None` where no row names the type.
pub(super) struct Amounts([Option<Money>; 7]);

impl Amounts {
    fn at(&self, position: usize) -> Money {
        self.0.get(position).copied().flatten().unwrap_or(Money::ZERO)
    }

    pub(super) fn adjustments(&self) -> Adjustments {
        Adjustments {
            promo_discount: self.at(0),
            senior_discount: self.at(1),
            pwd_discount: self.at(2),
            vip_card_discount: self.at(3),
            service_charge_distributed: self.at(4),
            service_charge_retained: self.at(5),
            employee_discount: self.at(6),
        }
    }

    pub(super) fn taxes(&self) -> Taxes {
        Taxes {
            vat: self.at(0),
            vatable_sales: self.at(1),
            sc_vat_exempt_sales: self.at(2),
            other_tax: self.at(3),
        }
    }

    /// A sale wholly exempt from VAT may leave the rows about VAT out.
    pub(super) fn is_vat_exempt_sale(&self) -> bool {
        let taxes = self.taxes();
        taxes.vat == Money::ZERO
            && taxes.vatable_sales == Money::ZERO
            && taxes.sc_vat_exempt_sales > Money::ZERO
    }
}

/// What the rules shall hear about how a sale was written.
#[derive(Default)]
pub(super) struct Remarks(pub(super) Vec<Finding>);

impl Remarks {
    pub(super) fn add(&mut self, code: &str, message: String) {
        if self.0.len() < MAX_REMARKS {
            self.0.push(Finding {
                code: code.to_owned(),
                severity: Severity::Error,
                message,
            });
        }
    }

    /// Takes an amount out of its flag: an inexact one is remarked.
    pub(super) fn exact(&mut self, (amount, exact): (Money, bool), what: &str) -> Money {
        if !exact {
            let message = format!("{what} has more than two decimals; it is kept as {amount}");
            self.add("amount.precision", message);
        }
        amount
    }
}

impl Kind {
    /// The wire names of the types, in the order of the wire format.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.types.iter().filter_map(|names| names.first().copied())
    }

    /// Those that a body of the v2 era must name.
    pub(crate) fn required_names(&self) -> impl Iterator<Item = &'static str> {
        self.names().take(self.required)
    }

    /// Reads the rows of a transaction. A missing array has no amounts.
    pub(super) fn read(
        &self,
        transaction: &Fields<'_, '_, '_>,
        remarks: &mut Remarks,
        errors: &mut Errors,
    ) -> Amounts {
        let mut amounts = Amounts([None; 7]);
        let path = Path::Member(&transaction.path, self.array);
        let rows = match transaction.get(self.array) {
            None => return amounts,
            Some(Node::Array(rows)) => rows,
            Some(_) => {
                errors.add(&path, "type", "an array is expected");
                return amounts;
            }
        };
        for (index, row) in rows.iter().enumerate() {
            if errors.full() {
                break;
            }
            if let Some(row) = Fields::of(row, Path::Item(&path, index), errors) {
                self.read_row(&row, &mut amounts, remarks, errors);
            }
        }
        amounts
    }

    fn read_row(
        &self,
        row: &Fields<'_, '_, '_>,
        amounts: &mut Amounts,
        remarks: &mut Remarks,
        errors: &mut Errors,
    ) {
        let name = row.required_text(self.type_member, self.longest, errors);
        let amount = row.money("amount", errors);
        let (Some(name), Some(amount)) = (name, amount) else {
            return;
        };
        let amount = remarks.exact(amount, name);
        let known = self.types.iter().position(|names| names.contains(&name));
        match known.and_then(|position| amounts.0.get_mut(position)) {
            None => remarks.add(
                self.unknown,
                format!("{} {name:?} is not known", self.type_member),
            ),
            Some(Some(_)) => {
                remarks.add(
                    self.repeated,
                    format!("{} {name:?} comes more than once", self.type_member),
                );
            }
            Some(place) => *place = Some(amount),
        }
    }

    /// Notes the required types that no row names.
    pub(super) fn require(&self, transaction: &Fields<'_, '_, '_>, amounts: &Amounts, errors: &mut Errors) {
        if transaction.required(self.array, errors).is_none() {
            return;
        }
        let named = self.types.iter().zip(amounts.0).take(self.required);
        let missing: Vec<&str> = named
            .filter(|(_, amount)| amount.is_none())
            .filter_map(|(names, _)| names.first().copied())
            .collect();
        if !missing.is_empty() {
            let message = format!("rows are missing for {} {}", self.type_member, missing.join(", "));
            transaction.error(self.array, "missing_type", &message, errors);
        }
    }
}
