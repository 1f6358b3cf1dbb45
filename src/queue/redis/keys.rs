//! The keys of one queue. The stage is the hash tag, so that all keys of a queue live in one slot of
//! a Redis Cluster, and different queues may live on different nodes.

use crate::stage::Stage;

/// The one consumer group of every `ready` stream.
pub(super) const GROUP: &str = "pool";

/// The keys of one queue.
pub(super) struct Keys {
    /// Stream: jobs that are due, and those of them that are taken.
    pub(super) ready: String,
    /// Sorted set: packed jobs by due time, in milliseconds of the server's clock.
    pub(super) delayed: String,
    /// Stream: entries set aside, each with the field `why`. Without a limit, but shown in the depth.
    pub(super) parked: String,
    /// List of at most one element: a pool should look again (an earlier delayed job, jobs handed
    /// back). Whoever takes the element looks.
    pub(super) bell: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, stage: Stage) -> Self {
        let key = |part: &str| format!("{prefix}:{{{stage}}}:{part}");
        Self {
            ready: key("ready"),
            delayed: key("delayed"),
            parked: key("parked"),
            bell: key("bell"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_the_hash_tag() {
        assert_eq!(Keys::new("tsms", Stage::Audit).ready, "tsms:{audit}:ready");
    }
}
