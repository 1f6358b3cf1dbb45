//! Spans as OTLP has them, in protobuf.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan, SpanFlags, Status, span, status::StatusCode},
};
use prost::Message;
use uuid::Uuid;

use crate::{
    domain::{time::Timestamp, trace::TraceContext},
    telemetry::traces::{Fact, Span, SpanKind},
};

/// What a body is.
pub(super) const CONTENT: &str = "application/x-protobuf";

/// How the program is named to collectors.
const SERVICE: &str = "tsms";

/// Who tells the spans.
#[derive(Debug)]
pub(super) struct Source(Resource);

impl Source {
    /// This process.
    pub(super) fn new(role: &str) -> Self {
        let facts = [
            ("service.name", SERVICE.into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            // Of this life of the process, as the semantic conventions want it.
            ("service.instance.id", Uuid::new_v4().to_string().as_str().into()),
            ("process.pid", i64::from(std::process::id()).into()),
            ("tsms.role", role.into()),
        ];
        Self(Resource {
            attributes: facts
                .into_iter()
                .map(|(key, fact)| attribute(key, fact))
                .collect(),
            ..Resource::default()
        })
    }

    /// The body of a POST.
    pub(super) fn request(&self, spans: &[Span]) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: SERVICE.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.0.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans: spans.iter().map(wire).collect(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        request.encode_to_vec()
    }
}

/// How many spans an answer refuses. One that cannot be read came with a status that says that all is well.
pub(super) fn refused(answer: &[u8]) -> usize {
    let partial = ExportTraceServiceResponse::decode(answer).ok();
    let partial = partial.and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0))
}

fn wire(span: &Span) -> WireSpan {
    let (trace_id, span_id) = span.step.ids();
    let (kind, from_outside) = match span.kind {
        SpanKind::Server => (span::SpanKind::Server, true),
        SpanKind::Consumer => (span::SpanKind::Consumer, true),
        SpanKind::Client => (span::SpanKind::Client, false),
    };
    let parent = span.parent.map(|parent| parent.ids().1.to_vec());
    let status = span.failed.map(|code| Status {
        message: code.to_owned(),
        code: StatusCode::Error.into(),
    });
    WireSpan {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        flags: flags(span.step, span.parent.is_some() && from_outside),
        parent_span_id: parent.unwrap_or_default(),
        name: span.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: nanos(span.began),
        end_time_unix_nano: nanos(span.ended),
        attributes: (span.facts.iter())
            .map(|(key, fact)| attribute(key, fact.clone()))
            .collect(),
        links: span.link.map(link).into_iter().collect(),
        status,
        ..WireSpan::default()
    }
}

fn link(step: TraceContext) -> span::Link {
    let (trace_id, span_id) = step.ids();
    span::Link {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        flags: flags(step, false),
        ..span::Link::default()
    }
}

/// The flags of W3C, and whether the parent (or what is linked to) is of another process.
fn flags(step: TraceContext, from_outside: bool) -> u32 {
    let known = SpanFlags::ContextHasIsRemoteMask as u32;
    let remote = if from_outside {
        SpanFlags::ContextIsRemoteMask as u32
    } else {
        0
    };
    u32::from(step.is_sampled()) | known | remote
}

fn attribute(key: &str, fact: Fact) -> KeyValue {
    let value = match fact {
        Fact::Text(text) => Value::StringValue(text),
        Fact::Number(number) => Value::IntValue(number),
    };
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(0).saturating_mul(1000)
}
