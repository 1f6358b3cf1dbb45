//! Compression of batches, and finding out whether a web application understands it.
//!
//! One that does not may answer anything: 415 if it is polite, 400 because it read no JSON. Taken for a word
//! about the sales, that would end every one of them as a dead letter. So a refusal counts as one of the
//! compression until a compressed batch was taken once.

use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;

use crate::domain::compression::Compression;

/// The status that says that a compression is not understood.
const UNSUPPORTED: u16 = 415;

const UNTRIED: u8 = 0;
const UNDERSTOOD: u8 = 1;
const REFUSED: u8 = 2;

/// How batches to one sink are compressed, in one process.
pub(super) struct Coding {
    wished: Compression,
    state: AtomicU8,
}

impl Coding {
    pub(super) fn new(wished: Compression) -> Self {
        Self {
            wished,
            state: AtomicU8::new(UNTRIED),
        }
    }

    /// How the next batch is compressed.
    pub(super) fn now(&self) -> Compression {
        match self.state.load(Ordering::Relaxed) {
            REFUSED => Compression::None,
            _ => self.wished,
        }
    }

    /// Learns from the answer to a batch that was sent under `coding`; whether it is to be sent again as it is.
    pub(super) fn blames(&self, coding: Compression, status: u16) -> bool {
        if coding == Compression::None {
            return false;
        }
        if (200..300).contains(&status) {
            self.state.store(UNDERSTOOD, Ordering::Relaxed);
            return false;
        }
        // What these say has nothing to do with the body, or is heard all the same.
        let elsewhere =
            matches!(status, 401 | 403 | 404 | 408 | 413 | 425 | 429) || !(400..500).contains(&status);
        let blamed =
            status == UNSUPPORTED || (!elsewhere && self.state.load(Ordering::Relaxed) != UNDERSTOOD);
        if blamed {
            self.state.store(REFUSED, Ordering::Relaxed);
        }
        blamed
    }
}

/// The body under `coding`. Where it cannot be compressed, the word for why nothing was sent.
pub(super) async fn compressed(coding: Compression, body: &Bytes) -> Result<Bytes, &'static str> {
    if coding == Compression::None {
        return Ok(body.clone());
    }
    let body = body.clone();
    // A large batch takes longer than others should wait for.
    let done = tokio::task::spawn_blocking(move || coding.encode(&body)).await;
    let sent = done.unwrap_or_else(|error| Err(error.into()));
    sent.map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "a batch cannot be compressed");
        "not_compressed"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_of_the_compression_until_a_batch_was_taken() {
        for status in [400, 415, 422] {
            let coding = Coding::new(Compression::Zstd);
            for other in [500, 429, 401, 413] {
                assert!(!coding.blames(coding.now(), other), "{other}");
            }
            assert!(coding.blames(coding.now(), status));
            assert_eq!(coding.now(), Compression::None);
            assert!(!coding.blames(coding.now(), status), "now it is about the sales");
        }
    }

    #[test]
    fn one_that_understood_it_once_means_the_sales() {
        let coding = Coding::new(Compression::Gzip);
        assert!(!coding.blames(coding.now(), 200));
        assert!(!coding.blames(coding.now(), 422));
        assert_eq!(coding.now(), Compression::Gzip);
        assert!(coding.blames(coding.now(), 415), "it says so itself");
        assert_eq!(coding.now(), Compression::None);
    }
}
