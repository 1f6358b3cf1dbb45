//! The one time limit of a request: every wait of a handler is bounded by it.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::time::Instant;

use super::error::Error;

/// When the request must have its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// `limit` from now.
    pub(super) fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// Waits for `work`, but not past the deadline: then the answer is `late`.
    pub(super) async fn bound<T>(
        self,
        work: impl Future<Output = T>,
        late: impl FnOnce() -> Error,
    ) -> Result<T, Error> {
        tokio::time::timeout_at(self.0, work).await.map_err(|_| late())
    }
}

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().copied().ok_or(Error::Internal)
    }
}
