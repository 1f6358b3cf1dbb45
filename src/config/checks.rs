//! Settings that contradict each other or cannot work, each with the reason.

use config::ValueKind;

use super::{Config, ConfigError, Millis, alerts, auth, secrets, traces};
use crate::domain::webhook::Signer;

/// Whole numbers that may be zero; every other one is a bound, and a bound of zero stops the work.
const MAY_BE_ZERO: [&str; 13] = [
    "autoscaler.most_doublings",
    "autoscaler.pin_ms",
    "ingress.drain_notice_ms",
    "ingress.job_body_bytes",
    "rules.future_tolerance_s",
    "rules.vat_rate_bp",
    "rules.discount_ceiling_bp",
    "rules.service_charge_ceiling_bp",
    "traces.client_per_s",
    "traces.sample_per_million",
    "queue.ack_gather_ms",
    "queue.rest.percent",
    "fleet.worker_nice",
];

/// The same by the last part of their names.
const MAY_END_ZERO: [&str; 3] = [".gather_ms", ".gather_most_ms", ".express"];

/// A sale with all its members takes about this many bytes.
const SMALLEST_BODY: usize = 4096;
/// A till's request has headers of about 400 bytes, and proxies add theirs.
const SMALLEST_HEAD: usize = 2048;
/// The largest window there is in HTTP/2.
const MOST_WINDOW: u32 = 0x7fff_ffff;
/// JSON values of a transaction with all its members.
const VALUES_PER_TRANSACTION: usize = 50;
/// Levels of the deepest legal payload.
const PAYLOAD_DEPTH: usize = 5;
/// Rows of the widest table that fit in one statement of either database (SQLite takes 32,766 parameters).
const MOST_STATEMENT_ROWS: usize = 512;
/// Sales in one POST: what a web application can be expected to store within one request.
const MOST_FORWARD_BATCH: usize = 500;
/// Jobs a queue hands out or takes back in one command; a longer script holds up Redis for all.
const MOST_QUEUE_BATCH: usize = 5000;
/// Leases shorter than this are lost by a busy machine, not by a dead one.
const SHORTEST_LEASE: Millis = Millis::new(500);
/// A claim is renewed three times in its length; a shorter one may run out while its worker lives.
const SHORTEST_CLAIM: Millis = Millis::new(1000);
/// Ranges in one question for control totals, by the contract.
const MOST_RANGES: usize = 100;
/// 100 % in hundredths of a percent.
const WHOLE_BP: u32 = 10_000;

/// Bounds that are zero or negative, of `(key, value, where it comes from)`.
pub(super) fn bounds<'a>(settings: impl Iterator<Item = (&'a str, &'a ValueKind, String)>) -> Vec<String> {
    settings
        .filter_map(|(key, value, told)| match value {
            ValueKind::I64(0)
                if !MAY_BE_ZERO.contains(&key) && !MAY_END_ZERO.iter().any(|end| key.ends_with(end)) =>
            {
                Some(format!("{key}: must be at least 1, got 0{told}"))
            }
            _ => None,
        })
        .collect()
}

/// Every contradiction in `config`.
pub(super) fn contradictions(config: &Config) -> Vec<String> {
    let mut found = Found(Vec::new());
    record(config, &mut found);
    queues(config, &mut found);
    ingress(config, &mut found);
    found.0.extend(config.limits.contradictions());
    found.0.extend(config.gate.contradictions());
    found.0.extend(config.autoscaler.contradictions(config));
    stages(config, &mut found);
    outside(config, &mut found);
    rules(config, &mut found);
    running(config, &mut found);
    found.0.extend(auth::problems(config));
    found.0.extend(alerts::problems(config));
    found.0.extend(traces::problems(config));
    found.0.extend(secrets::problems(config));
    found.0
}

/// See [`Config::check_fleet`].
pub(super) fn fleet(config: &Config) -> Result<(), ConfigError> {
    if config.queue.in_memory() {
        return Err(ConfigError(vec![
            "queue.url: memory: is inside one process and no other role can see it; set redis://… \
             (TSMS__QUEUE__URL), or run everything in one process with `tsms up`"
                .to_owned(),
        ]));
    }
    Ok(())
}

struct Found(Vec<String>);

impl Found {
    fn when(&mut self, wrong: bool, sentence: impl FnOnce() -> String) {
        if wrong {
            self.0.push(sentence());
        }
    }

    fn longer(&mut self, long: (&str, Millis), short: (&str, Millis), why: &str) {
        self.when(long.1 <= short.1, || {
            format!(
                "{} ({} ms) must be longer than {} ({} ms): {why}",
                long.0, long.1.0, short.0, short.1.0
            )
        });
    }

    fn ordered(&mut self, section: &str, min: Millis, max: Millis) {
        self.when(min > max, || {
            format!(
                "{section}_min_ms ({} ms) is above {section}_max_ms ({} ms)",
                min.0, max.0
            )
        });
    }
}

fn record(config: &Config, found: &mut Found) {
    let database = &config.database;
    let url = database.url.reveal();
    found.when(
        !["sqlite:", "mysql:"].iter().any(|kind| url.starts_with(kind)),
        || "database.url: must start with sqlite: or mysql:".to_owned(),
    );
    let rows = database.statement_rows;
    found.when(!rows.is_power_of_two() || rows > MOST_STATEMENT_ROWS, || {
        format!(
            "database.statement_rows ({rows}) must be a power of two up to {MOST_STATEMENT_ROWS}: statements \
             are prepared for each power of two"
        )
    });
    // A row may appear this long after its id was taken; a mark that overtook it would hide it.
    let late = database.id_block_ttl_ms.0
        + database.acquire_timeout_ms.0
        + u64::from(database.transaction_tries).saturating_mul(database.lock_timeout_ms.0);
    found.when(config.sweeper.mark_lag_ms.0 <= late, || {
        format!(
            "sweeper.mark_lag_ms ({} ms) must be longer than database.id_block_ttl_ms, acquire_timeout_ms and \
             transaction_tries × lock_timeout_ms together ({late} ms), or the sweeper could pass over a row \
             that is still being committed",
            config.sweeper.mark_lag_ms.0
        )
    });
}

fn queues(config: &Config, found: &mut Found) {
    let queue = &config.queue;
    let url = queue.url.reveal();
    found.when(
        !["memory:", "redis://"].iter().any(|kind| url.starts_with(kind)),
        || "queue.url: must start with memory: or redis://".to_owned(),
    );
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    found.when(
        queue.prefix.is_empty() || !queue.prefix.chars().all(plain),
        || "queue.prefix: letters, digits and _ - . : only, at least one".to_owned(),
    );
    found.longer(
        ("queue.response_timeout_ms", queue.response_timeout_ms),
        ("queue.block_ms", queue.block_ms),
        "a quiet queue would look like a dead server",
    );
    found.longer(
        ("queue.block_ms", queue.block_ms),
        ("queue.ack_gather_ms", queue.ack_gather_ms),
        "acknowledgements would wait longer than jobs",
    );
    found.ordered("queue.reconnect", queue.reconnect_min_ms, queue.reconnect_max_ms);
    for (key, batch) in [
        ("promote_batch", queue.promote_batch),
        ("push_batch", queue.push_batch),
        ("ack_batch", queue.ack_batch),
    ] {
        found.when(batch > MOST_QUEUE_BATCH, || {
            format!(
                "queue.{key} ({batch}) must be at most {MOST_QUEUE_BATCH}: one command would hold up Redis"
            )
        });
    }
}

fn ingress(config: &Config, found: &mut Found) {
    let ingress = &config.ingress;
    found.when(ingress.max_body_bytes < SMALLEST_BODY, || {
        format!(
            "ingress.max_body_bytes ({}) must be at least {SMALLEST_BODY}, or not even one sale fits",
            ingress.max_body_bytes
        )
    });
    found.when(
        ingress.tls_certificate.as_os_str().is_empty() != ingress.tls_key.as_os_str().is_empty(),
        || "ingress.tls_certificate and ingress.tls_key belong together: set both or none".to_owned(),
    );
    found.longer(
        ("fleet.drain_ms", config.fleet.drain_ms),
        ("ingress.drain_notice_ms", ingress.drain_notice_ms),
        "no time would be left to finish requests",
    );
    found.when(ingress.max_head_bytes < SMALLEST_HEAD, || {
        format!(
            "ingress.max_head_bytes ({}) must be at least {SMALLEST_HEAD}, or a till's request is refused",
            ingress.max_head_bytes
        )
    });
    for (key, bytes) in [
        ("h2_stream_window_bytes", ingress.h2_stream_window_bytes),
        ("h2_connection_window_bytes", ingress.h2_connection_window_bytes),
    ] {
        found.when(bytes > MOST_WINDOW, || {
            format!("ingress.{key} ({bytes}) must be at most {MOST_WINDOW}, as HTTP/2 has it")
        });
    }
    found.when(ingress.body_budget_bytes < ingress.max_body_bytes, || {
        "ingress.body_budget_bytes is below ingress.max_body_bytes: the largest body could never be read"
            .to_owned()
    });
    found.when(ingress.job_body_bytes > ingress.max_body_bytes, || {
        "ingress.job_body_bytes is above ingress.max_body_bytes".to_owned()
    });
    found.when(ingress.max_depth < PAYLOAD_DEPTH, || {
        format!(
            "ingress.max_depth ({}) must be at least {PAYLOAD_DEPTH}, the depth of a sale",
            ingress.max_depth
        )
    });
    let values = ingress.max_batch.saturating_mul(VALUES_PER_TRANSACTION);
    found.when(ingress.max_values < values, || {
        format!(
            "ingress.max_values ({}) must be at least ingress.max_batch × {VALUES_PER_TRANSACTION} ({values}), or a full \
             batch is refused",
            ingress.max_values
        )
    });
    found.when(ingress.commit_rows > ingress.commit_queue, || {
        "ingress.commit_rows is above ingress.commit_queue: a commit could never be full".to_owned()
    });
    found.when(ingress.commit_tenant_percent > 100, || {
        format!(
            "ingress.commit_tenant_percent ({}) is above 100",
            ingress.commit_tenant_percent
        )
    });
    found.when(ingress.retry_after_min_s > ingress.retry_after_max_s, || {
        "ingress.retry_after_min_s is above ingress.retry_after_max_s".to_owned()
    });
}

fn stages(config: &Config, found: &mut Found) {
    for (name, pool) in &config.stage {
        found.ordered(
            &format!("stage.{name}.retry"),
            pool.retry_min_ms,
            pool.retry_max_ms,
        );
        found.when(pool.batch > MOST_QUEUE_BATCH, || {
            format!(
                "stage.{name}.batch ({}) must be at most {MOST_QUEUE_BATCH}",
                pool.batch
            )
        });
        found.when(pool.lease_ms < SHORTEST_LEASE, || {
            format!(
                "stage.{name}.lease_ms ({} ms) must be at least {} ms, or a busy worker loses its jobs",
                pool.lease_ms.0, SHORTEST_LEASE.0
            )
        });
    }
    for (name, timeout) in [
        ("forwarding", config.forwarding.timeout_ms),
        ("notification", config.notification.timeout_ms),
    ] {
        if let Some(pool) = config.stage.get(name) {
            found.longer(
                (&format!("stage.{name}.timeout_ms"), pool.timeout_ms),
                (&format!("{name}.timeout_ms"), timeout),
                "a set would be given up while its request is under way",
            );
        }
    }
}

fn outside(config: &Config, found: &mut Found) {
    let forwarding = &config.forwarding;
    let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    found.when(
        !forwarding.endpoint.is_empty() && !web(&forwarding.endpoint),
        || "forwarding.endpoint: must start with http:// or https://".to_owned(),
    );
    found.when(forwarding.endpoint.contains('@'), || {
        "forwarding.endpoint: holds a login, which logs would show; use forwarding.token".to_owned()
    });
    found.when(forwarding.batch_size > MOST_FORWARD_BATCH, || {
        format!(
            "forwarding.batch_size ({}) must be at most {MOST_FORWARD_BATCH}",
            forwarding.batch_size
        )
    });
    found.when(!(1..=100).contains(&forwarding.breaker_failure_percent), || {
        "forwarding.breaker_failure_percent: must be 1 to 100".to_owned()
    });
    found.when(forwarding.breaker_window_ms.duration().as_secs() == 0, || {
        "forwarding.breaker_window_ms: must be at least 1000".to_owned()
    });
    found.when(forwarding.breaker_failures == 0, || {
        "forwarding.breaker_failures: must be at least 1".to_owned()
    });
    found.when(forwarding.claim_ms < SHORTEST_CLAIM, || {
        "forwarding.claim_ms: must be at least 1000, or a slow database lets live claims run out".to_owned()
    });
    found.ordered(
        "forwarding.retry",
        forwarding.retry_min_ms,
        forwarding.retry_max_ms,
    );
    if let Err(error) = Signer::new(forwarding.signing_secrets.reveal()) {
        found.0.push(format!("forwarding.signing_secrets: {error}"));
    }
    let notification = &config.notification;
    found.longer(
        ("notification.claim_ms", notification.claim_ms),
        ("notification.timeout_ms", notification.timeout_ms),
        "a second worker would send what the first is sending",
    );
    if let Err(error) = Signer::derived(notification.signing_keys.reveal(), "") {
        found.0.push(format!("notification.signing_keys: {error}"));
    }
    found.ordered(
        "notification.retry",
        notification.retry_min_ms,
        notification.retry_max_ms,
    );
}

fn rules(config: &Config, found: &mut Found) {
    let rules = &config.rules;
    found.when(config.reconcile.late_days < rules.max_age_days, || {
        format!(
            "reconcile.late_days ({}) is below rules.max_age_days ({}): sales that came late would not be seen",
            config.reconcile.late_days, rules.max_age_days
        )
    });
    found.when(config.reconcile.fan_out > MOST_RANGES, || {
        format!(
            "reconcile.fan_out ({}) must be at most {MOST_RANGES}: more ranges a web application need not take",
            config.reconcile.fan_out
        )
    });
    found.when(config.reconcile.fan_out < 2, || {
        "reconcile.fan_out: must be at least 2, or a range never gets smaller".to_owned()
    });
    for (key, share) in [
        ("vat_rate_bp", rules.vat_rate_bp),
        ("discount_ceiling_bp", rules.discount_ceiling_bp),
        ("service_charge_ceiling_bp", rules.service_charge_ceiling_bp),
    ] {
        found.when(share > WHOLE_BP, || {
            format!("rules.{key} ({share}) is above 100 % ({WHOLE_BP})")
        });
    }
    for (key, amount) in [
        ("max_amount", rules.max_amount),
        ("vat_tolerance", rules.vat_tolerance),
        ("sum_tolerance", rules.sum_tolerance),
    ] {
        found.when(amount.minor() < 0, || {
            format!("rules.{key} ({amount}) is negative")
        });
    }
}

fn running(config: &Config, found: &mut Found) {
    found.when(config.fleet.worker_nice > 19, || {
        "fleet.worker_nice: at most 19".to_owned()
    });
    found.when(!["json", "text"].contains(&config.log.format.as_str()), || {
        format!("log.format: json or text, got {:?}", config.log.format)
    });
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.level) {
        found.0.push(format!("log.level: {error}"));
    }
    let (sink, ingress) = (config.fleet.demo_sink_listen, config.ingress.listen);
    found.when(!sink.ip().is_loopback(), || {
        format!(
            "fleet.demo_sink_listen ({sink}) must be a loopback address: the demo is for this machine only"
        )
    });
    found.when(sink == ingress && sink.port() != 0, || {
        format!("fleet.demo_sink_listen and ingress.listen are the same address ({sink})")
    });
}
