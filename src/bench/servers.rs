//! The private database and Redis of the fleet tier, with the durability that the promises ask for.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    BenchError, database,
    process::{Process, find},
    redis_info,
};

/// How long a server may take until it answers.
pub(super) const START: Duration = Duration::from_secs(60);

/// Pause between two looks at a server that starts.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Settings of the database that the figures depend on; `gib` is what it has for pages, and for its log.
fn database_options(gib: usize) -> [String; 5] {
    [
        "--innodb-flush-log-at-trx-commit=1".to_owned(),
        "--innodb-doublewrite=1".to_owned(),
        format!("--innodb-buffer-pool-size={gib}G"),
        format!("--innodb-log-file-size={gib}G"),
        "--max-connections=500".to_owned(),
    ]
}

/// Settings of Redis that the figures depend on.
const REDIS_OPTIONS: [&str; 8] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--save",
    "",
    // Jobs come and go: a log of 64 MiB, at which Redis begins to write it anew, is full every few seconds.
    "--auto-aof-rewrite-min-size",
    "1gb",
];

/// A running database and how to reach it.
pub(super) struct Database {
    pub(super) process: Process,
    pub(super) url: String,
}

/// What the readers of the figures must know of the servers.
pub(super) fn settings(database_gib: usize) -> Vec<String> {
    vec![
        format!("mariadbd {}", database_options(database_gib).join(" ")),
        "redis-server appendonly yes, appendfsync everysec: jobs are an index that the sweeper rebuilds; \
         the record is the database"
            .to_owned(),
    ]
}

/// A loopback port that nothing listened on a moment ago.
pub(super) fn spare_address() -> Result<SocketAddr, BenchError> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Starts MariaDB with an empty database in `folder`.
pub(super) async fn start_database(folder: &Path, gib: usize) -> Result<Database, BenchError> {
    let install = find("mariadb-install-db", "mariadb-server")?;
    let server = find("mariadbd", "mariadb-server")?;
    let data = folder.join("mariadb");
    let user = Command::new("id").arg("-un").output()?.stdout;
    let user = format!("--user={}", String::from_utf8_lossy(&user).trim());
    let installed = Command::new(install)
        .args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            &user,
        ])
        .arg(format!("--datadir={}", data.display()))
        .output()?;
    if !installed.status.success() {
        let said = String::from_utf8_lossy(&installed.stderr).into_owned();
        return Err(BenchError::Ended(
            "mariadb-install-db".to_owned(),
            installed.status,
            said,
        ));
    }
    let address = spare_address()?;
    let mut command = Command::new(server);
    command
        .args([
            "--no-defaults",
            &user,
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
        ])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", folder.join("mariadb.socket").display()))
        .arg(format!("--pid-file={}", folder.join("mariadb.pid").display()))
        .arg(format!("--port={}", address.port()))
        .args(database_options(gib));
    let mut process = Process::start("mariadbd", true, &command, folder)?;
    let deadline = Instant::now() + START;
    let server = format!("mysql://root@{address}");
    loop {
        process.check()?;
        match database::create(&server, "tsms").await {
            Ok(()) => break,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
    Ok(Database {
        process,
        url: format!("{server}/tsms"),
    })
}

/// Starts Redis, empty, in `folder`.
pub(super) async fn start_redis(folder: &Path) -> Result<(Process, SocketAddr), BenchError> {
    let server = find("redis-server", "redis-server")?;
    let address = spare_address()?;
    let mut command = Command::new(server);
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .arg("--dir")
        .arg(folder)
        .args(REDIS_OPTIONS);
    let mut process = Process::start("redis", true, &command, folder)?;
    let deadline = Instant::now() + START;
    while let Err(error) = redis_info::ping(address).await {
        process.check()?;
        if Instant::now() > deadline {
            return Err(error.into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok((process, address))
}
