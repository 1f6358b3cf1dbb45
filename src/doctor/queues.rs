//! The queue server: what it does when memory is short, whether it writes, its clock.

use std::time::Duration;

use tokio::time::timeout;

use super::{Finding, clock};
use crate::{
    config::Config,
    queue::{self, Server},
};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Part of its memory that may be used, in percent.
const MEMORY_PERCENT: u64 = 70;

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let away = |found: String| vec![Finding::fail("redis", found, "start Redis, or correct queue.url")];
    let queue = match queue::open(&config.queue).await {
        Ok(queue) => queue,
        Err(error) => return away(error.to_string()),
    };
    match timeout(PATIENCE, queue.server()).await {
        Ok(Ok(Some(server))) => judge(&server),
        Ok(Ok(None)) => vec![Finding::ok("redis", "not used: the queues are in memory")],
        Ok(Err(error)) => away(error.to_string()),
        Err(_) => away("no answer".to_owned()),
    }
}

fn judge(server: &Server) -> Vec<Finding> {
    let policy = if server.policy == "noeviction" {
        Finding::ok("redis.policy", "noeviction")
    } else {
        Finding::fail(
            "redis.policy",
            format!(
                "maxmemory-policy is {}: when memory is short jobs are thrown away",
                server.policy
            ),
            "CONFIG SET maxmemory-policy noeviction, then CONFIG REWRITE",
        )
    };
    let persistence = if server.write_failed {
        Finding::fail(
            "redis.persistence",
            "the last write to its disk failed",
            "look at its log: the disk is full or may not be written",
        )
    } else if server.append_only || server.snapshots {
        Finding::ok("redis.persistence", "it writes to its disk")
    } else {
        Finding::warn(
            "redis.persistence",
            "it writes nothing to its disk: after a restart the sweeper makes every job again",
            "CONFIG SET appendonly yes, then CONFIG REWRITE",
        )
    };
    let (used, limit) = (server.memory_used, server.memory_limit);
    let found = format!("{used} of {limit} bytes");
    let memory = if limit == 0 {
        Finding::ok("redis.memory", format!("{used} bytes, no limit"))
    } else if used.saturating_mul(100) > limit.saturating_mul(MEMORY_PERCENT) {
        Finding::warn(
            "redis.memory",
            found,
            "work off the queues (tsms queue depth) or raise maxmemory",
        )
    } else {
        Finding::ok("redis.memory", found)
    };
    vec![policy, persistence, memory, clock("redis.clock", server.now)]
}
