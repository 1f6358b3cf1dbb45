//! The breaker towards the web application: opens on consecutive infrastructure failures, never on
//! an answer that is about the sales; while it is open nothing is sent.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use failsafe::{
    Instrument, StateMachine, backoff,
    failure_policy::{self, ConsecutiveFailures},
};

use crate::telemetry::metrics;

/// The breaker of this process; cheap to clone, all clones are one breaker.
#[derive(Clone)]
pub(super) struct Breaker {
    machine: StateMachine<ConsecutiveFailures<backoff::Constant>, Lamp>,
    lamp: Lamp,
}

/// What the breaker shows to the outside, and the one place at the door of a half-open breaker.
#[derive(Clone, Default)]
struct Lamp {
    half_open: Arc<AtomicBool>,
    probing: Arc<AtomicBool>,
}

impl Instrument for Lamp {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.half_open.store(false, Ordering::SeqCst);
        metrics::breaker(true);
        tracing::warn!("the breaker towards the web application opened");
    }

    fn on_half_open(&self) {
        self.half_open.store(true, Ordering::SeqCst);
    }

    fn on_closed(&self) {
        self.half_open.store(false, Ordering::SeqCst);
        metrics::breaker(false);
    }
}

/// Leave to make one call. Dropped unused (the set ran out of time), it frees the place at the door.
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    pub(super) fn new(failures: u32, open: Duration) -> Self {
        let lamp = Lamp::default();
        let policy = failure_policy::consecutive_failures(failures, iter::repeat(open));
        Self {
            machine: StateMachine::new(policy, lamp.clone()),
            lamp,
        }
    }

    /// Leave to call, or `None` while the breaker is open. After the pause one call at a time may
    /// try; the first that is answered closes the breaker for all.
    pub(super) fn permit(&self) -> Option<Permit<'_>> {
        if !self.machine.is_call_permitted() {
            return None;
        }
        let probe = self.lamp.half_open.load(Ordering::SeqCst);
        if probe && self.lamp.probing.swap(true, Ordering::SeqCst) {
            return None;
        }
        Some(Permit { breaker: self, probe })
    }
}

impl Permit<'_> {
    /// The web application answered, whatever it said about the sales.
    pub(super) fn answered(self) {
        self.breaker.machine.on_success();
    }

    /// It did not answer, or said that it cannot work.
    pub(super) fn failed(self) {
        self.breaker.machine.on_error();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.lamp.probing.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_on_consecutive_failures_only() {
        let breaker = Breaker::new(3, Duration::from_secs(3600));
        for _ in 0..2 {
            breaker.permit().unwrap().failed();
        }
        breaker.permit().unwrap().answered();
        for _ in 0..3 {
            breaker.permit().unwrap().failed();
        }
        assert!(breaker.permit().is_none());
    }

    #[test]
    fn a_half_open_breaker_lets_one_call_try_at_a_time() {
        let breaker = Breaker::new(1, Duration::ZERO);
        breaker.permit().unwrap().failed();
        let probe = loop {
            // Open for no time at all: half open as soon as the clock moves.
            if let Some(probe) = breaker.permit() {
                break probe;
            }
        };
        assert!(breaker.permit().is_none());
        drop(probe);
        breaker.permit().unwrap().answered();
        let both = (breaker.permit(), breaker.permit());
        assert!(both.0.is_some() && both.1.is_some());
    }
}
