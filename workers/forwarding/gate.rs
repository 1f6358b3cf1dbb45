//! Which jobs of a set are worked on now. The others are put back before anything of them is claimed: their
//! sink cannot be used, or is stuck, or they waited before and more of them would crowd out what is new.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{super::schedule::jittered, left::Left, sinks::Routes, webapp::WebApp};
use crate::{outcome::Verdict, queue::Job};

/// How long sales wait, at most, before it is looked again whether their sink takes them.
const WAIT: Duration = Duration::from_secs(10);
/// The same of sales whose sink is stuck.
const STUCK: Duration = Duration::from_secs(5);
/// How long, at least, a late sale waits for its turn; doubled each time it comes back, so that a large backlog
/// costs little while it waits.
const TURN: Duration = Duration::from_secs(1);
/// Most doublings.
const TURN_DOUBLINGS: u32 = 5;

/// What becomes of the jobs of a set.
pub(super) struct Gate<'a> {
    /// Where the sales of each tenant go.
    pub(super) sinks: HashMap<i64, Arc<WebApp>>,
    pub(super) sendable: Vec<&'a Job>,
    /// For each job of the set why it is put back, if it is.
    pub(super) waits: Vec<Option<Verdict>>,
}

/// The jobs of one sink in a set.
struct Group<'r> {
    sink: &'r Arc<WebApp>,
    stuck: bool,
    fresh: usize,
    late: usize,
}

/// Whether a job has waited before.
const fn is_late(job: &Job) -> bool {
    job.attempt > 0
}

/// Sorts the jobs of a set. A stuck sink matters only where there are others.
pub(super) fn open<'a>(jobs: &'a [Job], routes: &Routes, left: &Left) -> Gate<'a> {
    let mut groups: HashMap<&str, Group<'_>> = HashMap::new();
    for job in jobs {
        let Ok(sink) = routes.of(job.tenant_id) else {
            continue;
        };
        let group = groups.entry(sink.name()).or_insert_with(|| Group {
            sink,
            stuck: !routes.is_lone() && sink.lane.is_stuck(),
            fresh: 0,
            late: 0,
        });
        if is_late(job) {
            group.late += 1;
        } else {
            group.fresh += 1;
        }
    }
    for group in groups.values_mut().filter(|group| !group.stuck && group.late > 0) {
        group.late = group.sink.lane.admit(group.fresh, group.late);
    }
    let mut gate = Gate {
        sinks: HashMap::new(),
        sendable: Vec::with_capacity(jobs.len()),
        waits: Vec::with_capacity(jobs.len()),
    };
    let back = |from, to, code| {
        let after = jittered(from, to);
        Some(Verdict::Retry { after, code })
    };
    for job in jobs {
        if let Some(verdict) = left.again(job.key) {
            gate.waits.push(Some(verdict));
            continue;
        }
        let found = routes.of(job.tenant_id);
        let group = found.and_then(|sink| groups.get_mut(sink.name()).ok_or("no_sink"));
        let wait = match group {
            Err(code) => back(WAIT / 2, WAIT, code),
            Ok(group) if group.stuck => back(STUCK / 2, STUCK, "sink_stuck"),
            Ok(group) if is_late(job) && group.late == 0 => {
                let longest = TURN.saturating_mul(2 << job.attempt.min(TURN_DOUBLINGS));
                back(TURN, longest, "late_share")
            }
            Ok(group) => {
                if is_late(job) {
                    group.late -= 1;
                }
                let sink = || Arc::clone(group.sink);
                gate.sinks.entry(job.tenant_id).or_insert_with(sink);
                gate.sendable.push(job);
                None
            }
        };
        gate.waits.push(wait);
    }
    gate
}
