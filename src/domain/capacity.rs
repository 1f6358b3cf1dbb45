//! What a load needs: from sales a day to processors, processes, connections, memory and disk. All of it
//! is arithmetic on budgets that `tsms bench` measured; `docs/capacity.md` has the commands.

use serde::Serialize;

/// What one sale costs on the fleet tier, and what things weigh.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Budget {
    /// Processor time by process, microseconds a sale, at saturation.
    pub cpu_us: [(&'static str, u64); 8],
    /// Completed sales a second of the whole embedded tier on two cores.
    pub embedded_per_s: u64,
    /// Bytes of tables and indexes a sale, kept for as long as the sale.
    pub fleet_table_bytes: u64,
    /// The same in SQLite.
    pub embedded_table_bytes: u64,
    /// Bytes a sale of the indexes of the fleet tier that each sale enters at random places, because ids of tills are
    /// random: what does not fit in the database's memory is read from its disk, up to seven pages a sale.
    pub fleet_index_bytes: u64,
    /// Bytes of Redis memory a job that waits.
    pub job_bytes: u64,
    /// Bytes of the ingress a silent connection.
    pub connection_bytes: u64,
    /// Bytes of a request, with its headers.
    pub request_bytes: u64,
}

/// Measured as `docs/capacity.md` says.
pub const BUDGET: Budget = Budget {
    cpu_us: [
        ("mariadbd", 130),
        ("redis", 50),
        ("ingress", 65),
        ("validation", 24),
        ("processing", 19),
        ("forwarding", 31),
        ("audit", 11),
        ("notification", 1),
    ],
    embedded_per_s: 6_000,
    fleet_table_bytes: 3_600,
    embedded_table_bytes: 3_000,
    fleet_index_bytes: 240,
    job_bytes: 1_600,
    connection_bytes: 4_000,
    request_bytes: 1_410,
};

/// A load, and what shall be kept.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// Terminals, each with a connection of its own.
    pub tills: u64,
    /// Tenants that sell at the same time.
    pub tenants: u64,
    /// Sales a day.
    pub sales_a_day: u64,
    /// Part of a day's sales within its busiest hour, in percent.
    pub busiest_hour_percent: u64,
    /// How far above the average of that hour its busiest seconds are, in percent.
    pub rush_percent: u64,
    /// How long the web application takes for an answer, in milliseconds.
    pub answer_ms: u64,
    /// How long the web application may be away without Redis running full, in hours.
    pub outage_hours: u64,
    /// How long sales are kept, in years.
    pub years: u64,
    /// How busy a processor may be at the peak, in percent.
    pub busy_percent: u64,
}

/// Settings that the answer depends on.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Settings {
    /// `ingress.max_connections`.
    pub max_connections: u64,
    /// `database.max_connections`: of each process.
    pub pool: u64,
    /// `stage.forwarding.concurrency`: sets at a time of each process.
    pub forwarding_sets: u64,
    /// `forwarding.parallel`: POSTs at a time of each set.
    pub parallel: u64,
    /// Most sales in a POST.
    pub batch: u64,
}

/// What one role needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Its name.
    pub name: &'static str,
    /// Thousandths of a processor at the peak, at the busyness that is allowed.
    pub millicores: u64,
    /// Processes; of a server one, whatever it takes.
    pub processes: u64,
}

/// What a load needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Sales a second at the peak.
    pub peak_per_s: u64,
    /// Whether the embedded tier does it too, at half of what was measured.
    pub embedded_will_do: bool,
    /// By role, on the fleet tier.
    pub roles: Vec<Role>,
    /// POSTs to the web application under way at the peak.
    pub posts_at_once: u64,
    /// Connections that all processes may open to the database.
    pub database_connections: u64,
    /// Memory of Redis with the backlog of the outage, and as much again while it rewrites its log.
    pub redis_bytes: u64,
    /// Memory of all ingresses for the connections of the tills.
    pub connection_bytes: u64,
    /// Memory of the database that holds those indexes for a year's sales.
    pub index_bytes_a_year: u64,
    /// Disk that a year of sales takes on the fleet tier, without copies and backups.
    pub disk_bytes_a_year: u64,
    /// And for as long as sales are kept.
    pub disk_bytes: u64,
    /// Bytes a second that come in at the peak.
    pub network_bytes_per_s: u64,
}

/// Of every role at least so many processes: one may be restarted at any time. The audit log has one writer
/// at work, so a second one only stands by.
const LEAST_PROCESSES: u64 = 2;
/// Part of `ingress.max_connections` that is planned for, in percent.
const CONNECTIONS_PERCENT: u64 = 80;
/// Part of what the embedded tier completed that is planned for, in percent.
const EMBEDDED_PERCENT: u64 = 50;
const SECONDS_AN_HOUR: u64 = 3600;
const HOURS_A_DAY: u64 = 24;
const DAYS_A_YEAR: u64 = 366;
const MILLI: u64 = 1000;
const MICROS_A_SECOND: u64 = 1_000_000;
/// Servers: not started by us, and not scaled by adding processes.
const SERVERS: [&str; 2] = ["mariadbd", "redis"];

/// What `load` needs with `settings`. Figures too large to count are the largest there is.
#[must_use]
pub fn need(load: &Load, settings: &Settings) -> Need {
    let hour = part(load.sales_a_day, load.busiest_hour_percent);
    let peak = part(hour, load.rush_percent).div_ceil(SECONDS_AN_HOUR).max(1);
    // While a POST is under way a tenant's next sales gather, so a tenant has one at a time until they fill
    // a batch; and there are never more of them than sales.
    let sales_meanwhile = peak.saturating_mul(load.answer_ms).div_ceil(MILLI).max(1);
    let full = sales_meanwhile.div_ceil(settings.batch.max(1));
    let posts = load.tenants.min(sales_meanwhile).max(full);
    let posts_of_a_process = settings.forwarding_sets.saturating_mul(settings.parallel).max(1);
    let roles: Vec<Role> = BUDGET
        .cpu_us
        .into_iter()
        .map(|(name, us)| {
            let millicores = peak
                .saturating_mul(us)
                .saturating_mul(MILLI)
                .saturating_mul(100)
                .div_ceil(MICROS_A_SECOND.saturating_mul(load.busy_percent.max(1)));
            let cores = millicores.div_ceil(MILLI);
            let processes = match name {
                _ if SERVERS.contains(&name) => 1,
                "ingress" => {
                    let places = part(settings.max_connections, CONNECTIONS_PERCENT).max(1);
                    cores.max(load.tills.div_ceil(places))
                }
                "forwarding" => cores.max(posts.div_ceil(posts_of_a_process)),
                _ => cores,
            };
            Role {
                name,
                millicores,
                processes: if SERVERS.contains(&name) {
                    1
                } else {
                    processes.max(LEAST_PROCESSES)
                },
            }
        })
        .collect();
    let ours = roles.iter().filter(|role| !SERVERS.contains(&role.name));
    // And two schedulers, one of which stands by.
    let processes = ours.map(|role| role.processes).sum::<u64>() + LEAST_PROCESSES;
    let backlog = load
        .sales_a_day
        .saturating_mul(load.outage_hours)
        .div_ceil(HOURS_A_DAY);
    let sales_a_year = load.sales_a_day.saturating_mul(DAYS_A_YEAR);
    let year = sales_a_year.saturating_mul(BUDGET.fleet_table_bytes);
    Need {
        peak_per_s: peak,
        embedded_will_do: peak <= part(BUDGET.embedded_per_s, EMBEDDED_PERCENT),
        roles,
        posts_at_once: posts,
        database_connections: processes.saturating_mul(settings.pool),
        redis_bytes: backlog.saturating_mul(BUDGET.job_bytes).saturating_mul(2),
        connection_bytes: load.tills.saturating_mul(BUDGET.connection_bytes),
        index_bytes_a_year: sales_a_year.saturating_mul(BUDGET.fleet_index_bytes),
        disk_bytes_a_year: year,
        disk_bytes: year.saturating_mul(load.years),
        network_bytes_per_s: peak.saturating_mul(BUDGET.request_bytes),
    }
}

fn part(whole: u64, percent: u64) -> u64 {
    whole.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        tills: 5_000,
        tenants: 500,
        sales_a_day: 1_000_000,
        busiest_hour_percent: 15,
        rush_percent: 200,
        answer_ms: 300,
        outage_hours: 24,
        years: 10,
        busy_percent: 60,
    };
    const SETTINGS: Settings = Settings {
        max_connections: 10_000,
        pool: 8,
        forwarding_sets: 2,
        parallel: 8,
        batch: 50,
    };

    fn role(need: &Need, name: &str) -> (u64, u64) {
        let role = need.roles.iter().find(|role| role.name == name).unwrap();
        (role.millicores, role.processes)
    }

    #[test]
    fn a_mall_on_a_busy_day() {
        let need = need(&LOAD, &SETTINGS);
        assert_eq!(
            need.peak_per_s, 84,
            "a million, 15 % in an hour, twice that for a while"
        );
        assert!(need.embedded_will_do);
        assert_eq!(need.posts_at_once, 26, "no more than sales within an answer");
        assert_eq!(role(&need, "forwarding").1, 2);
        let us = BUDGET.cpu_us[0].1;
        assert_eq!(role(&need, "mariadbd"), ((84 * us).div_ceil(600), 1));
        assert_eq!(need.redis_bytes, 1_000_000 * BUDGET.job_bytes * 2);
        assert_eq!(need.connection_bytes, 5_000 * BUDGET.connection_bytes);
        assert_eq!(need.index_bytes_a_year, 366_000_000 * BUDGET.fleet_index_bytes);
    }

    #[test]
    fn what_is_the_limit_decides_how_many() {
        let many_tills = Load {
            tills: 50_000,
            ..LOAD
        };
        assert_eq!(role(&need(&many_tills, &SETTINGS), "ingress").1, 7);
        let slow = Load {
            answer_ms: 10_000,
            ..LOAD
        };
        let slow = need(&slow, &SETTINGS);
        assert_eq!(slow.posts_at_once, 500, "one of each tenant");
        assert_eq!(role(&slow, "forwarding").1, 32);
        let large = Load {
            sales_a_day: 1_000_000_000,
            ..LOAD
        };
        let large = need(&large, &SETTINGS);
        assert!(!large.embedded_will_do);
        let cores = |name| role(&large, name).0.div_ceil(1000);
        assert_eq!(role(&large, "ingress").1, cores("ingress"));
        let most = Load {
            sales_a_day: u64::MAX,
            tills: u64::MAX,
            ..LOAD
        };
        assert_eq!(need(&most, &SETTINGS).disk_bytes, u64::MAX);
    }
}
