//! The accept loop: connections with a bound on their number, on their silence, and on how long the
//! last ones may take when the role stops.

mod connection;
mod places;
mod requests;
mod watch;
mod wire;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{connection::Connection, places::Places};
use super::{IngressError, client_addr::Proxies, tls::Tls};
use crate::{config, telemetry::metrics};

/// Pause after an accept that failed for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts that may fail one after the other (a minute of pauses) before the listener counts as lost.
const ACCEPT_FAILURES: u32 = 600;

/// Bounds on the connections of a listener.
#[derive(Clone)]
pub(super) struct Bounds {
    /// Most connections at the same time.
    pub(super) connections: usize,
    /// Most of them from one client address, the proxies' own aside.
    pub(super) each: usize,
    /// How long a TLS handshake may take.
    pub(super) handshake: Duration,
    /// How long the head of a request may take, from its first byte.
    pub(super) head: Duration,
    /// Longest head of a request, in bytes.
    pub(super) head_bytes: usize,
    /// How long a connection may be silent between requests.
    pub(super) idle: Duration,
    /// How long a request may be under way without a byte moving.
    pub(super) stall: Duration,
    /// How long requests under way may take once the role stops.
    pub(super) drain: Duration,
    /// Those of HTTP/2.
    pub(super) h2: Http2Bounds,
    /// Who is believed about where a request came from.
    pub(super) proxies: Arc<Proxies>,
    /// The certificate; without one connections are not encrypted.
    pub(super) tls: Option<Arc<Tls>>,
}

/// Bounds that only HTTP/2 needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Http2Bounds {
    /// Requests under way on one connection.
    pub(super) streams: u32,
    /// Requests that were taken back before they were looked at; one more ends the connection.
    pub(super) pending_resets: usize,
    /// Requests that broke the protocol; one more ends the connection.
    pub(super) local_resets: usize,
    /// Bytes of a body a client may send ahead.
    pub(super) stream_window: u32,
    /// The same of all bodies of a connection.
    pub(super) connection_window: u32,
}

impl Bounds {
    pub(super) fn new(settings: &config::Ingress, drain: Duration, tls: Option<Arc<Tls>>) -> Self {
        let request = settings.request_timeout_ms.duration();
        let idle = settings.idle_timeout_ms.duration();
        Self {
            connections: settings.max_connections,
            each: settings.max_connections_per_address,
            handshake: settings.handshake_timeout_ms.duration(),
            head: settings.head_timeout_ms.duration(),
            head_bytes: settings.max_head_bytes,
            idle,
            stall: request + idle,
            drain,
            h2: Http2Bounds {
                streams: settings.h2_max_streams,
                pending_resets: settings.h2_max_pending_resets,
                local_resets: settings.h2_max_local_resets,
                stream_window: settings.h2_stream_window_bytes,
                connection_window: settings.h2_connection_window_bytes,
            },
            proxies: Proxies::new(settings).into(),
            tls,
        }
    }
}

/// Serves until `stop`; then accepts nothing more, lets requests under way finish for `bounds.drain`
/// and cuts off the rest.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) -> Result<(), IngressError> {
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();
    let stopping = stop.child_token();
    let bounds = Arc::new(bounds);
    let places = Places::new(bounds.each);
    let served = accept(
        &listener,
        bounds.connections,
        &stopping,
        |stream, peer, permit| {
            let peer = peer.ip();
            // A proxy of ours speaks for many clients.
            let place = if bounds.proxies.are_ours(peer) {
                None
            } else if let Some(place) = places.take(peer) {
                Some(place)
            } else {
                metrics::connection_refused("address_full");
                return;
            };
            let connection = Connection {
                peer,
                router: router.clone(),
                bounds: Arc::clone(&bounds),
                stop: stopping.clone(),
            };
            let cut_off = cut_off.clone();
            // In a box: a future that is passed on is kept once for each pass.
            let serving = Box::pin(connection.serve(stream));
            connections.spawn(async move {
                let _held = (permit, place, metrics::OpenConnection::new());
                cut_off.run_until_cancelled(serving).await;
            });
        },
    )
    .await;
    drop(listener);
    stopping.cancel();
    connections.close();
    if tokio::time::timeout(bounds.drain, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "requests cut off: they took longer than the drain"
        );
        cut_off.cancel();
        connections.wait().await;
    }
    served
}

async fn accept(
    listener: &TcpListener,
    most: usize,
    stop: &CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr, OwnedSemaphorePermit),
) -> Result<(), IngressError> {
    let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    let mut failures = 0;
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = match stop.run_until_cancelled(next).await {
            None | Some((Err(_), _)) => return Ok(()),
            Some((Ok(place), accepted)) => (place, accepted),
        };
        match accepted {
            Ok((stream, peer)) => {
                failures = 0;
                serve(stream, peer, place);
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "accept failed");
                if failures >= ACCEPT_FAILURES {
                    return Err(IngressError(format!("the listener fails: {error}")));
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
