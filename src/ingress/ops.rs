//! `/metrics`, `/livez`, `/readyz`: on the ingress, and on a port of its own for every other role.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::IngressError;
use crate::{config::Config, queue::Queue, store::Store};

/// Serves the three routes alone until `stop`. `/readyz` is 503 from the moment `draining` is cancelled.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    config: Arc<Config>,
    store: Store,
    queue: Queue,
    draining: CancellationToken,
    stop: CancellationToken,
) -> Result<(), IngressError> {
    let _ = (listener, config, store, queue, draining, stop);
    todo!("ingress")
}
