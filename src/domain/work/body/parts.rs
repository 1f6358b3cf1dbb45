//! What the bodies of jobs are made of: numbers, texts and what may be missing.

use bytes::{Buf as _, BufMut as _, Bytes};
use uuid::Uuid;

use crate::domain::{checksum::Digest, money::Money, time::Timestamp};

/// A body being written.
pub(super) struct Whole(Vec<u8>);

impl Whole {
    pub(super) fn new(version: u8, room: usize) -> Self {
        let mut out = Vec::with_capacity(room);
        out.push(version);
        Self(out)
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, number: i64) {
        self.0.put_i64(number);
    }

    pub(super) fn time(&mut self, time: Timestamp) {
        self.number(time.as_micros());
    }

    pub(super) fn money(&mut self, amount: Money) {
        self.number(amount.minor());
    }

    pub(super) fn uuid(&mut self, uuid: Uuid) {
        self.0.put_slice(uuid.as_bytes());
    }

    pub(super) fn digest(&mut self, digest: &Digest) {
        self.0.put_slice(digest);
    }

    /// A length, then the bytes. A text of 4 GB fits no row; its length would not match, and the
    /// worker would load the row.
    pub(super) fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.put_slice(text.as_bytes());
    }

    pub(super) fn length(&mut self, length: usize) {
        self.0.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    }

    /// A byte that says whether there is a value, then the value.
    pub(super) fn maybe<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// Bytes without a length, which must come last.
    pub(super) fn rest(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }
}

/// A body being read. Every part is `None` when the bytes do not hold one.
pub(super) struct Parts<'b>(&'b [u8]);

impl<'b> Parts<'b> {
    /// The parts of a body of this version.
    pub(super) fn of(body: &'b [u8], version: u8) -> Option<Self> {
        body.strip_prefix(&[version]).map(Self)
    }

    /// A body that goes on after its last part is not of the form it says.
    pub(super) const fn are_all_read(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub(super) fn number(&mut self) -> Option<i64> {
        self.0.try_get_i64().ok()
    }

    pub(super) fn time(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_micros)
    }

    pub(super) fn money(&mut self) -> Option<Money> {
        self.number().map(Money::from_minor)
    }

    pub(super) fn uuid(&mut self) -> Option<Uuid> {
        self.fixed().map(Uuid::from_bytes)
    }

    pub(super) fn digest(&mut self) -> Option<Digest> {
        self.fixed()
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    /// A list: its length, then its items. A wrong length ends with the bytes, not with the memory.
    pub(super) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.length()?;
        (0..length).map(|_| item(self)).collect()
    }

    /// `Some(None)` for a value that is missing.
    pub(super) fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => value(self).map(Some),
            _ => None,
        }
    }

    /// All that is left.
    pub(super) const fn rest(&self) -> &'b [u8] {
        self.0
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.0.try_get_u32().ok()?).ok()
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (fixed, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*fixed)
    }
}
