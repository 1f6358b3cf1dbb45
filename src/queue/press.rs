//! Many tills wait for their answers: the ingress says so in Redis, and pools everywhere rest between
//! sets, so that database and Redis serve the tills first. A queue is there to let work wait.
//!
//! The sign is one key that expires, so that it ends with the ingress that gave it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::RedisError;
use tracing::debug;

use crate::{config, link::Link};

/// Pushes that the average goes over: enough that what gathered in one pause of the disk is no crowd.
const PUSHES: usize = 32;
/// How often the sign is given, or looked for, within the time that it holds.
const PER_HOLD: u32 = 4;

/// The sign, and what this process gave or saw of it. A clone is the same.
#[derive(Clone)]
pub(super) struct Press(Arc<Inner>);

struct Inner {
    settings: config::Rest,
    link: Link,
    key: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// [`PUSHES`] times the moving average of submissions in a push.
    rows: usize,
    given: Option<Instant>,
    looked: Option<Instant>,
    stands: bool,
}

impl Press {
    /// Where `[queue.rest]` has workers rest at all.
    pub(super) fn new(settings: &config::Queue, link: Link) -> Option<Self> {
        let rest = &settings.rest;
        (rest.percent > 0).then(|| {
            Self(Arc::new(Inner {
                settings: rest.clone(),
                link,
                key: format!("{}:tills_wait", settings.prefix),
                state: Mutex::default(),
            }))
        })
    }

    /// The ingress puts `rows` submissions in the queue at a time. Gives the sign when there are many on
    /// average; a sign that does not arrive is one that workers do not heed.
    pub(super) async fn committed(&self, rows: usize) {
        let Inner {
            settings, link, key, ..
        } = &*self.0;
        if !self.lock().must_tell(rows, settings, Instant::now()) {
            return;
        }
        let mut set = redis::cmd("SET");
        set.arg(key)
            .arg(1)
            .arg("PX")
            .arg(settings.hold_ms.duration().as_millis());
        let told: Result<(), RedisError> = set.query_async(&mut link.clone()).await;
        if let Err(error) = told {
            debug!(%error, "could not tell the workers that many tills wait");
        }
    }

    /// How long to rest after a set that took `took`, whose oldest job was queued `age` ago.
    pub(super) async fn rest(&self, took: Duration, age: Duration) -> Option<Duration> {
        let settings = &self.0.settings;
        if age >= settings.lag_ms.duration() || !self.stands().await {
            return None;
        }
        let rest = took.saturating_mul(settings.percent) / 100;
        Some(rest.min(settings.most_ms.duration()))
    }

    /// Whether the sign is there, as seen a moment ago.
    async fn stands(&self) -> bool {
        let Inner {
            settings, link, key, ..
        } = &*self.0;
        {
            let mut state = self.lock();
            if !due(&mut state.looked, settings, Instant::now()) {
                return state.stands;
            }
        }
        let mut exists = redis::cmd("EXISTS");
        exists.arg(key);
        let stands: Result<bool, RedisError> = exists.query_async(&mut link.clone()).await;
        // No pool rests for a Redis that does not answer.
        let stands = stands.unwrap_or(false);
        self.lock().stands = stands;
        stands
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a push of `rows`; whether the sign is to be given now.
    fn must_tell(&mut self, rows: usize, settings: &config::Rest, now: Instant) -> bool {
        self.rows = (self.rows - self.rows / PUSHES).saturating_add(rows);
        self.rows / PUSHES >= settings.from_rows && due(&mut self.given, settings, now)
    }
}

/// Whether it is time again, which it then was.
fn due(last: &mut Option<Instant>, settings: &config::Rest, now: Instant) -> bool {
    let pause = settings.hold_ms.duration() / PER_HOLD;
    if last.is_some_and(|last| now.saturating_duration_since(last) < pause) {
        return false;
    }
    *last = Some(now);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Millis;

    fn settings() -> config::Rest {
        config::Rest {
            percent: 300,
            most_ms: Millis::new(200),
            from_rows: 20,
            hold_ms: Millis::new(400),
            lag_ms: Millis::new(10_000),
        }
    }

    #[test]
    fn the_sign_is_given_for_large_pushes_a_few_times_while_it_holds() {
        let (settings, start) = (settings(), Instant::now());
        let mut state = State::default();
        let at = |ms| start + Duration::from_millis(ms);
        assert!((0..100).all(|ms| !state.must_tell(19, &settings, at(ms))));
        // What gathered while a disk paused, among small pushes.
        let mut paused = State::default();
        assert!(!paused.must_tell(500, &settings, at(100)));
        let told = (0..400).filter(|ms| state.must_tell(50, &settings, at(200 + ms)));
        assert_eq!(told.collect::<Vec<u64>>(), [1, 101, 201, 301]);
        // And a crowd is over after as many small pushes as the average goes over.
        let told = (600..1600).filter(|ms| state.must_tell(1, &settings, at(*ms)));
        assert_eq!(told.collect::<Vec<u64>>(), [601]);
    }
}
