//! What is kept of a try that did not succeed. A try that did costs nothing here, not even a digest.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;

use super::ends::End;
use crate::{
    domain::{
        checksum::{Digest, sha256},
        time::Timestamp,
    },
    store::Try,
};

/// A batch that was sent, and what came back.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) sink: String,
    pub(super) batch_id: String,
    pub(super) sales: usize,
    pub(super) sent_at: Timestamp,
    pub(super) took: Duration,
    /// The status and the body of the answer, as far as it was read; `None` where there was none.
    pub(super) answer: Option<(u16, Vec<u8>)>,
    /// The JSON that was sent.
    pub(super) request: Bytes,
    /// Of the request and of the answer, made when they are first needed.
    pub(super) digests: OnceLock<(Digest, Option<Digest>)>,
}

impl Tried {
    /// What is kept for a sale that ended so; `None` where it succeeded.
    pub(super) fn kept(&self, transaction_id: i64, attempt: u32, end: &End) -> Option<Try> {
        let code = match end {
            End::Later { code, .. } | End::Dead { code, .. } => *code,
            End::Forwarded { .. } | End::Held { .. } | End::NotReached => return None,
        };
        let (request_digest, answer_digest) = self.digests.get_or_init(|| {
            let answer = self.answer.as_ref().map(|(_, body)| sha256(body));
            (sha256(&self.request), answer)
        });
        Some(Try {
            transaction_id,
            attempt,
            sent_at: self.sent_at,
            took_ms: u32::try_from(self.took.as_millis()).unwrap_or(u32::MAX),
            sink: self.sink.clone(),
            batch_id: self.batch_id.clone(),
            sales: u32::try_from(self.sales).unwrap_or(u32::MAX),
            code: code.to_owned(),
            status: self.answer.as_ref().map(|(status, _)| *status),
            request_digest: *request_digest,
            answer_digest: *answer_digest,
        })
    }
}

/// Shared by the sales of the batch.
pub(super) type Shared = Arc<Tried>;
