//! Reading a body: what the headers promise is checked first, what arrives is counted, and what is
//! held in memory is paid from one budget.

use std::sync::Arc;

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, FromRequestParts, Request},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, header, request::Parts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{App, deadline::Deadline, error::Error};

/// First allocation for a body, in bytes; it grows as data arrives, not as data is announced.
const FIRST_ALLOCATION: usize = 64 * 1024;

/// The headers announce an acceptable body: not larger than the limit, JSON, not compressed. Asked
/// before anything else, for it costs nothing.
pub(super) struct JsonForm;

impl FromRequestParts<Arc<App>> for JsonForm {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        announced(&parts.headers, app.config.ingress.max_body_bytes).map(|()| Self)
    }
}

pub(super) fn announced(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    if content_length(headers).is_some_and(|length| length > limit) {
        return Err(Error::BodyTooLarge { limit });
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let essence = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Error::UnsupportedMediaType);
    }
    let encoding = text(header::CONTENT_ENCODING).unwrap_or("identity");
    if !encoding.trim().eq_ignore_ascii_case("identity") {
        return Err(Error::UnsupportedEncoding);
    }
    Ok(())
}

/// The announced length; one too large for the machine's words counts as the largest.
fn content_length(headers: &HeaderMap) -> Option<usize> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    Some(text.parse().unwrap_or(usize::MAX))
}

/// A body as sent, with its share of the memory for bodies.
#[derive(Debug)]
pub(super) struct RawBody {
    pub(super) bytes: Bytes,
    pub(super) share: OwnedSemaphorePermit,
}

impl FromRequest<Arc<App>> for RawBody {
    type Rejection = Error;

    /// Reads the body, unless the work that waits already would make it wait in vain.
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        if app.committer.is_full() {
            return Err(app.overloaded());
        }
        let limit = app.config.ingress.max_body_bytes;
        let (mut parts, body) = request.into_parts();
        let deadline = Deadline::from_request_parts(&mut parts, app).await?;
        let expected = content_length(&parts.headers).unwrap_or(limit).min(limit);
        let share = reserve(&app.body_budget, expected).ok_or_else(|| app.overloaded())?;
        let bytes = deadline
            .bound(read(body, expected, limit), || Error::BodyLate)
            .await??;
        Ok(Self {
            share: shrink(share, bytes.len()),
            bytes,
        })
    }
}

/// A body for the checksum sandbox: smaller, and not worth a share of the budget.
pub(super) struct SandboxBody(pub(super) Bytes);

impl FromRequest<Arc<App>> for SandboxBody {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        let limit = app.config.ingress.sandbox_max_body_bytes;
        let (mut parts, body) = request.into_parts();
        announced(&parts.headers, limit)?;
        let deadline = Deadline::from_request_parts(&mut parts, app).await?;
        let expected = content_length(&parts.headers).unwrap_or(limit).min(limit);
        let bytes = deadline
            .bound(read(body, expected, limit), || Error::BodyLate)
            .await??;
        Ok(Self(bytes))
    }
}

fn reserve(budget: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let bytes = u32::try_from(bytes).ok()?;
    Arc::clone(budget).try_acquire_many_owned(bytes).ok()
}

/// Gives back what an unannounced length had reserved too much.
fn shrink(mut share: OwnedSemaphorePermit, used: usize) -> OwnedSemaphorePermit {
    match share.split(used) {
        Some(exact) => exact,
        None => share,
    }
}

pub(super) async fn read(body: Body, expected: usize, limit: usize) -> Result<Bytes, Error> {
    let mut stream: BodyDataStream = body.into_data_stream();
    let mut read = BytesMut::with_capacity(expected.min(FIRST_ALLOCATION));
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Error::BodyBroken)?;
        if read.len().saturating_add(piece.len()) > limit {
            return Err(Error::BodyTooLarge { limit });
        }
        read.extend_from_slice(&piece);
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn size_then_media_type_then_encoding() {
        let refused = |pairs: &[(&'static str, &'static str)]| announced(&headers(pairs), 100).err();
        assert_eq!(refused(&[("content-type", "application/json")]), None);
        assert_eq!(
            refused(&[
                ("content-type", "Application/JSON; charset=utf-8"),
                ("content-length", "100")
            ]),
            None
        );
        assert_eq!(
            refused(&[
                ("content-type", "application/json"),
                ("content-encoding", "identity")
            ]),
            None
        );
        for large in ["101", "99999999999999999999999"] {
            assert_eq!(
                refused(&[("content-length", large)]),
                Some(Error::BodyTooLarge { limit: 100 })
            );
        }
        for other in [
            "text/plain",
            "application/jsonx",
            "application/x-www-form-urlencoded",
            "",
        ] {
            assert_eq!(
                refused(&[("content-type", other)]),
                Some(Error::UnsupportedMediaType)
            );
        }
        assert_eq!(refused(&[]), Some(Error::UnsupportedMediaType));
        assert_eq!(
            refused(&[("content-type", "application/json"), ("content-encoding", "gzip")]),
            Some(Error::UnsupportedEncoding)
        );
    }

    fn streamed(pieces: &[&'static str]) -> Body {
        let pieces: Vec<io::Result<&'static str>> = pieces.iter().map(|piece| Ok(*piece)).collect();
        Body::from_stream(futures::stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_cut_at_the_limit() {
        assert_eq!(
            read(streamed(&["12345", "67890"]), 10, 10).await.unwrap(),
            "1234567890"
        );
        assert_eq!(
            read(streamed(&["12345", "67890", "1"]), 10, 10).await,
            Err(Error::BodyTooLarge { limit: 10 })
        );
    }

    #[tokio::test]
    async fn an_endless_body_is_not_read_to_its_end() {
        let endless = Body::from_stream(futures::stream::repeat_with(|| {
            Ok::<_, io::Error>("x".repeat(1000))
        }));
        assert_eq!(
            read(endless, 2000, 2000).await,
            Err(Error::BodyTooLarge { limit: 2000 })
        );
    }

    #[tokio::test]
    async fn a_broken_connection_is_not_a_short_body() {
        let pieces = vec![Ok("{"), Err(io::Error::other("reset"))];
        let body = Body::from_stream(futures::stream::iter(pieces));
        assert_eq!(read(body, 1, 10).await, Err(Error::BodyBroken));
    }

    #[test]
    fn the_budget_holds_what_is_read_and_no_more() {
        let budget = Arc::new(Semaphore::new(100));
        let share = shrink(reserve(&budget, 80).unwrap(), 30);
        assert_eq!(budget.available_permits(), 70);
        assert!(reserve(&budget, 71).is_none());
        drop(share);
        assert_eq!(budget.available_permits(), 100);
    }
}
