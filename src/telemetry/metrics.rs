//! Every metric, declared once. Nothing else may invent a name, and only this file uses the
//! macros of the `metrics` crate (`tests/tidy.rs` looks). Base units; counters end in `_total`.

mod ingress;

use std::{sync::OnceLock, time::Duration};

use metrics::Label;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use ingress::*;

use crate::{
    domain::time::Timestamp,
    outcome::Verdict,
    queue::Depth,
    stage::{STAGES, Stage},
};

/// A row of the table.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    labels: &'static [&'static str],
}

enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

/// From a commit on a fast disk to the request time limit, in seconds.
const SECONDS: Kind = Kind::Histogram(&[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
]);
/// Sizes of sets: commits, reads, batches.
const SIZES: Kind = Kind::Histogram(&[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0]);

macro_rules! table {
    ($($constant:ident = $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(const $constant: Metric = Metric { name: $name, kind: $kind, help: $help, labels: &[$($label),*] };)*
        const TABLE: &[Metric] = &[$($constant),*];
    };
}

table! {
    BUILD_INFO = Kind::Gauge, "tsms_build_info", ["version"],
        "Always 1; the label tells the version of the program.";
    QUEUE_JOBS = Kind::Gauge, "tsms_queue_jobs", ["queue", "class", "state"],
        "Jobs in a queue: ready (due), in_flight (taken), delayed (due later), parked (set aside).";
    QUEUE_OLDEST_AGE = Kind::Gauge, "tsms_queue_oldest_age_seconds", ["queue"],
        "Age of the oldest ready or in-flight job; 0 when the queue is empty.";
    STAGE_JOBS = Kind::Counter, "tsms_stage_jobs_total", ["stage", "outcome", "code"],
        "Jobs worked on, by outcome (done, rejected, retried, dead) and reason.";
    STAGE_SET_SECONDS = SECONDS, "tsms_stage_set_seconds", ["stage"],
        "How long one set of jobs took, enqueueing of what follows included.";
    STAGE_SET_JOBS = SIZES, "tsms_stage_set_jobs", ["stage"],
        "Jobs in one set.";
    HTTP_REQUESTS = Kind::Counter, "tsms_http_requests_total", ["route", "method", "code"],
        "Answers of the ingress by route pattern and status.";
    HTTP_SECONDS = SECONDS, "tsms_http_request_seconds", ["route"],
        "From the last header of a request to its answer.";
    LIMITED = Kind::Counter, "tsms_rate_limited_total", ["limit"],
        "Requests refused by a rate limit, by the limit that was full.";
    LIMITS_ALONE = Kind::Gauge, "tsms_rate_limits_alone", [],
        "1 while this ingress decides by its share of every quota because Redis is away.";
    LIMITS_CALL_SECONDS = SECONDS, "tsms_rate_limit_call_seconds", [],
        "How long one call to Redis took that decided over requests.";
    LIMITS_CALL_REQUESTS = SIZES, "tsms_rate_limit_call_requests", [],
        "Requests decided in one call to Redis.";
    GATE_WAIT = Kind::Gauge, "tsms_gate_wait_seconds", ["line"],
        "How long a submission accepted now would wait: what is before it divided by the rate of work.";
    GATE_CLOSED = Kind::Gauge, "tsms_gate_closed", ["line"],
        "1 while the predicted wait of this line is too long.";
    GATE_DECISIONS = Kind::Counter, "tsms_gate_decisions_total", ["decision"],
        "Submissions that met a closed gate: refused, or would_refuse where it only observes.";
    CONNECTIONS = Kind::Gauge, "tsms_http_connections", [],
        "Connections open to the HTTP listener.";
    CONNECTIONS_REFUSED = Kind::Counter, "tsms_http_connections_refused_total", ["reason"],
        "Connections ended by the listener: address_full, tls_handshake, head_late, malformed, stalled.";
    TLS_EXPIRY = Kind::Gauge, "tsms_tls_certificate_expiry_timestamp_seconds", [],
        "When the certificate in use expires, in seconds since 1970; 0 without TLS.";
    TLS_LOADS = Kind::Counter, "tsms_tls_certificate_loads_total", ["outcome"],
        "Times the certificate files were read anew: ok, or failed (the one before stays in use).";
    COMMIT_ROWS = SIZES, "tsms_commit_rows", [],
        "Submissions in one commit of the ingress.";
    COMMIT_SECONDS = SECONDS, "tsms_commit_seconds", [],
        "How long one commit of the ingress took.";
    LEFT_TO_SWEEPER = Kind::Counter, "tsms_enqueue_left_to_sweeper_total", [],
        "Committed jobs that could not be enqueued; the sweeper enqueues them.";
    FORWARD_ATTEMPTS = Kind::Counter, "tsms_forward_attempts_total", ["outcome"],
        "POSTs to the web application by outcome.";
    FORWARD_SECONDS = SECONDS, "tsms_forward_attempt_seconds", [],
        "How long one POST to the web application took, answer included.";
    FORWARD_ITEMS = Kind::Counter, "tsms_forward_items_total", ["outcome"],
        "Sales in POSTs to the web application by outcome of the POST.";
    REVERSALS = Kind::Counter, "tsms_reversals_total", ["kind", "state"],
        "Voids and refunds: accepted from a till, forwarded to the web application, or dead (given up).";
    SWEPT_JOBS = Kind::Counter, "tsms_swept_jobs_total", ["stage"],
        "Jobs that stood still and were enqueued again by the sweeper.";
    FORGOTTEN = Kind::Counter, "tsms_forgotten_rows_total", ["table"],
        "Rows of bookkeeping deleted because they are older than [retention] keeps them.";
    STORE_STATEMENTS = Kind::Counter, "tsms_store_statements_total", ["statement"],
        "Statements sent to the database by this process, by name.";
    DEAD_LETTERS = Kind::Gauge, "tsms_dead_letters", [],
        "Dead letters in the record.";
    BREAKER_OPEN = Kind::Gauge, "tsms_breaker_open", [],
        "1 while nothing is sent to the web application because it failed too often in a row.";
    SECURITY_EVENTS = Kind::Counter, "tsms_security_events_total", ["kind"],
        "Uses of tokens, keys and codes that should not happen, by kind.";
    AUTH_FEED_LOST = Kind::Gauge, "tsms_auth_feed_lost", [],
        "1 while the ingress cannot read the feed of revocations and asks the record for each token instead.";
    GAUGE_ERRORS = Kind::Counter, "tsms_state_read_errors_total", ["source"],
        "Times the queue or the record could not be read for /metrics; their gauges then stand still.";
}

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
static PROCESS: OnceLock<metrics_process::Collector> = OnceLock::new();

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
            Kind::Counter | Kind::Gauge => builder,
        })
}

/// Help texts, and a first value for what has no labels: a counter that never moved reads 0.
fn declare() {
    for metric in TABLE {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
        if metric.labels.is_empty() {
            match metric.kind {
                Kind::Counter => count(metric, [], 0),
                Kind::Gauge => gauge(metric, [], 0),
                Kind::Histogram(_) => {}
            }
        }
    }
    gauge(&BUILD_INFO, [env!("CARGO_PKG_VERSION").into()], 1);
    for spec in STAGES {
        count(
            &STAGE_JOBS,
            [spec.name.into(), Verdict::Done.outcome().into(), "".into()],
            0,
        );
        count(&SWEPT_JOBS, [spec.name.into()], 0);
        queue_depth(spec.stage, &Depth::default());
    }
}

/// The metrics of the process in the Prometheus text format.
#[must_use]
pub fn render() -> String {
    if let Some(process) = PROCESS.get() {
        process.collect();
    }
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
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

fn wide(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

/// The verdicts of one set of jobs, and how long the set took.
pub fn set_worked(stage: Stage, verdicts: &[Verdict], took: Duration) {
    let mut seen: Vec<(&'static str, &'static str, u64)> = Vec::new();
    for verdict in verdicts {
        let (outcome, code) = (verdict.outcome(), verdict.code());
        match seen.iter_mut().find(|(o, c, _)| (*o, *c) == (outcome, code)) {
            Some((_, _, jobs)) => *jobs += 1,
            None => seen.push((outcome, code, 1)),
        }
    }
    for (outcome, code, jobs) in seen {
        count(
            &STAGE_JOBS,
            [stage.name().into(), outcome.into(), code.into()],
            jobs,
        );
    }
    seconds(&STAGE_SET_SECONDS, [stage.name().into()], took);
    size(&STAGE_SET_JOBS, [stage.name().into()], verdicts.len());
}

/// One attempt to deliver a batch: `outcome` is a fixed word (`ok`, `http_5xx`, `timeout`, …).
pub fn forward_attempt(outcome: &'static str, items: usize, took: Duration) {
    count(&FORWARD_ATTEMPTS, [outcome.into()], 1);
    count(&FORWARD_ITEMS, [outcome.into()], wide(items));
    seconds(&FORWARD_SECONDS, [], took);
}

/// A void or refund (`kind`) that was accepted, forwarded or given up.
pub fn reversal(kind: &'static str, state: ReversalState) {
    let state = match state {
        ReversalState::Accepted => "accepted",
        ReversalState::Forwarded => "forwarded",
        ReversalState::Dead => "dead",
    };
    count(&REVERSALS, [kind.into(), state.into()], 1);
}

/// How far a void or refund has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReversalState {
    /// In the record.
    Accepted,
    /// The web application has it.
    Forwarded,
    /// Given up.
    Dead,
}

/// Jobs enqueued again by the sweeper.
pub fn swept(stage: Stage, jobs: usize) {
    count(&SWEPT_JOBS, [stage.name().into()], wide(jobs));
}

/// Rows of bookkeeping deleted for their age.
pub fn forgotten(table: &'static str, rows: u64) {
    count(&FORGOTTEN, [table.into()], rows);
}

/// The state of a queue as last read. An empty queue reads 0; it does not vanish.
pub fn queue_depth(stage: Stage, depth: &Depth) {
    let spec = stage.spec();
    for (state, jobs) in [
        ("ready", depth.ready),
        ("in_flight", depth.in_flight),
        ("delayed", depth.delayed),
        ("parked", depth.parked),
    ] {
        gauge(
            &QUEUE_JOBS,
            [spec.name.into(), spec.class.name().into(), state.into()],
            jobs,
        );
    }
    let age = depth
        .oldest
        .map_or(Duration::ZERO, |oldest| Timestamp::now().since(oldest));
    level(&QUEUE_OLDEST_AGE, [spec.name.into()], age);
}

/// Statements sent by the store so far, by name.
pub fn statements(counts: &[(&'static str, u64)]) {
    for (statement, sent) in counts {
        metrics::counter!(
            STORE_STATEMENTS.name,
            labels(&STORE_STATEMENTS, [(*statement).into()])
        )
        .absolute(*sent);
    }
}

/// Dead letters in the record.
pub fn dead_letters(count: u64) {
    gauge(&DEAD_LETTERS, [], count);
}

/// Whether the breaker towards the web application is open.
pub fn breaker(open: bool) {
    gauge(&BREAKER_OPEN, [], u64::from(open));
}

/// Something that should not happen to tokens, keys and codes.
pub fn security_event(kind: &'static str) {
    count(&SECURITY_EVENTS, [kind.into()], 1);
}

/// Whether the feed of changes of access cannot be read.
pub fn auth_feed_lost(lost: bool) {
    gauge(&AUTH_FEED_LOST, [], u64::from(lost));
}

/// The queue or the record (`source`) could not be read for its gauges.
pub fn gauge_error(source: &'static str) {
    count(&GAUGE_ERRORS, [source.into()], 1);
}

#[cfg(test)]
mod tests;
