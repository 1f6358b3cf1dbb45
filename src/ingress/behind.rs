//! What is written down behind the requests: uses of tokens, sightings of terminals, security events.
//! Each is coalesced and bounded; nothing here is on the way of a request.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{identities::Known, security::SecurityLog};
use crate::{
    domain::time::Timestamp,
    store::{Store, StoreError},
};

/// How long the last writing may take when the role stops.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Uses that wait to be written down.
pub(super) struct Sightings {
    waiting: Mutex<Waiting>,
    capacity: usize,
    interval: Duration,
}

#[derive(Default)]
struct Waiting {
    tokens: HashSet<i64>,
    terminals: HashSet<i64>,
}

impl Sightings {
    pub(super) fn new(capacity: usize, interval: Duration) -> Self {
        Self {
            waiting: Mutex::default(),
            capacity,
            interval,
        }
    }

    /// The token was used at `now`. One too many is forgotten: it is noted again at its next use.
    pub(super) fn note(&self, known: &Known, now: Timestamp) {
        if !known.is_to_be_noted(now, self.interval) {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.tokens.len() >= self.capacity {
            return;
        }
        waiting.tokens.insert(known.identity.token_id);
        if let Some(till) = &known.till {
            waiting.terminals.insert(till.terminal.id);
        }
    }

    fn take(&self) -> (Vec<i64>, Vec<i64>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *waiting);
        (
            taken.tokens.into_iter().collect(),
            taken.terminals.into_iter().collect(),
        )
    }
}

/// Writes every `pause` until `stop`, and once more then.
pub(super) async fn write(
    store: Store,
    sightings: Arc<Sightings>,
    events: Arc<SecurityLog>,
    pause: Duration,
    stop: CancellationToken,
) {
    let mut turn = interval(pause);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = turn.tick() => {}
        }
        let written = write_once(&store, &sightings, &events);
        let result = if stop.is_cancelled() {
            timeout(LAST_WRITE, written).await.unwrap_or(Ok(()))
        } else {
            written.await
        };
        if let Err(error) = result {
            tracing::warn!(%error, "uses of tokens or security events are not written down");
        }
    }
}

/// Uses that cannot be written are given up: the next use tells the same. Events are kept.
async fn write_once(store: &Store, sightings: &Sightings, events: &SecurityLog) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let (tokens, terminals) = sightings.take();
    let mut waiting = events.take().into_iter();
    let counted = loop {
        let Some(event) = waiting.next() else {
            break Ok(());
        };
        if let Err(error) = store.count_events(std::slice::from_ref(&event)).await {
            events.put(event);
            break Err(error);
        }
    };
    waiting.for_each(|event| events.put(event));
    counted?;
    store.touch_tokens(&tokens, now).await?;
    store.touch_terminals(&terminals, now).await
}
