//! A business day: a date, and when it begins and ends in a tenant's time zone.

use std::{fmt, str::FromStr};

use jiff::{civil::Date, tz::TimeZone};

use super::time::Timestamp;

/// A date, `2026-11-25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

/// The text is no date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date of the form 2026-11-25")]
pub struct NotADay(String);

/// No time zone has that name, or the day is at the end of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no business day {day} in the time zone {zone:?}")]
pub struct NoSuchDay {
    day: String,
    zone: String,
}

impl Day {
    /// From the first instant of the day in `zone` (an IANA name) to the first one of the next day.
    ///
    /// # Errors
    /// See [`NoSuchDay`].
    pub fn bounds(self, zone: &str) -> Result<(Timestamp, Timestamp), NoSuchDay> {
        let none = || NoSuchDay {
            day: self.to_string(),
            zone: zone.to_owned(),
        };
        let zone = TimeZone::get(zone).map_err(|_| none())?;
        let first = |date: Date| {
            let start = date.to_zoned(zone.clone()).ok()?;
            Some(Timestamp::from_micros(start.timestamp().as_microsecond()))
        };
        let tomorrow = self.0.tomorrow().ok();
        let bounds = first(self.0).zip(tomorrow.and_then(first));
        bounds.ok_or_else(none)
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let date: Option<Date> = text.parse().ok();
        date.map(Day)
            .filter(|day| day.to_string() == text)
            .ok_or_else(|| NotADay(text.to_owned()))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(day: &str, zone: &str) -> (String, String) {
        let (from, to) = day.parse::<Day>().unwrap().bounds(zone).unwrap();
        (from.to_rfc3339(0), to.to_rfc3339(0))
    }

    #[test]
    fn a_day_is_the_tenants_own() {
        let (from, to) = bounds("2026-11-25", "Asia/Manila");
        assert_eq!((&*from, &*to), ("2026-11-24T16:00:00Z", "2026-11-25T16:00:00Z"));
        let (from, to) = bounds("2026-11-25", "UTC");
        assert_eq!((&*from, &*to), ("2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"));
        // A day of 23 hours.
        let (from, to) = bounds("2026-03-29", "Europe/Paris");
        assert_eq!((&*from, &*to), ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"));
    }

    #[test]
    fn nothing_else_is_a_day() {
        for text in [
            "",
            "2026-13-01",
            "2026-02-30",
            "20261125",
            "2026-11-25T00:00:00",
            "today",
        ] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        let day: Day = "2026-11-25".parse().unwrap();
        assert!(day.bounds("Nowhere/Land").is_err());
    }
}
