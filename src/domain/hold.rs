//! A person's order that a queue, or the work of one tenant, stands still for a while.

use serde::Serialize;

use super::time::Timestamp;

/// An order to hold work back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Row id.
    pub id: i64,
    /// The queue; every queue when `None`.
    pub queue: Option<String>,
    /// The tenant by row id; everybody when `None`.
    pub tenant_id: Option<i64>,
    /// Who answers for it.
    pub owner: String,
    /// Why, for whoever finds it.
    pub reason: String,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub ends_at: Timestamp,
    /// When somebody ended it before its time.
    pub lifted_at: Option<Timestamp>,
}

impl Hold {
    /// Whether it is about `queue`.
    #[must_use]
    pub fn concerns(&self, queue: &str) -> bool {
        self.queue.as_deref().is_none_or(|held| held == queue)
    }

    /// Whether it holds at `now`.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> bool {
        self.lifted_at.is_none() && self.ends_at > now
    }
}
