//! A private TSMS with everything it needs, as child processes on loopback ports in a folder of
//! their own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Serialize;
use tokio::time::Instant;

use super::{
    BenchError, Options, client,
    process::Process,
    servers::{self, LOOK, START, spare_address},
};
use crate::{
    config::{Config, Layers},
    credentials::Credentials,
    standin::sink::{BULK_PATH, Summary},
    store::{self, Store},
};

/// Bearer token between the tier and its stand-in web application.
pub(super) const SINK_TOKEN: &str = "bench";

/// What keys the hashes of the tokens; the tier is gone when the bench is.
const PEPPER: &str = "the pepper of a tier that is measured";

/// Sales the stand-in web application holds.
const SINK_ENTRIES: usize = 5_000_000;

/// A rate limit, in requests a minute, that no load reaches.
const UNREACHED: u32 = 1_000_000_000;

/// Which of the two tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One process, SQLite, queues in memory.
    Embedded,
    /// A process a role, MariaDB, Redis.
    Fleet,
}

/// A running tier.
pub(super) struct Tier {
    pub(super) kind: Kind,
    /// Where sales are posted.
    pub(super) ingress: SocketAddr,
    /// The stand-in web application.
    pub(super) sink: SocketAddr,
    /// Where Redis listens, if there is one.
    pub(super) redis: Option<SocketAddr>,
    /// The record, for registrations.
    pub(super) store: Store,
    /// The settings as the roles see them.
    pub(super) config: Config,
    /// What makes their tokens.
    pub(super) credentials: Credentials,
    pub(super) database_url: String,
    pub(super) processes: Vec<Process>,
    /// Where each role serves `/metrics`.
    pub(super) ops: BTreeMap<String, SocketAddr>,
    program: PathBuf,
    settings: Vec<(String, String)>,
    // Last, so that it is removed after the processes are gone.
    folder: Folder,
}

/// A folder that is removed with its content.
pub(super) struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "the bench leaves a folder behind");
        }
    }
}

impl Folder {
    fn make(parent: &Path) -> Result<Self, BenchError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = parent.join(format!("tsms-bench-{}", uuid::Uuid::new_v4().simple()));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Self(folder))
    }
}

impl Tier {
    /// Starts everything but the roles, then gives the store time to be filled.
    pub(super) async fn prepare(options: &Options) -> Result<Self, BenchError> {
        let folder = Folder::make(&options.folder)?;
        let program = std::env::current_exe()?;
        let (ingress, sink) = (spare_address()?, spare_address()?);
        let mut processes = vec![start_sink("sink", &program, sink, &folder.0)?];
        let mut redis = None;
        let (database_url, queue_url) = match options.tier {
            Kind::Embedded => {
                let file = folder.0.join("tsms.db");
                (format!("sqlite:{}", file.display()), "memory:".to_owned())
            }
            Kind::Fleet => {
                let database = servers::start_database(&folder.0, options.database_gib).await?;
                processes.push(database.process);
                let (process, address) = servers::start_redis(&folder.0).await?;
                processes.push(process);
                redis = Some(address);
                (database.url, format!("redis://{address}/0"))
            }
        };
        let settings = settings(&database_url, &queue_url, ingress, sink, &folder.0);
        let config = configure(options.config.as_deref(), &settings)?;
        let store = store::open(&config.database).await?;
        store.migrate().await?;
        let tier = Self {
            kind: options.tier,
            ingress,
            sink,
            redis,
            credentials: Credentials::of(&config, store.clone())?,
            store,
            config,
            database_url,
            processes,
            ops: BTreeMap::new(),
            program,
            settings,
            folder,
        };
        tier.answers(sink, "/_control/ledger").await?;
        Ok(tier)
    }

    /// `tsms up` under another name, with settings that go over all others.
    pub(super) async fn start_up(&mut self, name: &str, settings: &[(&str, &str)]) -> Result<(), BenchError> {
        let usual = self.settings.clone();
        for (key, value) in settings {
            self.settings.push(((*key).to_owned(), (*value).to_owned()));
        }
        let started = self.start_role(name, &["up"], self.ingress).await;
        self.settings = usual;
        started
    }

    /// Starts a process and waits until it says at `ops` that it is ready.
    pub(super) async fn start_role(
        &mut self,
        name: &str,
        words: &[&str],
        ops: SocketAddr,
    ) -> Result<(), BenchError> {
        let mut command = Command::new(&self.program);
        command.args(words);
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
        let process = Process::start(name, true, &command, &self.folder.0)?;
        tracing::info!(pid = process.pid(), name, "started");
        self.processes.push(process);
        self.ops.insert(name.to_owned(), ops);
        let deadline = Instant::now() + START;
        let request = client::get("/readyz", None);
        while !client::once(ops, &request)
            .await
            .is_ok_and(|(status, _)| status == 200)
        {
            self.check()?;
            if Instant::now() > deadline {
                return Err(BenchError::NotReady(name.to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Fails if a process has ended.
    pub(super) fn check(&mut self) -> Result<(), BenchError> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// Waits until `address` answers at `path`.
    async fn answers(&self, address: SocketAddr, path: &str) -> Result<(), BenchError> {
        let deadline = Instant::now() + START;
        while client::once(address, &client::get(path, None)).await.is_err() {
            if Instant::now() > deadline {
                return Err(BenchError::NotReady(path.to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// What the stand-in web application holds.
    pub(super) async fn delivered(&self) -> Result<Summary, BenchError> {
        let request = client::get("/_control/ledger", None);
        let (_, body) = client::once(self.sink, &request).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Makes the stand-in web application forget everything.
    pub(super) async fn forget_delivered(&self) -> Result<(), BenchError> {
        self.forget_at(self.sink).await
    }

    /// The same of another one, which answers `ok` again.
    pub(super) async fn forget_at(&self, sink: SocketAddr) -> Result<(), BenchError> {
        client::once(sink, &client::post("/_control/reset", None, b"")).await?;
        Ok(())
    }

    /// Starts another stand-in web application; where it listens.
    pub(super) async fn start_other_sink(&mut self, name: &str) -> Result<SocketAddr, BenchError> {
        let listen = spare_address()?;
        let process = start_sink(name, &self.program, listen, &self.folder.0)?;
        self.processes.push(process);
        self.answers(listen, "/_control/ledger").await?;
        Ok(listen)
    }

    /// Has a stand-in web application answer in another way.
    pub(super) async fn tell_sink(&self, sink: SocketAddr, mode: &str) -> Result<(), BenchError> {
        let body = serde_json::json!({ "mode": mode }).to_string();
        client::once(sink, &client::put("/_control/mode", body.as_bytes())).await?;
        Ok(())
    }

    /// Lines in the logs of the roles that are warnings or worse: the first of them, and how many.
    pub(super) fn complaints(&self) -> (u64, Vec<String>) {
        const SHOWN: usize = 5;
        let mut count = 0;
        let mut first = Vec::new();
        for process in self
            .processes
            .iter()
            .filter(|process| self.ops.contains_key(&process.name))
        {
            let text = std::fs::read(&process.log).unwrap_or_default();
            for line in String::from_utf8_lossy(&text).lines() {
                if line.contains("WARN") || line.contains("ERROR") {
                    count += 1;
                    if first.len() < SHOWN {
                        first.push(format!("{}: {line}", process.name));
                    }
                }
            }
        }
        (count, first)
    }

    /// Where the data lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }
}

/// Where a stand-in web application takes batches.
pub(super) fn bulk_url(sink: SocketAddr) -> String {
    format!("http://{sink}{BULK_PATH}")
}

fn start_sink(name: &str, program: &Path, listen: SocketAddr, folder: &Path) -> Result<Process, BenchError> {
    let mut command = Command::new(program);
    command
        .args([
            "sink",
            "--listen",
            &listen.to_string(),
            "--max-entries",
            &SINK_ENTRIES.to_string(),
        ])
        .env("TSMS_SINK_TOKEN", SINK_TOKEN);
    Process::start(name, false, &command, folder)
}

/// What the bench sets; everything else is as shipped, or as the environment of the bench says.
fn settings(
    database: &str,
    queue: &str,
    ingress: SocketAddr,
    sink: SocketAddr,
    folder: &Path,
) -> Vec<(String, String)> {
    [
        ("DATABASE__URL", database.to_owned()),
        ("QUEUE__URL", queue.to_owned()),
        ("INGRESS__LISTEN", ingress.to_string()),
        // The silent connections and those of the load at the same time.
        ("INGRESS__MAX_CONNECTIONS", "11000".to_owned()),
        // On, but never in the way: what is measured includes their cost.
        ("LIMITS__TERMINAL__QUOTA", UNREACHED.to_string()),
        ("LIMITS__TENANT__QUOTA", UNREACHED.to_string()),
        ("LIMITS__GLOBAL__QUOTA", UNREACHED.to_string()),
        ("LIMITS__AUTH_ADDRESS__QUOTA", UNREACHED.to_string()),
        ("LIMITS__AUTH_SERIAL__QUOTA", UNREACHED.to_string()),
        ("INGRESS__MAX_CONNECTIONS_PER_ADDRESS", "11000".to_owned()),
        // What a load balancer needs to see that an ingress leaves.
        ("INGRESS__DRAIN_NOTICE_MS", "1000".to_owned()),
        ("FORWARDING__ENABLED", "true".to_owned()),
        ("FORWARDING__ENDPOINT", bulk_url(sink)),
        ("FORWARDING__TOKEN", SINK_TOKEN.to_owned()),
        ("AUTH__PEPPER", PEPPER.to_owned()),
        ("SECRETS__KEY", PEPPER.to_owned()),
        ("LOG__LEVEL", "warn".to_owned()),
        ("LOG__FORMAT", "text".to_owned()),
        ("FLEET__DATA_DIR", folder.join("data").display().to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (format!("TSMS__{key}"), value))
    .collect()
}

/// The settings as the roles will see them.
fn configure(file: Option<&Path>, settings: &[(String, String)]) -> Result<Config, BenchError> {
    let mut environment = Layers::environment()?;
    environment.retain(|(name, _)| settings.iter().all(|(set, _)| set != name));
    environment.extend_from_slice(settings);
    Ok(Layers::read(file, environment)?.config()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_named_in_the_environment_is_never_the_one_measured() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let settings = settings("sqlite:/private", "memory:", address, address, Path::new("/x"));
        let config = configure(None, &settings).unwrap();
        assert_eq!(config.database.url.reveal(), "sqlite:/private");
        assert!(config.forwarding.enabled);
    }
}
