//! `tsms top` in a terminal of its own: it takes the screen, and gives it back however it ends.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    pty::{Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Pid,
};

use crate::run::Shell;

const DEADLINE: Duration = Duration::from_secs(30);
const ENTERED: &str = "\u{1b}[?1049h";
const LEFT: &str = "\u{1b}[?1049l";
const CURSOR: &str = "\u{1b}[?25h";

/// A command in a pseudo-terminal, and what it wrote there.
struct Screen {
    child: Child,
    keyboard: File,
    /// Kept open to ask how the terminal is set.
    terminal: OwnedFd,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Screen {
    fn start(shell: &Shell, args: &[&str]) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let stream = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = shell.command(args);
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().unwrap();
        let keyboard = File::from(pty.master);
        let mut screen = keyboard.try_clone().unwrap();
        let (told, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                if told.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            terminal: pty.slave,
            output,
            seen: String::new(),
        }
    }

    fn until(&mut self, words: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.seen.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{words:?} was not written: {:?}", self.seen)
                }
            }
        }
    }

    /// Whether lines are edited and shown by the terminal, as a shell has it.
    fn is_as_before(&self) -> bool {
        let flags = tcgetattr(&self.terminal).unwrap().local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// How a person or a supervisor ends it.
enum End {
    Signal(Signal),
    Keys(&'static [u8]),
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    for end in [
        End::Signal(Signal::SIGINT),
        End::Signal(Signal::SIGTERM),
        End::Signal(Signal::SIGHUP),
        End::Keys(b"q"),
        End::Keys(b"\x03"),
    ] {
        let shell = Shell::new();
        let mut screen = Screen::start(&shell, &["top", "--every", "1", "--metrics", "127.0.0.1:1"]);
        // Nothing runs here: what cannot be read is on the screen, and it goes on.
        screen.until("cannot read the queues");
        screen.until("cannot read the record");
        assert!(screen.seen.contains(ENTERED), "{:?}", screen.seen);
        assert!(!screen.seen.contains(LEFT) && !screen.is_as_before());
        match end {
            End::Signal(signal) => {
                let pid = Pid::from_raw(i32::try_from(screen.child.id()).unwrap());
                kill(pid, signal).unwrap();
            }
            End::Keys(keys) => screen.keyboard.write_all(keys).unwrap(),
        }
        screen.until(LEFT);
        screen.until(CURSOR);
        let status = screen.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", screen.seen);
        assert!(screen.is_as_before());
    }
}

#[test]
fn refreshing_stops_and_goes_on() {
    let shell = Shell::new();
    let mut screen = Screen::start(&shell, &["top", "--every", "1", "--metrics", "127.0.0.1:1"]);
    screen.until("cannot read the queues");
    screen.keyboard.write_all(b"p").unwrap();
    screen.until("stopped, p goes on");
    screen.keyboard.write_all(b"pq").unwrap();
    screen.until(LEFT);
    assert_eq!(screen.child.wait().unwrap().code(), Some(0));
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let shell = Shell::new();
    let ended = shell.tsms(&["top"]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(ended.err.contains("tsms top --once"), "{}", ended.err);
    for every in ["0", "61"] {
        assert_eq!(shell.tsms(&["top", "--once", "--every", every]).code, 2);
    }
}

#[test]
fn what_is_nowhere_is_told_in_text_and_in_json() {
    let shell = Shell::new();
    let args = ["top", "--every", "1", "--metrics", "127.0.0.1:1"];
    let once = shell.tsms(&[&args[..], &["--once"]].concat());
    assert_eq!(once.code, 3, "{}{}", once.out, once.err);
    assert!(once.out.contains("rates with the next look"), "{}", once.out);
    assert!(once.err.contains("cannot read the record"), "{}", once.err);
    let told = shell.tsms(&[&args[..], &["--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told["errors"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(told["rates_over_seconds"], serde_json::Value::Null);
    assert_eq!(told["queues"].as_array().unwrap().len(), 5);
}
