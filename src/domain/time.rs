//! Points in time: microseconds since the epoch, UTC.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A point in time, UTC, to the microsecond. Kept in the database as a 64-bit integer, so that no
/// session time zone of any server can shift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The text is not an instant of the accepted form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UTC time of the form 2025-08-19T10:00:00Z, with an optional fraction")]
pub struct NotATimestamp;

impl Timestamp {
    /// The instant `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The system clock.
    #[must_use]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_microsecond())
    }

    /// This instant moved later by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This instant moved earlier by `by`.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads `YYYY-MM-DDTHH:MM:SS[.fraction]Z`. The `Z` may be missing (it is then still UTC);
    /// offsets are refused, as every version of the wire format does.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, NotATimestamp> {
        let bytes = text.as_bytes();
        let shape_ok = (19..=30).contains(&bytes.len())
            && bytes.get(10) == Some(&b'T')
            && bytes
                .iter()
                .skip(11)
                .all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'Z'));
        if !shape_ok {
            return Err(NotATimestamp);
        }
        let bare = text.strip_suffix('Z').unwrap_or(text);
        let civil: jiff::civil::DateTime = bare.parse().map_err(|_| NotATimestamp)?;
        let zoned = civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map_err(|_| NotATimestamp)?;
        Ok(Self(zoned.timestamp().as_microsecond()))
    }

    /// The instant as RFC 3339 text with exactly `digits` fraction digits (0, 3 or 6) and `Z`.
    #[must_use]
    pub fn to_rfc3339(self, digits: u8) -> String {
        let instant = jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        let precision = digits.min(6);
        format!("{instant:.width$}", width = usize::from(precision))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339(6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_eras_and_prints_true_utc() {
        let plain = Timestamp::parse("2025-08-19T10:00:00Z").unwrap();
        assert_eq!(plain.to_rfc3339(3), "2025-08-19T10:00:00.000Z");
        assert_eq!(plain.to_rfc3339(0), "2025-08-19T10:00:00Z");
        assert_eq!(Timestamp::parse("2025-08-19T10:00:00").unwrap(), plain);
        let fine = Timestamp::parse("2025-08-19T10:00:00.123456Z").unwrap();
        assert_eq!(fine.to_string(), "2025-08-19T10:00:00.123456Z");
    }

    #[test]
    fn refuses_offsets_and_nonsense() {
        for text in [
            "2025-08-19T10:00:00+08:00",
            "2025-08-19 10:00:00Z",
            "2025-02-30T10:00:00Z",
            "2025-08-19",
            "",
            "now",
            "2025-08-19T10:00:00ZZ",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
