//! The stages of a sale, in the order it passes them: the one table of names, classes and successors.
//!
//! Everything that needs a stage's name (queue keys, metric labels, config sections, the command
//! line, the Procfile) takes it from here. Widths, time limits and retry schedules are operator
//! settings and live in `config/default.toml` under `[stage.<name>]`.

use std::{fmt, str::FromStr};

/// One queue and the pool of workers behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Checks the facts that need other rows and makes the transaction rows.
    Validation,
    /// Applies the business rules and decides VALID or INVALID.
    Processing,
    /// Posts batches of valid sales to the web application.
    Forwarding,
    /// Appends one hash-chained row per state change.
    Audit,
    /// Tells a terminal the result of its sales.
    Notification,
}

/// How urgent a queue is. Classes never share a pool, so a low one always moves and a high one
/// never waits behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A till or an operator waits for it.
    High,
    /// The main line of work.
    Standard,
    /// May lag behind without anybody noticing for a while.
    Low,
}

/// A row of the stage table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The stage this row describes.
    pub stage: Stage,
    /// Its stable name.
    pub name: &'static str,
    /// Its priority class.
    pub class: Class,
    /// The stages it may hand jobs to.
    pub next: &'static [Stage],
}

/// The table. A new stage is a row here, a file in `workers/` and a test; the compiler lists the
/// other places.
pub const STAGES: [Spec; 5] = [
    Spec {
        stage: Stage::Validation,
        name: "validation",
        class: Class::High,
        next: &[Stage::Processing, Stage::Audit, Stage::Notification],
    },
    Spec {
        stage: Stage::Processing,
        name: "processing",
        class: Class::Standard,
        next: &[Stage::Forwarding, Stage::Audit, Stage::Notification],
    },
    Spec {
        stage: Stage::Forwarding,
        name: "forwarding",
        class: Class::Standard,
        next: &[Stage::Audit],
    },
    Spec {
        stage: Stage::Audit,
        name: "audit",
        class: Class::Low,
        next: &[],
    },
    Spec {
        stage: Stage::Notification,
        name: "notification",
        class: Class::Low,
        next: &[],
    },
];

impl Stage {
    /// Every stage, in the order a sale passes them.
    pub const ALL: [Stage; 5] = [
        Stage::Validation,
        Stage::Processing,
        Stage::Forwarding,
        Stage::Audit,
        Stage::Notification,
    ];

    /// This stage's row of the table.
    #[must_use]
    pub const fn spec(self) -> &'static Spec {
        &STAGES[self as usize]
    }

    /// The stable name: queue key, metric label, config section and command-line word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.spec().name
    }
}

impl Class {
    /// The stable name, used as a metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Class::High => "high",
            Class::Standard => "standard",
            Class::Low => "low",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The word given is not the name of a stage.
#[derive(Debug, thiserror::Error)]
#[error("no stage is called {0:?}; the stages are validation, processing, forwarding, audit, notification")]
pub struct UnknownStage(String);

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Stage::ALL
            .into_iter()
            .find(|stage| stage.name() == word)
            .ok_or_else(|| UnknownStage(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_finds_its_own_row() {
        for stage in Stage::ALL {
            assert_eq!(stage.spec().stage, stage);
            assert_eq!(stage.name().parse::<Stage>().unwrap(), stage);
        }
        assert_eq!(STAGES.len(), Stage::ALL.len());
    }

    #[test]
    fn work_only_moves_forward() {
        for spec in STAGES {
            assert!(spec.next.iter().all(|next| *next > spec.stage), "{}", spec.name);
        }
    }
}
