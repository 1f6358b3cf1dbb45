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

use super::{deadline::Deadline, error::Error, ops, problem, request_id, request_id::RequestId};
use crate::telemetry::metrics;

const NOSNIFF: (HeaderName, HeaderValue) = (
    header::X_CONTENT_TYPE_OPTIONS,
    HeaderValue::from_static("nosniff"),
);
const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The layer. Its state is how long a request may take.
pub(super) async fn observe(State(limit): State<Duration>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = RequestId::of(request.headers());
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        method,
        route,
        request_id = request_id.as_str(),
        terminal = tracing::field::Empty
    );
    request.extensions_mut().insert(request_id.clone());
    request.extensions_mut().insert(Deadline::after(limit));

    let answer = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let mut response = answer.unwrap_or_else(|_| Error::Internal.into_response());
    let error = response.extensions_mut().remove::<Arc<Error>>();
    if let Some(error) = &error {
        response = problem::render(error, &request_id);
    }
    finish(response.headers_mut(), &request_id);

    let took = started.elapsed();
    metrics::request(route, method, response.status().as_u16(), took);
    span.in_scope(|| log(route, response.status(), error.as_deref(), took));
    response
}

fn finish(headers: &mut http::HeaderMap, request_id: &RequestId) {
    for (name, value) in [NOSNIFF, NO_STORE] {
        headers.insert(name, value);
    }
    if let Some(value) = request_id.header_value() {
        headers.insert(request_id::HEADER, value);
    }
}

/// One line a request; those of the monitoring itself are of interest to nobody.
fn log(route: &str, status: StatusCode, error: Option<&Error>, took: Duration) {
    let status = status.as_u16();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let code = error.map_or("", |error| error.row().1);
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
