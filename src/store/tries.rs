//! Bounded repetition of transactions that met another one.

use std::time::Duration;

use super::{StoreError, dialect::contended};

/// Longest pause before the second try; doubles with each up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// Longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The tries left to one call.
pub(super) struct Tries {
    left: u32,
    pause: Duration,
}

impl Tries {
    pub(super) const fn new(tries: u32) -> Self {
        Self {
            left: tries.saturating_sub(1),
            pause: FIRST_PAUSE,
        }
    }

    /// Waits a random while and says yes when one more try is left.
    pub(super) async fn another(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        // Full jitter: two that met once should not meet again.
        let longest = u64::try_from(self.pause.as_micros()).unwrap_or(u64::MAX);
        let pause = rand::random_range(0..=longest);
        tokio::time::sleep(Duration::from_micros(pause)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// As [`Tries::another`], if the error is one that passes by itself.
    pub(super) async fn after(&mut self, error: &StoreError) -> bool {
        contended(error) && self.another().await
    }
}

/// Evaluates a store call again while it ends in a deadlock or a lock wait, within the bound.
macro_rules! retrying {
    ($store:expr, $call:expr) => {{
        let mut tries = $crate::store::tries::Tries::new($store.inner.tries);
        loop {
            match $call.await {
                Err(error) if tries.after(&error).await => {}
                ended => break ended,
            }
        }
    }};
}
