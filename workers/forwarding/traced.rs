//! A batch as steps of the traces of its sales. One POST can go on with one trace only: its step is the one that
//! the web application is told. The other sampled traces of the batch have a step each that points to it.

use std::collections::HashSet;

use crate::{
    domain::{time::Timestamp, trace::TraceContext},
    telemetry::traces::{Fact, Span, SpanKind, Tracer},
};

/// A POST under way.
pub(super) struct Traced {
    /// What the web application is told.
    told: Option<TraceContext>,
    /// The step before this one, of each sampled trace, that of `told` first.
    parents: Vec<TraceContext>,
}

impl Traced {
    /// Begins a step in the traces `before`, in the order of the batch. A sampled one goes first.
    pub(super) fn begin(before: impl Iterator<Item = TraceContext>) -> Self {
        let (mut first, mut parents, mut seen) = (None, Vec::new(), HashSet::new());
        for parent in before {
            first = first.or(Some(parent));
            if parent.is_sampled() && seen.insert(parent) {
                parents.push(parent);
            }
        }
        Self {
            told: parents.first().copied().or(first).map(TraceContext::child),
            parents,
        }
    }

    /// Our step in the trace that the POST goes on with.
    pub(super) fn told(&self) -> Option<TraceContext> {
        self.told
    }

    /// Tells of the step in each sampled trace.
    pub(super) fn end(&self, tracer: &Tracer, sent: &Sent<'_>) {
        let Some(told) = self.told else { return };
        let ended = Timestamp::now();
        for (position, parent) in self.parents.iter().enumerate() {
            let (step, link) = match position {
                0 => (told, None),
                _ => (parent.child(), Some(told)),
            };
            tracer.record(Span {
                step,
                parent: Some(*parent),
                link,
                name: "POST".to_owned(),
                kind: SpanKind::Client,
                began: sent.at,
                ended,
                facts: sent.facts(),
                failed: sent.failed.then_some(sent.outcome),
            });
        }
    }
}

/// A POST that was made.
pub(super) struct Sent<'a> {
    pub(super) at: Timestamp,
    pub(super) sink: &'a str,
    pub(super) batch_id: &'a str,
    pub(super) tenant_id: i64,
    pub(super) sales: usize,
    pub(super) outcome: &'static str,
    /// Whether all of it has to be sent again, or was refused.
    pub(super) failed: bool,
    /// Of the answer, where there was one.
    pub(super) status: Option<u16>,
}

impl Sent<'_> {
    fn facts(&self) -> Vec<(&'static str, Fact)> {
        let mut facts = vec![
            ("http.request.method", "POST".into()),
            ("tsms.sink", self.sink.into()),
            ("tsms.batch_id", self.batch_id.into()),
            ("tsms.tenant_id", self.tenant_id.into()),
            ("tsms.sales", self.sales.into()),
            ("tsms.outcome", self.outcome.into()),
        ];
        facts.extend(
            self.status
                .map(|status| ("http.response.status_code", status.into())),
        );
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn one_step_is_told_and_the_other_sampled_traces_point_to_it() {
        let settings = Layers::read(None, Vec::new()).unwrap().config().unwrap().traces;
        let (tracer, mut line) = Tracer::new(&settings);
        let quiet = TraceContext::root().unsampled();
        let (one, other) = (TraceContext::root(), TraceContext::root());
        let traced = Traced::begin([quiet, one, other, one].into_iter());
        let told = traced.told().unwrap();
        assert_eq!(
            told.trace_id(),
            one.trace_id(),
            "a sampled one before one that is not"
        );
        let sent = Sent {
            at: Timestamp::now(),
            sink: "webapp",
            batch_id: "b",
            tenant_id: 1,
            sales: 4,
            outcome: "http_5xx",
            failed: true,
            status: Some(503),
        };
        traced.end(&tracer, &sent);
        let spans: Vec<Span> = std::iter::from_fn(|| line.try_recv().ok()).collect();
        let seen: Vec<_> = spans.iter().map(|span| (span.parent, span.link)).collect();
        assert_eq!(seen, [(Some(one), None), (Some(other), Some(told))]);
        assert_eq!((spans[0].step, spans[0].failed), (told, Some("http_5xx")));
        assert_eq!(spans[1].step.trace_id(), other.trace_id());

        let unsampled = Traced::begin([quiet].into_iter());
        assert_eq!(
            unsampled.told().unwrap().trace_id(),
            quiet.trace_id(),
            "it is passed on"
        );
        unsampled.end(&tracer, &sent);
        Traced::begin(std::iter::empty()).end(&tracer, &sent);
        assert!(line.try_recv().is_err(), "and nothing is told of it");
    }
}
