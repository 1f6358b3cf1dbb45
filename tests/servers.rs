//! The helpers that start servers for other tests do what those tests rely on.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/servers.rs"]
mod servers;

use std::{net::TcpListener, process::Command};

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
