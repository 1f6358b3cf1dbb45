//! Widens a queue that has a backlog and narrows one that has none, within its span and the connections
//! to the database, with a line in the history for each move. What one look means is in [`decide`].

pub mod decide;

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use self::decide::{Obstacle, Seen, Step, Watch};
use super::budget::Budget;
use crate::{
    config::{AutoscalerMode, Config},
    domain::time::Timestamp,
    queue::{Queue, QueueError},
    stage::Stage,
    store::{NewWidth, Store, StoreError, Width},
    telemetry::metrics,
};

/// Holds that are looked at; more than a person gives.
const MOST_HOLDS: usize = 10_000;

/// A look was broken off; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The record does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue does not answer.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// A width that was changed, or would have been if the mode were `enforce`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The queue.
    pub stage: Stage,
    /// Sets before.
    pub was: u64,
    /// Sets after.
    pub becomes: u64,
    /// Why.
    pub why: String,
}

/// Watches every queue.
pub struct Autoscaler {
    store: Store,
    queue: Queue,
    config: Arc<Config>,
    watches: [Watch; Stage::ALL.len()],
    /// What was in the way at the last look, so that it is told once.
    obstacles: [Option<Obstacle>; Stage::ALL.len()],
}

impl Autoscaler {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(store: Store, queue: Queue, config: Arc<Config>) -> Self {
        Self {
            store,
            queue,
            config,
            watches: Default::default(),
            obstacles: Default::default(),
        }
    }

    /// Looks again and again until `stop`, while this process has the duty.
    pub(crate) async fn run(mut self, duty: watch::Receiver<bool>, stop: CancellationToken) {
        let settings = &self.config.autoscaler;
        if settings.mode == AutoscalerMode::Off {
            return stop.cancelled().await;
        }
        let mut turn = interval(settings.interval_ms.duration());
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turn.tick() => {}
            }
            if !*duty.borrow() {
                // Whoever takes over begins anew, so what was seen before says nothing.
                self.watches = Default::default();
                continue;
            }
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look(Timestamp::now()) => looked,
            };
            if let Err(error) = looked {
                tracing::debug!(%error, "the autoscaler could not look");
            }
        }
    }

    /// Looks at every queue at `now`, and moves what should move if the mode is `enforce`.
    ///
    /// # Errors
    /// See [`LookError`]; queues looked at before it are done.
    pub async fn look(&mut self, now: Timestamp) -> Result<Vec<Made>, LookError> {
        let alive = now.minus(self.config.fleet.lease_ms.duration());
        let staff = self.store.staff(alive).await?;
        let holds = self.store.standing_holds(now, MOST_HOLDS).await?;
        let widths = self.store.widths().await?;
        let mut budget = Budget::read(&self.config, &self.store, staff).await?;
        let mut made = Vec::new();
        for (at, stage) in Stage::ALL.into_iter().enumerate() {
            let name = stage.name();
            let asked = widths.iter().find(|width| width.queue == name);
            let own = budget.staff.iter().find(|staff| staff.queue == name);
            let seen = Seen {
                at: now,
                width: self.width(stage, asked),
                ready: self.queue.depth(stage).await?.ready,
                processes: own.map_or(0, |staff| staff.processes),
                load: own.map(|staff| staff.load).unwrap_or_default(),
                paused: holds
                    .iter()
                    .any(|hold| hold.tenant_id.is_none() && hold.concerns(name)),
                pinned_until: asked.map_or(Timestamp::from_micros(0), |width| width.pinned_until),
                ceiling: budget.ceiling(stage),
            };
            let rules = &self.config.autoscaler;
            let step = self.watches[at].step(rules, rules.span(stage), &seen);
            let wanted = match &step {
                Step::Stay => seen.width,
                Step::Move { becomes, .. } => *becomes,
                Step::Short { wants, .. } => *wants,
            };
            metrics::width_wanted(stage, wanted);
            self.tell(at, stage, &step);
            if let Step::Move { becomes, why } = step
                && self.make(stage, seen.width, becomes, &why, now).await?
            {
                // What this queue was given, the next one cannot have.
                if let Some(own) = budget.staff.iter_mut().find(|staff| staff.queue == name) {
                    own.concurrency = own.processes.saturating_mul(becomes);
                }
                made.push(Made {
                    stage,
                    was: seen.width,
                    becomes,
                    why,
                });
            }
        }
        Ok(made)
    }

    fn width(&self, stage: Stage, asked: Option<&Width>) -> u64 {
        asked.map_or_else(|| self.config.width(stage), |width| width.concurrency)
    }

    /// Says once what keeps a queue from being as wide as it should.
    fn tell(&mut self, at: usize, stage: Stage, step: &Step) {
        let obstacle = match step {
            Step::Short { obstacle, .. } => Some(*obstacle),
            Step::Stay | Step::Move { .. } => None,
        };
        if self.obstacles[at] != obstacle {
            self.obstacles[at] = obstacle;
            if let Some(obstacle) = obstacle {
                tracing::warn!(
                    stage = stage.name(),
                    because = obstacle.why(),
                    "a queue has a backlog and is not widened"
                );
            }
        }
    }

    /// Makes a move; whether it was made, or would have been.
    async fn make(
        &self,
        stage: Stage,
        was: u64,
        becomes: u64,
        why: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let enforced = self.config.autoscaler.mode == AutoscalerMode::Enforce;
        if enforced {
            let wish = NewWidth {
                queue: stage.name(),
                concurrency: becomes,
                default: self.config.width(stage),
                pinned_until: Timestamp::from_micros(0),
                reason: why,
            };
            if !self.store.move_width(was, &wish, now).await? {
                return Ok(false);
            }
        }
        tracing::info!(
            stage = stage.name(),
            was,
            becomes,
            why,
            enforced,
            "the autoscaler moves a width"
        );
        Ok(true)
    }
}
