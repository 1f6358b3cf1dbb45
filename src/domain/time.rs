//! Points in time: microseconds since the epoch, UTC.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A point in time, UTC, to the microsecond. Kept in the database as a 64-bit integer, so that no
/// session time zone of any server can shift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The shape of a time to the second; `0` stands for any digit.
const SECONDS: &[u8; 19] = b"0000-00-00T00:00:00";
/// Most digits of a fraction of a second.
const MAX_FRACTION: usize = 9;

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

    /// Reads `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, the fraction of 1 to 9 digits and cut to microseconds.
    /// The `Z` may be missing (it is then still UTC); offsets are refused, as every version of the
    /// wire format does, and so are leap seconds.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, NotATimestamp> {
        civil(text.as_bytes()).ok_or(NotATimestamp)
    }

    /// The instant as RFC 3339 text with exactly `digits` fraction digits (0, 3 or 6) and `Z`.
    #[must_use]
    pub fn to_rfc3339(self, digits: u8) -> String {
        let end = if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        };
        let instant = jiff::Timestamp::from_microsecond(self.0).unwrap_or(end);
        let precision = digits.min(6);
        format!("{instant:.width$}", width = usize::from(precision))
    }
}

fn civil(bytes: &[u8]) -> Option<Timestamp> {
    let (seconds, fraction) = bytes.split_at_checked(SECONDS.len())?;
    let shape = seconds.iter().zip(SECONDS).all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    });
    if !shape {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = seconds.get(from..to).unwrap_or_default();
        digits
            .iter()
            .fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0'))
    };
    let small = |from: usize| i8::try_from(number(from, from + 2)).ok();
    let micros = micros(fraction.strip_suffix(b"Z").unwrap_or(fraction))?;
    let time = jiff::civil::DateTime::new(
        number(0, 4),
        small(5)?,
        small(8)?,
        small(11)?,
        small(14)?,
        small(17)?,
        micros * 1_000,
    );
    let zoned = time.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_microsecond()))
}

/// The microseconds of a fraction with its point; nothing is zero.
fn micros(fraction: &[u8]) -> Option<i32> {
    let Some((point, digits)) = fraction.split_first() else {
        return Some(0);
    };
    let fits = (1..=MAX_FRACTION).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if *point != b'.' || !fits {
        return None;
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Some(padded.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0')))
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
            "2025-08-19T10:00:00z",
            "2025-08-19T10:00:60Z",
            "2025-08-19T24:00:00Z",
            "2025-08-19T10:60:00Z",
            "2025-13-01T10:00:00Z",
            "2025-00-01T10:00:00Z",
            "2025-02-29T10:00:00Z",
            "2025-08-19T10:00Z",
            "2025-08-19T100000Z",
            "2025-08-19T100000.123456Z",
            "20250819T10:00:00.000",
            "+002025-08-19T10:00:00",
            "2025-08-19T10:00:00.Z",
            "2025-08-19T10:00:00,5Z",
            "2025-08-19T10:00:00.1234567890Z",
            "2025-08-19T10:00:00.12a",
            "2025-08-19T10:00:00 ",
            " 2025-08-19T10:00:00",
            "٢٠٢٥-08-19T10:00:00",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
    #[test]
    fn keeps_microseconds_and_cuts_what_is_finer() {
        let base = Timestamp::parse("2025-08-19T10:00:00Z").unwrap();
        for (fraction, micros) in [
            (".1", 100_000),
            (".12Z", 120_000),
            (".000001", 1),
            (".999999999Z", 999_999),
        ] {
            let parsed = Timestamp::parse(&format!("2025-08-19T10:00:00{fraction}")).unwrap();
            assert_eq!(parsed.as_micros() - base.as_micros(), micros, "{fraction}");
        }
        let leap_day = Timestamp::parse("2024-02-29T23:59:59").unwrap();
        assert_eq!(
            leap_day.plus(Duration::from_secs(1)).to_rfc3339(0),
            "2024-03-01T00:00:00Z"
        );
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let (first, last) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(first.minus(Duration::MAX), first);
        assert_eq!(first.since(last), Duration::ZERO);
        assert!(last.to_rfc3339(3).starts_with("9999-12-3"));
        assert!(first.to_rfc3339(3).starts_with("-009999-01-0"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(micros in -62_135_596_800_000_000_i64..=253_402_207_200_000_000) {
            let instant = Timestamp::from_micros(micros);
            proptest::prop_assert_eq!(Timestamp::parse(&instant.to_string()), Ok(instant));
        }

        #[test]
        fn never_panics_on_any_text(text in "\\PC{0,32}|[0-9TZ:.-]{19,30}") {
            if let Ok(instant) = Timestamp::parse(&text) {
                let printed = instant.to_rfc3339(0);
                proptest::prop_assert_eq!(printed.get(..19), text.get(..19));
            }
        }
    }
}
