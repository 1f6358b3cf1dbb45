//! A request as the first step of its trace.

use http::{HeaderMap, StatusCode};

use super::{
    error::Error,
    request_id::{RequestId, sent_trace},
};
use crate::{
    domain::{time::Timestamp, trace::TraceContext},
    telemetry::traces::{Span, SpanKind, Tracer},
};

/// A request under way.
pub(super) struct Traced {
    tracer: Tracer,
    began: Timestamp,
    /// What the client said that it is a part of.
    sent: Option<TraceContext>,
    step: Option<TraceContext>,
}

impl Traced {
    /// Decides whether the request is traced.
    pub(super) fn begin(tracer: &Tracer, headers: &HeaderMap) -> Self {
        let sent = sent_trace(headers);
        Self {
            tracer: tracer.clone(),
            began: Timestamp::now(),
            sent,
            step: tracer.request(sent),
        }
    }

    /// Its step, if it is a part of a trace.
    pub(super) fn step(&self) -> Option<TraceContext> {
        self.step
    }

    /// Tells how it was answered, if its trace is sampled.
    pub(super) fn end(
        self,
        method: &'static str,
        route: &str,
        request_id: &RequestId,
        status: StatusCode,
        error: Option<&Error>,
    ) {
        let Some(step) = self.step.filter(|step| step.is_sampled()) else {
            return;
        };
        let code = error.map(|error| error.code().row().word);
        let mut facts = vec![
            ("http.request.method", method.into()),
            ("http.route", route.into()),
            ("http.response.status_code", status.as_u16().into()),
            ("tsms.request_id", request_id.as_str().into()),
        ];
        facts.extend(code.map(|code| ("tsms.code", code.into())));
        self.tracer.record(Span {
            step,
            parent: self.sent,
            link: None,
            name: format!("{method} {route}"),
            kind: SpanKind::Server,
            began: self.began,
            ended: Timestamp::now(),
            facts,
            // A refusal is the client's error, not this step's.
            failed: code.filter(|_| status.is_server_error()),
        });
    }
}
