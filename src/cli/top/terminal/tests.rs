//! Which keys mean what, and that a panic leaves the terminal as it was. The other ends are tried with the
//! whole program, in `tests/cli/top.rs`.

use std::{
    fs::File,
    io::Read as _,
    process::{Command, Stdio},
};

use nix::{
    pty::openpty,
    sys::termios::{LocalFlags, tcgetattr},
};

use super::*;

/// Has the test below panic in a process of its own.
const PANICS: &str = "TSMS_TEST_TOP_PANICS";

#[test]
fn few_keys_mean_something() {
    let key = |code, modifiers| order(&Event::Key(KeyEvent::new(code, modifiers)));
    let plain = KeyModifiers::NONE;
    assert_eq!(key(KeyCode::Char('q'), plain), Some(Order::Quit));
    assert_eq!(key(KeyCode::Esc, plain), Some(Order::Quit));
    assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Order::Quit));
    assert_eq!(key(KeyCode::Char('p'), plain), Some(Order::Pause));
    assert_eq!(key(KeyCode::Char('c'), plain), None);
    assert_eq!(order(&Event::Resize(80, 24)), None);
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_speaks() {
    if std::env::var_os(PANICS).is_some() {
        let _taken = Taken::take().unwrap();
        panic!("in the middle of it");
    }
    let pty = openpty(None, None).unwrap();
    let stream = || Stdio::from(pty.slave.try_clone().unwrap());
    let name = "cli::top::terminal::tests::a_panic_gives_the_terminal_back_before_it_speaks";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture"])
        .env(PANICS, "1")
        .env("RUST_BACKTRACE", "0");
    command.stdin(stream()).stdout(stream()).stderr(stream());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut screen = File::from(pty.master);
    let mut shown = Vec::new();
    let mut bytes = [0; 4096];
    // What it writes fits the buffer of the terminal several times over.
    assert!(!child.wait().unwrap().success());
    let flags = tcgetattr(&pty.slave).unwrap().local_flags;
    assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO));
    drop(pty.slave);
    while let Ok(length @ 1..) = screen.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..length]);
    }
    let shown = String::from_utf8_lossy(&shown);
    let place = |words: &str| {
        shown
            .find(words)
            .unwrap_or_else(|| panic!("no {words:?} in {shown:?}"))
    };
    assert!(place("[?1049h") < place("[?1049l"));
    assert!(place("[?1049l") < place("in the middle of it"), "{shown:?}");
}
