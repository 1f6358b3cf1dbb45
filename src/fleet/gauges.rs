//! Reads what `/metrics` tells about this process and its machine, every `ops.gauge_interval_ms`. What is
//! about the fleet as a whole is read by the scheduler.

use std::{path::PathBuf, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    queue::Queue,
    store::Store,
    telemetry::{
        host::{self, Cpu},
        metrics,
    },
};

/// How long a sign of life may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is looked at.
pub(super) struct Gauges {
    store: Store,
    queue: Queue,
    every: Duration,
    folder: PathBuf,
    /// Processor time at the last look.
    cpu: Option<Cpu>,
}

impl Gauges {
    pub(super) fn new(store: Store, queue: Queue, config: &Config) -> Self {
        metrics::keep_tenants(config.ops.tenant_series);
        Self {
            store,
            queue,
            every: config.ops.gauge_interval_ms.duration(),
            folder: config.fleet.data_dir.clone(),
            cpu: Cpu::read(),
        }
    }

    /// Looks round after round until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut turn = interval(self.every);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turn.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    async fn look(&mut self) {
        let started = Instant::now();
        let answer = timeout(PATIENCE, self.queue.ping()).await;
        metrics::queue_trip(matches!(answer, Ok(Ok(()))).then(|| started.elapsed()));
        let started = Instant::now();
        let answer = timeout(PATIENCE, self.store.ping()).await;
        metrics::database_trip(matches!(answer, Ok(Ok(()))).then(|| started.elapsed()));

        let pool = self.store.connections();
        metrics::connections(pool.in_use, pool.idle, pool.limit, pool.waiting);
        metrics::statements(&self.store.statements());
        let runtime = tokio::runtime::Handle::current().metrics();
        metrics::runtime(runtime.num_alive_tasks(), runtime.global_queue_depth());
        self.machine();
        metrics::upkeep();
    }

    fn machine(&mut self) {
        let now = Cpu::read();
        if let (Some(now), Some(before)) = (now, self.cpu) {
            let spent = now.since(before);
            metrics::host_cpu(spent.busy, spent.all);
        }
        self.cpu = now.or(self.cpu);
        if let Some((used, all)) = host::memory() {
            metrics::host_memory(used, all);
        }
        if let Some((free, size)) = host::disk(&self.folder) {
            metrics::disk(free, size);
        }
    }
}
