//! The thin HTTP ingress: authenticate, read, commit, answer 202. Nothing slower belongs here.

pub mod ops;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{config::Config, queue::Queue, store::Store};

/// The ingress cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("ingress: {0}")]
pub struct IngressError(pub String);

/// Serves on `listener` until `stop`, then finishes requests under way (for at most `fleet.drain_ms`)
/// and flushes what is committed to the queue.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    config: Arc<Config>,
    store: Store,
    queue: Queue,
    stop: CancellationToken,
) -> Result<(), IngressError> {
    let _ = (listener, config, store, queue, stop);
    todo!("ingress")
}
