//! Exact money: centavos in a 64-bit integer. No float touches an amount.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, Neg, Sub},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in minor units (centavos), exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("not a decimal number")]
    NotANumber,
    /// Outside what a `DECIMAL(12,2)` column holds.
    #[error("outside ±9,999,999,999.99")]
    OutOfRange,
}

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);
    /// The largest amount a column holds: 9,999,999,999.99.
    pub const MAX: Money = Money(999_999_999_999);

    /// `minor` centavos.
    #[must_use]
    pub const fn from_minor(minor: i64) -> Self {
        Self(minor)
    }

    /// The amount in centavos.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// Reads a JSON number or decimal string (`12`, `-0.5`, `1e3`, `12.340`). The flag says
    /// whether two decimals hold the value exactly; if not, the amount is rounded half away from
    /// zero.
    ///
    /// # Errors
    /// Not a number, or outside [`Money::MAX`] in either direction.
    pub fn parse(text: &str) -> Result<(Money, bool), MoneyError> {
        let _ = text;
        todo!("domain")
    }
}

impl fmt::Display for Money {
    /// Two decimals, e.g. `-0.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
    }
}

impl Add for Money {
    type Output = Money;

    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Money;

    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl Neg for Money {
    type Output = Money;

    fn neg(self) -> Money {
        Money(self.0.saturating_neg())
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

impl Serialize for Money {
    /// As a string with two decimals, so that no reader makes a float of it.
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
        match Money::parse(&text) {
            Ok((money, true)) => Ok(money),
            Ok((_, false)) => Err(serde::de::Error::custom("more than two decimals")),
            Err(error) => Err(serde::de::Error::custom(error)),
        }
    }
}
