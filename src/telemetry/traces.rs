//! Traces: which requests have one, and the bounded line in which the spans of their steps wait to be sent.
//!
//! A step is only told of where its trace is sampled, after it has ended, and costs one value put in a line.
//! When the line is full the span is dropped and counted: nobody waits for a collector. Who sends them is
//! `workers/traces.rs`.

mod sampler;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    config,
    domain::{time::Timestamp, trace::TraceContext},
    telemetry::metrics::{self, SpanLoss},
};
use sampler::Sampler;

/// What one step of a trace was.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its place in the trace.
    pub step: TraceContext,
    /// The step it is a part of, of the same trace.
    pub parent: Option<TraceContext>,
    /// A step of another trace that did the same work for both.
    pub link: Option<TraceContext>,
    /// What was done, in words of which there are few.
    pub name: String,
    /// Whose side it tells.
    pub kind: SpanKind,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What else is known of it.
    pub facts: Vec<(&'static str, Fact)>,
    /// Why it failed, as a fixed word.
    pub failed: Option<&'static str>,
}

/// Whose side a span tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// An answer to a request.
    Server,
    /// Work on jobs of a queue.
    Consumer,
    /// A call to another program.
    Client,
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A word or an id.
    Text(String),
    /// A count, an id, or a time in the unit that its name tells.
    Number(i64),
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Fact {
    fn from(count: usize) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Fact {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u16> for Fact {
    fn from(status: u16) -> Self {
        Self::Number(status.into())
    }
}

/// Where spans are put; cheap to clone. A process that exports no traces has none.
#[derive(Clone, Debug)]
pub struct Tracer {
    line: mpsc::Sender<Span>,
    sampler: Arc<Sampler>,
}

impl Tracer {
    /// A tracer, and the end of the line from which the spans are sent.
    #[must_use]
    pub fn new(settings: &config::Traces) -> (Self, mpsc::Receiver<Span>) {
        let (line, sent) = mpsc::channel(settings.queue_spans.max(1));
        let sampler = Arc::new(Sampler::new(settings));
        (Self { line, sampler }, sent)
    }

    /// The step of a request of which the client said that it is a part of `sent`: a step of that trace, of a
    /// new one, or of none.
    #[must_use]
    pub fn request(&self, sent: Option<TraceContext>) -> Option<TraceContext> {
        self.sampler.request(sent)
    }

    /// Puts a span in the line; drops it where there is no room.
    pub fn record(&self, span: Span) {
        match self.line.try_send(span) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => metrics::spans_lost(SpanLoss::QueueFull, 1),
            Err(mpsc::error::TrySendError::Closed(_)) => metrics::spans_lost(SpanLoss::Shutdown, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn a_full_line_drops_and_never_waits() {
        metrics::install();
        let mut settings = Layers::read(None, Vec::new()).unwrap().config().unwrap().traces;
        settings.queue_spans = 2;
        let (tracer, mut line) = Tracer::new(&settings);
        let now = Timestamp::now();
        for number in 0..5_i64 {
            tracer.record(Span {
                step: TraceContext::root(),
                parent: None,
                link: None,
                name: "validation".to_owned(),
                kind: SpanKind::Consumer,
                began: now,
                ended: now,
                facts: vec![("tsms.jobs", number.into())],
                failed: None,
            });
        }
        let kept: Vec<Fact> = std::iter::from_fn(|| line.try_recv().ok())
            .map(|span| span.facts[0].1.clone())
            .collect();
        assert_eq!(kept, [Fact::Number(0), Fact::Number(1)], "the oldest stay");
        let told = metrics::render();
        let dropped = told
            .lines()
            .find(|line| line.starts_with("tsms_trace_spans_dropped_total{cause=\"queue_full\"}"));
        let dropped: u64 = dropped.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(dropped >= 3, "{dropped}");
    }
}
