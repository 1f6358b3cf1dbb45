//! Problem documents (RFC 9457): how an [`Error`] looks on the wire.

use axum::{
    body::{Body, to_bytes},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    error::{Error, Row},
    observe,
    request_id::RequestId,
};
use crate::domain::trace::TraceContext;

/// Why a request was refused (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct Document<'a> {
    /// An address of this server that explains the code.
    #[schema(pattern = "^/errors/[a-z_]+$")]
    r#type: String,
    /// What the code means in a few words, for a person.
    #[schema(min_length = 1)]
    title: &'a str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened and what to do, for a person.
    detail: String,
    /// Stable: go by this.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'a str,
    /// As in `X-Request-Id`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    request_id: &'a str,
    /// The trace that the request is a part of, where it is a part of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[0-9a-f]{32}$")]
    trace_id: Option<String>,
    /// The members of the body that it is about, where it is about any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(inline, required = false, min_items = 1)]
    errors: Vec<Member>,
    /// Seconds to wait, where waiting helps; as in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, nullable = false)]
    retry_after: Option<u64>,
    /// When the sale was voided, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    voided_at: Option<String>,
    /// Why it was voided, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    void_reason: Option<&'a str>,
}

/// A member of the body that an error is about.
#[derive(Serialize, ToSchema)]
struct Member {
    /// Where it is: a JSON pointer (RFC 6901) into the body; empty for the body itself.
    #[schema(pattern = "^(/.*)?$")]
    pointer: String,
    /// Stable.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'static str,
    /// What is expected, for a person.
    detail: String,
}

/// The whole answer as bytes of HTTP/1.1, for a client whose request could not even be read.
pub(super) fn on_the_wire(error: &Error) -> Vec<u8> {
    let request_id = RequestId::of(&HeaderMap::new());
    let (mut parts, body) = render(error, &request_id).into_parts();
    observe::finish(&mut parts.headers, &request_id);
    // The document is whole already, so nothing is waited for.
    let body = to_bytes(body, usize::MAX).now_or_never();
    let body = body.and_then(Result::ok).unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    parts
        .headers
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut wire = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            wire.extend_from_slice(piece);
        }
    }
    wire.extend_from_slice(b"\r\n");
    wire.extend_from_slice(&body);
    wire
}

/// The whole answer: document, status, and the headers that belong to the error.
pub(super) fn render(error: &Error, request_id: &RequestId) -> Response {
    let code = error.code();
    let Row {
        status, title, word, ..
    } = code.row();
    let document = Document {
        r#type: code.type_uri(),
        title,
        status: status.as_u16(),
        detail: error.detail(),
        code: word,
        request_id: request_id.as_str(),
        trace_id: request_id.trace().map(TraceContext::trace_id),
        errors: error
            .members()
            .into_iter()
            .map(|member| Member {
                pointer: member.pointer,
                code: member.code,
                detail: member.message,
            })
            .collect(),
        retry_after: error.retry_after(),
        voided_at: error.voided().map(|(at, _)| at.to_string()),
        void_reason: error.voided().map(|(_, reason)| reason),
    };
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = (status, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if let Some(seconds) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if matches!(error, Error::Unauthenticated | Error::TokenInvalid) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
