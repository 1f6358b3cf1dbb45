//! The request id: taken from the client when it is harmless, made here otherwise, echoed always.

use std::{fmt, sync::Arc};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use uuid::Uuid;

use super::error::Error;

/// The header it travels in, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken from a client, in characters; also what the record's column holds.
const LONGEST: usize = 64;

/// Correlates an answer, the log lines and the jobs of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    /// The client's own id when it is 1 to 64 of `[A-Za-z0-9._-]`, else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(HEADER).and_then(|value| value.to_str().ok());
        match sent {
            Some(text) if sane(text) => Self(text.into()),
            _ => Self(Uuid::now_v7().to_string().into()),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

fn sane(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
}
