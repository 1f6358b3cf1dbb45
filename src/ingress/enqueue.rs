//! From the commit to the queue, as a convenience: what is not enqueued here the sweeper finds.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::mpsc;

use crate::{
    queue::{Job, QueueError},
    telemetry::metrics,
};

/// Pushes committed sets, everything that waits in one call, until the last sender is gone. `most`
/// bounds the sets of one call. A set that cannot be pushed is dropped: its rows are there.
pub(super) async fn run<F>(mut sets: mpsc::Receiver<Vec<Job>>, most: usize, push: impl Fn(Vec<Job>) -> F)
where
    F: Future<Output = Result<(), QueueError>>,
{
    let mut away = false;
    let mut taken = Vec::new();
    while sets.recv_many(&mut taken, most).await > 0 {
        let jobs: Vec<Job> = taken.drain(..).flatten().collect();
        let count = jobs.len();
        let failure = match AssertUnwindSafe(push(jobs)).catch_unwind().await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the push panicked".to_owned()),
        };
        if failure.is_some() {
            metrics::enqueue_left_to_sweeper(count);
        }
        // One line a change of state: an outage of the queue must not flood the log.
        match &failure {
            Some(error) if !away => {
                tracing::warn!(error, "queue away: committed work is left to the sweeper")
            }
            None if away => tracing::info!("queue back"),
            _ => {}
        }
        away = failure.is_some();
    }
}
