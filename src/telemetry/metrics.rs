//! Every metric, declared once. Nothing else may invent a name.

use std::time::Duration;

use crate::{outcome::Verdict, queue::Depth, stage::Stage};

/// Installs the recorder of the process; safe to call more than once.
pub fn install() {
    todo!("telemetry")
}

/// The metrics of the process in the Prometheus text format.
#[must_use]
pub fn render() -> String {
    todo!("telemetry")
}

/// One answer of the ingress: route pattern, status, and how long it took.
pub fn request(route: &str, method: &str, status: u16, took: Duration) {
    let _ = (route, method, status, took);
    todo!("telemetry")
}

/// Submissions in one commit of the ingress, and how long it took.
pub fn commit(rows: usize, took: Duration) {
    let _ = (rows, took);
    todo!("telemetry")
}

/// Committed sets that could not be enqueued and are left to the sweeper.
pub fn enqueue_left_to_sweeper(jobs: usize) {
    let _ = jobs;
    todo!("telemetry")
}

/// The verdicts of one set of jobs, and how long the set took.
pub fn set_worked(stage: Stage, verdicts: &[Verdict], took: Duration) {
    let _ = (stage, verdicts, took);
    todo!("telemetry")
}

/// One attempt to deliver a batch: `outcome` is a fixed word (`ok`, `http_5xx`, `timeout`, …).
pub fn forward_attempt(outcome: &'static str, items: usize, took: Duration) {
    let _ = (outcome, items, took);
    todo!("telemetry")
}

/// Jobs enqueued again by the sweeper.
pub fn swept(stage: Stage, jobs: usize) {
    let _ = (stage, jobs);
    todo!("telemetry")
}

/// The state of a queue as last read.
pub fn queue_depth(stage: Stage, depth: &Depth) {
    let _ = (stage, depth);
    todo!("telemetry")
}

/// Statements sent by the store so far, by name.
pub fn statements(counts: &[(&'static str, u64)]) {
    let _ = counts;
    todo!("telemetry")
}

/// Dead letters in the record.
pub fn dead_letters(count: u64) {
    let _ = count;
    todo!("telemetry")
}

/// Whether the breaker towards the web application is open.
pub fn breaker(open: bool) {
    let _ = open;
    todo!("telemetry")
}
