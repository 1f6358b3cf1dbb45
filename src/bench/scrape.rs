//! What the roles tell of themselves at `/metrics`.

use std::collections::BTreeMap;

use super::{BenchError, client, tier::Tier};

impl Tier {
    /// Statements sent to the database so far, by name, over all processes that run.
    pub(super) async fn statements(&self) -> Result<BTreeMap<String, u64>, BenchError> {
        let mut sums = BTreeMap::new();
        for process in &self.processes {
            let Some(ops) = self.ops.get(&process.name) else {
                continue;
            };
            let (_, text) = client::once(*ops, &client::get("/metrics", None)).await?;
            for (name, count) in String::from_utf8_lossy(&text).lines().filter_map(statement) {
                *sums.entry(name.to_owned()).or_default() += count;
            }
        }
        Ok(sums)
    }

    /// What the gauges of the tier say of work that is left. The scheduler tells it; where there is
    /// one process, that is the ingress.
    pub(super) async fn left(&self) -> Result<Left, BenchError> {
        let teller = self.ops.get("scheduler").copied().unwrap_or(self.ingress);
        let (_, text) = client::once(teller, &client::get("/metrics", None)).await?;
        Ok(String::from_utf8_lossy(&text)
            .lines()
            .fold(Left::default(), Left::and))
    }
}

/// Work that is left, by the gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Jobs that wait or are under way.
    pub(super) jobs: u64,
    /// Jobs set aside as poison.
    pub(super) parked: u64,
    /// Dead letters.
    pub(super) dead: u64,
}

impl Left {
    fn and(mut self, line: &str) -> Self {
        let Some((series, Ok(value))) = line
            .rsplit_once(' ')
            .map(|(it, value)| (it, value.parse::<u64>()))
        else {
            return self;
        };
        if series == "tsms_dead_letters" {
            self.dead += value;
        } else if series.starts_with("tsms_queue_jobs{") && series.contains("state=\"parked\"") {
            self.parked += value;
        } else if series.starts_with("tsms_queue_jobs{") {
            self.jobs += value;
        }
        self
    }
}

/// A line of `/metrics` that counts statements: the statement's name and the count.
fn statement(line: &str) -> Option<(&str, u64)> {
    let rest = line.strip_prefix("tsms_store_statements_total{statement=\"")?;
    let (name, count) = rest.split_once("\"} ")?;
    Some((name, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_from_metrics() {
        let line = "tsms_store_statements_total{statement=\"submissions.insert\"} 42";
        assert_eq!(statement(line), Some(("submissions.insert", 42)));
        assert_eq!(statement("tsms_dead_letters 0"), None);
    }

    #[test]
    fn what_is_left_is_read_from_metrics() {
        let text = "# HELP tsms_dead_letters x\ntsms_dead_letters 2\n\
            tsms_queue_jobs{queue=\"audit\",class=\"low\",state=\"ready\"} 5\n\
            tsms_queue_jobs{queue=\"audit\",class=\"low\",state=\"parked\"} 1\n\
            tsms_queue_oldest_age_seconds{queue=\"audit\"} 0.25\n";
        let left = text.lines().fold(Left::default(), Left::and);
        assert_eq!(
            left,
            Left {
                jobs: 5,
                parked: 1,
                dead: 2
            }
        );
    }
}
