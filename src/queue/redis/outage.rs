//! What to do while Redis is away: wait longer and longer up to a limit, for ever, and say so seldom.

use std::time::Duration;

use ::redis::RedisError;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config;

/// Least time between two lines in the log about one outage.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The failures in a row of one task.
pub(super) struct Outage {
    /// Which task, for the log.
    who: String,
    pause: ExponentialBackoff,
    longest: Duration,
    /// When it was last mentioned in the log; `None` while all is well.
    said: Option<Instant>,
    unsaid: u64,
}

impl Outage {
    pub(super) fn new(who: String, settings: &config::Queue) -> Self {
        let longest = settings.reconnect_max_ms.duration();
        let pause = ExponentialBackoffBuilder::new()
            .with_initial_interval(settings.reconnect_min_ms.duration())
            .with_max_interval(longest)
            .with_max_elapsed_time(None)
            .build();
        Self {
            who,
            pause,
            longest,
            said: None,
            unsaid: 0,
        }
    }

    /// Something failed: how long to wait before the next try.
    pub(super) fn failed(&mut self, error: &RedisError) -> Duration {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            warn!(who = self.who, %error, suppressed = self.unsaid, "the queue server does not do its part");
            self.said = Some(Instant::now());
            self.unsaid = 0;
        } else {
            self.unsaid += 1;
        }
        self.pause
            .next_backoff()
            .unwrap_or(self.longest)
            .min(self.longest)
    }

    /// Something worked.
    pub(super) fn over(&mut self) {
        if self.said.take().is_some() {
            info!(
                who = self.who,
                suppressed = self.unsaid,
                "the queue server is back"
            );
            self.unsaid = 0;
            self.pause.reset();
        }
    }
}

/// The stream or its group is gone, as after `FLUSHALL`: to be made anew, not to be waited out.
pub(super) fn is_gone(error: &RedisError) -> bool {
    // Redis 6 hides the code of an error inside a script in its text.
    let text = error.to_string();
    ["NOGROUP", "UNBLOCKED"].iter().any(|code| text.contains(code))
}
