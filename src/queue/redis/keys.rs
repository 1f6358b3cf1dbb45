//! The keys of one queue. The stage is the hash tag, so that all keys of a queue live in one slot of
//! a Redis Cluster, and different queues may live on different nodes.

use crate::{queue::fair::Lane, stage::Stage};

/// The one consumer group of every stream of jobs.
pub(super) const GROUP: &str = "pool";

/// The keys of one queue.
#[derive(Clone)]
pub(super) struct Keys {
    /// Streams, one a lane: jobs that are due, and those of them that are taken.
    ready: String,
    crowd: String,
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
            crowd: key("crowd"),
            delayed: key("delayed"),
            parked: key("parked"),
            bell: key("bell"),
        }
    }

    /// The stream of a lane.
    pub(super) fn lane(&self, lane: Lane) -> &str {
        match lane {
            Lane::Main => &self.ready,
            Lane::Crowd => &self.crowd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_the_hash_tag() {
        let keys = Keys::new("tsms", Stage::Audit);
        let lanes = Lane::ALL.map(|lane| keys.lane(lane));
        assert_eq!(lanes, ["tsms:{audit}:ready", "tsms:{audit}:crowd"]);
    }
}
