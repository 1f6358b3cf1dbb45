//! Control totals: what two sides hold of a tenant's day, in a form that is quick to compare and easy to
//! compute anywhere. The contract with the web application describes it for implementers.
//!
//! A sale is a line, `50118|1000.00|0.00|SALE`; the digest of a range of sales is the SHA-256 of their
//! lines in order of id, each with its line feed. Any range can be asked for, so that a difference is
//! found by asking for smaller and smaller ones.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{checksum::Digest, money::Money, reversal::ReversalKind, sale::ForwardState, time::Timestamp};

/// No sale has a higher id.
pub const HIGHEST_ID: i64 = 1 << 53;

/// The code of a dead letter about a sale that the web application took and does not hold any more.
pub const LOST: &str = "webapp_lost";

/// What one side holds of a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The sender's id of the sale.
    pub id: i64,
    /// What it was worth.
    pub amount: Money,
    /// What of it was refunded.
    pub refunded: Money,
    /// Whether it is void.
    pub voided: bool,
}

impl Held {
    /// What it is worth in effect.
    #[must_use]
    pub fn net(&self) -> Money {
        if self.voided {
            Money::ZERO
        } else {
            self.amount - self.refunded
        }
    }

    /// The word of its state in a line and in a list.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        if self.voided { "VOIDED" } else { "SALE" }
    }
}

impl fmt::Display for Held {
    /// Its line, without the line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}|{}|{}|{}",
            self.id,
            self.amount,
            self.refunded,
            self.status()
        )
    }
}

impl Serialize for Held {
    /// As its line.
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// A sum of amounts in centavos that no number of sales overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum(i128);

impl Sum {
    /// Reads two decimals, e.g. `-1112.00`, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (whole, cents) = digits.split_once('.')?;
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(cents) || cents.len() != 2 {
            return None;
        }
        let whole: i128 = whole.parse().ok()?;
        let cents: i128 = cents.parse().ok()?;
        let minor = whole.checked_mul(100)?.checked_add(cents)?;
        Some(Self(sign * minor))
    }

    fn add(&mut self, amount: Money) {
        self.0 = self.0.saturating_add(amount.minor().into());
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
    }
}

/// The totals of a range of sales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Sales, void ones included.
    pub count: u64,
    /// The exact sum of their amounts, void ones included.
    pub amount: Sum,
    /// The exact sum of what they are worth in effect.
    pub net: Sum,
    /// The SHA-256 of their lines.
    pub digest: Digest,
}

/// Adds up sales that come in order of id.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    count: u64,
    amount: Sum,
    net: Sum,
    hash: Sha256,
}

impl Tally {
    /// One more, with a higher id than the one before.
    pub fn push(&mut self, held: &Held) {
        self.count += 1;
        self.amount.add(held.amount);
        self.net.add(held.net());
        self.hash.update(format!("{held}\n"));
    }

    /// The totals so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            count: self.count,
            amount: self.amount,
            net: self.net,
            digest: self.hash.clone().finalize().into(),
        }
    }
}

impl Totals {
    /// The totals of sales in order of id.
    #[must_use]
    pub fn of(held: &[Held]) -> Self {
        let mut tally = Tally::default();
        for one in held {
            tally.push(one);
        }
        tally.totals()
    }
}

/// A void or refund, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its row.
    pub id: i64,
    /// Void or refund.
    pub kind: ReversalKind,
    /// What went back.
    pub amount: Money,
    /// How far its delivery has come.
    pub state: ForwardState,
}

/// A valid sale with its delivery and what took it back, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The sale in its newest state, whether or not the web application was told.
    pub newest: Held,
    /// Owner.
    pub tenant_id: i64,
    /// When it was sold, by the till's clock.
    pub sold_at: Timestamp,
    /// The state of the sale's own delivery.
    pub state: ForwardState,
    /// Attempts of it.
    pub attempts: u32,
    /// The web application said that it will never take it.
    pub refused: bool,
    /// Voids and refunds of it.
    pub taken: Vec<Taken>,
}

/// What the web application must hold of a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Just this: it said so.
    Holds(Held),
    /// A delivery is under way: it may hold the state before or after it.
    UnderWay,
    /// Nothing: it was never sent, or refused and withdrawn.
    Nothing,
    /// It was not told, or its answer never arrived, and that was given up.
    GivenUp,
}

impl Delivery {
    /// What the web application is expected to hold.
    #[must_use]
    pub fn standing(&self) -> Standing {
        use ForwardState::{Dead, Forwarded, Pending, Sending, Withdrawn};
        let on_its_way = |state: ForwardState| matches!(state, Pending | Sending);
        if on_its_way(self.state) || self.taken.iter().any(|one| on_its_way(one.state)) {
            return Standing::UnderWay;
        }
        if self.state == Forwarded || self.taken.iter().any(|one| one.state == Forwarded) {
            return Standing::Holds(self.newest);
        }
        match self.state {
            Dead => Standing::GivenUp,
            _ if self.taken.iter().any(|one| one.state == Dead) => Standing::GivenUp,
            Withdrawn | Pending | Sending | Forwarded => Standing::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn held(id: i64, minor: i64, refunded: i64, voided: bool) -> Held {
        Held {
            id,
            amount: Money::from_minor(minor),
            refunded: Money::from_minor(refunded),
            voided,
        }
    }

    #[test]
    fn the_example_of_the_contract() {
        let sales = [
            held(50118, 100_000, 0, false),
            held(50121, 11_200, 0, true),
            held(50130, 50_050, 10_000, false),
        ];
        let totals = Totals::of(&sales);
        assert_eq!(totals.count, 3);
        assert_eq!(totals.amount.to_string(), "1612.50");
        assert_eq!(totals.net.to_string(), "1400.50");
        // printf '50118|1000.00|0.00|SALE\n50121|112.00|0.00|VOIDED\n50130|500.50|100.00|SALE\n' | sha256sum
        assert_eq!(
            HEXLOWER.encode(&totals.digest),
            "2e9d92ef40fca010f3e140f17d73bf7cafb23ceb95b91632f8feeb094555054e"
        );
        let none = Totals::of(&[]);
        assert_eq!(
            HEXLOWER.encode(&none.digest),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn every_member_of_a_line_tells() {
        let sale = held(7, 1000, 0, false);
        for other in [
            held(8, 1000, 0, false),
            held(7, 1001, 0, false),
            held(7, 1000, 1, false),
            held(7, 1000, 0, true),
        ] {
            assert_ne!(Totals::of(&[sale]).digest, Totals::of(&[other]).digest, "{other}");
        }
    }

    #[test]
    fn sums_are_exact_beyond_a_column() {
        let mut sum = Sum::default();
        for _ in 0..3 {
            sum.add(Money::MAX);
        }
        assert_eq!(sum.to_string(), "29999999999.97");
        for text in ["0.00", "-0.05", "1112.00", "123456789012345678901.10"] {
            assert_eq!(Sum::parse(text).map(|sum| sum.to_string()).as_deref(), Some(text));
        }
        for text in [
            "", "1", "1.0", "1.000", ".00", "1,000.00", "+1.00", "1e3.00", "--1.00", "1.-1",
        ] {
            assert_eq!(Sum::parse(text), None, "{text}");
        }
    }

    fn delivery(state: ForwardState, taken: &[ForwardState]) -> Delivery {
        Delivery {
            newest: held(1, 100, 0, !taken.is_empty()),
            tenant_id: 1,
            sold_at: Timestamp::from_micros(0),
            state,
            attempts: 1,
            refused: false,
            taken: (taken.iter())
                .map(|state| Taken {
                    id: 2,
                    kind: ReversalKind::Void,
                    amount: Money::ZERO,
                    state: *state,
                })
                .collect(),
        }
    }

    #[test]
    fn what_is_expected_follows_from_the_deliveries() {
        use ForwardState::{Dead, Forwarded, Pending, Sending, Withdrawn};
        let standing = |state, taken: &[ForwardState]| delivery(state, taken).standing();
        assert_eq!(standing(Forwarded, &[]), Standing::Holds(held(1, 100, 0, false)));
        let void = Standing::Holds(held(1, 100, 0, true));
        assert_eq!(standing(Forwarded, &[Forwarded]), void);
        assert_eq!(standing(Withdrawn, &[Forwarded]), void, "told of the void alone");
        assert_eq!(
            standing(Forwarded, &[Dead]),
            void,
            "a void that did not arrive is a difference"
        );
        assert_eq!(standing(Forwarded, &[Sending]), Standing::UnderWay);
        assert_eq!(standing(Pending, &[]), Standing::UnderWay);
        assert_eq!(standing(Withdrawn, &[Withdrawn]), Standing::Nothing);
        assert_eq!(standing(Dead, &[Withdrawn]), Standing::GivenUp);
        assert_eq!(standing(Withdrawn, &[Dead]), Standing::GivenUp);
    }
}
