//! Dead letters: what could not be brought to an end, what causes them, and which of them are meant.

use std::{fmt, str::FromStr, time::Duration};

use data_encoding::HEXLOWER;
use serde::Serialize;

use super::{checksum::sha256, time::Timestamp};

/// Most letters a second that may be asked for.
pub const MOST_RATE: u32 = 10_000;

/// Bytes of the digest that name a cause.
const CAUSE_BYTES: usize = 6;
/// Characters of the detail that tell causes apart.
const CAUSE_CHARS: usize = 200;
/// Most letters moved in one transaction.
const MOST_AT_ONCE: u32 = 256;
/// A second's letters are spread over so many transactions, if they are not too many for one.
const STEPS_A_SECOND: u32 = 10;
/// What an answer of the web application begins with, its status included.
const STATUS: usize = "HTTP 422".len();

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Row id.
    pub id: i64,
    /// `validation`, `processing`, `forwarding`, `reversal`, …
    pub stage: String,
    /// The row that was given up: its kind depends on the stage.
    pub subject_id: i64,
    /// Whose.
    pub tenant_id: i64,
    /// Why, as a fixed word.
    pub code: String,
    /// Why, for a person.
    pub detail: String,
    /// Since when.
    pub created_at: Timestamp,
}

impl Letter {
    /// A fingerprint that letters of one cause share: of stage, code and detail, where words with a
    /// digit (ids, amounts, times) count as equal, except the status of an answer.
    #[must_use]
    pub fn cause(&self) -> String {
        let (status, rest) = self
            .detail
            .split_at_checked(STATUS)
            .filter(|(status, _)| status.starts_with("HTTP "))
            .unwrap_or(("", &self.detail));
        let mut text = format!("{}|{}|{status}|", self.stage, self.code);
        let rest: String = rest.chars().take(CAUSE_CHARS).collect();
        for word in rest.split_inclusive(|character: char| !character.is_alphanumeric()) {
            if word.contains(|character: char| character.is_ascii_digit()) {
                text.push('#');
            } else {
                text.push_str(word);
            }
        }
        let digest = sha256(text.as_bytes());
        HEXLOWER.encode(digest.get(..CAUSE_BYTES).unwrap_or_default())
    }
}

/// How the letters of a run are spread over a second: at most its rate in any second, and at least nine
/// tenths of it where the database keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Most letters moved in one transaction.
    pub at_once: usize,
    /// From one such transaction to the next.
    pub pause: Duration,
}

impl Pace {
    /// The pace of `rate` letters a second; 0 counts as 1.
    #[must_use]
    pub fn of(rate: u32) -> Self {
        let rate = rate.max(1);
        let at_once = (rate / STEPS_A_SECOND).clamp(1, MOST_AT_ONCE);
        Self {
            at_once: usize::try_from(at_once).unwrap_or(1),
            // Rounded up: stored times have microseconds.
            pause: Duration::from_micros(1_000_000_u64.div_ceil(u64::from(rate / at_once))),
        }
    }
}

/// Which letters are meant: those that satisfy every term. Written `all`, or `stage=forwarding,code=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Id(i64),
    Stage(String),
    Tenant(i64),
    Code(String),
    Cause(String),
}

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not `all` and not a term of id, stage, tenant, code or cause, as in code=webapp_refused")]
pub struct BadFilter(String);

impl Filter {
    /// Whether a letter is meant.
    #[must_use]
    pub fn matches(&self, letter: &Letter) -> bool {
        self.0.iter().all(|term| match term {
            Term::Id(id) => *id == letter.id,
            Term::Stage(stage) => *stage == letter.stage,
            Term::Tenant(tenant) => *tenant == letter.tenant_id,
            Term::Code(code) => *code == letter.code,
            Term::Cause(cause) => *cause == letter.cause(),
        })
    }
}

impl FromStr for Filter {
    type Err = BadFilter;

    fn from_str(text: &str) -> Result<Self, BadFilter> {
        if text == "all" {
            return Ok(Self(Vec::new()));
        }
        let term = |term: &str| {
            let (key, value) = term.split_once('=')?;
            let value = value.trim();
            if value.is_empty() {
                return None;
            }
            let word = || value.to_owned();
            match key.trim() {
                "id" => value.parse().ok().map(Term::Id),
                "stage" => Some(Term::Stage(word())),
                "tenant" => value.parse().ok().map(Term::Tenant),
                "code" => Some(Term::Code(word())),
                "cause" => Some(Term::Cause(word())),
                _ => None,
            }
        };
        let terms = text.split(',').map(|one| term(one).ok_or(one));
        terms
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(|one| BadFilter(one.to_owned()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("all");
        }
        for (position, term) in self.0.iter().enumerate() {
            if position > 0 {
                out.write_str(",")?;
            }
            match term {
                Term::Id(id) => write!(out, "id={id}")?,
                Term::Stage(stage) => write!(out, "stage={stage}")?,
                Term::Tenant(tenant) => write!(out, "tenant={tenant}")?,
                Term::Code(code) => write!(out, "code={code}")?,
                Term::Cause(cause) => write!(out, "cause={cause}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(code: &str, detail: &str) -> Letter {
        Letter {
            id: 3,
            stage: "forwarding".to_owned(),
            subject_id: 9,
            tenant_id: 7,
            code: code.to_owned(),
            detail: detail.to_owned(),
            created_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn ids_and_amounts_do_not_make_another_cause_but_the_status_does() {
        let one = letter("webapp_refused", "HTTP 422: sale 17 of 2026-01-02, ₱10.00: vat").cause();
        let same = letter("webapp_refused", "HTTP 422: sale 9 of 2027-11-12, ₱9.50: vat").cause();
        assert_eq!((one.as_str(), one.len()), (same.as_str(), 12));
        for other in [
            letter("webapp_refused", "HTTP 409: sale 17 of 2026-01-02, ₱10.00: vat"),
            letter("webapp_rejected", "HTTP 422: sale 17 of 2026-01-02, ₱10.00: vat"),
            letter("webapp_refused", "HTTP 422: sale 17 of 2026-01-02, ₱10.00: tax"),
            letter("webapp_refused", ""),
        ] {
            assert_ne!(one, other.cause(), "{other:?}");
        }
    }

    #[test]
    fn no_second_holds_more_than_the_rate_and_few_hold_much_less() {
        for rate in (0..=10_000_u32).chain([20_011, 1_000_000]) {
            let pace = Pace::of(rate);
            let rate = u128::from(rate.max(1));
            let steps = 1_000_000_u128.div_ceil(pace.pause.as_micros());
            let letters = steps * u128::try_from(pace.at_once).unwrap();
            assert!(letters <= rate, "{letters} of {rate}");
            assert!(rate > 10_000 || letters * 10 >= rate * 9, "{letters} of {rate}");
        }
    }

    #[test]
    fn a_filter_is_every_term_and_is_written_as_it_is_read() {
        let meant = letter("exhausted", "x");
        let cause = format!("cause={}", meant.cause());
        for good in ["all", "id=3", "stage=forwarding,tenant=7,code=exhausted", &cause] {
            let filter: Filter = good.parse().unwrap();
            assert!(filter.matches(&meant), "{good}");
            assert_eq!(filter.to_string(), good);
        }
        for other in [
            "id=4",
            "stage=forwarding,tenant=8",
            "code=x",
            "cause=000000000000",
        ] {
            assert!(!other.parse::<Filter>().unwrap().matches(&meant), "{other}");
        }
        for bad in ["", "every", "id=x", "code=", "code=x,", "colour=red"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad:?}");
        }
    }
}
