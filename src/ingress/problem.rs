//! Problem documents (RFC 9457): how an [`Error`] looks on the wire.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Serialize;

use super::{error::Error, request_id::RequestId};

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
