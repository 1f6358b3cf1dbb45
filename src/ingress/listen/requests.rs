//! From a request of a connection to the router, and the end of its answer.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::body::{Frame, Incoming, SizeHint};
use tower::ServiceExt;

use super::{
    Bounds,
    wire::{Activity, Running},
};

/// How long a client shall remember that this server is reached by TLS only.
const ONE_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The router, for the requests of one connection.
pub(super) struct Routes {
    pub(super) router: Router,
    pub(super) peer: IpAddr,
    pub(super) bounds: Arc<Bounds>,
    pub(super) activity: Arc<Activity>,
}

impl hyper::service::Service<Request<Incoming>> for Routes {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let running = self.activity.begin();
        let client = self.bounds.proxies.client(self.peer, request.headers());
        request.extensions_mut().insert(client);
        let encrypted = self.bounds.tls.is_some();
        let answering = self.router.clone().oneshot(request);
        Box::pin(async move {
            let mut response = answering.await?;
            if encrypted {
                response
                    .headers_mut()
                    .insert(header::STRICT_TRANSPORT_SECURITY, ONE_YEAR);
            }
            Ok(response.map(|body| Answer {
                body,
                _running: running,
            }))
        })
    }
}

/// The body of an answer. Its request is under way until it is dropped.
pub(super) struct Answer {
    body: Body,
    _running: Running,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
