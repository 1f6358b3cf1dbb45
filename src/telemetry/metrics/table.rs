//! The declarations: name, kind, unit, labels and meaning of every metric, and the bound of every label.
//! `docs/metrics.md`, the dashboards and the tests of the alert rules are made from this table.

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it is about: a heading of `docs/metrics.md`.
    pub group: &'static str,
    /// Its name, with the base unit at its end.
    pub name: &'static str,
    /// What may be done with it.
    pub kind: Kind,
    /// What one of it is.
    pub unit: &'static str,
    /// Its labels, each one of [`LABELS`].
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

impl Metric {
    /// Most series of it that one process has, the parts of a histogram not counted.
    #[must_use]
    pub fn most_series(&self) -> usize {
        let bounds = self.labels.iter().map(|name| {
            let label = LABELS.iter().find(|label| label.name == *name);
            label.map_or(1, |label| label.most)
        });
        bounds.product()
    }
}

/// What may be done with a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only goes up, in every process.
    Counter,
    /// Goes up and down, in every process.
    Gauge,
    /// A gauge about the fleet as a whole: shown by the one process that holds the scheduler's lease,
    /// so that a sum over all processes is true.
    Fleet,
    /// Counts of samples up to each bound, in every process.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word Prometheus has for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Fleet => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// A label and how many values it may have.
#[derive(Clone, Copy, Debug)]
pub struct LabelBound {
    /// Its name.
    pub name: &'static str,
    /// Most different values within one process.
    pub most: usize,
    /// All its values, where they are few and known: a series is there from the start and reads 0.
    pub known: &'static [&'static str],
    /// Where the values come from.
    pub values: &'static str,
}

const fn known(name: &'static str, known: &'static [&'static str], values: &'static str) -> LabelBound {
    LabelBound {
        name,
        most: known.len(),
        known,
        values,
    }
}

const fn bound(name: &'static str, most: usize, values: &'static str) -> LabelBound {
    LabelBound {
        name,
        most,
        known: &[],
        values,
    }
}

const QUEUES: &[&str] = &["validation", "processing", "forwarding", "audit", "notification"];
const REASONS: &[&str] = &[
    "address_full",
    "tls_handshake",
    "head_late",
    "malformed",
    "stalled",
];
const TABLES: &[&str] = &[
    "security_events",
    "admin_actions",
    "limit_orders",
    "limit_refusals",
    "enrolments",
    "forward_tries",
    "ingress_beats",
    "alerts",
    "alert_messages",
    "notifications",
];
const LIMITS: &[&str] = &[
    "terminal",
    "tenant",
    "global",
    "auth_address",
    "auth_serial",
    "control",
];
const SPAN_LOSSES: &[&str] = &["queue_full", "export_failed", "collector_refused", "shutdown"];
/// The kinds of security events.
pub(super) const KINDS: &[&str] = &[
    "token_malformed",
    "token_unknown",
    "token_expired",
    "token_revoked",
    "token_reuse",
    "token_network",
    "terminal_inactive",
    "refresh_replaced",
    "login_failed",
    "enrolment_failed",
    "enrolment_reuse",
    "admin_network",
];

/// Every label there is.
pub const LABELS: &[LabelBound] = &[
    known(
        "cache",
        &["identities", "audit_chains"],
        "the caches of the program",
    ),
    known("cause", SPAN_LOSSES, "why spans were dropped"),
    known("channel", &["email", "webhook"], "the ways to reach people"),
    known("class", &["high", "standard", "low"], "the classes of the stages"),
    bound(
        "code",
        64,
        "HTTP status, or the fixed word that a worker gives as its reason",
    ),
    known("decision", &["refused", "would_refuse"], "what the gate did"),
    bound("kind", 16, "the kinds of security events; void, refund"),
    known("limit", LIMITS, "the rate limits of `[limits]`"),
    bound("line", 4, "the lines before the gate"),
    bound("method", 10, "HTTP methods"),
    known(
        "operation",
        &["read", "write", "commit"],
        "what the database was asked for",
    ),
    bound("outcome", 32, "fixed words of the code that counts"),
    known("queue", QUEUES, "the stages"),
    known("reason", REASONS, "why the listener ended a connection"),
    known(
        "result",
        &["hit", "miss", "valid", "invalid"],
        "of a look-up or of a sale",
    ),
    bound("route", 96, "route patterns of the router, never a path"),
    bound("sink", 64, "the first sinks by name"),
    known("source", &["queue", "store"], "what could not be read"),
    known("stage", QUEUES, "the stages"),
    bound("state", 4, "fixed words of the code that counts"),
    bound("statement", 400, "names of the statements in `src/store`"),
    known("table", TABLES, "the tables that `[retention]` is about"),
    bound(
        "tenant",
        MOST_TENANTS + 1,
        "ids of the busiest tenants (`ops.tenant_series`), and `other`",
    ),
    known("to", &["open", "closed"], "what a breaker became"),
    bound("version", 1, "the version of the program"),
];

/// Most tenants with series of their own, whatever `ops.tenant_series` says.
pub const MOST_TENANTS: usize = 200;

/// From a commit on a fast disk to the request time limit, in seconds. 0.15, 0.2 and 0.25 are the
/// targets of the design for single endpoints.
const SECONDS: Kind = Kind::Histogram(&[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
]);
/// Waits in queues, in seconds: 5 is the target of the design.
const WAITS: Kind = Kind::Histogram(&[
    0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
]);
/// Sizes of sets: commits, reads, batches.
const SIZES: Kind = Kind::Histogram(&[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0]);
/// Tries until it worked.
const TRIES: Kind = Kind::Histogram(&[1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0]);

macro_rules! table {
    ($($group:literal { $($constant:ident = $kind:expr, $name:literal, $unit:literal,
        [$($label:literal),*], $help:literal;)* })*) => {
        $($(pub(super) const $constant: Metric = Metric {
            group: $group, name: $name, kind: $kind, unit: $unit, help: $help, labels: &[$($label),*],
        };)*)*
        /// Every metric there is.
        pub const TABLE: &[Metric] = &[$($($constant),*),*];
    };
}

table! {
"Business" {
    TENANT_SALES = Kind::Counter, "tsms_tenant_sales_total", "sales", ["tenant", "result"],
        "Sales decided, by tenant and result (valid, invalid).";
    TENANT_AMOUNT = Kind::Counter, "tsms_tenant_amount_centavos_total", "centavos", ["tenant"],
        "Base amount of the sales decided valid, by tenant; a whole number of centavos.";
    DEAD_LETTERS = Kind::Fleet, "tsms_dead_letters", "dead letters", [],
        "Dead letters in the record.";
    ADMIN_ACTIONS = Kind::Fleet, "tsms_admin_actions", "changes", [],
        "Changes that people made so far: access, tenants, queues, widths. It only grows.";
}
"Queues" {
    QUEUE_JOBS = Kind::Fleet, "tsms_queue_jobs", "jobs", ["queue", "class", "state"],
        "Jobs in a queue: ready (due), in_flight (taken), delayed (due later), parked (set aside).";
    QUEUE_OLDEST_AGE = Kind::Fleet, "tsms_queue_oldest_age_seconds", "seconds", ["queue"],
        "Age of the oldest ready or in-flight job; 0 when the queue is empty.";
    QUEUE_DRAIN = Kind::Fleet, "tsms_queue_time_to_drain_seconds", "seconds", ["queue"],
        "What is left in a queue divided by the rate it is worked off at; at most a day, 0 when empty.";
    QUEUE_WORKERS = Kind::Fleet, "tsms_queue_workers", "processes", ["queue"],
        "Worker processes of a queue that gave a sign of life lately.";
    QUEUE_WIDTH = Kind::Fleet, "tsms_queue_concurrency", "sets", ["queue"],
        "Sets of jobs that the worker processes of a queue work on at the same time, at most.";
    WIDTH_WANTED = Kind::Fleet, "tsms_queue_width_wanted", "sets", ["queue"],
        "Sets at a time in one process that the autoscaler wants for a queue, whether it may have them or not.";
    QUEUE_PAUSED = Kind::Fleet, "tsms_queue_paused", "orders", ["queue"],
        "Orders of people that hold a queue, or tenants in it, at present.";
    STAGE_JOBS = Kind::Counter, "tsms_stage_jobs_total", "jobs", ["stage", "outcome", "code"],
        "Jobs worked on, by outcome (done, rejected, retried, dead) and reason.";
    STAGE_WAIT = WAITS, "tsms_stage_wait_seconds", "seconds", ["stage"],
        "From a job's first entry in its queue to the end of its work.";
    STAGE_TRIES = TRIES, "tsms_stage_attempts", "tries", ["stage"],
        "Tries of a job until it was done.";
    STAGE_SET_SECONDS = SECONDS, "tsms_stage_set_seconds", "seconds", ["stage"],
        "How long one set of jobs took, enqueueing of what follows included.";
    STAGE_SET_JOBS = SIZES, "tsms_stage_set_jobs", "jobs", ["stage"],
        "Jobs in one set.";
    STAGE_RESTS = SECONDS, "tsms_stage_rest_seconds", "seconds", ["stage"],
        "How long a pool rested after a set, because many tills waited for their answers.";
    SWEPT_JOBS = Kind::Counter, "tsms_swept_jobs_total", "jobs", ["stage"],
        "Jobs that stood still and were enqueued again by the sweeper.";
    LEFT_TO_SWEEPER = Kind::Counter, "tsms_enqueue_left_to_sweeper_total", "jobs", [],
        "Committed jobs that could not be enqueued; the sweeper enqueues them.";
}
"Ingress" {
    HTTP_REQUESTS = Kind::Counter, "tsms_http_requests_total", "requests", ["route", "method", "code"],
        "Answers of the ingress by route pattern and status.";
    HTTP_SECONDS = SECONDS, "tsms_http_request_seconds", "seconds", ["route"],
        "From the last header of a request to its answer.";
    LIMITED = Kind::Counter, "tsms_rate_limited_total", "requests", ["limit"],
        "Requests refused by a rate limit, by the limit that was full.";
    LIMITS_ALONE = Kind::Gauge, "tsms_rate_limits_alone", "yes or no", [],
        "1 while this ingress decides by its share of every quota because Redis is away.";
    LIMITS_CALL_SECONDS = SECONDS, "tsms_rate_limit_call_seconds", "seconds", [],
        "How long one call to Redis took that decided over requests.";
    LIMITS_CALL_REQUESTS = SIZES, "tsms_rate_limit_call_requests", "requests", [],
        "Requests decided in one call to Redis.";
    GATE_WAIT = Kind::Gauge, "tsms_gate_wait_seconds", "seconds", ["line"],
        "How long a submission accepted now would wait: what is before it divided by the rate of work.";
    GATE_CLOSED = Kind::Gauge, "tsms_gate_closed", "yes or no", ["line"],
        "1 while the predicted wait of this line is too long.";
    GATE_DECISIONS = Kind::Counter, "tsms_gate_decisions_total", "submissions", ["decision"],
        "Submissions that met a closed gate: refused, or would_refuse where it only observes.";
    CONNECTIONS = Kind::Gauge, "tsms_http_connections", "connections", [],
        "Connections open to the HTTP listener.";
    CONNECTIONS_REFUSED = Kind::Counter, "tsms_http_connections_refused_total", "connections", ["reason"],
        "Connections ended by the listener: address_full, tls_handshake, head_late, malformed, stalled.";
    TLS_EXPIRY = Kind::Gauge, "tsms_tls_certificate_expiry_timestamp_seconds", "seconds since 1970", [],
        "When the certificate in use expires; 0 without TLS.";
    TLS_LOADS = Kind::Counter, "tsms_tls_certificate_loads_total", "loads", ["outcome"],
        "Times the certificate files were read anew: ok, or failed (the one before stays in use).";
    COMMIT_ROWS = SIZES, "tsms_commit_rows", "submissions", [],
        "Submissions in one commit of the ingress.";
    COMMIT_SECONDS = SECONDS, "tsms_commit_seconds", "seconds", [],
        "How long one commit of the ingress took.";
    SECURITY_EVENTS = Kind::Counter, "tsms_security_events_total", "events", ["kind"],
        "Uses of tokens, keys and codes that should not happen, by kind.";
    AUTH_FEED_LOST = Kind::Gauge, "tsms_auth_feed_lost", "yes or no", [],
        "1 while the ingress cannot read the feed of revocations and asks the record for each token instead.";
}
"Forwarding" {
    FORWARD_ATTEMPTS = Kind::Counter, "tsms_forward_attempts_total", "requests", ["outcome"],
        "POSTs to the web application by outcome.";
    FORWARD_SECONDS = SECONDS, "tsms_forward_attempt_seconds", "seconds", [],
        "How long one POST to the web application took, answer included.";
    FORWARD_ITEMS = Kind::Counter, "tsms_forward_items_total", "sales", ["outcome"],
        "Sales in POSTs to the web application by outcome of the POST.";
    REVERSALS = Kind::Counter, "tsms_reversals_total", "reversals", ["kind", "state"],
        "Voids and refunds: accepted from a till, forwarded to the web application, or dead (given up).";
    BREAKER_OPEN = Kind::Gauge, "tsms_breaker_open", "yes or no", ["sink"],
        "1 while nothing is sent to a sink because it failed too often or a person wants it so; from the process that has the scheduler's duty.";
    BREAKER_CHANGES = Kind::Counter, "tsms_breaker_changes_total", "changes", ["to"],
        "Times that a breaker opened or closed by itself, counted by the process that did it.";
}
"Database and Redis" {
    DATABASE_UP = Kind::Gauge, "tsms_database_up", "yes or no", [],
        "1 while the database answered this process at the last look.";
    DATABASE_TRIP = SECONDS, "tsms_database_round_trip_seconds", "seconds", [],
        "How long a sign of life from the database took.";
    DATABASE_CONNECTIONS = Kind::Gauge, "tsms_database_connections", "connections", ["state"],
        "Connections in the pool of this process: in_use, idle.";
    DATABASE_MOST = Kind::Gauge, "tsms_database_connections_limit", "connections", [],
        "Most connections in the pool of this process.";
    DATABASE_WAITING = Kind::Gauge, "tsms_database_connections_waiting", "tasks", [],
        "Tasks of this process that wait for a connection.";
    STORE_SECONDS = SECONDS, "tsms_store_operation_seconds", "seconds", ["operation"],
        "How long one statement or commit took, the wait for a connection included.";
    STORE_STATEMENTS = Kind::Counter, "tsms_store_statements_total", "statements", ["statement"],
        "Statements sent to the database by this process, by name.";
    CACHE_LOOKUPS = Kind::Counter, "tsms_cache_lookups_total", "look-ups", ["cache", "result"],
        "Look-ups in the caches of this process: hit, miss.";
    QUEUE_UP = Kind::Gauge, "tsms_queue_up", "yes or no", [],
        "1 while the queue server (Redis) answered this process at the last look.";
    QUEUE_TRIP = SECONDS, "tsms_queue_round_trip_seconds", "seconds", [],
        "How long a sign of life from the queue server (Redis) took.";
    REDIS_MEMORY = Kind::Fleet, "tsms_redis_memory_bytes", "bytes", ["state"],
        "Memory of Redis: used, limit (0: none). No Redis, no value.";
    FORGOTTEN = Kind::Counter, "tsms_forgotten_rows_total", "rows", ["table"],
        "Rows of bookkeeping deleted because they are older than [retention] keeps them.";
    ALERTS_OPEN = Kind::Fleet, "tsms_alerts_open", "alerts", [],
        "Alerts to people that go on, as the last round of the scheduler saw them.";
    ALERT_MESSAGES = Kind::Counter, "tsms_alert_messages_total", "deliveries", ["channel", "outcome"],
        "Deliveries of messages to people, by way (email, webhook): sent, retried, failed.";
    GAUGE_ERRORS = Kind::Counter, "tsms_state_read_errors_total", "errors", ["source"],
        "Times the queue or the record could not be read for /metrics; their gauges then stand still.";
}
"Traces" {
    SPANS_EXPORTED = Kind::Counter, "tsms_trace_spans_exported_total", "spans", [],
        "Spans that the collector took.";
    SPANS_DROPPED = Kind::Counter, "tsms_trace_spans_dropped_total", "spans", ["cause"],
        "Spans that no collector has: the line was full, a POST failed, it refused them, or the process stopped.";
}
"Process and machine" {
    BUILD_INFO = Kind::Gauge, "tsms_build_info", "always 1", ["version"],
        "Always 1; the label tells the version of the program.";
    RUNTIME_TASKS = Kind::Gauge, "tsms_runtime_tasks", "tasks", [],
        "Tasks of the asynchronous runtime that have not ended.";
    RUNTIME_QUEUE = Kind::Gauge, "tsms_runtime_queue_tasks", "tasks", [],
        "Tasks that wait for a thread of the runtime, in its shared line.";
    HOST_CPU = Kind::Gauge, "tsms_host_cpu_ratio", "part of 1", [],
        "Part of all processor time of this machine that was used since the last look.";
    HOST_MEMORY = Kind::Gauge, "tsms_host_memory_ratio", "part of 1", [],
        "Part of the memory of this machine (or of its control group) that is used.";
    DISK_FREE = Kind::Gauge, "tsms_disk_free_bytes", "bytes", [],
        "Free space where fleet.data_dir is.";
    DISK_SIZE = Kind::Gauge, "tsms_disk_size_bytes", "bytes", [],
        "Size of the file system where fleet.data_dir is.";
}
}

/// What the operating system tells of a process; exported by a library under the names that every
/// Prometheus client uses.
pub const PROCESS: &[(&str, &str, &str)] = &[
    ("process_cpu_seconds_total", "counter", "Processor time used."),
    ("process_open_fds", "gauge", "File descriptors open."),
    (
        "process_max_fds",
        "gauge",
        "Most file descriptors that may be open.",
    ),
    ("process_virtual_memory_bytes", "gauge", "Address space."),
    (
        "process_virtual_memory_max_bytes",
        "gauge",
        "Most address space there may be.",
    ),
    ("process_resident_memory_bytes", "gauge", "Memory in use."),
    (
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since 1970.",
    ),
    ("process_threads", "gauge", "Threads."),
];
