//! A private `redis-server` on a spare port of the loopback, which a test may kill and start again.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use redis::{FromRedisValue, aio::MultiplexedConnection};
use tempfile::TempDir;

use crate::harness::until;

/// A server with its own folder. It ends with the value.
pub(crate) struct Server {
    port: u16,
    folder: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server that writes every command to disk before it answers, so that it may be killed.
    pub(crate) async fn durable() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    async fn with(options: &[&str]) -> Self {
        let mut server = Self::absent(options);
        server.go().await;
        server
    }

    /// A cluster of one node, which refuses what a larger one would refuse.
    pub(crate) async fn cluster() -> Self {
        let server = Self::with(&["--cluster-enabled", "yes"]).await;
        let _: String = server.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
        until("the cluster is up", async || {
            let info: String = server.run(&["CLUSTER", "INFO"]).await;
            info.contains("cluster_state:ok")
        })
        .await;
        server
    }

    /// A server that is not running yet.
    pub(crate) fn absent(options: &[&str]) -> Self {
        let spare = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self {
            port: spare.local_addr().unwrap().port(),
            folder: tempfile::tempdir().unwrap(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            child: None,
        }
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn go(&mut self) {
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port,
                "--save",
                "",
                "--daemonize",
                "no",
            ])
            .args(&self.options)
            .arg("--dir")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!(
                "this suite needs the program redis-server (version 7) on PATH: {error}; \
                 on Debian: apt-get install redis-server"
            )
        }));
        until("redis-server answers", async || {
            let Ok(mut connection) = self.client().get_multiplexed_async_connection().await else {
                return false;
            };
            let ping = redis::cmd("PING").query_async::<String>(&mut connection).await;
            ping.is_ok()
        })
        .await;
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }

    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
        let client = self.client();
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .unwrap()
    }

    /// Runs one command, given as words.
    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection().await;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        let answer = command.query_async(&mut connection).await;
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// How often each command was called since the last `CONFIG RESETSTAT`.
    pub(crate) async fn calls(&self) -> std::collections::BTreeMap<String, u64> {
        let info: String = self.run(&["INFO", "commandstats"]).await;
        let line = |line: &str| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), figures.split(',').next()?.parse().ok()?))
        };
        info.lines().filter_map(line).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
