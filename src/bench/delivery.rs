//! What has arrived at the stand-in web application, watched while it arrives.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::{sync::watch, task::JoinHandle};
use uuid::Uuid;

use super::{
    BenchError,
    client::{self, Connection},
};
use crate::{
    domain::time::Timestamp,
    standin::sink::{Entry, Summary},
};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Nothing new for this long means that nothing more will come.
const STALL: Duration = Duration::from_secs(60);

/// Sales held at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) held: u64,
}

/// Watches the sink until it is dropped.
pub(super) struct Watch {
    held: watch::Receiver<u64>,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    pub(super) async fn start(sink: SocketAddr) -> Result<Self, BenchError> {
        let mut connection = Connection::open(sink).await?;
        let (sender, held) = watch::channel(0);
        let samples = Arc::new(Mutex::new(Vec::new()));
        let all = samples.clone();
        let task = tokio::spawn(async move {
            let request = client::get("/_control/ledger", None);
            let mut turn = tokio::time::interval(LOOK);
            loop {
                turn.tick().await;
                let Ok(answer) = connection.call(&request).await else {
                    return;
                };
                let Ok(summary) = serde_json::from_slice::<Summary>(answer.body) else {
                    return;
                };
                let sample = Sample {
                    at: Instant::now(),
                    held: summary.distinct,
                };
                all.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                sender.send_replace(summary.distinct);
            }
        });
        Ok(Self { held, samples, task })
    }

    /// Waits until `count` sales have arrived or none arrives any more, and gives how many did.
    pub(super) async fn wait(&mut self, count: u64) -> u64 {
        let mut last = (*self.held.borrow_and_update(), Instant::now());
        while last.0 < count && last.1.elapsed() < STALL {
            if self.held.changed().await.is_err() {
                break;
            }
            let held = *self.held.borrow_and_update();
            if held > last.0 {
                last = (held, Instant::now());
            }
        }
        last.0
    }

    /// All samples so far, in order of time.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// When the sink first held `count` sales.
pub(super) fn reached(samples: &[Sample], count: u64) -> Option<Instant> {
    samples
        .iter()
        .find(|sample| sample.held >= count)
        .map(|sample| sample.at)
}

/// How many the sink held at `time`.
pub(super) fn held_at(samples: &[Sample], time: Instant) -> u64 {
    let before = samples.iter().take_while(|sample| sample.at <= time).last();
    before.map_or(0, |sample| sample.held)
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
    next: Option<i64>,
}

/// When each sale first came, by the terminal's id of it.
pub(super) async fn arrivals(sink: SocketAddr) -> Result<HashMap<Uuid, Timestamp>, BenchError> {
    let mut connection = Connection::open(sink).await?;
    let mut arrivals = HashMap::new();
    let mut after = Some(0);
    while let Some(id) = after {
        let request = client::get(&format!("/_control/entries/{id}"), None);
        let page: Page = serde_json::from_slice(connection.call(&request).await?.body)?;
        arrivals.extend(
            page.entries
                .iter()
                .map(|entry| (entry.transaction_id, entry.first_seen)),
        );
        after = page.next;
    }
    Ok(arrivals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_tell_when_and_how_many() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let samples = [(1, 0), (2, 10), (3, 10), (4, 30)].map(|(when, held)| Sample { at: at(when), held });
        assert_eq!(reached(&samples, 10), Some(at(2)));
        assert_eq!(reached(&samples, 11), Some(at(4)));
        assert_eq!(reached(&samples, 31), None);
        assert_eq!(held_at(&samples, at(0)), 0);
        assert_eq!(held_at(&samples, at(3)), 10);
        assert_eq!(held_at(&samples, at(9)), 30);
    }
}
