//! Exact money: centavos in a 64-bit integer. No float touches an amount.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, Neg, Sub},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decimal::Decimal;

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
    /// Decimal digits of [`Money::MAX`] in centavos.
    const MAX_DIGITS: u8 = 12;
    /// Those of them before the point.
    const PLAIN_WHOLE: usize = 10;

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

    /// Reads a JSON number or a decimal string (`12`, `-0.5`, `1e3`, `12.340`). A string may have what
    /// the system in the field takes as numeric: blanks around it, `+`, leading zeros, `.5`, `5.`.
    /// Separators of thousands, hexadecimal and words are refused. The flag says whether two decimals
    /// hold the value exactly; if not, the amount is rounded half away from zero.
    ///
    /// # Errors
    /// Not a number, or outside [`Money::MAX`] in either direction.
    pub fn parse(text: &str) -> Result<(Money, bool), MoneyError> {
        if let Some(amount) = Self::plain(text) {
            return Ok((amount, true));
        }
        Self::decimal(text)
    }

    /// An amount the way tills write it: at most ten digits, perhaps a point and one or two more. Of
    /// that form every text is exact and none is out of range, so that its digits are the centavos,
    /// and [`Money::decimal`] reads the same.
    fn plain(text: &str) -> Option<Self> {
        let (whole, cents) = match text.split_once('.') {
            None => (text, [b'0', b'0']),
            Some((whole, fraction)) => match fraction.as_bytes() {
                [tenths] => (whole, [*tenths, b'0']),
                [tenths, hundredths] => (whole, [*tenths, *hundredths]),
                _ => return None,
            },
        };
        if whole.is_empty() || whole.len() > Self::PLAIN_WHOLE {
            return None;
        }
        let mut digits = whole.bytes().chain(cents);
        digits
            .try_fold(0, |sum: i64, byte| {
                byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
            })
            .map(Self)
    }

    /// A number of any form.
    fn decimal(text: &str) -> Result<(Money, bool), MoneyError> {
        let decimal = Decimal::parse(text).ok_or(MoneyError::NotANumber)?;
        let (magnitude, exact) = decimal
            .hundredths(Self::MAX_DIGITS)
            .ok_or(MoneyError::OutOfRange)?;
        let minor = i64::try_from(magnitude).map_err(|_| MoneyError::OutOfRange)?;
        if minor > Self::MAX.0 {
            return Err(MoneyError::OutOfRange);
        }
        let minor = if decimal.is_negative() { -minor } else { minor };
        Ok((Self(minor), exact))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minor(text: &str) -> Result<(i64, bool), MoneyError> {
        Money::parse(text).map(|(money, exact)| (money.minor(), exact))
    }

    #[test]
    fn reads_every_spelling_of_an_amount() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("0.00", 0),
            ("0e99999999999999999999", 0),
            ("12", 1_200),
            ("-0.5", -50),
            ("1e3", 100_000),
            ("1E+3", 100_000),
            ("12.340", 1_234),
            ("1234.5e-2", 1_235),
            ("125e-2", 125),
            ("0.01", 1),
            ("9999999999.99", 999_999_999_999),
            ("-9999999999.99", -999_999_999_999),
            (" 12.5", 1_250),
            ("12.5 ", 1_250),
            ("+5", 500),
            ("007.10", 710),
            (".5", 50),
            ("5.", 500),
        ] {
            assert_eq!(minor(text).unwrap().0, expected, "{text}");
        }
    }

    #[test]
    fn says_when_two_decimals_do_not_hold_it() {
        for (text, expected) in [
            ("1.005", (101, false)),
            ("-1.005", (-101, false)),
            ("1.0049999", (100, false)),
            ("0.004", (0, false)),
            ("0.005", (1, false)),
            ("1e-7", (0, false)),
            ("1e-999999999999", (0, false)),
            ("1.000", (100, true)),
            ("1.010", (101, true)),
        ] {
            assert_eq!(minor(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_a_column_cannot_hold() {
        for text in [
            "10000000000",
            "-10000000000.00",
            "9999999999.995",
            "1e10",
            "1e999",
            "1e999999999999999999999999",
            "12345678901234567890",
        ] {
            assert_eq!(minor(text), Err(MoneyError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for text in [
            "", " ", ".", "-", "+", "e5", "1e", "1e+", "1,000.00", "0x1A", "abc", "1 2", "--1", "+-1", "NaN",
            "INF", "1.2.3", "１", "₱5", "5\u{a0}",
        ] {
            assert_eq!(minor(text), Err(MoneyError::NotANumber), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(minor in -999_999_999_999_i64..=999_999_999_999) {
            let money = Money::from_minor(minor);
            prop_assert_eq!(Money::parse(&money.to_string()), Ok((money, true)));
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }

        #[test]
        fn the_plain_form_reads_as_any_other(
            text in "[0-9]{0,12}(\\.[0-9]{0,3})?|[-+ ]?[0-9]{1,3}\\.?[0-9e ]{0,3}",
        ) {
            prop_assert_eq!(Money::parse(&text), Money::decimal(&text));
        }

        #[test]
        fn moving_the_point_by_exponent_changes_nothing(
            minor in -999_999_999_999_i64..=999_999_999_999, zeros in 0_usize..5,
        ) {
            let text = format!("{minor}{}e{}", "0".repeat(zeros), -2 - i32::try_from(zeros).unwrap());
            prop_assert_eq!(Money::parse(&text), Ok((Money::from_minor(minor), true)));
        }

        #[test]
        fn rounds_half_away_from_zero(units in 0_i64..9_999_999_999, thousandths in 0_i64..100_000) {
            let text = format!("{units}.{thousandths:05}");
            let (money, exact) = Money::parse(&text).unwrap();
            let expected = units * 100 + (thousandths + 500) / 1_000;
            prop_assert_eq!((money.minor(), exact), (expected, thousandths % 1_000 == 0));
            let (negative, _) = Money::parse(&format!("-{text}")).unwrap();
            prop_assert_eq!(negative, -money);
        }

        #[test]
        fn never_panics_on_any_text(text in "\\PC*|[0-9eE+. -]{0,40}") {
            if let Ok((money, _)) = Money::parse(&text) {
                prop_assert!(money <= Money::MAX && -money <= Money::MAX);
            }
        }
    }
}
