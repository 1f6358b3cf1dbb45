//! Every metric, declared once. Nothing else may invent a name, and only this file uses the
//! macros of the `metrics` crate (`tests/tidy.rs` looks). Base units; counters end in `_total`.

mod ingress;
mod system;
mod table;
mod tenants;
mod traces;
mod work;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use metrics::Label;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use table::{
    ALERT_MESSAGES, BUILD_INFO, CACHE_LOOKUPS, FORWARD_ATTEMPTS, FORWARD_ITEMS, KINDS, REVERSALS,
    SECURITY_EVENTS, STAGE_JOBS, TLS_LOADS,
};

pub use ingress::*;
pub use system::*;
pub use table::{Kind, LABELS, LabelBound, MOST_TENANTS, Metric, PROCESS as PROCESS_METRICS, TABLE};
pub use tenants::keep_tenants;
pub use traces::*;
pub use work::*;

use crate::{
    outcome::Verdict,
    stage::{STAGES, Stage},
};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
static PROCESS: OnceLock<metrics_process::Collector> = OnceLock::new();
/// How many schedulers of this process have the duty to tell about their fleet as a whole: one or none,
/// but in tests, which run several fleets in one process.
static SPEAKS_FOR_FLEET: AtomicUsize = AtomicUsize::new(0);

/// Installs the recorder of the process; safe to call more than once.
pub fn install() {
    HANDLE.get_or_init(|| {
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics will be empty");
        }
        declare();
        handle
    });
    PROCESS.get_or_init(|| {
        let collector = metrics_process::Collector::default();
        collector.describe();
        collector
    });
}

fn builder() -> PrometheusBuilder {
    TABLE
        .iter()
        .fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
            // The one error there is says that the buckets are empty; the tests hold that they are not.
            Kind::Histogram(buckets) => builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                .unwrap_or_else(|_| PrometheusBuilder::new()),
            Kind::Counter | Kind::Gauge | Kind::Fleet => builder,
        })
}

/// Help texts, and a first value for what has no labels: a counter that never moved reads 0.
fn declare() {
    for metric in TABLE {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge | Kind::Fleet => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
        if metric.labels.is_empty() {
            match metric.kind {
                Kind::Counter => count(metric, [], 0),
                Kind::Gauge => gauge(metric, [], 0),
                Kind::Fleet | Kind::Histogram(_) => {}
            }
        }
    }
    for metric in TABLE.iter().filter(|metric| metric.kind == Kind::Counter) {
        let [only] = metric.labels else { continue };
        let known = LABELS.iter().find(|label| label.name == *only);
        for value in known.map_or(&[][..], |label| label.known) {
            count(metric, [Value::const_str(value)], 0);
        }
    }
    for kind in KINDS {
        count(&SECURITY_EVENTS, [Value::const_str(kind)], 0);
    }
    for kind in ["void", "refund"] {
        for state in ["accepted", "forwarded", "dead"] {
            count(&REVERSALS, [kind.into(), state.into()], 0);
        }
    }
    for channel in ["email", "webhook"] {
        count(&ALERT_MESSAGES, [channel.into(), "sent".into()], 0);
    }
    count(&FORWARD_ATTEMPTS, ["ok".into()], 0);
    count(&FORWARD_ITEMS, ["ok".into()], 0);
    for loaded in ["ok", "failed"] {
        count(&TLS_LOADS, [loaded.into()], 0);
    }
    for (cache, result) in [
        ("identities", "hit"),
        ("identities", "miss"),
        ("audit_chains", "hit"),
        ("audit_chains", "miss"),
    ] {
        count(&CACHE_LOOKUPS, [cache.into(), result.into()], 0);
    }
    gauge(&BUILD_INFO, [env!("CARGO_PKG_VERSION").into()], 1);
    for spec in STAGES {
        count(
            &STAGE_JOBS,
            [spec.name.into(), Verdict::Done.outcome().into(), "".into()],
            0,
        );
    }
}

/// Makes this process tell about the fleet as a whole until it is dropped: held with the scheduler's duty.
#[derive(Debug)]
pub struct SpeaksForFleet(());

impl SpeaksForFleet {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        SPEAKS_FOR_FLEET.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Default for SpeaksForFleet {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SpeaksForFleet {
    fn drop(&mut self) {
        SPEAKS_FOR_FLEET.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The metrics of the process in the Prometheus text format. What is about the fleet is left out
/// unless this process speaks for it.
#[must_use]
pub fn render() -> String {
    if let Some(process) = PROCESS.get() {
        process.collect();
    }
    let text = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
    if SPEAKS_FOR_FLEET.load(Ordering::Relaxed) > 0 {
        return text;
    }
    let mut own = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !is_of_fleet(line)) {
        own.push_str(line);
        own.push('\n');
    }
    own
}

/// Whether a line of the text format belongs to a metric of the fleet.
fn is_of_fleet(line: &str) -> bool {
    let named = ["# HELP ", "# TYPE "];
    let name = named
        .iter()
        .find_map(|mark| line.strip_prefix(mark))
        .unwrap_or(line);
    let name = name.split([' ', '{']).next().unwrap_or_default();
    (TABLE.iter()).any(|metric| metric.kind == Kind::Fleet && metric.name == name)
}

/// Folds recorded samples into their buckets; to be called every few seconds, so that they do not
/// pile up while nobody reads [`render`].
pub fn upkeep() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// Jobs of `stage` that ended with `outcome` in this process so far, as `/metrics` tells it.
#[must_use]
pub fn jobs_so_far(stage: Stage, outcome: &str) -> u64 {
    let series = format!(
        "{}{{stage=\"{}\",outcome=\"{outcome}\",",
        STAGE_JOBS.name,
        stage.name()
    );
    let text = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with(&series))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

type Value = metrics::SharedString;

fn labels<const N: usize>(metric: &Metric, values: [Value; N]) -> Vec<Label> {
    debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
    let named = metric.labels.iter().copied().zip(values);
    named.map(|(name, value)| Label::new(name, value)).collect()
}

fn count<const N: usize>(metric: &Metric, values: [Value; N], by: u64) {
    metrics::counter!(metric.name, labels(metric, values)).increment(by);
}

/// Whole numbers only; every one that is counted here is far below 2⁵³.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of jobs and rows, exact below 2^53"
)]
fn gauge<const N: usize>(metric: &Metric, values: [Value; N], now: u64) {
    metrics::gauge!(metric.name, labels(metric, values)).set(now as f64);
}

fn seconds<const N: usize>(metric: &Metric, values: [Value; N], took: Duration) {
    metrics::histogram!(metric.name, labels(metric, values)).record(took.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "sizes of sets, exact below 2^53")]
fn size<const N: usize>(metric: &Metric, values: [Value; N], items: usize) {
    metrics::histogram!(metric.name, labels(metric, values)).record(items as f64);
}

/// A gauge in seconds.
fn level<const N: usize>(metric: &Metric, values: [Value; N], time: Duration) {
    metrics::gauge!(metric.name, labels(metric, values)).set(time.as_secs_f64());
}

/// Moves a gauge up or down.
fn step(metric: &Metric, by: f64) {
    metrics::gauge!(metric.name).increment(by);
}

/// A part of a whole, 0 to 1; nothing of nothing is 0.
#[expect(
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    reason = "a ratio for people, of numbers far below 2^53"
)]
fn ratio<const N: usize>(metric: &Metric, values: [Value; N], part: u64, whole: u64) {
    let ratio = if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    };
    metrics::gauge!(metric.name, labels(metric, values)).set(ratio);
}

/// Sets a counter to what was counted elsewhere.
fn counted<const N: usize>(metric: &Metric, values: [Value; N], total: u64) {
    metrics::counter!(metric.name, labels(metric, values)).absolute(total);
}

fn wide(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
