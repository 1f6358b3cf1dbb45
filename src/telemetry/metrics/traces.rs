//! What becomes of spans.

use super::{
    count,
    table::{SPANS_DROPPED, SPANS_EXPORTED},
    wide,
};

/// Why spans were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanLoss {
    /// There was no room in the line.
    QueueFull,
    /// The collector did not answer, or not well.
    ExportFailed,
    /// The collector took the rest of a POST.
    Refused,
    /// The process stopped.
    Shutdown,
}

/// Spans that the collector took.
pub fn spans_exported(spans: usize) {
    count(&SPANS_EXPORTED, [], wide(spans));
}

/// Spans that no collector has.
pub fn spans_lost(loss: SpanLoss, spans: usize) {
    let cause = match loss {
        SpanLoss::QueueFull => "queue_full",
        SpanLoss::ExportFailed => "export_failed",
        SpanLoss::Refused => "collector_refused",
        SpanLoss::Shutdown => "shutdown",
    };
    count(&SPANS_DROPPED, [cause.into()], wide(spans));
}
