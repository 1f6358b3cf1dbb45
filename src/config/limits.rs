//! `[limits]` and `[gate]`: how often who may ask, and when nobody may.

use serde::Deserialize;

use super::Millis;
use crate::limits::Class;

/// The longest window of a rate limit: a day.
const LONGEST_PERIOD: Millis = Millis::new(86_400_000);

/// Most requests in one call to Redis: a script there takes the keys of their buckets, three of each, as
/// arguments of one command, of which Lua allows some 8,000.
const MOST_CHECKED: usize = 2000;

/// `[limits]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most buckets one process keeps in memory, for known callers and for strangers each; beyond it
    /// all others of a class share one.
    pub capacity: usize,
    /// Most requests decided in one call to Redis.
    pub check_batch: usize,
    /// Least time from one call to the next.
    pub check_every_ms: Millis,
    /// Most requests that wait for a call; beyond it this process decides by itself.
    pub check_queue: usize,
    /// How long a call may take; after that this process decides by itself.
    pub redis_timeout_ms: Millis,
    /// How often Redis is asked whether it is back.
    pub probe_ms: Millis,
    /// How long, after Redis came back, the share of this process holds too.
    pub settle_ms: Millis,
    /// How much longer it holds where an ingress that is alive has not come back to Redis.
    pub settle_max_ms: Millis,
    /// How often an ingress reads the orders that block somebody or let him through.
    pub refresh_ms: Millis,
    /// Requests of one terminal.
    pub terminal: Policy,
    /// Requests of all terminals of one tenant.
    pub tenant: Policy,
    /// Requests of everybody.
    pub global: Policy,
    /// Tries at the auth endpoints from one address.
    pub auth_address: Policy,
    /// Tries at the auth endpoints for one serial number.
    pub auth_serial: Policy,
    /// Calls of one token to the endpoints that steer breakers and queues.
    pub control: Policy,
}

/// `[limits.<class>]`: at most `quota` requests in any `period_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Most requests in any window of one period.
    pub quota: u32,
    /// The length of the window.
    pub period_ms: Millis,
}

/// `[gate]`: back-pressure.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Whether submissions are refused, or only counted as if they were.
    pub mode: GateMode,
    /// How often the waits are predicted.
    pub sample_ms: Millis,
    /// Predicted wait for validation from which submissions are refused.
    pub close_ms: Millis,
    /// Predicted wait for validation below which they are taken again.
    pub open_ms: Millis,
    /// The same for the commit.
    pub commit_close_ms: Millis,
    /// The same for the commit.
    pub commit_open_ms: Millis,
    /// Fewer jobs than this in the validation queue are no backlog.
    pub least_jobs: u64,
}

/// What the gate does when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateMode {
    /// Counts what it would refuse.
    Observe,
    /// Refuses.
    Enforce,
}

impl Gate {
    /// What cannot work, each with the reason.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let pairs = [
            ("", self.open_ms, self.close_ms),
            ("commit_", self.commit_open_ms, self.commit_close_ms),
        ];
        let flapping = pairs.into_iter().filter(|(_, open, close)| open >= close);
        let told = |(line, open, close): (&str, Millis, Millis)| {
            format!(
                "gate.{line}open_ms ({} ms) must be below gate.{line}close_ms ({} ms), or the gate flaps",
                open.0, close.0
            )
        };
        flapping.map(told).collect()
    }
}

impl Limits {
    /// The policy of a class.
    #[must_use]
    pub const fn policy(&self, class: Class) -> &Policy {
        match class {
            Class::Terminal => &self.terminal,
            Class::Tenant => &self.tenant,
            Class::Global => &self.global,
            Class::AuthAddress => &self.auth_address,
            Class::AuthSerial => &self.auth_serial,
            Class::Control => &self.control,
        }
    }

    /// What cannot work, each with the reason.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let long = Class::ALL
            .into_iter()
            .filter(|class| self.policy(*class).period_ms > LONGEST_PERIOD);
        let told = |class: Class| {
            format!(
                "limits.{}.period_ms ({} ms) must be at most {} ms: whoever was let in is remembered as long",
                class.name(),
                self.policy(class).period_ms.0,
                LONGEST_PERIOD.0
            )
        };
        let mut found: Vec<String> = long.map(told).collect();
        if self.check_batch > MOST_CHECKED {
            found.push(format!(
                "limits.check_batch ({}) must be at most {MOST_CHECKED}: a script in Redis takes no more",
                self.check_batch
            ));
        }
        if self.settle_ms <= self.probe_ms {
            found.push(format!(
                "limits.settle_ms ({} ms) must be longer than limits.probe_ms ({} ms): within it every ingress \
                 finds Redis again",
                self.settle_ms.0, self.probe_ms.0
            ));
        }
        found
    }
}
