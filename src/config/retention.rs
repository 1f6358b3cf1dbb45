//! Settings of how long bookkeeping is kept, and of redrives.

use serde::Deserialize;

use super::Millis;

/// `[retention]`. What belongs to a sale has no setting here: it is kept for ever.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Pause between rounds.
    pub interval_ms: Millis,
    /// Rows deleted in one statement.
    pub page: usize,
    /// Pages of one table in one round.
    pub pages_per_round: usize,
    /// Counts of what should not have happened.
    pub security_events_days: u32,
    /// Who changed what.
    pub admin_actions_days: u32,
    /// Orders about rate limits, after their end.
    pub limit_orders_days: u32,
    /// Counts of requests refused by a rate limit.
    pub limit_refusals_days: u32,
    /// Enrolment codes, after the time until which they were good.
    pub enrolments_days: u32,
    /// Ingresses that went away without a word.
    pub ingress_beats_days: u32,
    /// Alerts, after their end.
    pub alerts_days: u32,
    /// Messages about them.
    pub alert_messages_days: u32,
    /// Callbacks to terminals, after they ended.
    pub callbacks_days: u32,
    /// Tries to forward that did not succeed.
    pub tries_days: u32,
}

/// `[redrive]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// Longest pause between looks for redrives under way.
    pub interval_ms: Millis,
    /// Redrives that one round goes on with, the oldest first.
    pub most_running: usize,
    /// Letters that one request to the admin API looks at.
    pub scan: usize,
}
