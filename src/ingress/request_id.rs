//! The request id: taken from the client when it is harmless, made here otherwise, echoed always; and
//! the trace the client wants it to be a part of.

use std::{fmt, sync::Arc};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use uuid::Uuid;

use super::error::Error;
use crate::domain::trace::{self, TraceContext};

/// The header it travels in, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken from a client, in characters; also what the record's column holds.
const LONGEST: usize = 64;

/// Correlates an answer, the log lines and the jobs of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId {
    id: Arc<str>,
    trace: Option<TraceContext>,
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl RequestId {
    /// The client's own id when it is 1 to 64 of `[A-Za-z0-9._-]`, else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self::within(headers, sent_trace(headers).map(TraceContext::child))
    }

    /// The same, as the step `trace`.
    pub(super) fn within(headers: &HeaderMap, trace: Option<TraceContext>) -> Self {
        let id = match only(headers, HEADER) {
            Some(text) if sane(text) => text.into(),
            _ => Uuid::now_v7().to_string().into(),
        };
        Self { id, trace }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.id
    }

    /// Our step in the trace of the request, if it has one.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// What the record and the jobs carry of it.
    pub(super) fn carried(&self) -> String {
        trace::carried(&self.id, self.trace)
    }

    pub(super) fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.id).ok()
    }
}

/// Of which trace the client says that the request is a part.
pub(super) fn sent_trace(headers: &HeaderMap) -> Option<TraceContext> {
    only(headers, TRACEPARENT).and_then(TraceContext::parse)
}

/// The value of a header that came once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let (only, more) = (values.next()?, values.next());
    only.to_str().ok().filter(|_| more.is_none())
}

fn sane(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        RequestId::of(&headers)
    }

    #[test]
    fn a_sane_id_is_kept_and_anything_else_replaced() {
        let longest = "x".repeat(64);
        for kept in ["a", "POS-7_2025.08.19", longest.as_str()] {
            assert_eq!(of(kept).as_str(), kept);
        }
        let too_long = "x".repeat(65);
        for refused in ["", "a b", "a\"b", "{}", "é", too_long.as_str()] {
            let made = of(refused);
            assert_eq!(
                Uuid::try_parse(made.as_str()).unwrap().get_version_num(),
                7,
                "{refused}"
            );
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }

    #[test]
    fn a_trace_is_continued_and_garbage_forgotten() {
        let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let with = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_static("r-7"));
            for line in lines {
                headers.append(TRACEPARENT, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            RequestId::of(&headers)
        };
        let carried = with(&[sent]).carried();
        assert_eq!(trace::request_id(&carried), "r-7");
        let ours = trace::context(&carried).unwrap();
        assert_eq!(ours.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(ours.to_string(), sent, "a step of our own");
        for lines in [&[][..], &[sent, sent], &["00-x"], &["é"], &[""]] {
            assert_eq!(with(lines).carried(), "r-7", "{lines:?}");
        }
    }
}
