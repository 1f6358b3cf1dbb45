//! The life of one connection: handshake, requests, silence, end. Each step has its time.
//!
//! hyper keeps two buffers and more for a connection as long as it serves it, used or not. A till
//! that is silent between two sales needs none of it, so an HTTP/1.1 connection that has been quiet
//! for a moment is taken out of hyper and waits as a bare socket (`parked`).

use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::StatusCode;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Bounds,
    requests::Routes,
    watch::{State, Watch},
    wire::{Activity, Stream, Wire},
};
use crate::{
    ingress::{error::Error, problem, tls},
    telemetry::metrics,
};

/// What a client of HTTP/2 without TLS says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of what a refused client still sends is read, and for how long, so that it sees why.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// One connection and what it needs.
pub(super) struct Connection {
    pub(super) peer: IpAddr,
    pub(super) router: Router,
    pub(super) bounds: Arc<Bounds>,
    pub(super) stop: CancellationToken,
}

/// How the turn of an HTTP/1.1 connection inside hyper ended.
enum Turn {
    /// It is over.
    Over,
    /// Nothing happens.
    Quiet {
        stream: Stream,
        /// What was read of a next request.
        ahead: Bytes,
        /// Whether a request was answered in this turn.
        served: bool,
    },
}

impl Connection {
    /// Serves until either side ends it.
    pub(super) async fn serve(self, stream: TcpStream) {
        if let Err(error) = self.through(stream).await {
            tracing::debug!(%error, "connection ended early");
        }
    }

    async fn through(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let Some((stream, version, ahead)) = self.opened(stream).await? else {
            return Ok(());
        };
        match version {
            Version::Http2 => {
                self.http2(stream, ahead).await;
                Ok(())
            }
            Version::Http1 => self.http1(stream, ahead).await,
        }
    }

    /// Handshake and first bytes. `None` where there is nothing to serve.
    fn opened(&self, stream: TcpStream) -> BoxFuture<'_, io::Result<Option<(Stream, Version, Bytes)>>> {
        Box::pin(self.open(stream))
    }

    async fn open(&self, stream: TcpStream) -> io::Result<Option<(Stream, Version, Bytes)>> {
        if let Some(tls) = &self.bounds.tls {
            let handshake = timeout(self.bounds.handshake, tls.acceptor().accept(stream));
            let accepted = tokio::select! {
                accepted = handshake => accepted,
                () = self.stop.cancelled() => return Ok(None),
            };
            let Ok(Ok(stream)) = accepted else {
                metrics::connection_refused("tls_handshake");
                return Ok(None);
            };
            let version = match stream.get_ref().1.alpn_protocol() {
                Some(tls::H2) => Version::Http2,
                _ => Version::Http1,
            };
            return Ok(Some((Stream::Tls(Box::new(stream)), version, Bytes::new())));
        }
        let mut stream = Stream::Plain(stream);
        let idle_until = Instant::now() + self.bounds.idle;
        if !self.parked(&stream, idle_until).await? {
            return Ok(None);
        }
        match timeout(self.bounds.head, greeting(&mut stream)).await {
            Ok(Ok(Some((version, ahead)))) => Ok(Some((stream, version, ahead))),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                metrics::connection_refused("head_late");
                Ok(None)
            }
        }
    }

    /// Waits for bytes. `false` if none came in time, or the role stops.
    async fn parked(&self, stream: &Stream, until: Instant) -> io::Result<bool> {
        tokio::select! {
            readable = timeout_at(until, stream.readable()) => readable.map_or(Ok(false), |came| came.map(|()| true)),
            () = self.stop.cancelled() => Ok(false),
        }
    }

    async fn http1(&self, mut stream: Stream, mut ahead: Bytes) -> io::Result<()> {
        let mut idle_until = Instant::now() + self.bounds.idle;
        loop {
            match self.turn(stream, ahead).await {
                Turn::Over => return Ok(()),
                Turn::Quiet {
                    stream: back,
                    ahead: read,
                    served,
                } => {
                    (stream, ahead) = (back, read);
                    if served {
                        idle_until = Instant::now() + self.bounds.idle;
                    }
                }
            }
            if ahead.is_empty() && !self.parked(&stream, idle_until).await? {
                return stream.shutdown().await;
            }
        }
    }

    /// Serves requests until nothing happens any more.
    fn turn(&self, stream: Stream, ahead: Bytes) -> BoxFuture<'_, Turn> {
        Box::pin(self.take_turn(stream, ahead))
    }

    async fn take_turn(&self, stream: Stream, ahead: Bytes) -> Turn {
        let activity = Arc::new(Activity::default());
        let wire = TokioIo::new(Wire::new(stream, ahead, Arc::clone(&activity), true));
        let mut builder = http1::Builder::new();
        // Times are kept out here, where the silence before a request has another limit than its head.
        builder
            .header_read_timeout(None)
            .max_header_size(self.bounds.head_bytes)
            .max_buf_size(self.bounds.head_bytes.max(8192));
        let mut serving = builder.serve_connection(wire, self.routes(&activity));
        let mut watch = Watch::new(&self.bounds, &activity);
        let mut stopped = pin!(self.stop.cancelled());
        let mut told = false;
        let ended = loop {
            tokio::select! {
                ended = &mut serving => break ended,
                () = stopped.as_mut(), if !told => {
                    told = true;
                    std::pin::Pin::new(&mut serving).graceful_shutdown();
                }
                state = watch.look() => match state {
                    State::Busy => {}
                    State::Quiet if told => return Turn::Over,
                    State::Quiet => {
                        let parts = serving.into_parts();
                        // An empty one still holds the buffer that it was a piece of.
                        let ahead = if parts.read_buf.is_empty() {
                            Bytes::new()
                        } else {
                            parts.read_buf
                        };
                        return Turn::Quiet {
                            stream: parts.io.into_inner().into_parts().0,
                            ahead,
                            served: activity.begun() > 0,
                        };
                    }
                    State::Late => {
                        let (stream, _) = serving.into_parts().io.into_inner().into_parts();
                        metrics::connection_refused("head_late");
                        refuse(stream, &Error::HeadLate).await;
                        return Turn::Over;
                    }
                    State::Stalled => {
                        metrics::connection_refused("stalled");
                        return Turn::Over;
                    }
                },
            }
        };
        let Err(error) = ended else { return Turn::Over };
        tracing::debug!(%error, "connection ended early");
        let (stream, status) = serving.into_parts().io.into_inner().into_parts();
        if let Some(status) = status {
            metrics::connection_refused("malformed");
            refuse(stream, &unreadable(status)).await;
        }
        Turn::Over
    }

    fn http2(&self, stream: Stream, ahead: Bytes) -> BoxFuture<'_, ()> {
        Box::pin(self.serve_http2(stream, ahead))
    }

    async fn serve_http2(&self, stream: Stream, ahead: Bytes) {
        let activity = Arc::new(Activity::default());
        let wire = TokioIo::new(Wire::new(stream, ahead, Arc::clone(&activity), false));
        let (bounds, limits) = (&self.bounds, &self.bounds.h2);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(bounds.idle)
            .keep_alive_timeout(bounds.head)
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(bounds.head_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(limits.pending_resets)
            .max_local_error_reset_streams(limits.local_resets)
            .initial_stream_window_size(limits.stream_window)
            .initial_connection_window_size(limits.connection_window);
        let serving = builder.serve_connection(wire, self.routes(&activity));
        let mut serving = pin!(serving);
        let mut watch = Watch::new(&self.bounds, &activity);
        let mut stopped = pin!(self.stop.cancelled());
        let mut told: Option<Instant> = None;
        let mut stopping = false;
        loop {
            let leave = tokio::select! {
                ended = serving.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended early");
                    }
                    return;
                }
                () = stopped.as_mut(), if !stopping => {
                    stopping = true;
                    true
                }
                state = watch.look() => match state {
                    State::Stalled => {
                        metrics::connection_refused("stalled");
                        return;
                    }
                    State::Late if activity.begun() == 0 => {
                        metrics::connection_refused("head_late");
                        return;
                    }
                    // Frames that belong to no request come at any time.
                    State::Quiet | State::Late => watch.silent() >= bounds.idle,
                    State::Busy => false,
                },
            };
            if leave && told.is_none() {
                told = Some(Instant::now());
                serving.as_mut().graceful_shutdown();
            }
            // A client that was told to go and does not is cut off.
            if told.is_some_and(|at| at.elapsed() > bounds.head) && !activity.running() {
                return;
            }
        }
    }

    fn routes(&self, activity: &Arc<Activity>) -> Routes {
        Routes {
            router: self.router.clone(),
            peer: self.peer,
            bounds: Arc::clone(&self.bounds),
            activity: Arc::clone(activity),
        }
    }
}

/// Reads until it is clear which version the client speaks; `None` if it hangs up first.
async fn greeting(stream: &mut Stream) -> io::Result<Option<(Version, Bytes)>> {
    let (mut seen, mut length) = ([0; PREFACE.len()], 0);
    loop {
        let (said, room) = seen.split_at_mut(length);
        if !PREFACE.starts_with(said) {
            return Ok(Some((Version::Http1, Bytes::copy_from_slice(said))));
        }
        if room.is_empty() {
            return Ok(Some((Version::Http2, Bytes::copy_from_slice(said))));
        }
        match stream.read(room).await? {
            0 => return Ok(None),
            bytes => length += bytes,
        }
    }
}

/// hyper's reason to refuse a head, as an error of the table.
fn unreadable(status: StatusCode) -> Error {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Error::HeadTooLarge,
        StatusCode::URI_TOO_LONG => Error::UriTooLong,
        _ => Error::HeadMalformed,
    }
}

/// Answers a client whose request never became one, and lets it read the answer.
async fn refuse(mut stream: Stream, error: &Error) {
    let farewell = async {
        stream.write_all(&problem::on_the_wire(error)).await?;
        stream.shutdown().await?;
        stream.discard(LINGER_BYTES).await;
        Ok::<_, io::Error>(())
    };
    match timeout(LINGER, farewell).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a refused client does not listen"),
        Err(_) => tracing::debug!("a refused client goes on sending"),
    }
}

#[cfg(test)]
mod tests;
