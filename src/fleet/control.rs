//! What people and the autoscaler ask of running workers: which queues and tenants stand still, and how
//! wide each queue is worked on; and which breakers are open. Read from the record every `fleet.control_interval_ms`, like the feed
//! of decision 0008, so that it reaches every process of either tier and outlives all of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    domain::{hold::Hold, time::Timestamp},
    queue::{Flow, Valve},
    runner::Held,
    stage::Stage,
    store::{Beat, Load, Store, StoreError},
    telemetry::host::{self, Cpu},
    workers::Breakers,
};

/// Holds that stand at a time; those that end first are read first.
const MOST_HOLDS: usize = 10_000;

/// The pools of this process.
pub(super) struct Control {
    store: Store,
    config: Arc<Config>,
    valves: BTreeMap<Stage, Valve>,
    held: Arc<RwLock<Held>>,
    breakers: Breakers,
    /// The name of this process, never used before.
    process: String,
    /// Processor time when this process last said that it is alive.
    cpu: Mutex<Option<Cpu>>,
    /// When it says so again, at the latest.
    beat_at: Mutex<Instant>,
}

impl Control {
    pub(super) fn new(store: Store, config: Arc<Config>, stages: &[Stage], breakers: Breakers) -> Self {
        let valves = stages
            .iter()
            .map(|stage| (*stage, Valve::new(config.pool(*stage).concurrency)))
            .collect();
        Self {
            store,
            config,
            valves,
            held: Arc::default(),
            breakers,
            process: format!("{:032x}", rand::random::<u128>()),
            cpu: Mutex::new(Cpu::read()),
            beat_at: Mutex::new(Instant::now()),
        }
    }

    /// The valve of a stage of this process.
    pub(super) fn valve(&self, stage: Stage) -> Valve {
        let width = || Valve::new(self.config.pool(stage).concurrency);
        self.valves.get(&stage).cloned().unwrap_or_else(width)
    }

    /// Tenants whose work is held back.
    pub(super) fn held(&self) -> Arc<RwLock<Held>> {
        Arc::clone(&self.held)
    }

    /// Looks before the first job is taken: a queue that is paused stays so over a restart. A record
    /// that is away changes nothing.
    pub(super) async fn look(&self) {
        if let Err(error) = self.once().await {
            tracing::debug!(%error, "cannot read what is asked of the workers; they go on as before");
        }
        if self.valves.contains_key(&Stage::Forwarding) {
            self.breakers.look().await;
        }
    }

    /// Looks again and again until `stop`; then says that this process is gone.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut turn = interval(self.config.fleet.control_interval_ms.duration());
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = turn.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.look() => {}
            }
        }
        let silent = Timestamp::now().minus(self.config.fleet.lease_ms.duration());
        if let Err(error) = self.store.worker_leaves(&self.process, silent).await {
            tracing::debug!(%error, "could not say goodbye; silence says it later");
        }
    }

    /// How busy this process and its machine have been since the last look.
    fn load(&self) -> Load {
        let now = Cpu::read();
        let mut last = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = now
            .zip(*last)
            .map(|(now, before)| now.since(before))
            .unwrap_or_default();
        *last = now.or(*last);
        let (used, all) = host::memory().unwrap_or_default();
        let pool = self.store.connections();
        let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
        Load {
            cpu: thousandths(spent.busy, spent.all),
            memory: thousandths(used, all),
            pool: thousandths(wide(pool.in_use), wide(pool.limit)),
        }
    }

    async fn once(&self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let holds = self.store.standing_holds(now, MOST_HOLDS).await?;
        let widths = self.store.widths().await?;
        let widths: HashMap<String, u64> = widths
            .into_iter()
            .map(|width| (width.queue, width.concurrency))
            .collect();
        let mut changed = false;
        for (stage, valve) in &self.valves {
            let asked = widths.get(stage.name()).copied();
            let asked = asked.and_then(|width| usize::try_from(width).ok());
            let width = asked.map_or(self.config.pool(*stage).concurrency, |width| {
                width.clamp(1, self.config.fleet.max_concurrency)
            });
            let shut = holds
                .iter()
                .any(|hold| hold.tenant_id.is_none() && hold.concerns(stage.name()));
            let flow = Flow { width, shut };
            if valve.flow() != flow {
                tracing::info!(
                    stage = stage.name(),
                    width,
                    paused = shut,
                    "the pool is asked to change"
                );
                valve.set(flow);
                changed = true;
            }
        }
        self.set_held(tenants(&holds));
        if changed || self.beat_is_due() {
            self.beat(now).await?;
        }
        Ok(())
    }

    fn set_held(&self, tenants: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = tenants;
    }

    fn beat_is_due(&self) -> bool {
        *self.beat_at.lock().unwrap_or_else(PoisonError::into_inner) <= Instant::now()
    }

    /// Says that this process is alive, three times in the time after which it would count as dead.
    async fn beat(&self, now: Timestamp) -> Result<(), StoreError> {
        let load = self.load();
        for (stage, valve) in &self.valves {
            let beat = Beat {
                process: &self.process,
                queue: stage.name(),
                concurrency: u64::try_from(valve.flow().width).unwrap_or(u64::MAX),
                connections: self.config.database.max_connections.into(),
                load,
            };
            self.store.worker_beat(&beat, now).await?;
        }
        let next = Instant::now() + self.config.fleet.lease_ms.duration() / 3;
        *self.beat_at.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

/// `part` of `whole` in thousandths.
fn thousandths(part: u64, whole: u64) -> u64 {
    part.saturating_mul(1000).checked_div(whole).unwrap_or(0)
}

/// Until when each tenant is held, by stage.
fn tenants(holds: &[Hold]) -> Held {
    let mut held = Held::default();
    for hold in holds {
        let Some(tenant) = hold.tenant_id else { continue };
        for stage in Stage::ALL.into_iter().filter(|stage| hold.concerns(stage.name())) {
            let end = held.entry((stage, tenant)).or_insert(hold.ends_at);
            *end = hold.ends_at.max(*end);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_hold_of_a_tenant_counts() {
        let hold = |queue: Option<&str>, tenant_id, ends| Hold {
            id: 1,
            queue: queue.map(str::to_owned),
            tenant_id,
            owner: String::new(),
            reason: String::new(),
            created_at: Timestamp::from_micros(0),
            ends_at: Timestamp::from_micros(ends),
            lifted_at: None,
        };
        let held = tenants(&[
            hold(Some("forwarding"), Some(7), 10),
            hold(None, Some(7), 20),
            hold(Some("audit"), None, 30),
        ]);
        let until = |stage| held.get(&(stage, 7)).map(|at| at.as_micros());
        assert_eq!(until(Stage::Forwarding), Some(20));
        assert_eq!(until(Stage::Validation), Some(20));
        assert_eq!(
            held.len(),
            Stage::ALL.len(),
            "a hold of a queue is the valve's matter"
        );
    }
}
