//! The fleet as separate processes, started from the lines of the `Procfile` as a runner would.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tsms::{
    config::Config,
    standin::{sim::SimTerminal, sink::SinkHandle},
    store::{self, Store},
};

use crate::{
    left::unfinished,
    mariadb::MariaDb,
    servers::{Guarded, Redis, spare_port},
    world::{DEADLINE, config_text, register, start_sink},
};

/// One running line of the `Procfile`.
pub(crate) struct Process {
    pub(crate) guarded: Guarded,
    /// The port given as `$PORT`.
    pub(crate) port: u16,
}

pub(crate) struct Processes {
    /// The command of each line, by its name.
    pub(crate) lines: BTreeMap<String, String>,
    config: String,
    /// The port of the ingress, the same after a restart.
    ingress: u16,
    /// By name and number, e.g. `forwarding.1`.
    pub(crate) running: BTreeMap<String, Process>,
    pub(crate) redis: Redis,
    pub(crate) sink: SinkHandle,
    pub(crate) store: Store,
    pub(crate) tills: Vec<SimTerminal>,
    _sink_stop: CancellationToken,
    _folder: TempDir,
}

impl Processes {
    /// Runs the release line, then `counts` processes of each named line and one of every other.
    pub(crate) async fn start(counts: &[(&str, usize)]) -> Self {
        Self::start_with(counts, "").await
    }

    /// The same with further settings.
    pub(crate) async fn start_with(counts: &[(&str, usize)], settings: &str) -> Self {
        let database = MariaDb::shared().database().await;
        Self::start_on(&database, counts, settings, |text| text).await
    }

    /// The same on a database of the caller's, with the file of settings as `edit` makes it.
    pub(crate) async fn start_on(
        database: &str,
        counts: &[(&str, usize)],
        settings: &str,
        edit: impl FnOnce(String) -> String,
    ) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let folder = tempfile::tempdir().unwrap();
        let (sink, sink_address, sink_stop) = start_sink().await;
        let redis = Redis::start();
        let text = edit(config_text(database, &redis.url(), sink_address, settings));
        let file = folder.path().join("tsms.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        let procfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("Procfile");
        let lines = std::fs::read_to_string(procfile).unwrap();
        let mut this = Self {
            lines: lines.lines().filter_map(parse).collect(),
            config: file.display().to_string(),
            ingress: spare_port(),
            running: BTreeMap::new(),
            redis,
            sink,
            store: store::open(&config.database).await.unwrap(),
            tills: Vec::new(),
            _sink_stop: sink_stop,
            _folder: folder,
        };
        let mut release = this.spawn("release", spare_port());
        assert_eq!(release.guarded.wait_exit(), 0, "{}", release.guarded.said());
        this.tills = register(&this.store).await;
        let names: Vec<String> = this
            .lines
            .keys()
            .filter(|name| *name != "release")
            .cloned()
            .collect();
        for name in names {
            let count = counts
                .iter()
                .find(|(counted, _)| *counted == name)
                .map_or(1, |(_, count)| *count);
            for number in 1..=count {
                this.launch(&format!("{name}.{number}"));
            }
        }
        for name in this.running.keys() {
            this.ready(name).await;
        }
        this
    }

    /// Starts `name.number`, where it was before; it need not be ready when this returns.
    pub(crate) fn launch(&mut self, process: &str) {
        let (name, _) = process.split_once('.').unwrap();
        let port = match self.running.get(process) {
            Some(before) => before.port,
            None if name == "ingress" => self.ingress,
            None => spare_port(),
        };
        let running = self.spawn(name, port);
        self.running.insert(process.to_owned(), running);
    }

    fn spawn(&self, name: &str, port: u16) -> Process {
        let program = Path::new(env!("CARGO_BIN_EXE_tsms"));
        let path = format!(
            "{}:{}",
            program.parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.lines[name]])
            .env("PATH", path)
            .env("PORT", port.to_string())
            .env("TSMS_CONFIG", &self.config);
        Process {
            guarded: Guarded::start(&command),
            port,
        }
    }

    /// Waits until a process says that it is ready.
    pub(crate) async fn ready(&self, process: &str) {
        let running = &self.running[process];
        let deadline = Instant::now() + DEADLINE;
        let mut turn = tokio::time::interval(Duration::from_millis(50));
        loop {
            turn.tick().await;
            let answer = reqwest::get(format!("http://127.0.0.1:{}/readyz", running.port)).await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{process} is not ready: {}",
                running.guarded.said()
            );
        }
    }

    /// The file with the settings, for the command line.
    pub(crate) fn config(&self) -> &str {
        &self.config
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.ingress)
    }

    /// A number that a process shows on `/metrics`: the sum of the series that start with `series`.
    pub(crate) async fn metric(&self, process: &str, series: &str) -> u64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.running[process].port);
        let scrape = reqwest::get(url).await.unwrap().text().await.unwrap();
        let values = scrape.lines().filter(|line| line.starts_with(series));
        values
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    /// Waits until the record has nothing unfinished.
    pub(crate) async fn drain(&self) {
        self.drain_within(DEADLINE).await;
    }

    /// The same for work that may rest longer before it goes on.
    pub(crate) async fn drain_within(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut turn = tokio::time::interval(Duration::from_millis(200));
        loop {
            turn.tick().await;
            let left = unfinished(&self.store).await;
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "work is left over:\n{left}");
        }
    }

    /// SIGTERM to every process; each must end by itself with status 0.
    pub(crate) fn stop(mut self) {
        for (name, process) in &mut self.running {
            assert_eq!(
                process.guarded.terminate(),
                0,
                "{name}: {}",
                process.guarded.said()
            );
        }
    }
}

fn parse(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, command) = line.split_once(':').filter(|_| !line.starts_with('#'))?;
    Some((name.trim().to_owned(), command.trim().to_owned()))
}
