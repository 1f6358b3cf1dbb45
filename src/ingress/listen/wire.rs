//! The bytes of one connection, watched: who may be let go as idle, and what HTTP's own refusals are
//! replaced by a problem document.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// Longest refusal of hyper's own that is held back; it has a status line and two headers.
const CANNED_BYTES: usize = 512;

/// A connection, encrypted or not.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Waits until there is something to read, or the end, and leaves it there. With TLS only right when
    /// the last read found nothing.
    ///
    /// A look at the bytes and not at the readiness alone, which a new socket has before anything came.
    pub(super) async fn readable(&self) -> io::Result<()> {
        let socket = match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        socket.peek(&mut [0]).await.map(|_| ())
    }

    /// Reads and forgets what still comes, at most `most` bytes.
    pub(super) async fn discard(&mut self, most: usize) {
        let (mut waste, mut read) = ([0; 1024], 0);
        while read < most {
            match self.read(&mut waste).await {
                Ok(0) | Err(_) => return,
                Ok(bytes) => read += bytes,
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

/// What a connection is doing, as seen from its two ends: the requests and the bytes.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests that wait for the end of their answer.
    running: AtomicUsize,
    /// Requests so far.
    begun: AtomicU64,
    /// Reads and writes so far that moved something.
    moved: AtomicU64,
    /// Whether something was written, or a request came, since the last answer was out.
    unsent: AtomicBool,
    /// Whether something was read since the last answer was out.
    unread: AtomicBool,
}

impl Activity {
    /// A request begins; it ends when the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.unsent.store(true, Relaxed);
        Running(Arc::clone(self))
    }

    pub(super) fn running(&self) -> bool {
        self.running.load(Relaxed) > 0
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    /// Whether all answers are out and nothing of a next request is in.
    pub(super) fn quiet(&self) -> bool {
        !self.running() && !self.unsent.load(Relaxed) && !self.unread.load(Relaxed)
    }

    /// Whether whatever HTTP/1 writes now answers no request that reached a handler.
    fn answers_nobody(&self) -> bool {
        !self.running() && !self.unsent.load(Relaxed)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

/// The stream as hyper sees it.
pub(super) struct Wire {
    stream: Stream,
    /// Read already, and not yet by hyper.
    ahead: Bytes,
    activity: Arc<Activity>,
    /// What hyper answers by itself to what is no request; `None` where it must go out (HTTP/2).
    canned: Option<Vec<u8>>,
}

impl Wire {
    pub(super) fn new(stream: Stream, ahead: Bytes, activity: Arc<Activity>, hold_back: bool) -> Self {
        Self {
            stream,
            ahead,
            activity,
            canned: hold_back.then(Vec::new),
        }
    }

    /// The stream, and the status of the refusal that was held back.
    pub(super) fn into_parts(self) -> (Stream, Option<StatusCode>) {
        let canned = self.canned.unwrap_or_default();
        let status = canned.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
        (
            self.stream,
            status.and_then(|digits| StatusCode::from_bytes(digits).ok()),
        )
    }

    fn hold_back(&mut self, piece: &[u8]) -> bool {
        if !self.activity.answers_nobody() {
            return false;
        }
        let Some(canned) = &mut self.canned else {
            return false;
        };
        let room = CANNED_BYTES.saturating_sub(canned.len());
        canned.extend_from_slice(piece.get(..room).unwrap_or(piece));
        true
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(_)) = result {
            self.activity.moved.fetch_add(1, Relaxed);
        }
        result
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            if buf.filled().len() > before {
                this.activity.moved.fetch_add(1, Relaxed);
                this.activity.unread.store(true, Relaxed);
            }
        } else {
            let length = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead.split_to(length));
            this.activity.unread.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.hold_back(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.wrote(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let (mut held, mut length) = (false, 0);
        for piece in bufs {
            held = this.hold_back(piece) || held;
            length += piece.len();
        }
        if held {
            return Poll::Ready(Ok(length));
        }
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(result)
    }

    /// hyper flushes when it has nothing left to write, so a flush with no request under way means
    /// that every answer is out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        let activity = &this.activity;
        if !activity.running() && activity.unsent.swap(false, Relaxed) {
            activity.unread.store(false, Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A refusal is still to be written in other words.
        if this.canned.as_ref().is_some_and(|canned| !canned.is_empty()) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
