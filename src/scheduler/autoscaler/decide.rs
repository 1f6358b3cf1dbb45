//! What the autoscaler makes of one look at a queue. No clock and no input but its arguments.
//!
//! It moves slowly and in small steps, and does not flap: what counts as a backlog and what counts as
//! none lie apart, each must last, and a width that turned out to be too little is tried again only after
//! a wait that doubles each time.

use std::time::Duration;

use crate::{
    config::{Autoscaler, Span},
    domain::time::Timestamp,
    store::Load,
};

/// One look at a queue.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Sets at a time in one process, as it is set.
    pub width: u64,
    /// Jobs that wait.
    pub ready: u64,
    /// Worker processes that are alive.
    pub processes: u64,
    /// How busy the busiest of them is.
    pub load: Load,
    /// Whether a person holds the queue.
    pub paused: bool,
    /// Until then a person has set the width.
    pub pinned_until: Timestamp,
    /// The widest that the connections to the database carry.
    pub ceiling: u64,
}

/// Why a queue with a backlog is not widened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// It is as wide as its span allows.
    Span,
    /// The connections to the database would not suffice.
    Connections,
    /// The processors are busy: more sets would not be faster.
    Cpu,
    /// The memory is used up.
    Memory,
    /// The processes wait for connections already.
    Pool,
    /// A person has set the width and it holds.
    Pinned,
}

impl Obstacle {
    /// In a sentence after "it is not widened because".
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Obstacle::Span => "it is as wide as its span allows; start another process",
            Obstacle::Connections => "the database takes no more connections",
            Obstacle::Cpu => "the processors are busy; start another process on another machine",
            Obstacle::Memory => "the memory is used up; start another process on another machine",
            Obstacle::Pool => "its sets wait for connections already; raise database.max_connections",
            Obstacle::Pinned => "a person has set the width",
        }
    }
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// All is well, or it is too early to tell.
    Stay,
    /// The width should change.
    Move {
        /// To this many sets.
        becomes: u64,
        /// For the history.
        why: String,
    },
    /// It should be as wide as `wants` and may not.
    Short {
        /// Sets that it would be given.
        wants: u64,
        /// What is in the way.
        obstacle: Obstacle,
    },
}

/// What is remembered of a queue between two looks.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    backlog_since: Option<Timestamp>,
    idle_since: Option<Timestamp>,
    /// Whether the last move made it narrower.
    narrowed: bool,
    /// The width that was too little when it was last tried.
    too_little: Option<u64>,
    /// How often the wait before it is tried again has doubled.
    doublings: u32,
}

impl Watch {
    /// Looks at the queue.
    pub fn step(&mut self, rules: &Autoscaler, span: Span, seen: &Seen) -> Step {
        if seen.processes == 0 || seen.paused {
            (self.backlog_since, self.idle_since) = (None, None);
            return Step::Stay;
        }
        lasting(&mut self.backlog_since, seen.ready > rules.widen_jobs, seen.at);
        lasting(&mut self.idle_since, seen.ready < rules.narrow_jobs, seen.at);
        let backlog = lasted(self.backlog_since, seen.at, rules.widen_after_ms.duration());
        let patience = self.patience(rules, seen.width);
        let idle = lasted(self.idle_since, seen.at, patience);
        let pinned = seen.pinned_until > seen.at;
        if backlog {
            self.widen(rules, span, seen, pinned)
        } else if pinned {
            Step::Stay
        } else if seen.width > span.max {
            self.moves(span.max, true, "wider than its span".to_owned())
        } else if seen.width < span.min && span.min <= seen.ceiling {
            self.moves(span.min, false, "narrower than its span".to_owned())
        } else if idle && seen.width > span.min {
            let why = format!(
                "fewer than {} jobs waited for {} min ({} now)",
                rules.narrow_jobs,
                patience.as_secs() / 60,
                seen.ready
            );
            // What was too little is not so any more; perhaps one less is.
            if self.too_little.is_some_and(|width| width >= seen.width) {
                self.too_little = Some(seen.width - 1);
                self.doublings = self.doublings.saturating_sub(1);
            }
            self.moves(seen.width - 1, true, why)
        } else {
            Step::Stay
        }
    }

    fn widen(&mut self, rules: &Autoscaler, span: Span, seen: &Seen, pinned: bool) -> Step {
        let wants = seen.width.saturating_add((seen.width / 2).max(1));
        let becomes = wants.clamp(span.min, span.max).min(seen.ceiling);
        let over = |used: u64, percent: u64| used > percent.saturating_mul(10);
        let obstacle = if pinned {
            Some(Obstacle::Pinned)
        } else if seen.width >= span.max {
            Some(Obstacle::Span)
        } else if over(seen.load.cpu, rules.cpu_percent) {
            Some(Obstacle::Cpu)
        } else if over(seen.load.memory, rules.memory_percent) {
            Some(Obstacle::Memory)
        } else if over(seen.load.pool, rules.pool_percent) {
            Some(Obstacle::Pool)
        } else if becomes <= seen.width || becomes < span.min {
            Some(Obstacle::Connections)
        } else {
            None
        };
        if let Some(obstacle) = obstacle {
            return Step::Short { wants, obstacle };
        }
        // Two up here and one down there: a load that sways about a width is met by ever longer waits.
        if self.too_little.is_none_or(|width| width <= seen.width) {
            self.too_little = Some(seen.width);
            let more = if self.narrowed { 2 } else { 0 };
            self.doublings = (self.doublings + more).clamp(1, rules.most_doublings.max(1));
        }
        let why = format!(
            "more than {} jobs waited for {} s ({} now)",
            rules.widen_jobs,
            rules.widen_after_ms.duration().as_secs(),
            seen.ready
        );
        self.moves(becomes, false, why)
    }

    /// How long there must be nothing to do before `width` is made narrower by one.
    fn patience(&self, rules: &Autoscaler, width: u64) -> Duration {
        let wait = rules.narrow_after_ms.duration();
        if self
            .too_little
            .is_none_or(|little| little < width.saturating_sub(1))
        {
            return wait;
        }
        wait.saturating_mul(
            1_u32
                .checked_shl(self.doublings.min(rules.most_doublings))
                .unwrap_or(u32::MAX),
        )
    }

    /// What waited counts from the beginning after a move, so that it can show what it did.
    fn moves(&mut self, becomes: u64, narrowed: bool, why: String) -> Step {
        self.narrowed = narrowed;
        (self.backlog_since, self.idle_since) = (None, None);
        Step::Move { becomes, why }
    }
}

/// Since when something is so, at a look that finds it `so`.
fn lasting(since: &mut Option<Timestamp>, so: bool, now: Timestamp) {
    *since = so.then(|| since.unwrap_or(now));
}

fn lasted(since: Option<Timestamp>, now: Timestamp, long: Duration) -> bool {
    since.is_some_and(|since| now.since(since) >= long)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
