//! Servers that a test starts for itself: on spare loopback ports, in folders of their own, ended
//! with the test, even when the test process is killed.
//!
//! Included with `#[path]` by the test binaries that need it.

#![allow(
    dead_code,
    reason = "each test binary that includes this file uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of tests fails the test"
)]

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tempfile::TempDir;

/// How long a server may take to say something that is waited for.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts of a server, each on another port, before it counts as broken.
const STARTS: usize = 5;

/// Lines of output kept.
const LINES: usize = 2000;

/// Ports to hand out: above the registered crowd, below the range the kernel gives to outgoing
/// connections, so that a server can come back on its port.
const PORTS: std::ops::Range<u16> = 18_000..32_000;

/// Runs the program given as arguments and says its process id. Ends it when standard input ends,
/// which happens when the test lets go or dies. Says the exit status when the program ends.
///
/// The watcher stands before a word is said: to talk to a test that is dead already ends the shell.
const GUARD: &str = r#"
exec 3<&0
"$@" </dev/null 2>&1 3<&- &
child=$!
( read -r _ <&3; kill -9 "$child" ) >/dev/null 2>&1 &
watcher=$!
exec 3<&- 2>/dev/null
echo "guard: pid $child"
wait "$child"
echo "guard: exit $?"
kill "$watcher" 2>/dev/null
"#;

/// A loopback port that nothing listens on.
pub(crate) fn spare_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = PORTS.end - PORTS.start;
    // Test binaries that run side by side start at different places.
    let offset = u16::try_from(std::process::id() % u32::from(width)).unwrap();
    for _ in 0..width {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + offset.wrapping_add(step) % width;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no spare port in {PORTS:?}");
}

/// What a program printed.
#[derive(Default)]
struct Output {
    lines: VecDeque<String>,
    /// Lines dropped from the front.
    dropped: usize,
    ended: bool,
}

/// A running program that does not outlive the test.
pub(crate) struct Guarded {
    name: String,
    guard: Child,
    hold: Option<ChildStdin>,
    output: Arc<(Mutex<Output>, Condvar)>,
    /// Lines looked at so far.
    seen: usize,
    pid: Pid,
}

impl Guarded {
    /// Starts `command`: its program, arguments and environment; its streams are taken over.
    pub(crate) fn start(command: &Command) -> Self {
        let mut guarded = Command::new("sh");
        guarded
            .args(["-c", GUARD, "guard"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(name, value),
                None => guarded.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            guarded.current_dir(folder);
        }
        let mut guard = guarded.spawn().expect("sh starts");
        let output = Arc::default();
        let stdout = guard.stdout.take().unwrap();
        thread::spawn({
            let output = Arc::clone(&output);
            move || collect(stdout, &output)
        });
        let mut this = Self {
            name: command.get_program().display().to_string(),
            hold: guard.stdin.take(),
            guard,
            output,
            seen: 0,
            pid: Pid::from_raw(0),
        };
        let line = this.wait_line(|line| line.starts_with("guard: pid "));
        this.pid = Pid::from_raw(line.rsplit(' ').next().unwrap().parse().unwrap());
        // Lines printed before the guard spoke are still to be seen.
        this.seen = 0;
        this
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Waits for a line, among those not looked at yet.
    pub(crate) fn wait_line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        self.next_line(&wanted)
            .unwrap_or_else(|| panic!("{} did not say it; it said:\n{}", self.name, self.said()))
    }

    /// Waits for the end of the program and gives its exit status as a shell tells it: 128 and
    /// the signal where one ended it.
    pub(crate) fn wait_exit(&mut self) -> i32 {
        let line = self.wait_line(|line| line.starts_with("guard: exit "));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Whether it has not ended, as far as the guard has said.
    pub(crate) fn runs(&self) -> bool {
        let output = locked(&self.output.0);
        !output.lines.iter().any(|line| line.starts_with("guard: exit "))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(self.pid, signal).expect("the program is there");
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait_exit(), 128 + 9);
    }

    /// SIGTERM, and waits until it is gone; gives its exit status.
    pub(crate) fn terminate(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.wait_exit()
    }

    /// Everything it printed, as far as it was kept.
    pub(crate) fn said(&self) -> String {
        let output = locked(&self.output.0);
        let lines: Vec<&str> = output.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// `None` when it ended, or the time is up, without the line.
    fn next_line(&mut self, wanted: &dyn Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        let (lock, news) = &*self.output;
        let mut output = locked(lock);
        loop {
            while let Some(line) = output.lines.get(self.seen.saturating_sub(output.dropped)) {
                self.seen = self.seen.max(output.dropped) + 1;
                if wanted(line) {
                    return Some(line.clone());
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if output.ended || left.is_zero() {
                return None;
            }
            (output, _) = news
                .wait_timeout(output, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.hold.take());
        self.guard.wait().expect("the guard ends");
    }
}

fn collect(stdout: ChildStdout, output: &(Mutex<Output>, Condvar)) {
    let (lock, news) = output;
    for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
        let mut output = locked(lock);
        if output.lines.len() == LINES {
            output.lines.pop_front();
            output.dropped += 1;
        }
        output
            .lines
            .push_back(String::from_utf8_lossy(&line).into_owned());
        news.notify_all();
    }
    locked(lock).ended = true;
    news.notify_all();
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A private `redis-server` that keeps every write (`appendfsync always`).
pub(crate) struct Redis {
    folder: TempDir,
    port: u16,
    server: Guarded,
}

impl Redis {
    /// Starts one with no data.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..STARTS {
            let port = spare_port();
            if let Some(server) = run_redis(folder.path(), port) {
                return Self { folder, port, server };
            }
        }
        panic!("redis-server does not start");
    }

    /// The address for `queue.url`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its port, always on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`; it stays away until [`Redis::restart`].
    pub(crate) fn kill9(&mut self) {
        self.server.kill9();
    }

    /// Starts it again on the same port with the same data. It must be gone.
    pub(crate) fn restart(&mut self) {
        self.server = run_redis(self.folder.path(), self.port).expect("redis-server starts again");
    }

    /// Stops it from answering (SIGSTOP) without closing a connection.
    pub(crate) fn freeze(&self) {
        self.server.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after [`Redis::freeze`].
    pub(crate) fn thaw(&self) {
        self.server.signal(Signal::SIGCONT);
    }

    /// Deletes all of its data.
    pub(crate) fn flush_all(&self) {
        assert_eq!(self.command("FLUSHALL"), "+OK");
    }

    /// Sends one inline command and gives the first line of the reply.
    pub(crate) fn command(&self, line: &str) -> String {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut reply = String::new();
        BufReader::new(socket).read_line(&mut reply).unwrap();
        reply.trim_end().to_owned()
    }
}

/// `None` when it ended before it was ready: most likely the port was taken meanwhile.
fn run_redis(folder: &Path, port: u16) -> Option<Guarded> {
    let mut command = Command::new("redis-server");
    let port = port.to_string();
    let options: [&[&dyn AsRef<OsStr>]; 7] = [
        &[&"--port", &port],
        &[&"--bind", &"127.0.0.1"],
        &[&"--dir", &folder],
        &[&"--save", &""],
        &[&"--appendonly", &"yes"],
        &[&"--appendfsync", &"always"],
        &[&"--enable-debug-command", &"local"],
    ];
    command.args(options.into_iter().flatten().map(|word| word.as_ref()));
    let mut server = Guarded::start(&command);
    server
        .next_line(&|line| line.contains("Ready to accept connections"))
        .map(|_| server)
}
