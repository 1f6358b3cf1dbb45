//! Orders of a person about the rate limits: who is kept out, and who is let through.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use serde::Serialize;

use super::time::Timestamp;

/// An order ends by itself within this time: what should hold for longer is a setting.
pub const MOST_LASTING: Duration = Duration::from_secs(30 * 86_400);

/// What an order says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderKind {
    /// Refuse every request.
    Block,
    /// Do not hold it to its own limits; what is kept for everybody still counts.
    Allow,
}

impl OrderKind {
    /// The word in the record and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            OrderKind::Block => "block",
            OrderKind::Allow => "allow",
        }
    }

    /// The kind that `word` stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [OrderKind::Block, OrderKind::Allow]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// Whom an order is about: `terminal:7`, `tenant:3`, `address:192.0.2.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A terminal, by row id.
    Terminal(i64),
    /// A tenant, by row id.
    Tenant(i64),
    /// An address from which requests come.
    Address(IpAddr),
}

impl Subject {
    /// The first word.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Subject::Terminal(_) => "terminal",
            Subject::Tenant(_) => "tenant",
            Subject::Address(_) => "address",
        }
    }

    /// What stands behind it.
    #[must_use]
    pub fn identifier(self) -> String {
        match self {
            Subject::Terminal(id) | Subject::Tenant(id) => id.to_string(),
            Subject::Address(address) => address.to_canonical().to_string(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.class(), self.identifier())
    }
}

/// The text names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither terminal:ID, tenant:ID nor address:IP")]
pub struct NotASubject(String);

impl FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (class, identifier) = text.split_once(':')?;
            Some(match class {
                "terminal" => Subject::Terminal(identifier.parse().ok()?),
                "tenant" => Subject::Tenant(identifier.parse().ok()?),
                "address" => Subject::Address(identifier.parse::<IpAddr>().ok()?.to_canonical()),
                _ => return None,
            })
        };
        read().ok_or_else(|| NotASubject(text.chars().take(64).collect()))
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An order as it stands in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Row id.
    pub id: i64,
    /// What it says.
    pub kind: OrderKind,
    /// Whom it is about.
    pub subject: Subject,
    /// Who gave it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub ends_at: Timestamp,
    /// When a person ended it before.
    pub lifted_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_as_it_prints() {
        for text in [
            "terminal:7",
            "tenant:3",
            "address:192.0.2.1",
            "address:2001:db8::1",
        ] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        let mapped: Subject = "address:::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(mapped.to_string(), "address:192.0.2.1");
        for text in ["", "terminal", "terminal:x", "everybody:1", "address:nowhere"] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }
}
