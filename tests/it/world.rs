//! A whole system in this process: every role, a stand-in web application, two tenants with two
//! tills each.

use std::{fmt::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tsms::{
    config::Config,
    credentials::{Credentials, Wish},
    domain::keyring::Keyring,
    fleet::{Fleet, FleetError, Roles},
    queue::{self, Queue},
    stage::Stage,
    standin::{
        sim::SimTerminal,
        sink::{self, SinkHandle, SinkOptions},
    },
    store::{self, NewTerminal, Store},
    telemetry::metrics,
};

pub(crate) use crate::answer::Answer;
use crate::{left::unfinished, mariadb::MariaDb, servers::Redis};

/// How long anything may take before a test counts as failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// What they sign batches to the sink of the settings with.
pub(crate) const SINK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the systems under test key their hashes with.
pub(crate) const PEPPER: &str = "the pepper of the systems under test";

/// Bearer token between TSMS and the stand-in web application.
pub(crate) const SINK_TOKEN: &str = "token-of-the-web-application";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// SQLite and queues in memory.
    Embedded,
    /// MariaDB and Redis.
    Fleet,
}

pub(crate) struct World {
    /// `http://127.0.0.1:port` of the ingress.
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    pub(crate) config: Arc<Config>,
    /// The URL of the record.
    pub(crate) database: String,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) sink: SinkHandle,
    /// Two tills of one tenant, then two of another.
    pub(crate) tills: Vec<SimTerminal>,
    /// The queue server, where the tier has one.
    pub(crate) redis: Option<Redis>,
    stop: CancellationToken,
    roles: Vec<JoinHandle<Result<(), FleetError>>>,
    sink_stop: CancellationToken,
    folder: TempDir,
}

impl World {
    pub(crate) async fn start(tier: Tier) -> Self {
        Self::start_with(tier, "").await
    }

    /// Starts with further settings: more of `[ops]`, then other sections.
    pub(crate) async fn start_with(tier: Tier, settings: &str) -> Self {
        Self::start_roles(tier, settings, &Roles::all()).await
    }

    /// Starts some of the roles only.
    pub(crate) async fn start_roles(tier: Tier, settings: &str, roles: &Roles) -> Self {
        metrics::install();
        rustls::crypto::ring::default_provider().install_default().ok();
        let folder = tempfile::tempdir().unwrap();
        let (sink, sink_address, sink_stop) = start_sink().await;
        // Nothing is taken that is not signed.
        sink.set_keys(vec![SINK_SECRET.parse().unwrap()]);
        let redis = (tier == Tier::Fleet).then(Redis::start);
        let database = match tier {
            Tier::Embedded => format!("sqlite:{}", folder.path().join("tsms.db").display()),
            Tier::Fleet => MariaDb::shared().database().await,
        };
        let queue_url = redis.as_ref().map_or("memory:".to_owned(), Redis::url);
        let file = folder.path().join("tsms.toml");
        std::fs::write(&file, config_text(&database, &queue_url, sink_address, settings)).unwrap();
        let config = Arc::new(Config::load(Some(&file)).unwrap());

        let store = store::open(&config.database).await.unwrap();
        store.migrate().await.unwrap();
        let queue = queue::open(&config.queue).await.unwrap();
        let tills = register(&store).await;
        let fleet = Fleet::start(config.clone(), store.clone(), queue.clone(), roles)
            .await
            .unwrap();
        let base = format!("http://{}", fleet.ingress.unwrap());
        let stop = fleet.stopper();
        let roles = vec![tokio::spawn(fleet.run())];
        Self {
            base,
            http: reqwest::Client::new(),
            config,
            database,
            store,
            queue,
            sink,
            tills,
            redis,
            stop,
            roles,
            sink_stop,
            folder,
        }
    }

    /// The settings of this system, for a command in a process of its own.
    pub(crate) fn config_file(&self) -> std::path::PathBuf {
        self.folder.path().join("tsms.toml")
    }

    /// Starts further roles, as another process would.
    pub(crate) async fn join(&mut self, roles: &Roles) {
        let (config, stop) = (self.config.clone(), self.stop.clone());
        let fleet = Fleet::start(config, self.store.clone(), self.queue.clone(), roles)
            .await
            .unwrap();
        let stopper = fleet.stopper();
        tokio::spawn(async move {
            stop.cancelled().await;
            stopper.cancel();
        });
        self.roles.push(tokio::spawn(fleet.run()));
    }

    /// Posts a JSON body to a path as `till`.
    pub(crate) async fn post_to(&self, till: &SimTerminal, path: &str, body: String) -> Answer {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(&till.token)
            .header("content-type", "application/json")
            .body(body);
        Answer::of(request).await
    }

    /// Posts a body as `till`.
    pub(crate) async fn post(&self, till: &SimTerminal, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .http
            .post(format!("{}/api/v1/transactions/official", self.base))
            .bearer_auth(&till.token)
            .header("content-type", "application/json")
            .body(body);
        Answer::of(request).await
    }

    pub(crate) async fn get(&self, till: &SimTerminal, path: &str) -> Answer {
        Answer::of(
            self.http
                .get(format!("{}{path}", self.base))
                .bearer_auth(&till.token),
        )
        .await
    }

    /// Waits until nothing is left to do: every submission processed, every sale decided, every
    /// valid one delivered or dead, every change audited, every queue empty.
    pub(crate) async fn drain(&self) {
        self.drain_within(DEADLINE).await;
    }

    pub(crate) async fn drain_within(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut activity = self.queue.activity();
        loop {
            activity.mark_unchanged();
            let left = self.left().await;
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "work is left over:\n{left}");
            // Work of another process moves nothing here, so look again after a moment at the latest.
            tokio::time::timeout(Duration::from_millis(200), activity.changed())
                .await
                .ok();
        }
    }

    /// What is left to do, for a person; empty when nothing is.
    async fn left(&self) -> String {
        let mut left = String::new();
        for stage in Stage::ALL {
            let depth = self.queue.depth(stage).await.unwrap();
            if depth.ready + depth.in_flight + depth.delayed > 0 {
                writeln!(left, "{stage}: {depth:?}").unwrap();
            }
        }
        if left.is_empty() {
            unfinished(&self.store).await
        } else {
            left
        }
    }

    /// Ends the system; nothing may be left over.
    pub(crate) async fn stop(self) {
        self.drain().await;
        self.end().await;
    }

    /// Tells every role to stop, and does not wait for it.
    pub(crate) fn leave(&self) {
        self.stop.cancel();
    }

    /// Ends the system as it is.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        for roles in self.roles {
            roles.await.unwrap().unwrap();
        }
        self.sink_stop.cancel();
    }

    /// The first till, which most tests use.
    pub(crate) fn till(&self) -> &SimTerminal {
        &self.tills[0]
    }
}

/// A stand-in web application on a spare port.
pub(crate) async fn start_sink() -> (SinkHandle, SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sink = SinkHandle::new(SinkOptions {
        token: Some(SINK_TOKEN.to_owned()),
        ..SinkOptions::default()
    });
    let stop = CancellationToken::new();
    tokio::spawn(sink::serve(listener, sink.clone(), stop.clone()));
    (sink, address, stop)
}

/// A config file for a system under test: quick retries, short graces, rate limits that nobody reaches
/// unless `settings` have their own, everything else as shipped.
pub(crate) fn config_text(database: &str, queue: &str, sink: SocketAddr, settings: &str) -> String {
    // A section stands once in a file: what the test says of one joins what is always said of it.
    let mut settings = settings.to_owned();
    for (section, always) in [
        ("[auth]", format!("[auth]\npepper = \"{PEPPER}\"")),
        ("[queue]", format!("[queue]\nurl = \"{queue}\"")),
        (
            "[notification]",
            "[notification]\nretry_min_ms = 50\nretry_max_ms = 1000".to_owned(),
        ),
        ("[ingress]", "[ingress]\nlisten = \"127.0.0.1:0\"".to_owned()),
    ] {
        if settings.contains(section) {
            settings = settings.replace(section, &always);
        } else {
            settings = format!("{settings}\n{always}\n");
        }
    }
    let limits = if settings.contains("[limits.") {
        ""
    } else {
        "[limits.terminal]\nquota = 1000000000\n[limits.tenant]\nquota = 1000000000\n\
         [limits.global]\nquota = 1000000000\n\
         [limits.auth_address]\nquota = 1000000000\n[limits.auth_serial]\nquota = 1000000000"
    };
    let log = if settings.contains("[log]") {
        ""
    } else {
        "[log]\nlevel = \"warn\"\nformat = \"text\""
    };
    format!(
        r#"
[database]
url = "{database}"
[egress]
allow = "127.0.0.0/8"
[secrets]
key = "the key of the systems under test"
[forwarding]
enabled = true
endpoint = "http://{sink}{path}"
token = "{SINK_TOKEN}"
signing_secrets = "{SINK_SECRET}"
timeout_ms = 3000
connect_timeout_ms = 1000
retry_min_ms = 50
retry_max_ms = 1000
breaker_open_ms = 200
[sweeper]
interval_ms = 200
grace_ms = 1000
{log}
[ops]
listen = "127.0.0.1:0"
{settings}
{limits}
"#,
        path = sink::BULK_PATH,
    )
}

/// Two tenants of one company with two tills each.
pub(crate) async fn register(store: &Store) -> Vec<SimTerminal> {
    let company = store.ensure_company("C-1", "A company").await.unwrap();
    let mut tills = Vec::new();
    for tenant_number in 1..=2 {
        let code = format!("C-T{tenant_number}");
        let tenant = store
            .create_tenant(company, &code, "A shop", "Asia/Manila")
            .await
            .unwrap();
        for number in 1..=2 {
            let serial_number = format!("SN-{tenant_number}-{number}");
            tills.push(register_till(store, tenant.id, &code, &serial_number, None).await);
        }
    }
    tills
}

pub(crate) async fn register_till(
    store: &Store,
    tenant_id: i64,
    customer_code: &str,
    serial_number: &str,
    callback_url: Option<String>,
) -> SimTerminal {
    let new = NewTerminal {
        tenant_id,
        serial_number: serial_number.to_owned(),
        callback_url,
        expires_at: None,
    };
    let terminal = store.create_terminal(&new).await.unwrap();
    let token = issue(store, Some(terminal.id), &[]).await.1;
    SimTerminal {
        terminal_id: terminal.id,
        tenant_id,
        serial_number: serial_number.to_owned(),
        customer_code: customer_code.to_owned(),
        token,
    }
}

/// A token of a terminal or an administrator, by its row id and text.
pub(crate) async fn issue(store: &Store, terminal_id: Option<i64>, abilities: &[&str]) -> (i64, String) {
    let wish = Wish {
        terminal_id,
        abilities: abilities.iter().map(|word| (*word).to_owned()).collect(),
        ..Wish::default()
    };
    credentials(store).issue(wish).await.unwrap()
}

/// Makes tokens as the systems under test know them.
pub(crate) fn credentials(store: &Store) -> Credentials {
    Credentials::new(store.clone(), Keyring::new([PEPPER]).unwrap(), "live")
}
