//! A private MariaDB for a test binary: its own data folder, a spare port on the loopback, gone when
//! the test process is gone, however that ends. Included with `#[path]` by the binaries that need it.

#![allow(
    clippy::expect_used,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a helper of tests fails the test"
)]

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};
use tempfile::TempDir;

/// Starts with another port when the one picked was taken in between.
const STARTS: usize = 3;

/// A running server.
pub(crate) struct MariaDb {
    port: u16,
    databases: AtomicU32,
    /// A shell that holds the server and waits on its standard input, whose other end is ours. The
    /// kernel closes it when this process ends, even by SIGKILL; the shell then ends the server and
    /// removes its folder.
    _guard: Child,
}

static SHARED: LazyLock<MariaDb> = LazyLock::new(MariaDb::start);

impl MariaDb {
    /// The server that all tests of this binary share. The first call starts it and waits seconds.
    pub(crate) fn shared() -> &'static Self {
        &SHARED
    }

    /// A server that no other test uses, for what would disturb them.
    #[allow(
        dead_code,
        reason = "not every binary that includes this file disturbs a server"
    )]
    pub(crate) fn alone() -> Self {
        Self::start()
    }

    /// Sets a variable of the server.
    #[allow(
        dead_code,
        reason = "not every binary that includes this file disturbs a server"
    )]
    pub(crate) async fn set_global(&self, name: &str, value: &str) {
        let server = format!("mysql://root@127.0.0.1:{}", self.port);
        let mut connection = MySqlConnection::connect(&server).await.expect("connect");
        let set = format!("SET GLOBAL {name} = {value}");
        connection
            .execute(AssertSqlSafe(set))
            .await
            .expect("set a variable");
        connection.close().await.expect("close");
    }

    /// Makes an empty database and gives its URL.
    pub(crate) async fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let server = format!("mysql://root@127.0.0.1:{}", self.port);
        let mut connection = MySqlConnection::connect(&server).await.expect("connect");
        let create = format!("CREATE DATABASE test_{number}");
        connection
            .execute(AssertSqlSafe(create))
            .await
            .expect("create a database");
        connection.close().await.expect("close");
        format!("{server}/test_{number}")
    }

    fn start() -> Self {
        (0..STARTS)
            .find_map(|_| Self::try_start())
            .expect("mariadbd (Debian: mariadb-server) did not start; its messages are above")
    }

    fn try_start() -> Option<Self> {
        let folder = TempDir::with_prefix("tsms-mariadb-").expect("a folder").keep();
        let port = spare_port();
        // `read` returns at the end of the input; the server in the background does not share it.
        // A server that starts removes temporary tables from its folder for them, so each has its own.
        let script = r#"folder=$1 user=$2; shift 2; mkdir "$folder/tmp"
            if mariadb-install-db --no-defaults --auth-root-authentication-method=normal \
                --skip-test-db "$user" --datadir="$folder/data" --tmpdir="$folder/tmp" >&2
            then
                mariadbd --no-defaults "$user" --datadir="$folder/data" --tmpdir="$folder/tmp" "$@" & server=$!
                exec 2>/dev/null # the end of the messages is the end of the server
                read -r _
                kill -9 "$server"; wait "$server"
            fi
            rm -rf "$folder""#;
        let mut guard = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&folder)
            .arg(user())
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .arg(format!("--socket={}", folder.join("socket").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .arg(format!("--port={port}"))
            .args(["--innodb-buffer-pool-size=64M", "--max-connections=300"])
            // Interrupting the tests from a terminal must not reach the shell before its input ends.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut messages = BufReader::new(guard.stderr.take().expect("piped"));
        let mut seen = String::new();
        loop {
            let start = seen.len();
            if messages.read_line(&mut seen).expect("messages of mariadbd") == 0 {
                eprintln!("{seen}");
                drop(guard.stdin.take());
                guard.wait().expect("the shell ends");
                return None;
            }
            if seen[start..].contains("ready for connections") {
                break;
            }
        }
        // The server must be able to write on, whoever reads it.
        std::thread::spawn(move || messages.read_to_end(&mut Vec::new()));
        Some(Self {
            port,
            databases: AtomicU32::new(0),
            _guard: guard,
        })
    }
}

/// As root the server wants to be told so.
fn user() -> String {
    let name = Command::new("id").arg("-un").output().expect("id");
    format!("--user={}", String::from_utf8_lossy(&name.stdout).trim())
}

fn spare_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
