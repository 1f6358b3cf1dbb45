//! The breakers towards the sinks: nothing is sent to one that fails as a whole.
//!
//! Each process keeps its own tally of what a sink answers (failures in a row, and their rate, by
//! `failsafe`), never of what an answer says about the sales. What the tally finds is written to the
//! record, where all processes agree: the first to see the sink fail opens the breaker for everybody, and
//! once its time is over one call in the whole fleet may try. While it is closed no call costs a statement.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use failsafe::{
    FailurePolicy, backoff,
    failure_policy::{self, ConsecutiveFailures, OrElse, SuccessRateOverTimeWindow},
};

use super::answer::Health;
use crate::{
    config,
    domain::{
        breaker::{Breaker, Stance},
        time::Timestamp,
    },
    store::{Probed, Store},
    telemetry::metrics,
};

/// Breakers that are read at a time; more than there are sinks.
const MOST_BREAKERS: usize = 10_000;
/// How much longer than its call a probe may take before its place is free again.
const PROBE_GRACE: Duration = Duration::from_secs(5);

type Tally = OrElse<ConsecutiveFailures<backoff::Constant>, SuccessRateOverTimeWindow<backoff::Constant>>;

/// The breakers as this process knows them; cheap to clone, all clones are the same.
#[derive(Clone)]
pub struct Breakers(Arc<Inner>);

struct Inner {
    store: Store,
    settings: config::Forwarding,
    sinks: Mutex<HashMap<String, Local>>,
}

/// What this process knows of the breaker of one sink.
struct Local {
    tally: Tally,
    /// As it was last read; `None` for a sink that never failed.
    agreed: Option<Breaker>,
}

/// Leave to make one call to a sink.
pub(super) struct Permit<'a> {
    breakers: &'a Breakers,
    sink: &'a str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Counted,
    /// A person holds the breaker closed.
    Forced,
    /// The one call of the fleet that tries.
    Probe {
        token: i64,
    },
}

impl Breakers {
    pub(in super::super) fn new(store: Store, settings: &config::Forwarding) -> Self {
        Self(Arc::new(Inner {
            store,
            settings: settings.clone(),
            sinks: Mutex::default(),
        }))
    }

    /// Reads what is agreed. A record that is away changes nothing.
    pub async fn look(&self) {
        match self.0.store.breakers(MOST_BREAKERS).await {
            Ok(breakers) => breakers.into_iter().for_each(|breaker| self.learn(breaker)),
            Err(error) => tracing::debug!(%error, "cannot read the breakers; they stay as they were"),
        }
    }

    /// Leave to make a call to `sink` that takes at most `call`, or `None` while its breaker is open.
    pub(super) async fn permit<'a>(&'a self, sink: &'a str, call: Duration) -> Option<Permit<'a>> {
        let now = Timestamp::now();
        let kind = match self.stance(sink, now) {
            Stance::Closed => Kind::Counted,
            Stance::ForcedClosed => Kind::Forced,
            Stance::HalfOpen => self.probe(sink, call, now).await?,
            Stance::Open | Stance::ForcedOpen | Stance::Probing => return None,
        };
        Some(Permit {
            breakers: self,
            sink,
            kind,
        })
    }

    fn stance(&self, sink: &str, now: Timestamp) -> Stance {
        let sinks = self.sinks();
        let agreed = sinks.get(sink).and_then(|local| local.agreed.as_ref());
        agreed.map_or(Stance::Closed, |breaker| breaker.stance(now))
    }

    /// Tries to be the one call that tries.
    async fn probe(&self, sink: &str, call: Duration, now: Timestamp) -> Option<Kind> {
        let lease = call + PROBE_GRACE;
        let token = rand::random_range(1..i64::MAX);
        let taken = match self.0.store.take_probe(sink, token, now, lease).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, sink, "cannot ask to try; the breaker stays open");
                return None;
            }
        };
        self.refresh(sink).await;
        taken.then_some(Kind::Probe { token })
    }

    /// Reads the breaker of one sink again, after it changed.
    async fn refresh(&self, sink: &str) {
        match self.0.store.breaker(sink).await {
            Ok(breaker) => breaker.into_iter().for_each(|breaker| self.learn(breaker)),
            Err(error) => tracing::debug!(%error, sink, "cannot read a breaker; the next look does"),
        }
    }

    fn learn(&self, breaker: Breaker) {
        let mut sinks = self.sinks();
        let local = self.local(&mut sinks, &breaker.sink);
        let known = local.agreed.as_ref();
        if known.is_some_and(|known| known.version > breaker.version) {
            return;
        }
        let was_open = known.is_some_and(|known| known.open);
        if was_open && !breaker.open {
            local.tally.revived();
        }
        if was_open != breaker.open {
            let (sink, cause) = (breaker.sink.as_str(), breaker.cause.as_str());
            tracing::warn!(sink, open = breaker.open, cause, "the breaker of a sink changed");
        }
        local.agreed = Some(breaker);
    }

    fn sinks(&self) -> MutexGuard<'_, HashMap<String, Local>> {
        self.0.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn local<'m>(&self, sinks: &'m mut HashMap<String, Local>, sink: &str) -> &'m mut Local {
        sinks.entry(sink.to_owned()).or_insert_with(|| Local {
            tally: tally(&self.0.settings),
            agreed: None,
        })
    }

    fn answered(&self, sink: &str) {
        let mut sinks = self.sinks();
        self.local(&mut sinks, sink).tally.record_success();
    }

    /// Counts a failure; opens the breaker for everybody when it was one too many.
    async fn failed(&self, sink: &str, code: &str) {
        let open = {
            let mut sinks = self.sinks();
            self.local(&mut sinks, sink).tally.mark_dead_on_failure()
        };
        let Some(open) = open else { return };
        let now = Timestamp::now();
        if self.stance(sink, now) != Stance::Closed {
            return;
        }
        let cause = format!("too many failures, the last: {code}");
        match self.0.store.open_breaker(sink, now.plus(open), &cause, now).await {
            Ok(opened) => {
                if opened {
                    metrics::breaker_changed("open");
                }
                self.refresh(sink).await;
            }
            Err(error) => tracing::warn!(%error, sink, "cannot open the breaker; the next failure does"),
        }
    }

    /// Writes down what the probe `token` found.
    async fn probed(&self, sink: &str, token: i64, well: bool) {
        let now = Timestamp::now();
        let found = if well {
            Probed::Well
        } else {
            Probed::Ill(now.plus(self.0.settings.breaker_open_ms.duration()))
        };
        match self.0.store.end_probe(sink, token, found, now).await {
            Ok(counted) => {
                if counted && well {
                    metrics::breaker_changed("closed");
                }
                self.refresh(sink).await;
            }
            Err(error) => tracing::warn!(%error, sink, "cannot say what a probe found; the next one will"),
        }
    }
}

/// The failures that open a breaker: so many in a row, or such a part of them over a while.
fn tally(settings: &config::Forwarding) -> Tally {
    let open = backoff::constant(settings.breaker_open_ms.duration());
    let in_a_row = failure_policy::consecutive_failures(settings.breaker_failures, open.clone());
    #[expect(clippy::float_arithmetic, reason = "a rate of answers, not money")]
    let lasting = f64::from(100 - settings.breaker_failure_percent.min(100)) / 100.0;
    let window = settings.breaker_window_ms.duration();
    let rate =
        failure_policy::success_rate_over_time_window(lasting, settings.breaker_min_calls, window, open);
    in_a_row.or_else(rate)
}

impl Permit<'_> {
    /// Says what the call showed about the sink; `code` is its outcome. A permit that is dropped says
    /// nothing, and the place of a probe becomes free when its lease ends.
    pub(super) async fn tell(self, health: Health, code: &str) {
        let (breakers, sink) = (self.breakers, self.sink);
        match (self.kind, health) {
            (Kind::Forced, _) | (Kind::Counted, Health::Busy) => {}
            (Kind::Counted, Health::Well) => breakers.answered(sink),
            (Kind::Counted, Health::Ill) => breakers.failed(sink, code).await,
            // A sink that is busy is not helped by all that waited.
            (Kind::Probe { token }, health) => breakers.probed(sink, token, health == Health::Well).await,
        }
    }
}

#[cfg(test)]
mod tests;
