//! `systemctl` where there is no systemd: a script on the person's `PATH` passes the call on to the test, which
//! has the processes. It knows the units of `config/deploy/systemd/` and the servers, and start, stop, restart,
//! and `show --property MainPID --value`.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::{procfile::Processes, server::Database};

/// Puts the script into a folder.
pub(crate) fn install(folder: &Path, address: SocketAddr) {
    let script = folder.join("systemctl");
    fs::write(
        &script,
        format!("#!/bin/sh\nwords=$(printf '%s+' \"$@\")\nexec curl -sS --fail-with-body \"http://{address}/$words\"\n"),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What it looks after beside the fleet.
#[derive(Default)]
pub(crate) struct Supervisor {
    /// The database, where this site has one of its own.
    pub(crate) database: Option<Database>,
}

impl Supervisor {
    /// Does what one call asks for.
    pub(crate) async fn serve(&mut self, socket: TcpStream, fleet: &mut Processes) {
        let mut socket = BufReader::new(socket);
        let mut request = String::new();
        socket.read_line(&mut request).await.unwrap();
        let mut line = String::new();
        while socket.read_line(&mut line).await.unwrap() > "\r\n".len() {
            line.clear();
        }
        let words = request
            .split(' ')
            .nth(1)
            .unwrap()
            .trim_matches(['/', '+'])
            .split('+');
        let words: Vec<&str> = words.collect();
        let (status, answer) = match self.obey(&words, fleet).await {
            Some(answer) => ("200 OK", answer),
            None => ("404 Not Found", format!("systemctl: not here: {words:?}\n")),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
            answer.len()
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
    }

    async fn obey(&mut self, words: &[&str], fleet: &mut Processes) -> Option<String> {
        match words {
            ["start" | "restart", "redis-server"] => fleet.redis.restart(),
            ["start" | "restart", "mariadb"] => self.database.as_mut()?.restart(),
            ["start", unit] => start(fleet, &process(unit)?).await,
            ["stop", unit] => stop(fleet, &process(unit)?),
            ["restart", unit] => {
                let process = process(unit)?;
                stop(fleet, &process);
                start(fleet, &process).await;
            }
            ["show", "--property", "MainPID", "--value", unit] => {
                let running = &fleet.running.get(&process(unit)?)?.guarded;
                return Some(format!("{}\n", running.pid()));
            }
            _ => return None,
        }
        Some(String::new())
    }
}

/// The process of a unit of `config/deploy/systemd/`.
fn process(unit: &str) -> Option<String> {
    let name = unit.strip_prefix("tsms-")?;
    Some(format!("{}.1", name.strip_prefix("worker@").unwrap_or(name)))
}

async fn start(fleet: &mut Processes, process: &str) {
    fleet.launch(process);
    fleet.ready(process).await;
}

/// Ends it with SIGTERM where it runs.
fn stop(fleet: &mut Processes, process: &str) {
    let running = &mut fleet.running.get_mut(process).unwrap().guarded;
    if running.runs() {
        assert_eq!(running.terminate(), 0, "{process}: {}", running.said());
    }
}
