//! A MariaDB of the test's own that it may kill and start again.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::servers::{Guarded, spare_port};

/// A running server with one empty database.
pub(crate) struct Database {
    server: Guarded,
    port: u16,
    folder: TempDir,
}

impl Database {
    /// Makes a data folder and starts one; takes seconds.
    pub(crate) fn start() -> Self {
        let folder = TempDir::with_prefix("tsms-mariadb-").unwrap();
        let install = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .arg(user())
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .output()
            .unwrap();
        assert!(
            install.status.success(),
            "{}",
            String::from_utf8_lossy(&install.stderr)
        );
        let port = spare_port();
        let server = run(folder.path(), port);
        let create = Command::new("mariadb")
            .args([
                "--no-defaults",
                "--protocol=tcp",
                "--host=127.0.0.1",
                "--user=root",
            ])
            .arg(format!("--port={port}"))
            .args(["--execute", "CREATE DATABASE tsms"])
            .status();
        assert!(create.unwrap().success());
        Self { server, port, folder }
    }

    /// The address for `database.url`.
    pub(crate) fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/tsms", self.port)
    }

    /// `kill -9`; it stays away until [`Database::restart`].
    pub(crate) fn kill9(&mut self) {
        self.server.kill9();
    }

    /// Starts it again on the same port with the same data. It must be gone.
    pub(crate) fn restart(&mut self) {
        self.server = run(self.folder.path(), self.port);
    }
}

fn run(folder: &Path, port: u16) -> Guarded {
    let mut command = Command::new("mariadbd");
    command
        .args([
            "--no-defaults",
            &user(),
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
        ])
        .args(["--innodb-buffer-pool-size=64M", "--max-connections=300"])
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--socket={}", folder.join("socket").display()))
        .arg(format!("--pid-file={}", folder.join("pid").display()))
        .arg(format!("--port={port}"));
    let mut server = Guarded::start(&command);
    server.wait_line(|line| line.contains("ready for connections"));
    server
}

/// As root the server wants to be told so.
fn user() -> String {
    let name = Command::new("id").arg("-un").output().unwrap();
    format!("--user={}", String::from_utf8_lossy(&name.stdout).trim())
}
