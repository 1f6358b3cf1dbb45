//! The values bound to a statement.

use std::ops::Deref;

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
