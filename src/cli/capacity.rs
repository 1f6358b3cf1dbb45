//! `tsms capacity`: what a load needs.

use tsms::{
    config::Config,
    domain::capacity::{self, Load, Need, Settings},
    stage::Stage,
};

use super::{Failure, Setup, print};

/// Tell what a load needs: processors, processes, connections, memory, disk. Touches nothing.
#[derive(clap::Args)]
#[command(
    after_help = "The budgets behind it were measured with `tsms bench`; docs/capacity.md has the commands, what is\n\
    planned for, and what changes past one machine.\n\nExample:\n  \
    tsms capacity --tills 5000 --tenants 500 --sales-a-day 1000000"
)]
pub(super) struct Args {
    /// Terminals, each with a connection of its own.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    tills: u64,
    /// Tenants that sell at the same time.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    tenants: u64,
    /// Sales on a busy day.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000_000))]
    sales_a_day: u64,
    /// Part of them within the busiest hour, in percent.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=100))]
    busiest_hour_percent: u64,
    /// How far above the average of that hour its busiest seconds are, in percent.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(100..=10_000))]
    rush_percent: u64,
    /// How long the web application takes for an answer, in milliseconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    answer_ms: u64,
    /// How long the web application may be away before Redis is full, in hours.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=720))]
    outage_hours: u64,
    /// How long sales are kept, in years.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    years: u64,
    /// How busy a processor may be at the peak, in percent.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..=95))]
    busy_percent: u64,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(setup: &Setup, args: &Args) -> Result<(), Failure> {
    let load = Load {
        tills: args.tills,
        tenants: args.tenants,
        sales_a_day: args.sales_a_day,
        busiest_hour_percent: args.busiest_hour_percent,
        rush_percent: args.rush_percent,
        answer_ms: args.answer_ms,
        outage_hours: args.outage_hours,
        years: args.years,
        busy_percent: args.busy_percent,
    };
    let need = capacity::need(&load, &settings(&setup.config()?));
    if args.json {
        return print::json(&serde_json::json!({ "load": load, "need": need, "budget": capacity::BUDGET }));
    }
    show(&need)
}

fn settings(config: &Config) -> Settings {
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Settings {
        max_connections: wide(config.ingress.max_connections),
        pool: config.database.max_connections.into(),
        forwarding_sets: wide(config.pool(Stage::Forwarding).concurrency),
        parallel: wide(config.forwarding.parallel),
        batch: wide(config.forwarding.batch_size),
    }
}

fn show(need: &Need) -> Result<(), Failure> {
    print::line(format_args!("{} sales a second at the peak", need.peak_per_s))?;
    let tier = if need.embedded_will_do {
        "either tier does it; the fleet survives the loss of a machine"
    } else {
        "the fleet tier; too much for the embedded one"
    };
    print::line(format_args!("{tier}\n"))?;
    let mut rows: Vec<[String; 3]> = need
        .roles
        .iter()
        .map(|role| {
            let cores = format!("{}.{:02}", role.millicores / 1000, role.millicores % 1000 / 10);
            [role.name.to_owned(), role.processes.to_string(), cores]
        })
        .collect();
    rows.push(["scheduler".to_owned(), "2".to_owned(), "0.01".to_owned()]);
    print::table(["role", "processes", "cores"], &rows)?;
    let figures = [
        [
            "POSTs to the web application at once",
            &need.posts_at_once.to_string(),
        ],
        [
            "connections to the database",
            &need.database_connections.to_string(),
        ],
        ["memory of Redis (maxmemory)", &size(need.redis_bytes)],
        [
            "memory of all ingresses for connections",
            &size(need.connection_bytes),
        ],
        [
            "memory of the database, for a year's sales",
            &size(need.index_bytes_a_year),
        ],
        ["disk of the database, a year", &size(need.disk_bytes_a_year)],
        ["disk of the database, in all", &size(need.disk_bytes)],
        ["requests, a second", &size(need.network_bytes_per_s)],
    ];
    let rows: Vec<_> = figures
        .map(|[what, much]| [what.to_owned(), much.to_owned()])
        .into();
    print::line("")?;
    Ok(print::table(["besides", "at least"], &rows)?)
}

/// A size with a unit, rounded up.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 10_000 && unit + 1 < UNITS.len() {
        value = value.div_ceil(1000);
        unit += 1;
    }
    format!("{value} {}", UNITS.get(unit).unwrap_or(&"TB"))
}
