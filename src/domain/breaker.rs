//! The circuit breaker of a sink as all worker processes see it, and what follows from it at a time.

use std::collections::BTreeMap;

use serde::Serialize;

use super::time::Timestamp;

/// The sink that `[forwarding]` describes.
pub const DEFAULT_SINK: &str = "webapp";

/// The breaker of one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breaker {
    /// Row id.
    pub id: i64,
    /// The sink's name.
    pub sink: String,
    /// Whether it opened and did not close since.
    pub open: bool,
    /// Counts its changes.
    pub version: i64,
    /// When it last opened or closed.
    pub changed_at: Timestamp,
    /// While it is open: when one call may try.
    pub open_until: Timestamp,
    /// Why it last opened.
    pub cause: String,
    /// Until when the one call that tries has time.
    pub probe_until: Timestamp,
    /// What a person ordered last.
    pub force: Option<Force>,
}

/// A person's order that a breaker is open or closed, whatever the sink does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Force {
    /// Open, that is nothing is sent; or closed, that is everything is sent.
    pub open: bool,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
}

/// What holds at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Everything is sent.
    Closed,
    /// A person wants everything to be sent; failures are not counted.
    ForcedClosed,
    /// Nothing is sent.
    Open,
    /// A person wants nothing to be sent.
    ForcedOpen,
    /// One call in the whole fleet may try.
    HalfOpen,
    /// That call is under way.
    Probing,
}

impl Stance {
    /// The word on the wire and on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Stance::Closed => "closed",
            Stance::ForcedClosed => "forced_closed",
            Stance::Open => "open",
            Stance::ForcedOpen => "forced_open",
            Stance::HalfOpen => "half_open",
            Stance::Probing => "probing",
        }
    }

    /// Whether sales go out as ever.
    #[must_use]
    pub const fn lets_through(self) -> bool {
        matches!(self, Stance::Closed | Stance::ForcedClosed)
    }
}

/// The breakers that have a row, and those of `sinks` and of [`DEFAULT_SINK`] in any case, by the name of
/// their sink.
#[must_use]
pub fn with_untouched(breakers: Vec<Breaker>, sinks: Vec<String>) -> Vec<Breaker> {
    let names = sinks.into_iter().chain([DEFAULT_SINK.to_owned()]);
    let mut all: BTreeMap<String, Breaker> = names
        .map(|name| (name.clone(), Breaker::untouched(&name)))
        .collect();
    all.extend(
        breakers
            .into_iter()
            .map(|breaker| (breaker.sink.clone(), breaker)),
    );
    all.into_values().collect()
}

impl Breaker {
    /// That of a sink that never failed and that nobody ordered about.
    #[must_use]
    pub fn untouched(sink: &str) -> Self {
        let never = Timestamp::from_micros(0);
        Self {
            id: 0,
            sink: sink.to_owned(),
            open: false,
            version: 0,
            changed_at: never,
            open_until: never,
            cause: String::new(),
            probe_until: never,
            force: None,
        }
    }

    /// What holds at `now`.
    #[must_use]
    pub fn stance(&self, now: Timestamp) -> Stance {
        match &self.force {
            Some(force) if force.until > now && force.open => return Stance::ForcedOpen,
            Some(force) if force.until > now => return Stance::ForcedClosed,
            _ => {}
        }
        if !self.open {
            Stance::Closed
        } else if self.open_until > now {
            Stance::Open
        } else if self.probe_until > now {
            Stance::Probing
        } else {
            Stance::HalfOpen
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sink_is_listed_once() {
        let mut opened = Breaker::untouched("mall");
        opened.open = true;
        let sinks = ["zoo", "mall"].map(str::to_owned).to_vec();
        let all = with_untouched(vec![opened, Breaker::untouched("gone")], sinks);
        let told: Vec<_> = all.iter().map(|row| (row.sink.as_str(), row.open)).collect();
        let expected = [
            ("gone", false),
            ("mall", true),
            (DEFAULT_SINK, false),
            ("zoo", false),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_breaker_goes_through_its_states_by_the_clock() {
        let at = Timestamp::from_micros;
        let mut breaker = Breaker::untouched(DEFAULT_SINK);
        assert_eq!(breaker.stance(at(0)), Stance::Closed);
        (breaker.open, breaker.open_until) = (true, at(10));
        assert_eq!(breaker.stance(at(9)), Stance::Open);
        assert_eq!(breaker.stance(at(10)), Stance::HalfOpen);
        breaker.probe_until = at(20);
        assert_eq!(breaker.stance(at(19)), Stance::Probing);
        assert_eq!(breaker.stance(at(20)), Stance::HalfOpen, "its worker died");
        for (open, stance) in [(true, Stance::ForcedOpen), (false, Stance::ForcedClosed)] {
            breaker.force = Some(Force {
                open,
                until: at(30),
                owner: String::new(),
                reason: String::new(),
            });
            assert_eq!(breaker.stance(at(29)), stance);
            assert_eq!(breaker.stance(at(30)), Stance::HalfOpen);
        }
        breaker.open = false;
        assert_eq!(breaker.stance(at(30)), Stance::Closed);
    }
}
