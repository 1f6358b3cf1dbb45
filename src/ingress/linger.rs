//! Reading on after a refusal. A request is refused as early as it can be, often before its body is
//! read; closing the connection then would reset it under a client that still writes, and the client
//! would see a broken connection instead of the reason.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures::{StreamExt, stream};
use http::{HeaderValue, Version, header};

use crate::config;

/// How far the rest of a refused body is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// `ingress.linger_ms`
    longest: Duration,
    /// `ingress.linger_max_bytes`
    most_bytes: usize,
}

impl Bounds {
    pub(super) fn of(ingress: &config::Ingress) -> Self {
        Self {
            longest: ingress.linger_ms.duration(),
            most_bytes: ingress.linger_max_bytes,
        }
    }
}

/// The layer: holds a refusal back until the client has sent what it was sending.
pub(super) async fn linger(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    // A client that asks before it sends needs no lingering: it gets the refusal instead of the body.
    if request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let unread = Arc::new(Mutex::new(body.into_data_stream()));
    let handed_on = Body::from_stream(pieces(Arc::clone(&unread)));
    let version = parts.version;
    let mut response = next.run(Request::from_parts(parts, handed_on)).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        let rest = discard(pieces(unread), bounds.most_bytes);
        if !matches!(tokio::time::timeout(bounds.longest, rest).await, Ok(true)) {
            tracing::debug!("a refused client goes on sending; it may not see why it was refused");
            // The connection ends here. Unless it is told, the client takes it for the next request.
            if version <= Version::HTTP_11 {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
    }
    response
}

/// The rest of a body, for whoever reads it next.
fn pieces(
    body: Arc<Mutex<BodyDataStream>>,
) -> impl stream::Stream<Item = <BodyDataStream as stream::Stream>::Item> + Send {
    stream::poll_fn(move |context| {
        let mut body = body.lock().unwrap_or_else(PoisonError::into_inner);
        body.poll_next_unpin(context)
    })
}

/// Whether it came to the end of the body.
async fn discard(
    rest: impl stream::Stream<Item = <BodyDataStream as stream::Stream>::Item>,
    most_bytes: usize,
) -> bool {
    let mut rest = std::pin::pin!(rest);
    let mut bytes = 0_usize;
    while bytes < most_bytes {
        match rest.next().await {
            Some(Ok(piece)) => bytes = bytes.saturating_add(piece.len()),
            Some(Err(_)) => return false,
            None => return true,
        }
    }
    false
}
