//! Boots the roles of a process and ends them: readiness off, take no more, finish what runs, go.
//!
//! Every stage has a pool of its own in tasks of its own, so none waits for another. A role that
//! ends by itself ends the process; whoever supervises it starts a fresh one.

mod control;
mod gauges;
mod supervisor;
mod traces;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use control::Control;
use gauges::Gauges;

use crate::{
    config::Config,
    ingress,
    queue::{Pool, Queue},
    runner::Runner,
    scheduler::{alerts, autoscaler::Autoscaler, duty::Duty, overview, redrives, retention, sweeper},
    stage::Stage,
    store::Store,
    telemetry::{metrics, traces::Tracer},
    workers,
};

/// How long after `fleet.drain_ms` a role may take to hand back its jobs and end.
const HAND_BACK: Duration = Duration::from_secs(5);

/// What a process does.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// Takes sales over HTTP.
    pub ingress: bool,
    /// Works on the queues of these stages.
    pub stages: Vec<Stage>,
    /// Sweeps.
    pub scheduler: bool,
}

impl Roles {
    /// Every role in one process.
    #[must_use]
    pub fn all() -> Self {
        Self {
            ingress: true,
            stages: Stage::ALL.to_vec(),
            scheduler: true,
        }
    }
}

/// The roles cannot start, or one of them ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The address is taken or not of this machine.
    #[error("cannot listen on {0} ({1}); set another one")]
    Listen(SocketAddr, std::io::Error),
    /// The workers cannot be set up.
    #[error(transparent)]
    Workers(#[from] workers::SetupError),
    /// The process may not listen for signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// A role ended although nobody asked it to.
    #[error("{0} ended by itself: {1}")]
    Ended(String, String),
}

/// How a role ended: its name and, if so, what went wrong.
type Ended = (String, Result<(), String>);

/// The running roles of this process.
pub struct Fleet {
    /// Where the ingress listens, with the actual port.
    pub ingress: Option<SocketAddr>,
    /// Where `/metrics` is served, if not by the ingress.
    pub ops: Option<SocketAddr>,
    stop: CancellationToken,
    /// Cancelled when the roles have ended: until then they can be watched.
    gone: CancellationToken,
    roles: JoinSet<Ended>,
    watchers: JoinSet<Ended>,
    drain: Duration,
}

impl Fleet {
    /// Starts `roles`. They run until [`Fleet::stopper`] is cancelled; call [`Fleet::run`] to see
    /// them through.
    ///
    /// # Errors
    /// An address cannot be listened on, or the workers cannot be set up. Nothing is left running.
    pub async fn start(
        config: Arc<Config>,
        store: Store,
        queue: Queue,
        roles: &Roles,
    ) -> Result<Self, FleetError> {
        metrics::install();
        let mut fleet = Self {
            ingress: None,
            ops: None,
            stop: CancellationToken::new(),
            gone: CancellationToken::new(),
            roles: JoinSet::new(),
            watchers: JoinSet::new(),
            drain: config.fleet.drain_ms.duration(),
        };
        let traces = traces::start(&config, roles, fleet.gone.clone())?;
        let tracer = traces.map(|(tracer, sending)| {
            fleet.watchers.spawn(async move {
                sending.await;
                ("export of traces".to_owned(), Ok(()))
            });
            tracer
        });
        if roles.ingress {
            fleet
                .start_ingress(&config, &store, &queue, tracer.clone())
                .await?;
        } else {
            fleet.start_ops(&config, &store, &queue).await?;
        }
        if !roles.stages.is_empty() {
            fleet
                .start_workers(&config, &store, &queue, &roles.stages, tracer)
                .await?;
        }
        if roles.scheduler {
            fleet.start_scheduler(&config, &store, &queue)?;
        }
        let gauges = Gauges::new(store, queue, &config).run(fleet.gone.clone());
        fleet.watchers.spawn(async move {
            gauges.await;
            ("gauges".to_owned(), Ok(()))
        });
        Ok(fleet)
    }

    async fn start_ingress(
        &mut self,
        config: &Arc<Config>,
        store: &Store,
        queue: &Queue,
        tracer: Option<Tracer>,
    ) -> Result<(), FleetError> {
        let (listener, address) = listen(config.ingress.listen).await?;
        tracing::info!(%address, "ingress listens");
        self.ingress = Some(address);
        let serving = ingress::serve(
            listener,
            config.clone(),
            store.clone(),
            queue.clone(),
            tracer,
            self.stop.clone(),
        );
        self.roles.spawn(async move {
            let result = serving.await.map_err(|error| error.to_string());
            ("ingress".to_owned(), result)
        });
        Ok(())
    }

    async fn start_ops(
        &mut self,
        config: &Arc<Config>,
        store: &Store,
        queue: &Queue,
    ) -> Result<(), FleetError> {
        let (listener, address) = listen(config.ops.listen).await?;
        tracing::info!(%address, "ops listens");
        self.ops = Some(address);
        let serving = ingress::ops::serve(
            listener,
            config.clone(),
            store.clone(),
            queue.clone(),
            self.stop.clone(),
            self.gone.clone(),
        );
        self.watchers.spawn(async move {
            let result = serving.await.map_err(|error| error.to_string());
            ("ops server".to_owned(), result)
        });
        Ok(())
    }

    async fn start_workers(
        &mut self,
        config: &Arc<Config>,
        store: &Store,
        queue: &Queue,
        stages: &[Stage],
        tracer: Option<Tracer>,
    ) -> Result<(), FleetError> {
        let ctx = workers::Ctx::new(store.clone(), config.clone())?;
        let ctx = workers::Ctx { tracer, ..ctx };
        let control = Control::new(store.clone(), config.clone(), stages, ctx.breakers.clone());
        control.look().await;
        for &stage in stages {
            let settings = config.pool(stage);
            let pool = Pool {
                // The most there may ever be; the valve says how many there are.
                concurrency: settings.concurrency.max(config.fleet.max_concurrency),
                ..settings.into()
            };
            let runner = Runner::new(stage, settings, ctx.clone(), queue.clone(), control.held());
            let valve = control.valve(stage);
            let width = valve.flow().width;
            let (queue, stop, drain) = (queue.clone(), self.stop.clone(), self.drain);
            self.roles.spawn(async move {
                queue.work_through(stage, pool, &valve, stop, drain, runner).await;
                (format!("worker {stage}"), Ok(()))
            });
            tracing::info!(stage = stage.name(), concurrency = width, "worker takes jobs");
        }
        let watching = control.run(self.gone.clone());
        self.watchers.spawn(async move {
            watching.await;
            ("control of the workers".to_owned(), Ok(()))
        });
        Ok(())
    }

    fn start_scheduler(
        &mut self,
        config: &Arc<Config>,
        store: &Store,
        queue: &Queue,
    ) -> Result<(), FleetError> {
        let outlet = workers::Outlet::new(config)?;
        let sweeper = sweeper::run(store.clone(), queue.clone(), config.clone(), self.stop.clone());
        let retention = retention::run(store.clone(), config.retention, self.stop.clone());
        self.roles.spawn(async move {
            tokio::join!(sweeper, retention);
            ("scheduler".to_owned(), Ok(()))
        });
        let duty = Duty::new(store.clone(), config.fleet.lease_ms.duration());
        let overview = overview::run(
            store.clone(),
            queue.clone(),
            config.clone(),
            duty.watch(),
            self.gone.clone(),
        );
        self.watchers.spawn(async move {
            overview.await;
            ("overview".to_owned(), Ok(()))
        });
        let alerts = alerts::run(
            store.clone(),
            queue.clone(),
            config.clone(),
            outlet,
            duty.watch(),
            self.gone.clone(),
        );
        self.watchers.spawn(async move {
            alerts.await;
            ("alerts".to_owned(), Ok(()))
        });
        let redrives = redrives::run(store.clone(), config.redrive, duty.watch(), self.gone.clone());
        self.watchers.spawn(async move {
            redrives.await;
            ("redrives".to_owned(), Ok(()))
        });
        let autoscaler = Autoscaler::new(store.clone(), queue.clone(), config.clone());
        let autoscaler = autoscaler.run(duty.watch(), self.stop.clone());
        self.roles.spawn(async move {
            autoscaler.await;
            ("autoscaler".to_owned(), Ok(()))
        });
        let duty = duty.run(self.gone.clone());
        self.watchers.spawn(async move {
            duty.await;
            ("the scheduler's duty".to_owned(), Ok(()))
        });
        Ok(())
    }

    /// Cancel it to stop the roles.
    #[must_use]
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits until the roles are told to stop and have drained, for at most `fleet.drain_ms` and a
    /// little to hand back what could not be finished.
    ///
    /// # Errors
    /// A role ended by itself; the others were drained before this returns.
    pub async fn run(mut self) -> Result<(), FleetError> {
        let telling = supervisor::tell(self.stop.clone(), self.gone.clone());
        self.watchers.spawn(async move {
            telling.await;
            ("word to the service manager".to_owned(), Ok(()))
        });
        let fault = tokio::select! {
            () = self.stop.cancelled() => None,
            Some(ended) = self.roles.join_next() => fault(ended, self.stop.is_cancelled()),
            Some(ended) = self.watchers.join_next() => fault(ended, false),
        };
        self.stop.cancel();
        tracing::info!("draining");
        let deadline = Instant::now() + self.drain + HAND_BACK;
        let drained = join_all(&mut self.roles, deadline).await;
        self.gone.cancel();
        let watched = join_all(&mut self.watchers, deadline.max(Instant::now() + HAND_BACK)).await;
        match fault.or(drained).or(watched) {
            Some(fault) => Err(fault),
            None => {
                tracing::info!("stopped");
                Ok(())
            }
        }
    }
}

/// Waits for the tasks until `deadline`, then drops them: their jobs are taken over by others.
async fn join_all(tasks: &mut JoinSet<Ended>, deadline: Instant) -> Option<FleetError> {
    let mut first = None;
    loop {
        match tokio::time::timeout_at(deadline, tasks.join_next()).await {
            Ok(Some(ended)) => first = first.or(fault(ended, true)),
            Ok(None) => return first,
            Err(_) => {
                tracing::warn!(
                    left = tasks.len(),
                    "not drained in time; jobs under way go to other workers"
                );
                tasks.abort_all();
                return first;
            }
        }
    }
}

fn fault(ended: Result<Ended, tokio::task::JoinError>, stopping: bool) -> Option<FleetError> {
    match ended {
        Ok((_, Ok(()))) if stopping => None,
        Ok((role, Ok(()))) => Some(FleetError::Ended(role, "without a reason".to_owned())),
        Ok((role, Err(reason))) => Some(FleetError::Ended(role, reason)),
        Err(error) if error.is_cancelled() => None,
        Err(error) => Some(FleetError::Ended("a role".to_owned(), error.to_string())),
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), FleetError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let actual = listener.local_addr()?;
        Ok((listener, actual))
    };
    bound.await.map_err(|error| FleetError::Listen(address, error))
}

/// Cancels `stop` at the first SIGTERM or SIGINT; the second one ends the process at once.
///
/// # Errors
/// The process may not listen for signals.
pub fn stop_on_signal(stop: CancellationToken) -> Result<(), FleetError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(FleetError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(FleetError::Signals)?;
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                tracing::warn!("second signal: leaving at once");
                std::process::exit(1);
            }
            stop.cancel();
        }
    });
    Ok(())
}
