//! The accept loop: connections with a bound on their number, on their silence, and on how long the
//! last ones may take when the role stops.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{IngressError, client_addr::ClientAddr};
use crate::domain::network;

/// Pause after an accept that failed for want of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts that may fail one after the other (a minute of pauses) before the listener counts as lost.
const ACCEPT_FAILURES: u32 = 600;

/// Most bytes buffered of one connection, and so the longest head of a request.
const BUFFER_BYTES: usize = 64 * 1024;

/// Bounds on the connections of a listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most connections at the same time.
    pub(super) connections: usize,
    /// How long a connection may take to send the head of a request.
    pub(super) idle: Duration,
    /// How long requests under way may take once the role stops.
    pub(super) drain: Duration,
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
    let served = accept(&listener, &bounds, &stopping, |stream, peer, place| {
        let connection = connection(stream, peer, router.clone(), bounds.idle, stopping.clone());
        let cut_off = cut_off.clone();
        connections.spawn(async move {
            let _place = place;
            cut_off.run_until_cancelled(connection).await;
        });
    })
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
    bounds: &Bounds,
    stop: &CancellationToken,
    serve: impl Fn(TcpStream, IpAddr, OwnedSemaphorePermit),
) -> Result<(), IngressError> {
    let places = Arc::new(Semaphore::new(
        bounds.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
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
                serve(stream, peer.ip(), place);
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

/// Serves one connection, HTTP/1.1 or HTTP/2 by its first bytes, until either side ends it.
async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    idle: Duration,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection lost before its first request");
        return;
    }
    let spoken = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&spoken);
    let service = router.map_request(move |mut request: http::Request<_>| {
        heard.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ClientAddr(network::plain(peer)));
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let http1 = &mut builder.http1();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(BUFFER_BYTES);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(idle);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    // The builder's own time limits start once it knows the version of HTTP; a client that sends
    // too little for that is shown out here.
    let mut silence = std::pin::pin!(tokio::time::sleep(idle));
    let (mut told, mut listened) = (false, false);
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended early");
                }
                return;
            }
            () = stop.cancelled(), if !told => {
                told = true;
                serving.as_mut().graceful_shutdown();
            }
            () = silence.as_mut(), if !listened => {
                listened = true;
                if !spoken.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
