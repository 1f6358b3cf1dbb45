//! The values bound to a statement.

use std::{fmt::Write as _, ops::Deref};

use uuid::Uuid;

use super::StoreError;
use crate::domain::{checksum::Digest, money::Money, time::Timestamp};

/// A value to be bound.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Int(i64),
    Money(Money),
    Text(&'a str),
    Bytes(&'a [u8]),
    Uuid(Uuid),
}

/// The values of a statement, in the order of its question marks.
pub(super) struct Binds<'a>(Vec<Value<'a>>);

impl<'a> Binds<'a> {
    /// None so far, with room for `count`.
    pub(super) fn of(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Row ids, e.g. of an `IN` list.
    pub(super) fn ids(ids: &[i64]) -> Self {
        Self(ids.iter().copied().map(Value::Int).collect())
    }

    /// One more.
    pub(super) fn put(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.0.push(value.into());
        self
    }

    /// Several more.
    pub(super) fn put_all(&mut self, values: impl IntoIterator<Item = impl Into<Value<'a>>>) -> &mut Self {
        self.0.extend(values.into_iter().map(Into::into));
        self
    }
}

impl<'a> Deref for Binds<'a> {
    type Target = [Value<'a>];

    fn deref(&self) -> &[Value<'a>] {
        &self.0
    }
}

/// The text of a statement with its values in the place of the question marks; `None` where one of them would have
/// to be quoted.
pub(super) fn spelled_out(text: &str, values: &[Value<'_>]) -> Option<String> {
    let mut whole = String::with_capacity(text.len() + values.len() * 20);
    let mut parts = text.split('?');
    whole.push_str(parts.next()?);
    for (part, value) in parts.zip(values) {
        match value {
            Value::Int(number) => write!(whole, "{number}").ok()?,
            Value::Null => whole.push_str("NULL"),
            Value::Money(_) | Value::Text(_) | Value::Bytes(_) | Value::Uuid(_) => return None,
        }
        whole.push_str(part);
    }
    Some(whole)
}

/// A list as it is kept: JSON, NULL when empty.
pub(super) fn list_text<T: serde::Serialize>(list: &[T]) -> Result<Option<String>, StoreError> {
    if list.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_string(list).map_err(|error| StoreError::Unfit(error.to_string()))?;
    Ok(Some(text))
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.as_micros())
    }
}

impl From<Money> for Value<'_> {
    fn from(amount: Money) -> Self {
        Self::Money(amount)
    }
}

impl From<Uuid> for Value<'_> {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Digest> for Value<'a> {
    fn from(digest: &'a Digest) -> Self {
        Self::Bytes(digest)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The length of a page, to be bound.
pub(super) fn page(limit: usize) -> Value<'static> {
    Value::Int(i64::try_from(limit).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_out_in_their_places() {
        let values = [Value::Int(-5), Value::Null, Value::Int(i64::MAX)];
        let text = spelled_out("UPDATE t SET a = ?, b = ? WHERE id IN (?)", &values);
        assert_eq!(
            text.as_deref(),
            Some("UPDATE t SET a = -5, b = NULL WHERE id IN (9223372036854775807)")
        );
    }

    #[test]
    fn what_has_to_be_quoted_is_bound() {
        let money = Value::Money(Money::from_minor(100));
        for value in [
            Value::Text("a"),
            Value::Bytes(b"a"),
            Value::Uuid(Uuid::nil()),
            money,
        ] {
            assert_eq!(spelled_out("VALUES (?, ?)", &[Value::Int(1), value]), None);
        }
    }
}
