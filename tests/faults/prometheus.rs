//! A real Prometheus that watches the fleet with the rules of `config/prometheus/rules.yml`, in a hurry: it
//! looks every second, and what the rules wait for and average over is cut down to seconds.

use std::{fmt::Write as _, path::Path, process::Command, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;
use serde_yaml_ng::Value as Yaml;
use tempfile::TempDir;
use tokio::time::{Instant, interval};

use crate::{
    servers::{Guarded, spare_port},
    site::DEADLINE,
};

/// Every range of a rule or a page, instead of its minutes or hours: a few scrapes.
const RANGE: &str = "[6s]";

/// Bounds on times that nobody wants to wait for in a test, with what stands for them.
const BOUNDS: [(&str, &str, &str); 3] = [
    ("TsmsQueueOldestJobOld", "> 60", "> 3"),
    ("TsmsAuditLag", "> 300", "> 3"),
    ("TsmsQueueProcessingSlow", "> 5", "> 2"),
];

/// Looks in a row at which an alert must be quiet before it counts as over.
const QUIET: usize = 3;

/// A running server.
pub(crate) struct Prometheus {
    base: String,
    http: reqwest::Client,
    server: Guarded,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `127.0.0.1:port` as each job.
    pub(crate) async fn start(targets: &[(String, u16)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = spare_port();
        let mut config = "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n\
                          rule_files: [rules.yml]\nscrape_configs:\n"
            .to_owned();
        for (job, target) in targets {
            writeln!(
                config,
                "- {{ job_name: {job}, static_configs: [{{ targets: [\"127.0.0.1:{target}\"] }}] }}"
            )
            .unwrap();
        }
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        std::fs::write(folder.path().join("rules.yml"), rules()).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!(
                "--config.file={}",
                folder.path().join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut server = Guarded::start(&command);
        server.wait_line(|line| line.contains("Server is ready to receive web requests"));
        Self {
            base: format!("http://127.0.0.1:{port}/api/v1"),
            http: reqwest::Client::new(),
            server,
            folder,
        }
    }

    /// Scrapes one more, that has TLS.
    pub(crate) fn watch_tls(&mut self, job: &str, port: u16) {
        let file = self.folder.path().join("prometheus.yml");
        let mut config = std::fs::read_to_string(&file).unwrap();
        writeln!(
            config,
            "- {{ job_name: {job}, scheme: https, tls_config: {{ insecure_skip_verify: true }}, \
             static_configs: [{{ targets: [\"127.0.0.1:{port}\"] }}] }}"
        )
        .unwrap();
        std::fs::write(file, config).unwrap();
        self.server.signal(Signal::SIGHUP);
    }

    /// Waits until an alert of this name fires, about this port where one is given.
    pub(crate) async fn fires(&self, alert: &str, port: Option<u16>) {
        let deadline = Instant::now() + DEADLINE;
        let mut turn = interval(Duration::from_millis(250));
        while !self.firing(port).await.iter().any(|firing| firing == alert) {
            assert!(
                Instant::now() < deadline,
                "{alert} does not fire, but {:?}",
                self.firing(port).await
            );
            turn.tick().await;
        }
    }

    /// Waits until no alert of this name fires, and for a moment to see that it stays so.
    pub(crate) async fn is_quiet(&self, alert: &str, port: Option<u16>) {
        let deadline = Instant::now() + DEADLINE;
        let mut turn = interval(Duration::from_millis(700));
        let mut quiet = 0;
        while quiet < QUIET {
            turn.tick().await;
            if self.firing(port).await.iter().any(|firing| firing == alert) {
                quiet = 0;
            } else {
                quiet += 1;
            }
            assert!(Instant::now() < deadline, "{alert} does not end");
        }
    }

    async fn firing(&self, port: Option<u16>) -> Vec<String> {
        let instance = port.map(|port| format!("127.0.0.1:{port}"));
        let alerts = self.ask("alerts", &[]).await;
        let alerts = alerts["alerts"].as_array().unwrap();
        alerts
            .iter()
            .filter(|alert| alert["state"] == "firing")
            .filter(|alert| {
                let about = alert["labels"]["instance"].as_str();
                instance.is_none() || about == instance.as_deref()
            })
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The series that an expression gives now, one a line: its labels and its value.
    pub(crate) async fn query(&self, expression: &str) -> String {
        let found = self.ask("query", &[("query", &cut(expression))]).await;
        let mut lines = String::new();
        for series in found["result"].as_array().unwrap() {
            writeln!(lines, "{} {}", series["metric"], series["value"][1]).unwrap();
        }
        lines
    }

    async fn ask(&self, what: &str, query: &[(&str, &str)]) -> Value {
        let mut address = url::Url::parse(&format!("{}/{what}", self.base)).unwrap();
        address.query_pairs_mut().extend_pairs(query);
        let request = self.http.get(address);
        let text = request.send().await.unwrap().text().await.unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success", "{text}\n{}", self.server.said());
        answer["data"].take()
    }
}

/// The rules as they are, but for the times.
fn rules() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus/rules.yml");
    let mut file: Yaml = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for group in file["groups"].as_sequence_mut().unwrap() {
        for rule in group["rules"].as_sequence_mut().unwrap() {
            let name = rule["alert"].as_str().unwrap().to_owned();
            let mut expression = cut(rule["expr"].as_str().unwrap());
            for (_, from, to) in BOUNDS.iter().filter(|(of, ..)| *of == name) {
                assert!(expression.ends_with(from), "{name}: {expression}");
                expression = expression.replace(from, to);
            }
            rule["expr"] = expression.into();
            rule["for"] = "0s".into();
        }
    }
    serde_yaml_ng::to_string(&file).unwrap()
}

/// An expression with every range cut down.
fn cut(expression: &str) -> String {
    let mut out = String::new();
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once('[') {
        let (range, behind) = after.split_once(']').unwrap();
        assert!(range.ends_with(['m', 'h']), "{expression}");
        out = out + before + RANGE;
        rest = behind;
    }
    out + rest
}
