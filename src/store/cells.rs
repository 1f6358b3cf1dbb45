//! The cells of a row read, each with the check that it holds what the program wrote.

use sqlx::{Decode, MySql, Row as _, Sqlite, Type};
use uuid::Uuid;

use super::{StoreError, driver::Row};
use crate::domain::{checksum::Digest, money::Money, time::Timestamp};

impl Row {
    /// Its cells, to be read in the order of the statement's columns.
    pub(super) const fn cells(&self) -> Cells<'_> {
        Cells { row: self, next: 0 }
    }
}

/// The cells of a row, read one after the other.
pub(super) struct Cells<'r> {
    row: &'r Row,
    next: usize,
}

impl<'r> Cells<'r> {
    fn read<T>(&mut self) -> Result<T, StoreError>
    where
        T: Decode<'r, MySql> + Type<MySql> + Decode<'r, Sqlite> + Type<Sqlite>,
    {
        let column = self.next;
        self.next += 1;
        match self.row {
            Row::MySql(row) => row.try_get(column),
            Row::Sqlite(row) => row.try_get(column),
        }
        .map_err(|error| StoreError::Damaged(error.to_string()))
    }

    pub(super) fn int(&mut self) -> Result<i64, StoreError> {
        self.read()
    }

    pub(super) fn int_or_null(&mut self) -> Result<Option<i64>, StoreError> {
        self.read()
    }

    pub(super) fn flag(&mut self) -> Result<bool, StoreError> {
        Ok(self.int()? != 0)
    }

    /// A number of attempts.
    pub(super) fn count(&mut self) -> Result<u32, StoreError> {
        self.int().and_then(Self::attempts)
    }

    /// A number of attempts of a row that may not be there.
    pub(super) fn count_or_zero(&mut self) -> Result<u32, StoreError> {
        self.int_or_null()?.map_or(Ok(0), Self::attempts)
    }

    fn attempts(number: i64) -> Result<u32, StoreError> {
        u32::try_from(number).map_err(|_| StoreError::Damaged(format!("a count of {number}")))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_micros(self.int()?))
    }

    pub(super) fn time_or_null(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_or_null()?.map(Timestamp::from_micros))
    }

    /// A time of a column that holds 0 for *not yet*.
    pub(super) fn time_or_zero(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(Some(self.time()?).filter(|at| at.as_micros() != 0))
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        self.read()
    }

    pub(super) fn text_or_null(&mut self) -> Result<Option<String>, StoreError> {
        self.read()
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        self.read()
    }

    pub(super) fn digest(&mut self) -> Result<Digest, StoreError> {
        as_digest(self.bytes()?)
    }

    pub(super) fn digest_or_null(&mut self) -> Result<Option<Digest>, StoreError> {
        let bytes: Option<Vec<u8>> = self.read()?;
        bytes.map(as_digest).transpose()
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, StoreError> {
        let bytes = self.bytes()?;
        Uuid::from_slice(&bytes).map_err(|error| StoreError::Damaged(error.to_string()))
    }

    pub(super) fn uuid_or_null(&mut self) -> Result<Option<Uuid>, StoreError> {
        let bytes: Option<Vec<u8>> = self.read()?;
        bytes
            .map(|bytes| Uuid::from_slice(&bytes))
            .transpose()
            .map_err(|error| StoreError::Damaged(error.to_string()))
    }

    pub(super) fn money(&mut self) -> Result<Money, StoreError> {
        self.read()
    }

    pub(super) fn money_or_null(&mut self) -> Result<Option<Money>, StoreError> {
        self.read()
    }

    /// One of a fixed set of words.
    pub(super) fn word<T>(&mut self, known: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        self.word_or_null(known)?
            .ok_or_else(|| StoreError::Damaged("a missing word".into()))
    }

    /// One of a fixed set of words, of a row that may not be there.
    pub(super) fn word_or_null<T>(&mut self, known: fn(&str) -> Option<T>) -> Result<Option<T>, StoreError> {
        let Some(word) = self.text_or_null()? else {
            return Ok(None);
        };
        known(&word)
            .map(Some)
            .ok_or_else(|| StoreError::Damaged(format!("unknown word {word:?}")))
    }

    /// A list kept as JSON, NULL when empty.
    pub(super) fn list<T: serde::de::DeserializeOwned>(&mut self) -> Result<Vec<T>, StoreError> {
        let Some(text) = self.text_or_null()? else {
            return Ok(Vec::new());
        };
        serde_json::from_str(&text).map_err(|error| StoreError::Damaged(error.to_string()))
    }
}

fn as_digest(bytes: Vec<u8>) -> Result<Digest, StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Damaged("a digest that is not 32 bytes long".into()))
}
