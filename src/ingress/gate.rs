//! Back-pressure: a submission is refused when the work before it would keep it waiting too long.
//!
//! One task of the process samples how much waits and how fast it is worked off; a request only reads
//! what the task found. Two lines are watched: the validation queue, with all the ingresses before it
//! and all the workers behind it, and this process's own commits. A line closes when the wait is above
//! one bound and opens again when it is below a smaller one, so the gate does not flap. What cannot be
//! sampled is open: a submission that is accepted is in the record, whatever the queue does.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::commit::Committer;
use crate::{
    config::{self, GateMode, Millis},
    queue::{Progress, Queue},
    stage::Stage,
    telemetry::metrics,
};

/// Samples over which the rate of the queue is measured.
const SAMPLES: usize = 20;

/// How long the queue server may take for a sample.
const SAMPLE_LIMIT: Duration = Duration::from_secs(1);

/// What a request reads: the predicted wait in milliseconds of the line that is closed, 0 when none is.
pub(super) struct Gate {
    mode: GateMode,
    wait: AtomicU64,
}

impl Gate {
    pub(super) fn new(settings: &config::Gate) -> Self {
        Self {
            mode: settings.mode,
            wait: AtomicU64::new(0),
        }
    }

    /// How long the next submission would wait, if that is too long to take it.
    pub(super) fn refuses(&self) -> Option<Duration> {
        let wait = self.wait.load(Ordering::Relaxed);
        if wait == 0 {
            return None;
        }
        let refused = self.mode == GateMode::Enforce;
        metrics::gate_decision(refused);
        refused.then(|| Duration::from_millis(wait))
    }
}

/// One line: whether it is closed, and how long it makes wait.
struct Line {
    name: &'static str,
    close: Duration,
    open: Duration,
    closed: bool,
}

impl Line {
    fn new(name: &'static str, close: Millis, open: Millis) -> Self {
        Self {
            name,
            close: close.duration(),
            open: open.duration(),
            closed: false,
        }
    }

    /// Takes note of a predicted wait; the wait in milliseconds if the line is closed now, else 0.
    fn judge(&mut self, wait: Duration, mode: GateMode) -> u64 {
        let closed = wait >= if self.closed { self.open } else { self.close };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        if closed != self.closed {
            tracing::warn!(line = self.name, closed, wait_ms, ?mode, "back-pressure");
        }
        self.closed = closed;
        metrics::gate(self.name, wait, closed);
        if closed { wait_ms.max(1) } else { 0 }
    }
}

/// How fast the queue was worked off lately.
#[derive(Default)]
struct Pace(VecDeque<(Instant, Progress)>);

impl Pace {
    fn sampled(&mut self, at: Instant, progress: Progress) {
        // A smaller count than before is another queue: the server lost the old one.
        if self.0.back().is_some_and(|(_, last)| progress.added < last.added) {
            self.0.clear();
        }
        self.0.push_back((at, progress));
        while self.0.len() > SAMPLES {
            self.0.pop_front();
        }
    }

    /// How long what is left will take at the pace of the samples: jobs left ÷ jobs a second. Fewer
    /// than `least` jobs are no backlog. With a backlog that does not move, `stuck`.
    fn wait(&self, least: u64, stuck: Duration) -> Duration {
        let (Some((began, first)), Some((ended, last))) = (self.0.front(), self.0.back()) else {
            return Duration::ZERO;
        };
        let span = ended.saturating_duration_since(*began);
        if last.left < least || span.is_zero() {
            return Duration::ZERO;
        }
        let came = last.added.saturating_sub(first.added);
        let done = first.left.saturating_add(came).saturating_sub(last.left);
        if done == 0 {
            return stuck;
        }
        let micros = span.as_micros().saturating_mul(u128::from(last.left)) / u128::from(done);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).min(stuck)
    }
}

/// Samples both lines until `stop`.
pub(super) async fn watch(
    gate: Arc<Gate>,
    queue: Queue,
    committer: Committer,
    settings: config::Gate,
    stop: CancellationToken,
) {
    let mut turn = interval(settings.sample_ms.duration());
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut validation = Line::new("validation", settings.close_ms, settings.open_ms);
    let mut commit = Line::new("commit", settings.commit_close_ms, settings.commit_open_ms);
    let mut pace = Pace::default();
    // What does not move at all waits for ever; this is as good as for ever, and no other wait is longer.
    let stuck = settings.close_ms.duration().saturating_mul(2);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turn.tick() => {}
        }
        match timeout(SAMPLE_LIMIT, queue.progress(Stage::Validation)).await {
            Ok(Ok(progress)) => pace.sampled(Instant::now(), progress),
            Ok(Err(_)) | Err(_) => pace = Pace::default(),
        }
        let waits = [
            validation.judge(pace.wait(settings.least_jobs, stuck), settings.mode),
            commit.judge(committer.ahead(), settings.mode),
        ];
        gate.wait
            .store(waits.into_iter().max().unwrap_or_default(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> config::Gate {
        config::Gate {
            mode: GateMode::Enforce,
            sample_ms: Millis::new(100),
            close_ms: Millis::new(10_000),
            open_ms: Millis::new(5_000),
            commit_close_ms: Millis::new(2_000),
            commit_open_ms: Millis::new(1_000),
            least_jobs: 10,
        }
    }

    fn pace(samples: &[(u64, u64, u64)]) -> Pace {
        let began = Instant::now();
        let mut pace = Pace::default();
        for (second, left, added) in samples.iter().copied() {
            let progress = Progress { left, added };
            pace.sampled(began + Duration::from_secs(second), progress);
        }
        pace
    }

    fn wait(samples: &[(u64, u64, u64)]) -> u64 {
        let stuck = Duration::from_secs(20);
        pace(samples).wait(10, stuck).as_secs()
    }

    #[test]
    fn the_wait_is_what_is_left_by_the_rate_of_work() {
        assert_eq!(wait(&[]), 0, "nothing is known");
        assert_eq!(wait(&[(0, 500, 500)]), 0, "no rate is known");
        // 100 a second came, 50 a second were done; 750 are left.
        assert_eq!(wait(&[(0, 500, 500), (5, 750, 1000)]), 15);
        assert_eq!(wait(&[(0, 500, 500), (5, 750, 750)]), 20, "nobody works");
        assert_eq!(wait(&[(0, 9, 9), (5, 9, 9)]), 0, "no backlog");
        assert_eq!(wait(&[(0, 500, 500), (5, 0, 1000)]), 0);
        assert_eq!(
            wait(&[(0, 5000, 9000), (1, 700, 800), (2, 600, 800)]),
            6,
            "a lost queue"
        );
    }

    #[test]
    fn the_rate_is_that_of_late() {
        // A slow start long ago no longer counts.
        let mut samples = vec![(0, 1000, 1000)];
        samples.extend((0..=SAMPLES as u64).map(|n| (100 + n, 1000, 1000 + n * 100)));
        assert_eq!(wait(&samples), 10);
    }

    #[test]
    fn a_line_closes_late_and_opens_late() {
        let mut line = Line::new("validation", settings().close_ms, settings().open_ms);
        let waits = [9_999, 10_000, 9_000, 5_000, 4_999, 9_999, 10_000];
        let judged = waits.map(|ms| line.judge(Duration::from_millis(ms), GateMode::Enforce));
        assert_eq!(judged, [0, 10_000, 9_000, 5_000, 0, 0, 10_000]);
    }

    #[test]
    fn an_observing_gate_refuses_nobody() {
        for (mode, refused) in [(GateMode::Observe, None), (GateMode::Enforce, Some(7))] {
            let gate = Gate::new(&config::Gate { mode, ..settings() });
            assert_eq!(gate.refuses(), None);
            gate.wait.store(7000, Ordering::Relaxed);
            assert_eq!(gate.refuses(), refused.map(Duration::from_secs));
        }
    }
}
