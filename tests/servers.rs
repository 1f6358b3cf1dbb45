//! The helpers that start servers for other tests do what those tests rely on.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/servers.rs"]
mod servers;

use std::{
    fs::File,
    io::Read as _,
    net::TcpListener,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use servers::{Guarded, Redis, spare_port};

#[test]
fn redis_keeps_its_data_over_kill_9_and_forgets_on_flush() {
    let mut redis = Redis::start();
    assert_eq!(redis.command("SET sale 1"), "+OK");
    redis.kill9();
    assert!(std::net::TcpStream::connect(("127.0.0.1", redis.port())).is_err());
    redis.restart();
    assert_eq!(redis.command("GET sale"), "$1");
    redis.flush_all();
    assert_eq!(redis.command("GET sale"), "$-1");
}

#[test]
fn spare_ports_are_free_and_never_handed_out_twice() {
    let ports: Vec<u16> = (0..20).map(|_| spare_port()).collect();
    let listeners = ports.iter().map(|port| TcpListener::bind(("127.0.0.1", *port)));
    assert_eq!(listeners.filter_map(Result::ok).count(), 20);
}

#[test]
fn a_program_tells_its_lines_and_its_exit() {
    let mut program = Guarded::start(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 7"]));
    program.wait_line(|line| line == "one");
    program.wait_line(|line| line == "two");
    assert_eq!(program.wait_exit(), 7);
}

#[test]
fn a_program_ends_when_it_is_told_and_when_the_guard_is_let_go() {
    let mut told = Guarded::start(Command::new("sleep").arg("1000"));
    assert_eq!(told.terminate(), 128 + 15);

    // The end of the guard's standard input is all that is left of a test that was killed.
    let let_go = Guarded::start(Command::new("sleep").arg("1000"));
    let pid = nix::unistd::Pid::from_raw(let_go.pid());
    drop(let_go);
    assert!(nix::sys::signal::kill(pid, None::<Signal>).is_err());
}

/// Names the pipe that the child of the test process below holds open.
const PIPE: &str = "TSMS_TEST_PIPE";

#[test]
fn a_program_ends_when_the_test_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "holds_a_program_until_it_is_killed"])
        .env(PIPE, &pipe)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // Opens when the program opens its end, reads to the end when the program is gone.
        let mut held = File::open(pipe).unwrap();
        tell.send("held").unwrap();
        held.read_to_end(&mut Vec::new()).unwrap();
        tell.send("gone").unwrap();
    });
    let patience = Duration::from_secs(30);
    assert_eq!(told.recv_timeout(patience), Ok("held"));
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    assert_eq!(told.recv_timeout(patience), Ok("gone"));
}

#[test]
#[ignore = "the other half of the test above"]
fn holds_a_program_until_it_is_killed() {
    let Ok(pipe) = std::env::var(PIPE) else {
        return;
    };
    let holds = Guarded::start(Command::new("sh").args(["-c", "exec sleep 1000 9>\"$0\"", &pipe]));
    thread::park_timeout(Duration::from_secs(60));
    drop(holds);
}
