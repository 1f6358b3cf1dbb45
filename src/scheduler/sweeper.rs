//! The sweeper: pages by key through rows that are due and not moving, and enqueues them again.
//!
//! It is what makes a lost queue cost latency and no data. Two sweepers at once do the same work
//! twice and nothing worse: jobs are idempotent and marks never move back.

mod line;
mod pages;
mod plan;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use line::Line;
use pages::{Source, Window};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Config},
    domain::time::Timestamp,
    queue::Queue,
    stage::Stage,
    store::Store,
    telemetry::metrics,
};

/// A stage whose rounds fail is logged this often.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// Sweeps round after round until `stop`. Sales that wait because forwarding is switched off are left
/// in peace. Queues in memory are empty when the process starts: what the one before left unfinished is
/// enqueued at once, without waiting for its grace.
pub async fn run(store: Store, queue: Queue, config: Arc<Config>, stop: CancellationToken) {
    let settings = &config.sweeper;
    let now = Timestamp::now();
    let sources = || Source::all().filter(|it| it.stage() != Stage::Forwarding || config.forwarding.enabled);
    let mut lines: Vec<(Line, Option<Instant>)> =
        sources().map(|source| (Line::new(source, now), None)).collect();
    let rounds = async {
        if config.queue.in_memory() {
            for (line, logged_at) in &mut lines {
                match line.begin(&store, &queue, settings).await {
                    Ok(0) => {}
                    Ok(jobs) => {
                        tracing::info!(
                            stage = line.stage().name(),
                            jobs,
                            "enqueued what was left unfinished"
                        );
                    }
                    Err(error) => report(line.stage(), &error, logged_at),
                }
            }
        }
        loop {
            tokio::time::sleep(settings.interval_ms.duration()).await;
            for (line, logged_at) in &mut lines {
                match line.round(&store, &queue, settings).await {
                    Ok(0) => {}
                    Ok(jobs) => {
                        metrics::swept(line.stage(), jobs);
                        tracing::info!(
                            stage = line.stage().name(),
                            jobs,
                            "enqueued again what stood still"
                        );
                    }
                    Err(error) => report(line.stage(), &error, logged_at),
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = rounds => {}
    }
}

fn report(stage: Stage, error: &SweepError, logged_at: &mut Option<Instant>) {
    if logged_at.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
        *logged_at = Some(Instant::now());
        tracing::warn!(stage = stage.name(), %error, "a sweep was broken off; the next round goes on");
    }
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
    let mut rebuilt = Rebuilt::default();
    for source in Source::all() {
        let stage = source.stage();
        let jobs = enqueue_due(store, queue, settings, source).await?;
        match rebuilt.jobs.last_mut() {
            Some((last, sum)) if *last == stage => *sum += jobs,
            _ => rebuilt.jobs.push((stage, jobs)),
        }
    }
    Ok(rebuilt)
}

/// Enqueues everything of one source that is due now; gives how many jobs that were.
async fn enqueue_due(
    store: &Store,
    queue: &Queue,
    settings: &config::Sweeper,
    source: Source,
) -> Result<u64, SweepError> {
    let now = Timestamp::now();
    let window = Window {
        before: now,
        mark_before: now,
        limit: settings.page,
    };
    let mut jobs = 0;
    let mut cursor = pages::start(store, source).await?;
    // Ends: each page starts behind the one before, and no row due after `now` is read.
    loop {
        let page = pages::read(store, source, cursor, &window).await?;
        cursor = page.end;
        jobs += u64::try_from(page.jobs.len()).unwrap_or(u64::MAX);
        if !page.jobs.is_empty() {
            queue.push(source.stage(), page.jobs).await?;
        }
        if !page.more {
            return Ok(jobs);
        }
    }
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
