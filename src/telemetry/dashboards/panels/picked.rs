//! Panels picked by hand: what one looks at first, and what needs more than one metric.

use super::{Panel, of_metric};
use crate::telemetry::metrics::{Metric, PROCESS_METRICS, TABLE};

fn named(name: &str) -> Option<&'static Metric> {
    TABLE.iter().find(|metric| metric.name == name)
}

fn each(names: &[&str]) -> Vec<Panel> {
    let metrics = names.iter().filter_map(|name| named(name));
    metrics.map(|metric| of_metric(metric, "")).collect()
}

/// Is the fleet well? Answers first, then what is before them, then what they stand on.
pub(in crate::telemetry::dashboards) fn overview() -> Vec<Panel> {
    let answers = Panel::new(
        "Answers a second",
        "What tills are told, by kind of status.",
        "reqps",
    )
    .with("sum(rate(tsms_http_requests_total[$__rate_interval]))", "all")
    .with(
        "sum(rate(tsms_http_requests_total{code=~\"4..\"}[$__rate_interval]))",
        "4xx",
    )
    .with(
        "sum(rate(tsms_http_requests_total{code=~\"5..\"}[$__rate_interval]))",
        "5xx",
    );
    let errors = Panel::new(
        "Error ratio",
        "Answers with 5xx out of all; the target is below 0.001.",
        "percentunit",
    )
    .with(
        "sum(rate(tsms_http_requests_total{code=~\"5..\"}[$__rate_interval])) / \
         sum(rate(tsms_http_requests_total[$__rate_interval]))",
        "5xx",
    );
    let time = Panel::new(
        "Response time",
        "The target of the design is a p95 below 0.2 s.",
        "s",
    );
    let time = [50, 95, 99].iter().fold(time, |panel, percent| {
        let text = format!(
            "histogram_quantile(0.{percent}, sum by (le) (rate(tsms_http_request_seconds_bucket[$__rate_interval])))"
        );
        panel.with(text, &format!("p{percent}"))
    });
    let decided = Panel::new("Sales decided a second", "Valid and invalid.", "cps").with(
        "sum by (result) (rate(tsms_tenant_sales_total[$__rate_interval]))",
        "{{result}}",
    );
    let revenue = Panel::new("Amount decided valid", "Pesos a second.", "short").with(
        "sum(rate(tsms_tenant_amount_centavos_total[$__rate_interval])) / 100",
        "pesos",
    );
    let waiting = Panel::new("Jobs that wait", "Ready or delayed, by queue.", "short").with(
        "sum by (queue) (tsms_queue_jobs{state=~\"ready|delayed\"})",
        "{{queue}}",
    );
    let pool = Panel::new("Database connections in use", "Out of the pool; page above 0.9.", "percentunit").with(
        "max by (instance) (tsms_database_connections{state=\"in_use\"} / ignoring(state) tsms_database_connections_limit)",
        "{{instance}}",
    );
    let hits = Panel::new("Cache hits", "Hits out of all look-ups.", "percentunit").with(
        "sum by (cache) (rate(tsms_cache_lookups_total{result=\"hit\"}[$__rate_interval])) / \
         sum by (cache) (rate(tsms_cache_lookups_total[$__rate_interval]))",
        "{{cache}}",
    );
    let mut panels = vec![answers, errors, time, decided, revenue, waiting];
    panels.extend(each(&[
        "tsms_queue_oldest_age_seconds",
        "tsms_queue_time_to_drain_seconds",
        "tsms_dead_letters",
        "tsms_breaker_open",
    ]));
    panels.extend([pool, hits]);
    panels.extend(each(&["tsms_database_up", "tsms_queue_up", "tsms_build_info"]));
    panels
}

/// Who sells how much.
pub(in crate::telemetry::dashboards) fn tenants() -> Vec<Panel> {
    let busiest = Panel::new(
        "Busiest tenants",
        "Sales decided a second; those without a series of their own are `other`.",
        "cps",
    )
    .with(
        "topk(10, sum by (tenant) (rate(tsms_tenant_sales_total[$__rate_interval])))",
        "{{tenant}}",
    );
    let amount = Panel::new(
        "Amount decided valid",
        "Pesos a second, the ten largest.",
        "short",
    )
    .with(
        "topk(10, sum by (tenant) (rate(tsms_tenant_amount_centavos_total[$__rate_interval]))) / 100",
        "{{tenant}}",
    );
    let invalid = Panel::new(
        "Invalid sales",
        "Part of a tenant's sales that broke a rule.",
        "percentunit",
    )
    .with(
        "sum by (tenant) (rate(tsms_tenant_sales_total{result=\"invalid\"}[$__rate_interval])) / \
         sum by (tenant) (rate(tsms_tenant_sales_total[$__rate_interval]))",
        "{{tenant}}",
    );
    let mut panels = vec![busiest, amount, invalid];
    panels.extend(each(&["tsms_rate_limited_total", "tsms_queue_paused"]));
    panels
}

/// What was given up.
pub(in crate::telemetry::dashboards) fn letters() -> Vec<Panel> {
    each(&["tsms_dead_letters"])
}

/// What people and attackers did.
pub(in crate::telemetry::dashboards) fn people() -> Vec<Panel> {
    each(&[
        "tsms_admin_actions",
        "tsms_security_events_total",
        "tsms_auth_feed_lost",
    ])
}

/// What the operating system tells of each process.
pub(in crate::telemetry::dashboards) fn processes() -> Vec<Panel> {
    PROCESS_METRICS
        .iter()
        .map(|(name, kind, help)| {
            let unit = if name.ends_with("_bytes") {
                "bytes"
            } else {
                "short"
            };
            let text = match *kind {
                "counter" => format!("rate({name}[$__rate_interval])"),
                _ => (*name).to_owned(),
            };
            Panel::new(name, help, unit).with(text, "{{instance}}")
        })
        .collect()
}
