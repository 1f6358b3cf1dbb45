//! Alerts to people: what they are about, and when one is told. All of it is pure.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use serde::Serialize;

use super::time::Timestamp;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Many sales of a terminal are invalid.
    FailureRate,
    /// Many sales of one batch are invalid.
    BatchFailure,
    /// Nothing is sent to a sink.
    BreakerOpen,
    /// A queue does not keep up.
    BacklogAge,
    /// Somebody does what nobody should.
    Security,
    /// A terminal that used to be heard is not heard any more.
    SilentTerminal,
}

impl AlertKind {
    /// Every kind.
    pub const ALL: [AlertKind; 6] = [
        AlertKind::FailureRate,
        AlertKind::BatchFailure,
        AlertKind::BreakerOpen,
        AlertKind::BacklogAge,
        AlertKind::Security,
        AlertKind::SilentTerminal,
    ];

    /// The word in the record, in settings and in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            AlertKind::FailureRate => "failure_rate",
            AlertKind::BatchFailure => "batch_failure",
            AlertKind::BreakerOpen => "breaker_open",
            AlertKind::BacklogAge => "backlog_age",
            AlertKind::Security => "security",
            AlertKind::SilentTerminal => "silent_terminal",
        }
    }

    /// The kind that `word` names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether it goes on until it is over, rather than having happened.
    #[must_use]
    pub const fn lasts(self) -> bool {
        !matches!(self, AlertKind::BatchFailure | AlertKind::Security)
    }
}

/// Kinds of alerts, written with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds(BTreeSet<AlertKind>);

/// A word that is no kind of alert.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{0:?} is no kind of alert; there are failure_rate, batch_failure, breaker_open, backlog_age, security, silent_terminal"
)]
pub struct UnknownKind(String);

impl Kinds {
    /// Whether `kind` is among them.
    #[must_use]
    pub fn contains(&self, kind: AlertKind) -> bool {
        self.0.contains(&kind)
    }
}

impl FromStr for Kinds {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        text.split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| AlertKind::from_word(word).ok_or_else(|| UnknownKind(word.to_owned())))
            .collect::<Result<_, _>>()
            .map(Kinds)
    }
}

/// Something that should be told, as seen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: AlertKind,
    /// Which one: `terminal:7`, `sink:webapp`; unique within the kind.
    pub subject: String,
    /// What is wrong, for a person.
    pub summary: String,
}

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Row id.
    pub id: i64,
    /// What it is about.
    pub kind: AlertKind,
    /// Which one.
    pub subject: String,
    /// What was wrong when it was last seen.
    pub summary: String,
    /// Since when, the last time it began.
    pub opened_at: Timestamp,
    /// When it was over; `None` while it goes on.
    pub closed_at: Option<Timestamp>,
    /// When people were last told, in any of its times; `None` for never.
    pub told_at: Option<Timestamp>,
}

/// What people are told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It began.
    Raised,
    /// It still goes on.
    Remains,
    /// It is over.
    Cleared,
}

impl Change {
    /// The word in messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Change::Raised => "raised",
            Change::Remains => "remains",
            Change::Cleared => "cleared",
        }
    }
}

/// What is to be done about an alert in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// It begins, or is over.
    pub moves: bool,
    /// People should be told this.
    pub tell: Option<Change>,
}

/// Decides about one alert: `known` is what is kept of it, `seen` whether it is there now. It is told when
/// it begins, unless it was told less than `cool_down` ago; again after each `cool_down`; and when it is
/// over, if people know that it began.
#[must_use]
pub fn step(kind: AlertKind, known: Option<&Alert>, seen: bool, now: Timestamp, cool_down: Duration) -> Step {
    let open = known.filter(|alert| alert.closed_at.is_none());
    let told_at = known.and_then(|alert| alert.told_at);
    let cool = told_at.is_none_or(|at| at.plus(cool_down) <= now);
    let told_since = |alert: &Alert| alert.told_at.is_some_and(|at| at >= alert.opened_at);
    match (open, seen) {
        (None, false) => Step {
            moves: false,
            tell: None,
        },
        (None, true) => Step {
            moves: true,
            tell: cool.then_some(Change::Raised),
        },
        (Some(alert), true) => {
            let change = if told_since(alert) {
                kind.lasts().then_some(Change::Remains)
            } else {
                Some(Change::Raised)
            };
            Step {
                moves: false,
                tell: change.filter(|_| cool),
            }
        }
        (Some(alert), false) => Step {
            moves: true,
            tell: (kind.lasts() && told_since(alert)).then_some(Change::Cleared),
        },
    }
}

/// One line of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What is told.
    pub change: Change,
    /// What it is about.
    pub kind: AlertKind,
    /// Which one.
    pub subject: String,
    /// What is wrong.
    pub summary: String,
    /// Since when.
    pub since: Timestamp,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}: {} (since {})",
            self.change.word(),
            self.kind.word(),
            self.subject,
            self.summary,
            self.since.to_rfc3339(0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn alert(opened: i64, closed: Option<i64>, told: Option<i64>) -> Alert {
        Alert {
            id: 1,
            kind: AlertKind::BacklogAge,
            subject: "queue:forwarding".to_owned(),
            summary: String::new(),
            opened_at: at(opened),
            closed_at: closed.map(at),
            told_at: told.map(at),
        }
    }

    fn told(kind: AlertKind, known: Option<&Alert>, seen: bool, now: i64) -> (bool, Option<Change>) {
        let step = step(kind, known, seen, at(now), COOL);
        (step.moves, step.tell)
    }

    #[test]
    fn an_alert_is_told_at_its_beginning_now_and_then_and_at_its_end() {
        let kind = AlertKind::BacklogAge;
        assert_eq!(told(kind, None, false, 0), (false, None));
        assert_eq!(told(kind, None, true, 0), (true, Some(Change::Raised)));
        let open = alert(0, None, Some(0));
        assert_eq!(told(kind, Some(&open), true, 59), (false, None));
        assert_eq!(told(kind, Some(&open), true, 60), (false, Some(Change::Remains)));
        assert_eq!(told(kind, Some(&open), false, 1), (true, Some(Change::Cleared)));
    }

    #[test]
    fn what_flaps_is_told_once_in_a_while() {
        let kind = AlertKind::BacklogAge;
        let over = alert(0, Some(5), Some(0));
        assert_eq!(
            told(kind, Some(&over), true, 10),
            (true, None),
            "told ten seconds ago"
        );
        let again = alert(10, None, Some(0));
        assert_eq!(told(kind, Some(&again), true, 59), (false, None));
        assert_eq!(told(kind, Some(&again), true, 60), (false, Some(Change::Raised)));
        assert_eq!(
            told(kind, Some(&again), false, 70),
            (true, None),
            "nobody knew of it"
        );
    }

    #[test]
    fn what_happened_is_told_once() {
        let kind = AlertKind::Security;
        let open = alert(0, None, Some(0));
        assert_eq!(told(kind, Some(&open), true, 600), (false, None));
        assert_eq!(told(kind, Some(&open), false, 600), (true, None));
    }

    #[test]
    fn kinds_have_words() {
        for kind in AlertKind::ALL {
            assert_eq!(AlertKind::from_word(kind.word()), Some(kind));
        }
        let kinds: Kinds = "security, backlog_age,".parse().unwrap();
        assert!(kinds.contains(AlertKind::Security) && !kinds.contains(AlertKind::FailureRate));
        assert!("everything".parse::<Kinds>().is_err());
    }
}
