//! Settings of how the pools behind the queues are made wider and narrower.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Config, Millis};
use crate::stage::Stage;

/// `[autoscaler]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoscaler {
    /// Whether it moves widths, only tells what it would do, or does not look at all.
    pub mode: AutoscalerMode,
    /// Pause between two looks.
    pub interval_ms: Millis,
    /// More jobs than this that wait are a backlog.
    pub widen_jobs: u64,
    /// How long there must be a backlog before a queue is widened by one step.
    pub widen_after_ms: Millis,
    /// Fewer jobs than this that wait are none.
    pub narrow_jobs: u64,
    /// How long there must be none before a queue is made narrower by one set.
    pub narrow_after_ms: Millis,
    /// Times that `narrow_after_ms` doubles before a width that was too little is tried once more.
    pub most_doublings: u32,
    /// Busy processors above which nothing is widened, in percent.
    pub cpu_percent: u64,
    /// Used memory above which nothing is widened, in percent.
    pub memory_percent: u64,
    /// Used database connections of a process above which nothing is widened, in percent.
    pub pool_percent: u64,
    /// How long a width that a person set is left as it is, unless he says otherwise.
    pub pin_ms: Millis,
    /// Between what a queue is moved, by stage name.
    pub span: BTreeMap<String, Span>,
}

/// What the autoscaler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AutoscalerMode {
    /// Nothing.
    Off,
    /// Tells in the log what it would do.
    Observe,
    /// Moves widths.
    Enforce,
}

/// `[autoscaler.span.<name>]`: sets of jobs at a time in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Fewest.
    pub min: u64,
    /// Most.
    pub max: u64,
}

impl Autoscaler {
    /// The span of `stage`. Every stage has one: loading refuses a config without.
    #[must_use]
    pub fn span(&self, stage: Stage) -> Span {
        self.span[stage.name()]
    }

    /// What cannot work, each with the reason.
    pub(super) fn contradictions(&self, config: &Config) -> Vec<String> {
        let mut found = Vec::new();
        if self.narrow_jobs >= self.widen_jobs {
            found.push(format!(
                "autoscaler.narrow_jobs ({}) must be below autoscaler.widen_jobs ({}), or a queue is moved to and fro",
                self.narrow_jobs, self.widen_jobs
            ));
        }
        for (key, percent) in [
            ("cpu_percent", self.cpu_percent),
            ("memory_percent", self.memory_percent),
            ("pool_percent", self.pool_percent),
        ] {
            if percent > 100 {
                found.push(format!("autoscaler.{key} ({percent}) is above 100"));
            }
        }
        if self.most_doublings > MOST_DOUBLINGS {
            found.push(format!(
                "autoscaler.most_doublings ({}) is above {MOST_DOUBLINGS}",
                self.most_doublings
            ));
        }
        let most = u64::try_from(config.fleet.max_concurrency).unwrap_or(u64::MAX);
        for stage in Stage::ALL {
            let Some(span) = self.span.get(stage.name()) else {
                found.push(format!(
                    "autoscaler.span.{stage}: is missing; every stage needs one"
                ));
                continue;
            };
            if span.min > span.max || span.max > most {
                found.push(format!(
                    "autoscaler.span.{stage} ({} to {}) must go upwards and end at fleet.max_concurrency ({most}) at most",
                    span.min, span.max
                ));
            }
        }
        found
    }
}

/// Doublings after which the longest wait would be counted in months.
const MOST_DOUBLINGS: u32 = 12;
