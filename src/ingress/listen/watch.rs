//! Looking at a connection from time to time: what is it doing, and for how long already.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{Bounds, wire::Activity};

/// Longest pause between two looks.
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// What a look at a connection found.
pub(super) enum State {
    /// Something is going on.
    Busy,
    /// Every answer is out and nothing is coming.
    Quiet,
    /// The head of a request is not complete in time.
    Late,
    /// A request is under way and not a byte moves for longer than a request may take.
    Stalled,
}

/// Looks at a connection from time to time. One timer serves all of its limits, and none is set anew
/// for each request.
pub(super) struct Watch<'a> {
    bounds: &'a Bounds,
    activity: &'a Activity,
    tick: Interval,
    begun: u64,
    moved: u64,
    /// Since when no request has begun or run.
    still_since: Instant,
    /// Since when no byte has moved.
    unmoved_since: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(bounds: &'a Bounds, activity: &'a Activity) -> Self {
        let now = Instant::now();
        let every = (bounds.head.min(bounds.idle) / 4).clamp(Duration::from_millis(1), LONGEST_TICK);
        let mut tick = tokio::time::interval_at(now + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            bounds,
            activity,
            tick,
            begun: 0,
            moved: 0,
            still_since: now,
            unmoved_since: now,
        }
    }

    /// How long no request has begun or run.
    pub(super) fn silent(&self) -> Duration {
        self.still_since.elapsed()
    }

    /// Waits for the time of the next look, then looks.
    pub(super) async fn look(&mut self) -> State {
        self.tick.tick().await;
        let now = Instant::now();
        let (begun, moved) = (self.activity.begun(), self.activity.moved());
        if moved != self.moved {
            self.moved = moved;
            self.unmoved_since = now;
        }
        if self.activity.running() || begun != self.begun {
            self.begun = begun;
            self.still_since = now;
            if now - self.unmoved_since >= self.bounds.stall {
                return State::Stalled;
            }
            return State::Busy;
        }
        if self.activity.quiet() {
            return State::Quiet;
        }
        if self.silent() >= self.bounds.head {
            return State::Late;
        }
        State::Busy
    }
}
