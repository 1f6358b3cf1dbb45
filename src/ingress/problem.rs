//! Problem documents (RFC 9457): how an [`Error`] looks on the wire.

use axum::{
    body::{Body, to_bytes},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::{error::Error, observe, request_id::RequestId};

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: String,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Member>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voided_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    void_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Member {
    pointer: String,
    code: &'static str,
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
    let (status, code, title) = error.row();
    let document = Document {
        r#type: format!("/errors/{code}"),
        title,
        status: status.as_u16(),
        detail: error.detail(),
        code,
        request_id: request_id.as_str(),
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
