//! What the processes used between two moments, and what a sale cost the database and Redis.

use std::{collections::BTreeMap, time::Duration};

use super::{
    BenchError, database,
    process::Usage,
    redis_info,
    report::{ProcessFigures, Scenario, millis, share},
    tier::{Kind, Tier},
};

/// All readings at one moment.
struct Readings {
    usage: BTreeMap<String, Usage>,
    database: Option<database::Totals>,
    redis: Option<redis_info::Totals>,
    statements: BTreeMap<String, u64>,
}

/// Readings at the start of what is measured.
pub(super) struct Meter(Readings);

impl Readings {
    async fn take(tier: &Tier) -> Result<Self, BenchError> {
        let database = match tier.kind {
            Kind::Embedded => None,
            Kind::Fleet => Some(database::totals(&tier.database_url).await?),
        };
        let redis = match tier.redis {
            None => None,
            Some(address) => Some(redis_info::totals(address).await?),
        };
        Ok(Self {
            usage: tier
                .processes
                .iter()
                .map(|it| (it.name.clone(), it.usage()))
                .collect(),
            database,
            redis,
            statements: tier.statements().await?,
        })
    }
}

impl Meter {
    pub(super) async fn start(tier: &Tier) -> Result<Self, BenchError> {
        for process in &tier.processes {
            process.forget_peak()?;
        }
        Ok(Self(Readings::take(tier).await?))
    }

    /// Writes what was used since the start, for every sale accepted, into `scenario`.
    pub(super) async fn stop(
        self,
        tier: &Tier,
        generator: Duration,
        scenario: &mut Scenario,
    ) -> Result<(), BenchError> {
        let now = Readings::take(tier).await?;
        let sales = scenario.accepted;
        self.processes(&now, tier, generator, scenario);
        let mut cost = |name: &str, part: u64| {
            scenario
                .per_thousand_sales
                .insert(name.to_owned(), share(part, 1000, sales));
        };
        if let (Some(before), Some(after)) = (self.0.database, now.database) {
            cost(
                "database_statements",
                after.statements.saturating_sub(before.statements),
            );
            cost(
                "database_rows_inserted",
                after.rows_inserted.saturating_sub(before.rows_inserted),
            );
            cost(
                "database_rows_updated",
                after.rows_updated.saturating_sub(before.rows_updated),
            );
            cost("database_flushes", after.flushes.saturating_sub(before.flushes));
            cost(
                "database_log_bytes",
                after.log_bytes.saturating_sub(before.log_bytes),
            );
        }
        if let (Some(before), Some(after)) = (self.0.redis, now.redis) {
            cost("redis_commands", after.commands.saturating_sub(before.commands));
            cost("redis_bytes_in", after.bytes_in.saturating_sub(before.bytes_in));
            cost(
                "redis_bytes_out",
                after.bytes_out.saturating_sub(before.bytes_out),
            );
        }
        for (name, after) in now.statements {
            let before = self.0.statements.get(&name).copied().unwrap_or_default();
            let cost = share(after.saturating_sub(before), 1000, sales);
            if cost > 0 {
                scenario.statements_per_thousand_sales.insert(name, cost);
            }
        }
        Ok(())
    }

    fn processes(&self, now: &Readings, tier: &Tier, generator: Duration, scenario: &mut Scenario) {
        let sales = scenario.accepted;
        let row = |name: &str, ours, cpu_ms, peak_kib| ProcessFigures {
            name: name.to_owned(),
            ours,
            cpu_ms,
            cpu_ms_per_10000: share(cpu_ms, 10_000, sales),
            peak_kib,
        };
        let (mut rows, mut total) = (Vec::new(), 0);
        for process in &tier.processes {
            let after = now.usage.get(&process.name).copied().unwrap_or_default();
            // A process that started since then had used nothing.
            let before = self.0.usage.get(&process.name).copied().unwrap_or_default();
            let cpu_ms = after.cpu_ms.checked_sub(before.cpu_ms).unwrap_or(after.cpu_ms);
            total += if process.ours { cpu_ms } else { 0 };
            rows.push(row(&process.name, process.ours, cpu_ms, after.peak_kib));
        }
        rows.sort_by_key(|row| (!row.ours, std::cmp::Reverse(row.cpu_ms)));
        rows.insert(0, row("all of ours", true, total, 0));
        rows.push(row("load generator", false, millis(generator), 0));
        scenario.processes = rows;
    }
}
