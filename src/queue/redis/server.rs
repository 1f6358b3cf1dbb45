//! What the server says when a person asks: its memory, policy, persistence and clock, and what waits.

use ::redis::{RedisResult, Value};

use super::{Redis, unavailable, wire};
use crate::{
    domain::time::Timestamp,
    queue::{Job, QueueError, Server, fair::Lane},
    stage::Stage,
};

/// Settings that are asked for; a server that hides `CONFIG` leaves them empty.
const ASKED: [&str; 4] = ["maxmemory-policy", "appendonly", "appendfsync", "save"];

impl Redis {
    pub(in crate::queue) async fn peek(&self, stage: Stage, limit: usize) -> Result<Vec<Job>, QueueError> {
        let mut jobs = Vec::new();
        for lane in Lane::ALL {
            let mut command = ::redis::cmd("XRANGE");
            command.arg(self.keys(stage).lane(lane)).arg("-").arg("+");
            command.arg("COUNT").arg(limit);
            let answer: Value = command
                .query_async(&mut self.shared.clone())
                .await
                .map_err(unavailable)?;
            jobs.extend(
                wire::range(lane, answer)
                    .into_iter()
                    .filter_map(|raw| raw.job().ok()),
            );
        }
        Ok(jobs)
    }

    pub(in crate::queue) async fn server(&self) -> Result<Server, QueueError> {
        let mut shared = self.shared.clone();
        let info: String = ::redis::cmd("INFO")
            .query_async(&mut shared)
            .await
            .map_err(unavailable)?;
        let (seconds, micros): (i64, i64) = ::redis::cmd("TIME")
            .query_async(&mut shared)
            .await
            .map_err(unavailable)?;
        let mut settings = Vec::with_capacity(ASKED.len());
        for name in ASKED {
            let mut ask = ::redis::cmd("CONFIG");
            ask.arg("GET").arg(name);
            let answer: RedisResult<Vec<String>> = ask.query_async(&mut shared).await;
            settings.push(answer.ok().and_then(|answer| answer.into_iter().nth(1)));
        }
        let [policy, append_only, fsync, snapshots] = settings.try_into().unwrap_or_default();
        let text = |name: &str| value(&info, name).unwrap_or_default().to_owned();
        let number = |name: &str| value(&info, name).and_then(|word| word.parse().ok()).unwrap_or(0);
        Ok(Server {
            version: text("redis_version"),
            memory_used: number("used_memory"),
            memory_limit: number("maxmemory"),
            policy: policy.unwrap_or_else(|| text("maxmemory_policy")),
            append_only: append_only.map_or_else(|| text("aof_enabled") == "1", |word| word == "yes"),
            fsync: fsync.unwrap_or_default(),
            snapshots: snapshots.is_some_and(|times| !times.is_empty()),
            write_failed: text("aof_last_write_status") == "err" || text("rdb_last_bgsave_status") == "err",
            now: Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros)),
        })
    }
}

/// A value of the text that `INFO` gives.
fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let info = "# Memory\r\nused_memory:12\r\nused_memory_human:12B\r\n";
        assert_eq!(value(info, "used_memory"), Some("12"));
        assert_eq!(value(info, "used"), None);
    }
}
