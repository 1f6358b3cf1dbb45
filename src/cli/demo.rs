//! `tsms up --demo`: the outside world beside the roles. Simulated terminals post over HTTP like any
//! other, the stand-in web application takes what is forwarded, and a live line tells what both of
//! them, the record and the queues say.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tsms::{
    config::{Config, Secret},
    credentials::Credentials,
    domain::checksum::Version,
    fleet::{Fleet, FleetError},
    outcome::Verdict,
    queue::Queue,
    stage::Stage,
    standin::{
        sim::{self, Counters, Kind, SUBMIT_PATH, SimError, SimOptions, SimReport, SimTerminal},
        sink::{BULK_PATH, SinkHandle, SinkOptions},
    },
    store::Store,
    telemetry::metrics,
};
use uuid::Uuid;

use super::{Failure, print, sim as sim_command, sink as sink_command};

const TENANTS: u16 = 3;
const TERMINALS_PER_TENANT: u16 = 2;
/// Submissions until the demo stops posting, so that neither ledger outgrows memory.
const SUBMISSIONS: u64 = 400_000;
/// A rate limit, in requests a minute, that no demo reaches.
const UNREACHED: u32 = 1_000_000_000;
/// Every so often the live line is printed.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// At the end of `--for`, how long what was accepted may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(20);
/// Records of submissions the terminals keep; the demo only shows their counters.
const RECORDS: usize = 1000;

/// The demo's outside world, ready before the roles start.
pub(super) struct Demo {
    terminals: Vec<SimTerminal>,
    sink: SinkHandle,
    sink_address: SocketAddr,
    sink_stop: CancellationToken,
    folder: PathBuf,
}

impl Demo {
    /// Registers the terminals, starts the web application, and points forwarding at it.
    pub(super) async fn prepare(config: &mut Config, store: &Store) -> Result<Self, Failure> {
        if !config.ingress.listen.ip().is_loopback() {
            return Err(Failure::usage(
                "the demo is for this machine only: ingress.listen must be a loopback address",
            ));
        }
        if !config.forwarding.endpoint.is_empty() {
            return Err(Failure::usage(
                "forwarding.endpoint is set, but the demo forwards to its own stand-in",
            ));
        }
        let credentials = Credentials::of(config, store.clone())?;
        let terminals = sim_command::enrol(store, &credentials, TENANTS, TERMINALS_PER_TENANT).await?;
        let folder = sim_command::demo_folder(config);
        sim_command::write_private(
            &folder.join("terminals.json"),
            &serde_json::to_vec_pretty(&terminals)?,
        )?;

        let token = Uuid::new_v4().to_string();
        let options = SinkOptions {
            token: Some(token.clone()),
            ..SinkOptions::default()
        };
        let sink_stop = CancellationToken::new();
        let (sink, sink_address, _) =
            sink_command::start(config.fleet.demo_sink_listen, options, sink_stop.clone()).await?;
        // Few tills play many: the limits of one would stop them.
        config.limits.terminal.quota = UNREACHED;
        config.limits.tenant.quota = UNREACHED;
        config.forwarding.enabled = true;
        config.forwarding.endpoint = format!("http://{sink_address}{BULK_PATH}");
        config.forwarding.token = Secret::new(token);
        Ok(Self {
            terminals,
            sink,
            sink_address,
            sink_stop,
            folder,
        })
    }

    /// Plays until a signal, until `limit`, or until a role ends; then drains.
    pub(super) async fn play(
        self,
        fleet: Fleet,
        store: Store,
        queue: Queue,
        rate: u32,
        limit: Option<Duration>,
    ) -> Result<(), Failure> {
        let Some(address) = fleet.ingress else {
            return Err(Failure::usage("the demo needs an ingress"));
        };
        self.invite(address)?;
        let stop = fleet.stopper();
        let running = tokio::spawn(fleet.run());
        let sim_stop = stop.child_token();
        let counters = Arc::new(Counters::default());
        let options = SimOptions {
            rate,
            count: SUBMISSIONS,
            duration: limit.unwrap_or(Duration::MAX),
            ledger_capacity: RECORDS,
            ..SimOptions::new(
                format!("http://{address}"),
                self.terminals.clone(),
                rand::random(),
            )
        };
        let tills = tokio::spawn(sim::run(options, counters.clone(), sim_stop));
        let board = Board {
            started: Instant::now(),
            counters,
            sink: self.sink.clone(),
            store,
            queue,
        };
        let shown = board.show(&stop, tills, limit.is_some()).await;
        stop.cancel();
        let ended: Result<(), FleetError> = running.await?;
        self.sink_stop.cancel();
        ended?;
        shown
    }

    /// Tells how to post one more sale and follow it.
    fn invite(&self, address: SocketAddr) -> Result<(), Failure> {
        let Some(terminal) = self.terminals.first() else {
            return Ok(());
        };
        let kind = Kind {
            version: Version::V21,
            items: 1,
            flawed: false,
        };
        let signed = sim_command::new_sale(terminal, kind)?;
        let file = self.folder.join("sale.json");
        sim_command::write_private(&file, &signed.body)?;
        let (token, file, sink) = (&terminal.token, file.display(), self.sink_address);
        let sale = signed
            .sales
            .first()
            .map(|sale| sale.transaction_id)
            .unwrap_or_default();
        print::line(format_args!(
            "\n{tills} simulated terminals post to it; the stand-in web application is http://{sink}/_control/ledger\n\n\
             Post one more sale, and follow it until it says FORWARDED (`tsms sim sale` makes further ones):\n\n  \
             curl -sS http://{address}{SUBMIT_PATH} -H 'Authorization: Bearer {token}' \\\n    \
             -H 'Content-Type: application/json' --data-binary @{file}\n  \
             curl -sS http://{address}/api/v1/transactions/{sale}/status -H 'Authorization: Bearer {token}'\n",
            tills = self.terminals.len(),
        ))?;
        Ok(())
    }
}

/// What the live line is read from.
struct Board {
    started: Instant,
    counters: Arc<Counters>,
    sink: SinkHandle,
    store: Store,
    queue: Queue,
}

type Tills = JoinHandle<Result<SimReport, SimError>>;

impl Board {
    /// Prints a line every second until `stop`. When the terminals are done: ends if they were
    /// given a time, after what they posted has arrived; else goes on for whoever posts by hand.
    async fn show(&self, stop: &CancellationToken, mut tills: Tills, timed: bool) -> Result<(), Failure> {
        let mut turn = interval(LINE_EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let report = loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                report = &mut tills => break report??,
                _ = turn.tick() => self.print().await?,
            }
        };
        print::line(format_args!("the simulated terminals are done:\n{report}"))?;
        let deadline = Instant::now() + ARRIVAL;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = turn.tick() => self.print().await?,
            }
            if timed && (Instant::now() > deadline || self.all_arrived().await) {
                return Ok(print::line(self.sink.summary())?);
            }
        }
    }

    async fn all_arrived(&self) -> bool {
        for stage in Stage::ALL {
            match self.queue.depth(stage).await {
                Ok(depth) if depth.ready + depth.in_flight + depth.delayed == 0 => {}
                _ => return false,
            }
        }
        true
    }

    async fn print(&self) -> Result<(), Failure> {
        let seconds = self.started.elapsed().as_secs();
        let accepted = Counters::read(&self.counters.sales_accepted);
        let valid = metrics::jobs_so_far(Stage::Processing, Verdict::Done.outcome());
        let invalid = metrics::jobs_so_far(Stage::Processing, Verdict::Reject { code: "" }.outcome());
        let forwarded = self.sink.summary().distinct;
        let dead = match self.store.count_dead_letters().await {
            Ok(count) => count.to_string(),
            Err(_) => "?".to_owned(),
        };
        let mut waiting = String::new();
        for stage in Stage::ALL {
            let jobs = match self.queue.depth(stage).await {
                Ok(depth) => (depth.ready + depth.in_flight + depth.delayed).to_string(),
                Err(_) => "?".to_owned(),
            };
            waiting = format!("{waiting}  {} {jobs}", stage.name());
        }
        Ok(print::line(format_args!(
            "{seconds:>5} s  accepted {accepted}  valid {valid}  invalid {invalid}  forwarded {forwarded}  dead {dead}  | \
             queued:{waiting}"
        ))?)
    }
}
