//! Settings: `config/default.toml` (compiled in), then a file, then `TSMS__…` from the environment.
//!
//! Every bound of every loop, queue, body, page, retry and wait has its name here. Unknown keys are
//! refused, and so are pairs that contradict each other.

mod alerts;
mod auth;
mod autoscaler;
mod checks;
mod database;
mod kept;
mod layers;
mod limits;
mod outbound;
mod reconcile;
mod rest;
mod retention;
mod secrets;
mod stage;
#[cfg(test)]
mod tests;
mod traces;
mod transport;
mod value;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::Deserialize;

pub use alerts::Alerts;
pub use auth::{Admin, Auth};
pub use autoscaler::{Autoscaler, AutoscalerMode, Span};
pub use database::Database;
pub use layers::{Layers, Origin, Setting};
pub use limits::{Gate, GateMode, Limits, Policy};
pub use outbound::{Egress, Forwarding, Notification};
pub use reconcile::Reconcile;
pub use rest::Rest;
pub use retention::{Redrive, Retention};
pub use secrets::{Secrets, SinkKeys};
pub use stage::StagePool;
pub use traces::{ALL as ALL_REQUESTS, Traces};
pub use transport::{ProxyHeader, TlsVersion};
pub use value::{Millis, Secret};

use crate::{
    domain::{network::Networks, rules::RuleSet},
    stage::Stage,
};

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The record.
    pub database: Database,
    /// The queues.
    pub queue: Queue,
    /// The HTTP ingress.
    pub ingress: Ingress,
    /// Tokens and who may have them.
    pub auth: Auth,
    /// The key of what must be read again.
    pub secrets: Secrets,
    /// The admin API.
    pub admin: Admin,
    /// Signs of life of terminals.
    pub heartbeat: Heartbeat,
    /// Rate limits.
    pub limits: Limits,
    /// Back-pressure.
    pub gate: Gate,
    /// `/metrics`, `/livez`, `/readyz` of roles without an ingress.
    pub ops: Ops,
    /// Pools, by stage name.
    pub stage: BTreeMap<String, StagePool>,
    /// How pools are made wider and narrower by themselves.
    pub autoscaler: Autoscaler,
    /// Delivery to the web application.
    pub forwarding: Forwarding,
    /// Which addresses may be called.
    pub egress: Egress,
    /// Callbacks to terminals.
    pub notification: Notification,
    /// Alerts to people.
    pub alerts: Alerts,
    /// Reconciliation with the web application.
    pub reconcile: Reconcile,
    /// Default business rules.
    pub rules: RuleSet,
    /// The sweeper.
    pub sweeper: Sweeper,
    /// How long bookkeeping is kept.
    pub retention: Retention,
    /// Redrives of dead letters.
    pub redrive: Redrive,
    /// Logs.
    pub log: Log,
    /// Traces.
    pub traces: Traces,
    /// Start and stop.
    pub fleet: Fleet,
}

/// `[queue]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// `memory:` or `redis://host:port/db`.
    pub url: Secret,
    /// First part of every key.
    pub prefix: String,
    /// How long one command may take. An answer that is lost costs this much before it is made good.
    pub response_timeout_ms: Millis,
    /// How long a blocking read waits before it asks again.
    pub block_ms: Millis,
    /// Pause after the first failed connection; doubles up to `reconnect_max_ms`.
    pub reconnect_min_ms: Millis,
    /// Longest pause between connection attempts.
    pub reconnect_max_ms: Millis,
    /// Most delayed jobs promoted in one script call.
    pub promote_batch: usize,
    /// Most jobs in one push command.
    pub push_batch: usize,
    /// Most jobs acknowledged in one pipeline.
    pub ack_batch: usize,
    /// How long acknowledgements may wait for others; zero: none waits.
    pub ack_gather_ms: Millis,
    /// How workers make room while many tills wait for their answers.
    pub rest: Rest,
    /// Jobs of one tenant that a process puts in the first lane of a queue in a second; more go in the
    /// second lane, which yields to the first.
    pub tenant_burst: u32,
    /// Most jobs the in-memory queue holds a stage; more are refused and left to the sweeper.
    pub memory_capacity: usize,
    /// Room for the bodies of the jobs of a stage in memory, in KiB; the rows of the rest are loaded.
    pub memory_body_kib: usize,
}

impl Queue {
    /// Whether the queues live in this process alone, and end with it.
    #[must_use]
    pub fn in_memory(&self) -> bool {
        self.url.reveal().starts_with("memory:")
    }
}

/// `[ingress]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingress {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Proxies of ours; only what comes from them is believed about where a request came from.
    pub trusted_proxies: Networks,
    /// The header in which they tell it.
    pub proxy_header: ProxyHeader,
    /// Most connections open at the same time; more wait in the listener's backlog.
    pub max_connections: usize,
    /// Most connections of one client address (IPv6: of 64 bits), trusted proxies aside; more are
    /// closed at once.
    pub max_connections_per_address: usize,
    /// How long a connection may be silent before a request.
    pub idle_timeout_ms: Millis,
    /// How long the ingress goes on after SIGTERM with `/readyz` at 503, before it takes no more.
    pub drain_notice_ms: Millis,
    /// How long the head of a request may take from its first byte.
    pub head_timeout_ms: Millis,
    /// Longest head of a request, in bytes.
    pub max_head_bytes: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout_ms: Millis,
    /// Certificate chain in PEM, the server's own first; empty: no TLS.
    pub tls_certificate: PathBuf,
    /// Private key in PEM (PKCS#8, PKCS#1 or SEC1).
    pub tls_key: PathBuf,
    /// Oldest version of TLS that is spoken.
    pub tls_min_version: TlsVersion,
    /// How often the two files are looked at for a change.
    pub tls_reload_ms: Millis,
    /// Requests under way on one HTTP/2 connection.
    pub h2_max_streams: u32,
    /// Requests of an HTTP/2 connection that may be taken back before they are looked at.
    pub h2_max_pending_resets: usize,
    /// Requests of an HTTP/2 connection that may break the protocol.
    pub h2_max_local_resets: usize,
    /// Bytes of a body that an HTTP/2 client may send ahead.
    pub h2_stream_window_bytes: u32,
    /// The same of all bodies of a connection.
    pub h2_connection_window_bytes: u32,
    /// Who may read `/metrics`.
    pub metrics_allow: Networks,
    /// Largest body, in bytes.
    pub max_body_bytes: usize,
    /// How long a refused client may go on sending before its connection ends.
    pub linger_ms: Millis,
    /// Most bytes of a refused body that are read, and thrown away, before its connection ends.
    pub linger_max_bytes: usize,
    /// Most bytes of bodies held in memory, read or waiting for their commit; beyond it 503.
    pub body_budget_bytes: usize,
    /// Deepest JSON nesting.
    pub max_depth: usize,
    /// Most JSON values in a body.
    pub max_values: usize,
    /// Most transactions in a batch.
    pub max_batch: usize,
    /// Most field errors named in one answer.
    pub max_errors: usize,
    /// How long one request may take, body included.
    pub request_timeout_ms: Millis,
    /// Most submissions that wait for a commit; beyond it 503.
    pub commit_queue: usize,
    /// Most of these that one tenant may have, in percent; beyond it 429.
    pub commit_tenant_percent: u8,
    /// Most submissions in one commit.
    pub commit_rows: usize,
    /// Bytes of bodies at which a commit takes no further submission.
    pub commit_bytes: usize,
    /// Commits under way at the same time.
    pub commit_writers: usize,
    /// Most committed sets that wait to be enqueued; beyond it the sweeper enqueues them.
    pub enqueue_queue: usize,
    /// Sets that wait to be enqueued from which on jobs go without bodies; also most in one call.
    pub enqueue_bodies: usize,
    /// Largest body copied into a job; a larger one is loaded by the worker.
    pub job_body_bytes: usize,
    /// Voids and refunds under way at the same time; beyond it 503.
    pub reversal_slots: usize,
    /// Most refunds of one sale.
    pub max_refunds: usize,
    /// How long a token's identity is trusted before it is looked up again.
    pub identity_ttl_ms: Millis,
    /// Most identities kept in memory, unknown tokens included.
    pub identity_capacity: u64,
    /// Shortest `Retry-After`, in seconds.
    pub retry_after_min_s: u64,
    /// Longest `Retry-After`, in seconds.
    pub retry_after_max_s: u64,
    /// Largest body of the checksum sandbox.
    pub sandbox_max_body_bytes: usize,
    /// Comparisons of the checksum sandbox under way at the same time.
    pub sandbox_concurrency: usize,
}

/// `[heartbeat]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// What a terminal is told: when its next heartbeat is due.
    pub interval_ms: Millis,
    /// Pause between two writes of the heartbeats that came meanwhile.
    pub flush_ms: Millis,
    /// Most terminals whose heartbeat waits to be written.
    pub capacity: usize,
}

/// `[ops]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    /// Where `/metrics`, `/livez` and `/readyz` are served; the ingress serves them too.
    pub listen: SocketAddr,
    /// How often queue and store gauges are read.
    pub gauge_interval_ms: Millis,
    /// How long a readiness result is reused.
    pub ready_cache_ms: Millis,
    /// Most tenants with series of their own in the metrics of one process; the others share `other`.
    pub tenant_series: usize,
}

/// `[sweeper]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweeper {
    /// Pause between rounds.
    pub interval_ms: Millis,
    /// How long due work may stand still before it is enqueued again.
    pub grace_ms: Millis,
    /// Rows read in one page.
    pub page: usize,
    /// Pages read of one stage in one round.
    pub pages_per_round: usize,
    /// Rows younger than this never move a mark.
    pub mark_lag_ms: Millis,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A `tracing` filter, e.g. `info` or `tsms=debug,info`.
    pub level: String,
    /// `json` or `text`.
    pub format: String,
}

/// `[fleet]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// How long running work may take to finish after SIGTERM.
    pub drain_ms: Millis,
    /// How often a worker process looks whether its queues were paused or their widths changed, and
    /// says that it is alive.
    pub control_interval_ms: Millis,
    /// How long a scheduler has what must be done once, and a worker counts as alive, after a sign of life.
    pub lease_ms: Millis,
    /// Most sets of jobs of one stage worked on at the same time in one process, whatever is asked for.
    pub max_concurrency: usize,
    /// By how much worker processes yield to others on their machine, the ingress above all: their niceness,
    /// at most 19. One that was started nicer stays so.
    pub worker_nice: u8,
    /// Folder of the embedded tier.
    pub data_dir: PathBuf,
    /// How long workers trust what they know of a terminal and its tenant.
    pub directory_ttl_ms: Millis,
    /// Most terminals a worker process keeps in memory.
    pub directory_capacity: u64,
    /// Most terminals read at once where some are looked up: their neighbours may be next.
    pub directory_ahead: u16,
    /// Stand-in web application of the demo.
    pub demo_sink_listen: SocketAddr,
}

/// A config that cannot be used: one sentence a problem, each naming the key and, where it is not a
/// default, where the value comes from.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Loads the layers in order and checks them: defaults, then `file`, then this process's
    /// environment.
    ///
    /// # Errors
    /// See [`ConfigError`]; every problem is named, not the first.
    pub fn load(file: Option<&std::path::Path>) -> Result<Self, ConfigError> {
        Layers::read(file, Layers::environment()?).and_then(|layers| layers.config())
    }

    /// The pool of `stage`. Every stage has one: loading refuses a config without.
    #[must_use]
    pub fn pool(&self, stage: Stage) -> StagePool {
        self.stage[stage.name()]
    }

    /// Sets of jobs of `stage` at a time in one process, as long as nobody asks for another number.
    #[must_use]
    pub fn width(&self, stage: Stage) -> u64 {
        u64::try_from(self.pool(stage).concurrency).unwrap_or(u64::MAX)
    }

    /// Whether the settings fit roles in processes of their own, which only share what is outside
    /// of them.
    ///
    /// # Errors
    /// The queue lives in memory, where no other process sees it.
    pub fn check_fleet(&self) -> Result<(), ConfigError> {
        checks::fleet(self)
    }
}
