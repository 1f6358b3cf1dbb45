//! A fleet under watch: one process a line of the `Procfile`, its servers, a real Prometheus, and a person
//! who has only the page.

use std::{
    io,
    path::Path,
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::Command,
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tsms::{
    domain::checksum::Version,
    standin::sim::{self, Counters, SimOptions},
};

use crate::{
    bodies,
    mariadb::MariaDb,
    pages::{Block, Page},
    procfile::Processes,
    prometheus::Prometheus,
    supervisor::{self, Supervisor},
};

/// How long anything may take before it counts as failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);

/// Gauges are read and orders are heard of quickly, so that nobody waits for them.
const QUICK: &str = "gauge_interval_ms = 200\nready_cache_ms = 100\n\
                     [fleet]\ncontrol_interval_ms = 100\nlease_ms = 1500\n";

/// The names under which the pages know what differs from site to site.
const INGRESS: &str = "INGRESS";
const REDIS: &str = "REDIS";

pub(crate) struct Site {
    pub(crate) fleet: Processes,
    pub(crate) supervisor: Supervisor,
    prometheus: Prometheus,
    listener: TcpListener,
    home: TempDir,
    variables: Vec<(String, String)>,
    http: reqwest::Client,
    seed: AtomicU64,
    page: Page,
    /// The process id and the port of the process at whose machine the person sits.
    machine: Option<(i32, u16)>,
    looked: usize,
    cured: usize,
    fired: bool,
    over: bool,
}

impl Site {
    /// A fleet on a database that others share the server of.
    pub(crate) async fn start(settings: &str, edit: impl FnOnce(String) -> String) -> Self {
        let database = MariaDb::shared().database().await;
        Self::start_on(&database, settings, edit).await
    }

    /// A fleet on this database, with further settings (more of `[ops]` and of `[fleet]`, then other sections) and
    /// the file of all settings as `edit` makes it.
    pub(crate) async fn start_on(
        database: &str,
        settings: &str,
        edit: impl FnOnce(String) -> String,
    ) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let fleet = Processes::start_on(database, &[], &format!("{QUICK}{settings}"), edit).await;
        let targets: Vec<(String, u16)> = fleet
            .running
            .iter()
            .map(|(name, process)| (format!("tsms-{}", name.trim_end_matches(".1")), process.port))
            .collect();
        let prometheus = Prometheus::start(&targets).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let home = tempfile::tempdir().unwrap();
        supervisor::install(home.path(), listener.local_addr().unwrap());
        let server = url::Url::parse(database).unwrap();
        let client = format!(
            "[client]\nprotocol=tcp\nhost=127.0.0.1\nport={}\nuser=root\n[mysql]\ndatabase={}\n",
            server.port().unwrap(),
            server.path().trim_start_matches('/'),
        );
        std::fs::write(home.path().join(".my.cnf"), client).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_tsms")).parent().unwrap();
        let path = format!(
            "{}:{}:{}",
            home.path().display(),
            program.display(),
            std::env::var("PATH").unwrap()
        );
        let variables = [
            ("PATH", path),
            ("HOME", home.path().display().to_string()),
            ("USER", "operator".to_owned()),
            ("TSMS_CONFIG", fleet.config().to_owned()),
            (INGRESS, fleet.base()),
            (REDIS, fleet.redis.url()),
        ];
        let site = Self {
            fleet,
            supervisor: Supervisor::default(),
            prometheus,
            listener,
            home,
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            http: reqwest::Client::new(),
            seed: AtomicU64::new(1),
            page: Page::default(),
            machine: None,
            looked: 0,
            cured: 0,
            fired: false,
            over: false,
        };
        // What happens before the first scrape is no change to Prometheus.
        site.shows(&format!("count(up == 1) == {}", targets.len())).await;
        site
    }

    /// Takes up a page.
    pub(crate) fn open(&mut self, name: &str) {
        println!("{name}");
        self.page = Page::read(name);
        (self.looked, self.cured) = (0, 0);
        (self.fired, self.over) = (false, false);
    }

    /// Lays the page away: everything in it must have been done.
    pub(crate) fn close(&self) {
        let Page { name, looks, cures } = &self.page;
        assert_eq!(self.looked, looks.len(), "{name}: looks done");
        assert_eq!(self.cured, cures.len(), "{name}: cures done");
        assert!(!looks.is_empty(), "{name}: nothing shows it");
        assert!(self.over, "{name}: nothing says that it is over");
        if name.starts_with("Tsms") {
            assert!(self.fired, "{name}: the alert was not waited for");
        }
    }

    /// Gives a name that the page uses its value here.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A folder of the person's own.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits until the alert of the page fires.
    pub(crate) async fn alert(&mut self) {
        let port = self.machine.map(|(_, port)| port);
        self.prometheus.fires(&self.page.name, port).await;
        self.fired = true;
    }

    /// Waits until the alert of the page is over.
    pub(crate) async fn over(&mut self) {
        let port = self.machine.map(|(_, port)| port);
        self.prometheus.is_quiet(&self.page.name, port).await;
        self.over = true;
    }

    /// What an expression gives now.
    pub(crate) async fn query(&self, expression: &str) -> String {
        self.prometheus.query(expression).await
    }

    /// Waits until an expression gives something.
    pub(crate) async fn shows(&self, expression: &str) {
        let deadline = Instant::now() + DEADLINE;
        let mut turn = interval(Duration::from_millis(250));
        while self.query(expression).await.is_empty() {
            assert!(
                Instant::now() < deadline,
                "{}: {expression} in vain",
                self.page.name
            );
            turn.tick().await;
        }
    }

    /// Says that what the page is about, which has no alert, is over; the caller has seen to it.
    pub(crate) fn settled(&mut self) {
        assert!(!self.page.name.starts_with("Tsms"), "{}", self.page.name);
        self.over = true;
    }

    /// Does what the next look of the page says, until all `words` are in what comes of it.
    pub(crate) async fn look(&mut self, words: &[&str]) {
        let Some(block) = self.page.looks.get(self.looked).cloned() else {
            panic!("{}: no look {}", self.page.name, self.looked);
        };
        self.looked += 1;
        let deadline = Instant::now() + DEADLINE;
        let mut turn = interval(Duration::from_millis(500));
        loop {
            turn.tick().await;
            let seen = if block.language == "promql" {
                self.prometheus.query(&block.text).await
            } else {
                let Output { stdout, stderr, .. } = self.run(&block).await;
                String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
            };
            if words.iter().all(|word| seen.contains(word)) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}: {} does not show {words:?} but\n{seen}",
                self.page.name,
                block.text
            );
        }
    }

    /// Does what the next cure of the page says. It must work; gives what it printed.
    pub(crate) async fn cure(&mut self) -> String {
        let Some(block) = self.page.cures.get(self.cured).cloned() else {
            panic!("{}: no cure {}", self.page.name, self.cured);
        };
        self.cured += 1;
        let Output {
            status,
            stdout,
            stderr,
        } = self.run(&block).await;
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(
            status.success(),
            "{}: {} ended with {status}:\n{said}",
            self.page.name,
            block.text
        );
        said
    }

    /// Types a block into a shell, and is the supervisor that it may call.
    async fn run(&mut self, block: &Block) -> Output {
        let mut command = match self.machine {
            Some((pid, _)) => {
                let mut enter = Command::new("nsenter");
                enter.args([
                    "--preserve-credentials",
                    "--user",
                    "--mount",
                    "--wdns=/",
                    "--target",
                ]);
                enter.args([&pid.to_string(), "sh"]);
                enter
            }
            None => Command::new("sh"),
        };
        command
            .args(["-euc", &block.text])
            .current_dir(self.home.path())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let running = timeout(DEADLINE, command.output());
        tokio::pin!(running);
        loop {
            let called: io::Result<_> = tokio::select! {
                ended = &mut running => {
                    let ended = ended.unwrap_or_else(|_| panic!("{}: {} does not end", self.page.name, block.text));
                    return ended.unwrap();
                }
                called = self.listener.accept() => called,
            };
            let (socket, _) = called.unwrap();
            self.supervisor.serve(socket, &mut self.fleet).await;
        }
    }

    /// `kill -9` of a process of the fleet; the supervisor of a real site would start it again, this one waits
    /// for the page.
    pub(crate) fn kill(&mut self, process: &str) {
        self.fleet.running.get_mut(process).unwrap().guarded.kill9();
    }

    /// What somebody else types, who has not read the page; gives what it prints.
    pub(crate) async fn somebody(&mut self, line: &str) -> String {
        let block = Block {
            language: "sh".to_owned(),
            text: line.to_owned(),
        };
        let Output {
            status,
            stdout,
            stderr,
        } = self.run(&block).await;
        assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Lets the person sit at the machine of a process, whose disks it has; alerts are those about it.
    pub(crate) fn sit_at(&mut self, process: &str) {
        let running = &self.fleet.running[process];
        self.machine = Some((running.guarded.pid(), running.port));
    }

    /// Has Prometheus watch a process that was started later and has TLS.
    pub(crate) fn watch_tls(&mut self, process: &str) {
        let port = self.fleet.running[process].port;
        let job = format!("tsms-{}", process.trim_end_matches(".1"));
        self.prometheus.watch_tls(&job, port);
    }

    /// Ends every order about limits, so that the next page finds nobody locked out.
    pub(crate) async fn lift_orders(&mut self) {
        let listed = self.somebody("tsms limits list --json").await;
        for line in listed.lines() {
            let order: serde_json::Value = serde_json::from_str(line).unwrap();
            self.somebody(&format!("tsms limits lift {} || true", order["id"]))
                .await;
        }
    }

    /// The business day of the tills.
    pub(crate) fn today(&self) -> String {
        let zone = jiff::tz::TimeZone::get("Asia/Manila").unwrap();
        jiff::Timestamp::now().to_zoned(zone).date().to_string()
    }

    /// A seed that no sale of this site had.
    fn seed(&self) -> u64 {
        self.seed.fetch_add(1000, Ordering::Relaxed)
    }

    /// Posts a batch of valid sales of the first till; gives the status of the answer.
    pub(crate) async fn sell(&self, sales: usize) -> u16 {
        let token = self.fleet.tills[0].token.clone();
        self.sell_with(sales, &token).await
    }

    /// The same with a token of the test's own.
    pub(crate) async fn sell_with(&self, sales: usize, token: &str) -> u16 {
        let till = &self.fleet.tills[0];
        let body = if sales == 1 {
            bodies::sale(till, Version::V21, self.seed())
        } else {
            bodies::batch(till, Version::V21, sales, self.seed())
        };
        let request = self
            .http
            .post(format!("{}{}", self.fleet.base(), sim::SUBMIT_PATH))
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body.body);
        request.send().await.unwrap().status().as_u16()
    }

    /// Tills that post `rate` submissions a second until the guard is dropped.
    pub(crate) fn traffic(&self, rate: u32) -> Traffic {
        let options = SimOptions {
            rate,
            count: 1_000_000,
            batch_share: 0,
            replay_share: 0,
            flawed_share: 0,
            ..SimOptions::new(self.fleet.base(), self.fleet.tills.clone(), self.seed())
        };
        let stop = CancellationToken::new();
        tokio::spawn(sim::run(options, Arc::new(Counters::default()), stop.clone()));
        Traffic(stop)
    }

    /// Ends the site: nothing may be left to do, and every process must end well.
    pub(crate) async fn stop(self) {
        self.fleet.drain().await;
        self.fleet.stop();
    }
}

/// Simulated tills at work.
pub(crate) struct Traffic(CancellationToken);

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
