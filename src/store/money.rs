//! [`Money`] in the database: `DECIMAL(12,2)` in MySQL, centavos in an integer in SQLite. What does
//! not fit is refused in both directions, never rounded.

use rust_decimal::Decimal;
use sqlx::{
    Decode, Encode, MySql, Sqlite, Type,
    encode::IsNull,
    error::BoxDynError,
    mysql::{MySqlTypeInfo, MySqlValueRef},
    sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef},
};

use crate::domain::money::{Money, MoneyError};

fn checked(minor: i64) -> Result<Money, MoneyError> {
    if minor.unsigned_abs() > Money::MAX.minor().unsigned_abs() {
        return Err(MoneyError::OutOfRange);
    }
    Ok(Money::from_minor(minor))
}

/// The centavos of a decimal, if two decimals hold it.
fn centavos(decimal: Decimal) -> Result<Money, BoxDynError> {
    let mut exact = decimal;
    exact.rescale(2);
    if exact.scale() != 2 || exact != decimal {
        return Err(format!("{decimal} is not an amount with two decimals").into());
    }
    Ok(checked(i64::try_from(exact.mantissa())?)?)
}

impl Type<MySql> for Money {
    fn type_info() -> MySqlTypeInfo {
        <Decimal as Type<MySql>>::type_info()
    }

    fn compatible(column: &MySqlTypeInfo) -> bool {
        <Decimal as Type<MySql>>::compatible(column)
    }
}

impl Encode<'_, MySql> for Money {
    fn encode_by_ref(&self, buffer: &mut Vec<u8>) -> Result<IsNull, BoxDynError> {
        let amount = checked(self.minor())?;
        Encode::<MySql>::encode(Decimal::new(amount.minor(), 2), buffer)
    }
}

impl<'r> Decode<'r, MySql> for Money {
    fn decode(value: MySqlValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<MySql>>::decode(value)?;
        centavos(Decimal::from_str_exact(text)?)
    }
}

impl Type<Sqlite> for Money {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(column: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(column)
    }
}

impl Encode<'_, Sqlite> for Money {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        let amount = checked(self.minor())?;
        Encode::<Sqlite>::encode(amount.minor(), buffer)
    }
}

impl<'r> Decode<'r, Sqlite> for Money {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        let minor = <i64 as Decode<Sqlite>>::decode(value)?;
        Ok(checked(minor)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_taken_exactly_or_not_at_all() {
        let read = |text: &str| centavos(Decimal::from_str_exact(text).unwrap());
        assert_eq!(read("9999999999.99").unwrap(), Money::MAX);
        assert_eq!(read("-9999999999.99").unwrap(), -Money::MAX);
        assert_eq!(read("-0.01").unwrap(), Money::from_minor(-1));
        assert_eq!(read("12").unwrap(), Money::from_minor(1200));
        assert_eq!(read("12.3400").unwrap(), Money::from_minor(1234));
        assert!(read("12.345").is_err());
        assert!(read("0.001").is_err());
        assert!(read("10000000000.00").is_err());
        assert!(read("79228162514264337593543950335").is_err());
    }
}
