//! Around every request: its id, its span, its deadline, its metric, its log line, and the headers
//! that every answer carries. Also where an error gets its document and a panic becomes a 500.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tracing::Instrument;

use super::{
    client_addr::ClientAddr, deadline::Deadline, error::Error, ops, problem, quota, request_id,
    request_id::RequestId, traced::Traced,
};
use crate::telemetry::{metrics, traces::Tracer};

/// The route of what has none.
const UNMATCHED: &str = "unmatched";

/// On every answer. A page for people brings a policy of its own, which is kept.
const SAFETY: [(HeaderName, HeaderValue); 6] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// What is around the routes of a server.
#[derive(Clone)]
pub(super) struct Frame {
    /// How long a request may take.
    pub(super) limit: Duration,
    /// Where steps of traces are told; `None`: nowhere.
    pub(super) tracer: Option<Tracer>,
}

/// The layer.
pub(super) async fn observe(State(frame): State<Frame>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let traced = match &frame.tracer {
        Some(tracer) if route != UNMATCHED && !ops::PATHS.contains(&route) => {
            Some(Traced::begin(tracer, request.headers()))
        }
        _ => None,
    };
    let request_id = match &traced {
        Some(traced) => RequestId::within(request.headers(), traced.step()),
        None => RequestId::of(request.headers()),
    };
    let span = tracing::info_span!(
        "request",
        method,
        route,
        request_id = request_id.as_str(),
        client = request
            .extensions()
            .get::<ClientAddr>()
            .map(|client| tracing::field::display(client.0)),
        trace_id = request_id
            .trace()
            .map(|trace| tracing::field::display(trace.trace_id())),
        terminal = tracing::field::Empty
    );
    request.extensions_mut().insert(request_id.clone());
    request.extensions_mut().insert(Deadline::after(frame.limit));
    let counted = quota::Slot::default();
    request.extensions_mut().insert(counted.clone());

    let answer = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let mut response = answer.unwrap_or_else(|_| Error::Internal.into_response());
    let error = response.extensions_mut().remove::<Arc<Error>>();
    if let Some(error) = &error {
        // What a layer found out about the connection goes with the document.
        let connection = response.headers_mut().remove(header::CONNECTION);
        response = problem::render(error, &request_id);
        response
            .headers_mut()
            .extend(connection.map(|value| (header::CONNECTION, value)));
    }
    counted.write(response.headers_mut());
    finish(response.headers_mut(), &request_id);

    let took = started.elapsed();
    metrics::request(route, method, response.status().as_u16(), took);
    span.in_scope(|| log(route, response.status(), error.as_deref(), took));
    if let Some(traced) = traced {
        traced.end(method, route, &request_id, response.status(), error.as_deref());
    }
    response
}

/// The headers of every answer.
pub(super) fn finish(headers: &mut http::HeaderMap, request_id: &RequestId) {
    for (name, value) in SAFETY {
        if name == header::CONTENT_SECURITY_POLICY {
            headers.entry(name).or_insert(value);
        } else {
            headers.insert(name, value);
        }
    }
    if let Some(value) = request_id.header_value() {
        headers.insert(request_id::HEADER, value);
    }
}

/// One line a request; those of the monitoring itself are of interest to nobody.
fn log(route: &str, status: StatusCode, error: Option<&Error>, took: Duration) {
    let status = status.as_u16();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let code = error.map_or("", |error| error.code().row().word);
    if ops::PATHS.contains(&route) {
        tracing::debug!(status, code, took_ms, "answered");
    } else {
        tracing::info!(status, code, took_ms, "answered");
    }
}

/// A client may invent methods; a label may not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, to_bytes},
        routing::{get, post},
    };
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::ingress::{fixture, frame};

    fn routes() -> Router {
        let panics = async || -> &'static str { panic!("as the test says") };
        Router::new()
            .route("/things/{id}", get(async || "thing").post(async || "made"))
            .route("/panics", get(panics))
            .route("/busy", post(async || Error::Overloaded { retry_after: 7 }))
            .route("/secret", get(async || Error::Unauthenticated))
    }

    async fn answer(method: &str, path: &str) -> (http::response::Parts, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-request-id", "r-7")
            .body(Body::empty())
            .unwrap();
        let response = frame(routes(), fixture::PATIENCE).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 10_000).await.unwrap();
        (parts, String::from_utf8(body.to_vec()).unwrap())
    }

    fn header<'a>(parts: &'a http::response::Parts, name: &str) -> &'a str {
        parts
            .headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn every_answer_carries_its_id_and_the_safety_headers() {
        for (method, path, status) in [
            ("GET", "/things/1", 200),
            ("GET", "/nothing", 404),
            ("GET", "/panics", 500),
            ("POST", "/busy", 503),
        ] {
            let (parts, _) = answer(method, path).await;
            assert_eq!(parts.status.as_u16(), status, "{path}");
            assert_eq!(header(&parts, "x-request-id"), "r-7", "{path}");
            assert_eq!(header(&parts, "x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header(&parts, "cache-control"), "no-store", "{path}");
            let policy = header(&parts, "content-security-policy");
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert_eq!(header(&parts, "x-frame-options"), "DENY", "{path}");
            assert_eq!(header(&parts, "referrer-policy"), "no-referrer", "{path}");
            assert!(parts.headers.get("server").is_none(), "{path}");
        }
    }

    #[tokio::test]
    async fn every_error_is_a_problem_document() {
        for (method, path, status, code) in [
            ("GET", "/nothing", 404, "not_found"),
            ("DELETE", "/things/1", 405, "method_not_allowed"),
            ("BREW", "/things/1", 405, "method_not_allowed"),
            ("GET", "/panics", 500, "internal"),
            ("POST", "/busy", 503, "overloaded"),
            ("GET", "/secret", 401, "unauthenticated"),
        ] {
            let (parts, body) = answer(method, path).await;
            assert_eq!(
                header(&parts, "content-type"),
                "application/problem+json",
                "{path}"
            );
            let document: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(document["status"], status, "{path}");
            assert_eq!(document["code"], code, "{path}");
            assert_eq!(document["type"], format!("/errors/{code}"), "{path}");
            assert_eq!(document["request_id"], "r-7", "{path}");
            assert!(document.get("errors").is_none(), "no members, no list: {path}");
        }
    }

    #[tokio::test]
    async fn an_error_names_the_trace_that_its_request_is_a_part_of() {
        let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        for (traceparent, trace) in [
            (sent, serde_json::json!("0af7651916cd43dd8448eb211c80319c")),
            ("00-x", Value::Null),
        ] {
            let request = Request::get("/secret").header("traceparent", traceparent);
            let request = request.body(Body::empty()).unwrap();
            let response = frame(routes(), fixture::PATIENCE).oneshot(request).await.unwrap();
            let body = to_bytes(response.into_body(), 10_000).await.unwrap();
            let document: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(document["trace_id"], trace, "{document}");
        }
    }

    #[tokio::test]
    async fn headers_that_belong_to_an_error() {
        let (parts, _) = answer("DELETE", "/things/1").await;
        assert_eq!(header(&parts, "allow"), "GET,HEAD,POST");
        let (parts, _) = answer("GET", "/secret").await;
        assert_eq!(header(&parts, "www-authenticate"), "Bearer");
        let (parts, body) = answer("POST", "/busy").await;
        assert_eq!(header(&parts, "retry-after"), "7");
        assert!(body.contains(r#""retry_after":7"#), "{body}");
    }
}
