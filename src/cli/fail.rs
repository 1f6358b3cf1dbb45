//! How a command fails: one sentence for a person, one exit code for a script.

use std::{fmt, io, process::ExitCode};

use tsms::{
    config::ConfigError, fleet::FleetError, queue::QueueError, scheduler::sweeper::SweepError,
    store::StoreError,
};

/// The exit codes; `tsms --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Unexpected = 1,
    Usage = 2,
    Database = 3,
    Queue = 4,
    Missing = 5,
    Failed = 6,
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    words: String,
    /// The reader of standard output went away, as `head` does: nothing to complain about.
    quiet: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, words: impl Into<String>) -> Self {
        Self {
            exit,
            words: words.into(),
            quiet: false,
        }
    }

    pub(super) fn usage(words: impl Into<String>) -> Self {
        Self::new(Exit::Usage, words)
    }

    /// Says why, as a log event where logging has started, else as a plain line.
    #[expect(
        clippy::print_stderr,
        reason = "the one place that tells a person why a command failed"
    )]
    pub(super) fn report(&self) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        if tracing::dispatcher::has_been_set() {
            let exit_code = self.exit as u8;
            tracing::error!(exit_code, reason = self.words, "tsms ends");
        } else {
            eprintln!("tsms: {}", self.words);
        }
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let count = error.0.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        Self::usage(format!(
            "the settings have {count} {noun}:\n  {}",
            error.0.join("\n  ")
        ))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Unavailable(_) => Exit::Database,
            StoreError::Exists(_) | StoreError::Missing(_) => Exit::Missing,
            StoreError::Settings(_) => Exit::Usage,
            StoreError::Unfit(_) | StoreError::Damaged(_) => Exit::Unexpected,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        let exit = match &error {
            QueueError::Unavailable(_) => Exit::Queue,
            QueueError::Settings(_) => Exit::Usage,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Store(error) => error.into(),
            SweepError::Queue(error) => error.into(),
        }
    }
}

impl From<FleetError> for Failure {
    fn from(error: FleetError) -> Self {
        let exit = match &error {
            FleetError::Listen(..) | FleetError::Workers(_) => Exit::Usage,
            FleetError::Signals(_) | FleetError::Ended(..) => Exit::Unexpected,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            quiet: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::new(Exit::Unexpected, error.to_string())
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Exit::Unexpected, error.to_string())
    }
}
