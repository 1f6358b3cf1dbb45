//! What the simulated terminals say at the end.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    Counters,
    latency::Latency,
    record::{Outcome, Record},
};
use crate::domain::money::Money;

/// The result of a simulation.
#[derive(Debug, Serialize)]
pub struct SimReport {
    /// Submissions started.
    pub sent: u64,
    /// Submissions accepted.
    pub accepted: u64,
    /// Sales inside those.
    pub sales_accepted: u64,
    /// The exact sum of the accepted sales whose records are in memory.
    pub amount_accepted: Money,
    /// Submissions refused for good, by status and code.
    pub refused: BTreeMap<String, u64>,
    /// Submissions stopped or given up before an answer.
    pub unknown: u64,
    /// Requests sent again for want of an answer.
    pub retries: u64,
    /// Accepted submissions sent once more on purpose.
    pub replays: u64,
    /// Of those, answered otherwise than the first time.
    pub replays_differ: u64,
    /// Sales voided.
    pub voids: u64,
    /// From sending a void to its final answer.
    pub void_time: Quantiles,
    /// From the scheduled start of a submission to its final answer.
    pub answer_time: Quantiles,
    /// From sending a request to its final answer.
    pub request_time: Quantiles,
    /// Every submission, as far as memory was allowed.
    #[serde(skip)]
    pub records: Vec<Record>,
    /// Records that did not fit into memory. The oracle needs all of them.
    pub records_left_out: u64,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    /// Half were as fast.
    pub p50_us: u128,
    /// 95 % were as fast.
    pub p95_us: u128,
    /// 99 % were as fast.
    pub p99_us: u128,
}

impl Quantiles {
    fn of(latency: &Latency) -> Self {
        Self {
            p50_us: latency.quantile(500).as_micros(),
            p95_us: latency.quantile(950).as_micros(),
            p99_us: latency.quantile(990).as_micros(),
        }
    }
}

impl SimReport {
    pub(super) fn new(
        counters: &Counters,
        refused: BTreeMap<String, u64>,
        records: Vec<Record>,
        records_left_out: u64,
    ) -> Self {
        let accepted = |record: &&Record| matches!(record.outcome, Outcome::Accepted { .. });
        Self {
            sent: Counters::read(&counters.sent),
            accepted: Counters::read(&counters.accepted),
            sales_accepted: Counters::read(&counters.sales_accepted),
            amount_accepted: records
                .iter()
                .filter(accepted)
                .flat_map(|record| &record.sales)
                .map(|sale| sale.amount)
                .sum(),
            refused,
            unknown: Counters::read(&counters.unknown),
            retries: Counters::read(&counters.retries),
            replays: Counters::read(&counters.replays),
            replays_differ: Counters::read(&counters.replays_differ),
            voids: Counters::read(&counters.voids),
            void_time: Quantiles::of(&counters.void_time),
            answer_time: Quantiles::of(&counters.answer_time),
            request_time: Quantiles::of(&counters.request_time),
            records,
            records_left_out,
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {} µs, p95 {} µs, p99 {} µs",
            self.p50_us, self.p95_us, self.p99_us
        )
    }
}

impl fmt::Display for SimReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "submissions sent {}, accepted {} ({} sales worth {}), unknown {}",
            self.sent, self.accepted, self.sales_accepted, self.amount_accepted, self.unknown
        )?;
        write!(f, "refused {}", self.refused.values().sum::<u64>())?;
        for (reason, count) in &self.refused {
            write!(f, "; {reason}: {count}")?;
        }
        writeln!(
            f,
            "\nretries {}, replays {} of which answered otherwise {}",
            self.retries, self.replays, self.replays_differ
        )?;
        writeln!(f, "answers, from the scheduled start: {}", self.answer_time)?;
        write!(f, "requests, from sending: {}", self.request_time)?;
        if self.voids > 0 {
            write!(f, "\nvoids {}, from sending: {}", self.voids, self.void_time)?;
        }
        if self.records_left_out > 0 {
            write!(f, "\n{} records did not fit into memory", self.records_left_out)?;
        }
        Ok(())
    }
}
