//! Looks at everything the fleet stands on and says what to mend: the settings, the database, Redis, the
//! clocks, the disk, the certificate. It changes nothing.

mod database;
mod machine;
mod queues;

use std::time::Duration;

use serde::Serialize;

use crate::{config::Config, domain::time::Timestamp};

/// How far a clock may be from this machine's before it matters to people, and to leases.
const CLOCK_WARN: Duration = Duration::from_secs(1);
const CLOCK_FAIL: Duration = Duration::from_secs(5);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works and should be better.
    Warn,
    /// A promise of the program does not hold, or it does not work.
    Fail,
}

impl Verdict {
    /// The word for a person.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        }
    }
}

/// What was looked at, what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, e.g. `redis.policy`.
    pub check: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            remedy: String::new(),
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, found, remedy)
        }
    }
}

/// Looks at everything. What cannot be reached is a finding too.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("config", "the settings are sound")];
    findings.extend(database::look(config).await);
    findings.extend(queues::look(config).await);
    findings.push(machine::disk(config));
    findings.push(machine::certificate(config));
    findings
}

/// How far `theirs` is from the clock of this machine.
fn clock(check: &'static str, theirs: Timestamp) -> Finding {
    let ours = Timestamp::now();
    let apart = ours.since(theirs).max(theirs.since(ours));
    let found = format!("{} ms apart", apart.as_millis());
    let remedy = "synchronise both machines (chrony or systemd-timesyncd), then look again";
    match apart {
        _ if apart > CLOCK_FAIL => Finding::fail(check, found, remedy),
        _ if apart > CLOCK_WARN => Finding::warn(check, found, remedy),
        _ => Finding::ok(check, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_apart_are_told_either_way() {
        let now = Timestamp::now();
        let verdict = |at| clock("clock", at).verdict;
        assert_eq!(verdict(now), Verdict::Ok);
        assert_eq!(verdict(now.minus(Duration::from_secs(3))), Verdict::Warn);
        assert_eq!(verdict(now.plus(Duration::from_secs(3))), Verdict::Warn);
        assert_eq!(verdict(now.plus(Duration::from_secs(60))), Verdict::Fail);
        assert_eq!(verdict(now.minus(Duration::from_secs(60))), Verdict::Fail);
    }
}
