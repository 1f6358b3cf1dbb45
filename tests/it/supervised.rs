//! What a service manager is told by a role: ready, alive, stopping.

use std::{os::unix::net::UnixDatagram, process::Command, time::Duration};

use crate::{
    servers::Guarded,
    world::{DEADLINE, config_text},
};

/// The next message of those that are waited for; others are passed over.
fn heard(socket: &UnixDatagram, wanted: &str) {
    let mut buffer = [0; 512];
    loop {
        let bytes = socket
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("no {wanted}: {error}"));
        let said = String::from_utf8_lossy(&buffer[..bytes]);
        if said.lines().any(|line| line == wanted) {
            return;
        }
    }
}

#[test]
fn a_service_manager_hears_that_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let database = format!("sqlite:{}", folder.path().join("tsms.db").display());
    let file = folder.path().join("tsms.toml");
    let nobody = "127.0.0.1:9".parse().unwrap();
    std::fs::write(&file, config_text(&database, "memory:", nobody, "")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsms"));
    command
        .current_dir(folder.path())
        .env_clear()
        .env("NOTIFY_SOCKET", &path)
        .env(
            "WATCHDOG_USEC",
            Duration::from_millis(300).as_micros().to_string(),
        )
        .arg("--config")
        .arg(&file)
        .arg("up");
    let mut child = Guarded::start(&command);
    for wanted in ["READY=1", "WATCHDOG=1", "WATCHDOG=1"] {
        heard(&socket, wanted);
    }
    let status = child.terminate();
    heard(&socket, "STOPPING=1");
    assert_eq!(status, 0, "{}", child.said());
}
