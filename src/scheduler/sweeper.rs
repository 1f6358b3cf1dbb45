//! The sweeper: pages by key through rows that are due and not moving, and enqueues them again.

use tokio_util::sync::CancellationToken;

use crate::{config, queue::Queue, stage::Stage, store::Store};

/// Sweeps round after round until `stop`.
pub async fn run(store: Store, queue: Queue, settings: config::Sweeper, stop: CancellationToken) {
    let _ = (store, queue, settings, stop);
    todo!("scheduler")
}

/// Jobs made again, by stage.
#[derive(Clone, Debug, Default)]
pub struct Rebuilt {
    /// How many for each stage.
    pub jobs: Vec<(Stage, u64)>,
}

/// Enqueues everything that is due, whatever the queues hold already: `tsms queue rebuild`.
/// Doubles are harmless, every stage is idempotent.
///
/// # Errors
/// The record or the queue cannot be reached; asking again is safe.
pub async fn rebuild(
    store: &Store,
    queue: &Queue,
    settings: &config::Sweeper,
) -> Result<Rebuilt, SweepError> {
    let _ = (store, queue, settings);
    todo!("scheduler")
}

/// A round could not be finished; the next one starts where it stood.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The record.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] crate::queue::QueueError),
}
