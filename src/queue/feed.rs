//! The apalis backend: a worker polls it for sets of jobs and never meets an error, because all it
//! touches is a channel. A task is a whole set, which is how a stage works on many jobs at once.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, task_id::RandomId},
    worker::context::WorkerContext,
};
use tokio::sync::mpsc;
use tower::layer::util::Identity;

use super::line::Set;

/// The sets that wait for a worker. Shared, so that a stop can take back what no worker has begun
/// while the running sets still finish.
#[derive(Clone)]
pub(super) struct Feed(Arc<Mutex<mpsc::Receiver<Set>>>);

impl Feed {
    pub(super) fn new(sets: mpsc::Receiver<Set>) -> Self {
        Self(Arc::new(Mutex::new(sets)))
    }

    /// Gives out no more sets and returns those that nobody has begun.
    pub(super) fn close(&self) -> Vec<Set> {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.close();
        std::iter::from_fn(|| sets.try_recv().ok()).collect()
    }
}

impl Backend for Feed {
    type Task = Task<Set>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sets.poll_recv(cx).map(|set| set.map(|set| Ok(Task::new(set))))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Feed {
    type Args = Set;
    type Id = RandomId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &Self::Config {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Self::Layer {
        Identity::new()
    }
}
