//! A collector of traces on a spare port, which says what it was sent.

use std::{collections::HashMap, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span as WireSpan,
};
use prost::Message;
use tokio::{net::TcpListener, sync::mpsc};
use tsms::domain::trace::TraceContext;

use crate::world::DEADLINE;

/// What it asks of whoever sends to it.
pub(crate) const KEY: &str = "key-of-the-collector";

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Takes,
    /// It takes all but one span of each POST.
    RefusesOne,
    /// 503.
    Unavailable,
    /// Never.
    Hangs,
}

/// A span it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    /// In hex, as in a `traceparent`.
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: it has none.
    pub(crate) parent: String,
    pub(crate) kind: i32,
    pub(crate) failed: Option<String>,
    pub(crate) links: Vec<(String, String)>,
    pub(crate) nanos: (u64, u64),
    pub(crate) facts: HashMap<String, String>,
    /// Spans in its POST, it included.
    pub(crate) together: usize,
    /// What is known of the process that told it.
    pub(crate) source: HashMap<String, String>,
}

pub(crate) struct Collector {
    pub(crate) url: String,
    spans: mpsc::UnboundedReceiver<Told>,
    kept: Vec<Told>,
}

impl Collector {
    pub(crate) async fn start(manner: Manner) -> Self {
        let (sent, spans) = mpsc::unbounded_channel();
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state((manner, sent));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url,
            spans,
            kept: Vec::new(),
        }
    }

    /// The settings of a system that sends to it.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "[traces]\nendpoint = \"{}\"\nheaders = \"x-collector-key={KEY}\"\ninterval_ms = 20\n{more}\n",
            self.url
        )
    }

    /// Waits until what came satisfies `enough`; gives all of it.
    pub(crate) async fn until(&mut self, enough: impl Fn(&[Told]) -> bool) -> &[Told] {
        while !enough(&self.kept) {
            let span = tokio::time::timeout(DEADLINE, self.spans.recv()).await;
            let span = span.unwrap_or_else(|_| panic!("not enough came: {:#?}", self.kept));
            self.kept.push(span.unwrap());
        }
        &self.kept
    }

    /// All that came.
    pub(crate) fn all(&mut self) -> &[Told] {
        while let Ok(span) = self.spans.try_recv() {
            self.kept.push(span);
        }
        &self.kept
    }
}

type Shared = (Manner, mpsc::UnboundedSender<Told>);

async fn take(State((manner, sent)): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers[CONTENT_TYPE], "application/x-protobuf");
    assert_eq!(headers["x-collector-key"], KEY);
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for part in request.resource_spans {
        let source = facts(part.resource.unwrap().attributes);
        let spans: Vec<WireSpan> = part
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
            .collect();
        let together = spans.len();
        for span in spans {
            // The test may have ended before the system it looked at.
            sent.send(told(span, together, source.clone())).ok();
        }
    }
    let rejected_spans = match manner {
        Manner::Takes => 0,
        Manner::RefusesOne => 1,
        Manner::Unavailable => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Manner::Hangs => return std::future::pending().await,
    };
    let partial_success = (rejected_spans > 0).then(|| ExportTracePartialSuccess {
        rejected_spans,
        error_message: "as the test says".to_owned(),
    });
    let answer = ExportTraceServiceResponse { partial_success };
    ([(CONTENT_TYPE, "application/x-protobuf")], answer.encode_to_vec()).into_response()
}

fn told(span: WireSpan, together: usize, source: HashMap<String, String>) -> Told {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let failed = span.status.filter(|status| status.code != 0);
    Told {
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        kind: span.kind,
        failed: failed.map(|status| status.message),
        links: (span.links.iter())
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        nanos: (span.start_time_unix_nano, span.end_time_unix_nano),
        facts: facts(span.attributes),
        together,
        source,
    }
}

fn facts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pairs = attributes.into_iter();
    pairs
        .map(|pair| (pair.key, text(pair.value.unwrap().value.unwrap())))
        .collect()
}

/// Trace and step of a `traceparent`, in hex.
pub(crate) fn parts(traceparent: &str) -> (String, String) {
    let (trace, step) = TraceContext::parse(traceparent).unwrap().ids();
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    (hex(&trace), hex(&step))
}

/// How many spans this process has lost for this reason so far.
pub(crate) fn lost(cause: &str) -> u64 {
    let series = format!("tsms_trace_spans_dropped_total{{cause=\"{cause}\"}} ");
    let text = tsms::telemetry::metrics::render();
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap().parse().unwrap()
}

/// A collector whose answer is waited for longer than any test takes.
pub(crate) const PATIENT: Duration = Duration::from_secs(600);
