//! What a bench found, for programs as JSON and for people as text. Whole numbers with their unit in
//! the name.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use super::tier::Kind;
use crate::standin::sim::Latency;

/// Everything one bench found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of the program.
    pub version: &'static str,
    /// Whether it was built with optimisation; figures of a debug build mean nothing.
    pub optimised: bool,
    /// What was measured.
    pub tier: Kind,
    /// What it ran on.
    pub machine: Machine,
    /// Settings of the servers that the figures depend on.
    pub servers: Vec<String>,
    /// Tenants registered.
    pub tenants: usize,
    /// Terminals registered, each with a token.
    pub terminals: usize,
    /// What the machine does without TSMS, in this run.
    pub yardsticks: BTreeMap<String, u64>,
    /// The scenarios in the order they ran.
    pub scenarios: Vec<Scenario>,
    /// Lines of the logs that are warnings or worse.
    pub complaints: u64,
    /// The first of those.
    pub first_complaints: Vec<String>,
}

/// What it ran on.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Processors.
    pub cores: usize,
    /// Memory.
    pub memory_mib: u64,
    /// The kernel.
    pub kernel: String,
    /// The kind of file system under the data.
    pub file_system: String,
    /// Load averages at the start: more than a little means that others were at work.
    pub load_at_start: String,
}

/// What one scenario found. What a scenario does not measure is left out.
#[derive(Debug, Default, Serialize)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Sales accepted.
    pub accepted: u64,
    /// Sales that arrived at the web application.
    pub forwarded: u64,
    /// Answers other than hoped for, by what they were.
    pub failures: BTreeMap<String, u64>,
    /// Further figures, their unit at the end of their name.
    pub figures: BTreeMap<String, u64>,
    /// Latencies, by what was measured.
    pub latencies: BTreeMap<String, Quantiles>,
    /// What the processes used, from the first request to the last delivery.
    pub processes: Vec<ProcessFigures>,
    /// What one sale cost, in thousandths: 1500 is one and a half.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub per_thousand_sales: BTreeMap<String, u64>,
    /// Statements to the database by name, for a thousand sales.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub statements_per_thousand_sales: BTreeMap<String, u64>,
}

/// What one process used.
#[derive(Debug, Serialize)]
pub struct ProcessFigures {
    /// Its name.
    pub name: String,
    /// Whether it is part of what is measured: neither the load nor the web application.
    pub ours: bool,
    /// Processor time.
    pub cpu_ms: u64,
    /// Processor time for 10,000 sales accepted.
    pub cpu_ms_per_10000: u64,
    /// Most resident memory.
    pub peak_kib: u64,
}

/// Quantiles in microseconds, never told too short, at most 1/32 too long.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    /// How many were measured.
    pub count: u64,
    /// Half of them.
    pub p50_us: u64,
    /// 95 of a hundred.
    pub p95_us: u64,
    /// 99 of a hundred.
    pub p99_us: u64,
    /// 999 of a thousand.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl From<&Latency> for Quantiles {
    fn from(latency: &Latency) -> Self {
        let at = |permille| micros(latency.quantile(permille));
        Self {
            count: latency.count(),
            p50_us: at(500),
            p95_us: at(950),
            p99_us: at(990),
            p999_us: at(999),
            max_us: at(1000),
        }
    }
}

impl Scenario {
    pub(super) fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The first line.
    pub(super) fn summary(&self) -> String {
        let Self {
            name,
            accepted,
            forwarded,
            failures,
            ..
        } = self;
        let failed = failures.values().sum::<u64>();
        format!("{name}: accepted {accepted}, forwarded {forwarded}, not as hoped {failed}")
    }

    pub(super) fn figure(&mut self, name: &str, value: u64) {
        self.figures.insert(name.to_owned(), value);
    }

    /// Counts the other answers of one more load.
    pub(super) fn failed(&mut self, failures: &BTreeMap<String, u64>) {
        for (what, count) in failures {
            *self.failures.entry(what.clone()).or_default() += count;
        }
    }
}

/// `count` in `took`, for a second.
pub(super) fn per_second(count: u64, took: Duration) -> u64 {
    let nanos = took.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// `part` for every `unit` of `whole`.
pub(super) fn share(part: u64, unit: u64, whole: u64) -> u64 {
    let share = u128::from(part) * u128::from(unit) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(
            f,
            "tsms {} · {:?} tier · {} cores, {} MiB, Linux {}, {} · load before {}",
            self.version,
            self.tier,
            machine.cores,
            machine.memory_mib,
            machine.kernel,
            machine.file_system,
            machine.load_at_start
        )?;
        if !self.optimised {
            writeln!(f, "A DEBUG BUILD: these figures mean nothing.")?;
        }
        for server in &self.servers {
            writeln!(f, "{server}")?;
        }
        writeln!(f, "{} terminals of {} tenants", self.terminals, self.tenants)?;
        if !self.yardsticks.is_empty() {
            writeln!(f, "\nyardsticks")?;
            figures(f, &self.yardsticks)?;
        }
        for scenario in &self.scenarios {
            write!(f, "\n{scenario}")?;
        }
        if self.complaints > 0 {
            writeln!(f, "\n{} warnings in the logs, first:", self.complaints)?;
            for line in &self.first_complaints {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: accepted {}, forwarded {}",
            self.name, self.accepted, self.forwarded
        )?;
        for (what, count) in &self.failures {
            writeln!(f, "  NOT AS HOPED: {count} × {what}")?;
        }
        figures(f, &self.figures)?;
        if !self.latencies.is_empty() {
            let head = ["ms", "p50", "p95", "p99", "p99.9", "max", "of"];
            writeln!(
                f,
                "  {:<36}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
                head[0], head[1], head[2], head[3], head[4], head[5], head[6]
            )?;
        }
        for (name, of) in &self.latencies {
            let [p50, p95, p99, p999, max] =
                [of.p50_us, of.p95_us, of.p99_us, of.p999_us, of.max_us].map(thousandths);
            writeln!(
                f,
                "  {name:<36}{p50:>9}{p95:>9}{p99:>9}{p999:>9}{max:>9}{:>9}",
                of.count
            )?;
        }
        if !self.processes.is_empty() {
            writeln!(
                f,
                "  {:<24}{:>9}{:>14}{:>10}",
                "process", "CPU s", "CPU s/10,000", "peak MiB"
            )?;
        }
        for process in &self.processes {
            let name = if process.ours {
                process.name.clone()
            } else {
                format!("({})", process.name)
            };
            let (cpu, share) = (thousandths(process.cpu_ms), thousandths(process.cpu_ms_per_10000));
            writeln!(
                f,
                "  {name:<24}{cpu:>9}{share:>14}{:>10}",
                process.peak_kib / 1024
            )?;
        }
        for (title, costs) in [
            ("a sale costs", &self.per_thousand_sales),
            ("statements of a sale", &self.statements_per_thousand_sales),
        ] {
            if !costs.is_empty() {
                let costs: Vec<String> = costs
                    .iter()
                    .map(|(name, cost)| format!("{name} {}", thousandths(*cost)))
                    .collect();
                writeln!(f, "  {title}: {}", costs.join(", "))?;
            }
        }
        Ok(())
    }
}

fn figures(f: &mut fmt::Formatter<'_>, figures: &BTreeMap<String, u64>) -> fmt::Result {
    for (name, value) in figures {
        writeln!(f, "  {:<40}{value:>12}", name.replace('_', " "))?;
    }
    Ok(())
}

/// `1234` as `1.234`: milliseconds of microseconds, and the like.
fn thousandths(value: u64) -> String {
    format!("{}.{:03}", value / 1000, value % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_shares_are_whole_numbers() {
        assert_eq!(per_second(300, Duration::from_millis(1500)), 200);
        assert_eq!(per_second(1, Duration::ZERO), 1_000_000_000);
        assert_eq!(share(5, 10_000, 2_000), 25);
        assert_eq!(share(5, 10_000, 0), 50_000);
        assert_eq!(thousandths(12_034), "12.034");
    }

    #[test]
    fn failures_cannot_be_overlooked() {
        let mut scenario = Scenario::named("burst");
        scenario.failed(&BTreeMap::from([("503 overloaded".to_owned(), 7)]));
        scenario.failed(&BTreeMap::from([("503 overloaded".to_owned(), 1)]));
        assert!(
            scenario.to_string().contains("NOT AS HOPED: 8 × 503 overloaded"),
            "{scenario}"
        );
    }
}
