//! Child processes of a bench: started quietly, measured through `/proc`, gone when the bench is.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::process::Child;

use super::BenchError;

/// `/proc` counts processor time in hundredths of a second on every Linux.
const MS_PER_TICK: u64 = 10;

/// How long a process may take to end after SIGTERM.
const LAST_WORDS: Duration = Duration::from_secs(40);

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// A running child process.
pub(super) struct Process {
    /// What it is called in tables.
    pub(super) name: String,
    /// Whether it is part of what is measured, rather than of the world around it.
    pub(super) ours: bool,
    /// Where its output goes.
    pub(super) log: PathBuf,
    child: Child,
    pid: u32,
}

/// What a process used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processor time, user and system.
    pub(super) cpu_ms: u64,
    /// Most resident memory since the start or since [`Process::forget_peak`].
    pub(super) peak_kib: u64,
    /// Resident memory now.
    pub(super) resident_kib: u64,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_at_once();
    }
}

impl Process {
    /// Starts `command` with its output in `folder`. It ends with the bench, even if that is killed.
    pub(super) fn start(
        name: &str,
        ours: bool,
        command: &Command,
        folder: &Path,
    ) -> Result<Self, BenchError> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let program = command.get_program();
        // The kernel ends the child when its parent is gone, whatever the parent died of.
        let mut guarded = Command::new("setpriv");
        guarded
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(key, value),
                None => guarded.env_remove(key),
            };
        }
        guarded
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        // Ctrl-C is for the bench, which then ends its children in order.
        std::os::unix::process::CommandExt::process_group(&mut guarded, 0);
        let child = tokio::process::Command::from(guarded)
            .spawn()
            .map_err(|error| BenchError::Missing("setpriv".to_owned(), "util-linux", error))?;
        let pid = child.id().unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            ours,
            log,
            child,
            pid,
        })
    }

    /// Ends it at once, and waits, so that nobody writes any more into a folder that goes next.
    fn end_at_once(&mut self) {
        if self.child.start_kill().is_err() {
            return;
        }
        let deadline = Instant::now() + GONE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Fails if it has ended, with the end of what it said.
    pub(super) fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(BenchError::Ended(self.name.clone(), status, self.last_words())),
        }
    }

    /// The last lines of its output.
    pub(super) fn last_words(&self) -> String {
        const LINES: usize = 8;
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Asks it to end, and waits; a process that does not is killed.
    pub(super) async fn stop(mut self) -> Result<(), BenchError> {
        let pid = self.pid.to_string();
        let asked = tokio::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await?;
        if !asked.success() || tokio::time::timeout(LAST_WORDS, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }

    /// What it used so far; zeros once it is gone.
    pub(super) fn usage(&self) -> Usage {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.pid));
        let cpu = read("stat")
            .ok()
            .and_then(|stat| cpu_ms(&stat))
            .unwrap_or_default();
        let status = read("status").unwrap_or_default();
        Usage {
            cpu_ms: cpu,
            peak_kib: kib(&status, "VmHWM:").unwrap_or_default(),
            resident_kib: kib(&status, "VmRSS:").unwrap_or_default(),
        }
    }

    /// Starts the search for the most resident memory anew.
    pub(super) fn forget_peak(&self) -> io::Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5")
    }
}

/// Whether `program` is on the path; the error names the package that brings it.
pub(super) fn find(program: &str, package: &'static str) -> Result<PathBuf, BenchError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(OsStr::new(program)))
        .find(|file| file.is_file());
    found.ok_or_else(|| {
        let error = io::Error::new(io::ErrorKind::NotFound, "not on the PATH");
        BenchError::Missing(program.to_owned(), package, error)
    })
}

/// Processor time that this thread used so far.
pub(super) fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// User and system time out of `/proc/<pid>/stat`. The name of the program may hold anything, so
/// fields are counted from its closing parenthesis.
fn cpu_ms(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * MS_PER_TICK)
}

/// A figure out of `/proc/<pid>/status`.
fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_proc_are_read() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 3 0 55 1000 200 0";
        assert_eq!(cpu_ms(stat), Some(1680));
        assert_eq!(cpu_ms("nonsense"), None);
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(kib(status, "VmHWM:"), Some(2048));
        assert_eq!(kib(status, "VmRSS:"), Some(1024));
        assert_eq!(kib(status, "VmSwap:"), None);
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let error = find("tsms-no-such-program", "a-package").unwrap_err().to_string();
        assert!(
            error.contains("tsms-no-such-program") && error.contains("a-package"),
            "{error}"
        );
    }
}
