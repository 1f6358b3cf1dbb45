//! One source of jobs under the sweeper: where it stands between rounds, and a round of it.

use super::{
    SweepError, enqueue_due,
    pages::{self, Cursor, Source, Window},
    plan::{Memory, Plan},
};
use crate::{config, domain::time::Timestamp, queue::Queue, stage::Stage, store::Store};

/// What the sweeper knows of one source. Kept in memory only: a new sweeper starts at the marks.
pub(super) struct Line {
    source: Source,
    memory: Memory,
    /// A pass that goes on in the next round.
    pass: Option<Pass>,
    /// Where the next page starts; at the mark when `None`.
    place: Option<Place>,
}

#[derive(Clone, Copy)]
struct Pass {
    before: Timestamp,
    delayed: u64,
    started: Timestamp,
}

#[derive(Clone, Copy)]
struct Place {
    cursor: Cursor,
    /// Where the mark is, as far as this sweeper knows. Found elsewhere, it stays, and so does what is behind
    /// it: a redrive may have brought back rows that were seen as finished.
    mark: i64,
    /// Whether every row between the mark and here is finished, so that the mark may follow.
    unbroken: bool,
}

/// What a round is to do.
struct Order {
    pass: Pass,
    pages: usize,
    /// Whether rows are left to delayed jobs where there are enough of those.
    spare: bool,
}

impl Line {
    pub(super) const fn new(source: Source, now: Timestamp) -> Self {
        Self {
            source,
            memory: Memory::new(now),
            pass: None,
            place: None,
        }
    }

    /// The stage that takes the jobs.
    pub(super) const fn stage(&self) -> Stage {
        self.source.stage()
    }

    /// Enqueues all that is unfinished, into a queue that is empty; gives how many jobs that were. They
    /// are remembered as those of a round are, so that no round adds them again while they wait.
    pub(super) async fn begin(
        &mut self,
        store: &Store,
        queue: &Queue,
        settings: &config::Sweeper,
    ) -> Result<u64, SweepError> {
        let jobs = enqueue_due(store, queue, settings, self.source).await;
        self.memory.pushed(Timestamp::now());
        jobs
    }

    /// One round; gives how many jobs were enqueued again. After an error the next round starts where
    /// this one did.
    pub(super) async fn round(
        &mut self,
        store: &Store,
        queue: &Queue,
        settings: &config::Sweeper,
    ) -> Result<usize, SweepError> {
        let now = Timestamp::now();
        let grace = settings.grace_ms.duration();
        let Some(order) = self.order(now, queue, settings).await? else {
            return Ok(0);
        };
        let window = Window {
            before: order.pass.before,
            mark_before: now.minus(settings.mark_lag_ms.duration()),
            limit: settings.page,
        };
        let mut place = match self.place {
            Some(place) => place,
            None => {
                let cursor = pages::start(store, self.source).await?;
                let mark = match cursor {
                    Cursor::Id(id) => id,
                    Cursor::Due(..) => 0, // these have none
                };
                Place {
                    cursor,
                    mark,
                    unbroken: true,
                }
            }
        };
        let (mut jobs, mut finished_to, mut more) = (Vec::new(), None, true);
        for _ in 0..order.pages.max(1) {
            let page = pages::read(store, self.source, place.cursor, &window).await?;
            if place.unbroken {
                finished_to = page.finished_to.or(finished_to);
            }
            place.unbroken &= page.all_finished;
            place.cursor = page.end;
            more = page.more;
            jobs.extend(page.jobs);
            if !more {
                break;
            }
        }
        if let Some((mark, to)) = pages::mark(self.source).zip(finished_to)
            && to > place.mark
        {
            place.unbroken &= store.set_mark(mark, place.mark, to).await?;
            place.mark = to;
        }
        let found = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
        let mut pushed = 0;
        if found > if order.spare { order.pass.delayed } else { 0 } {
            pushed = jobs.len();
            queue.push(self.stage(), jobs).await?;
            self.memory.pushed(Timestamp::now());
        }
        self.place = more.then_some(place);
        self.pass = (more && order.spare).then_some(order.pass);
        if !more {
            self.memory.passed(order.pass.started, Timestamp::now(), grace);
        }
        Ok(pushed)
    }

    async fn order(
        &mut self,
        now: Timestamp,
        queue: &Queue,
        settings: &config::Sweeper,
    ) -> Result<Option<Order>, SweepError> {
        let order = |before, delayed, started, pages, spare| Order {
            pass: Pass {
                before,
                delayed,
                started,
            },
            pages,
            spare,
        };
        if let Some(pass) = self.pass {
            let pages = settings.pages_per_round;
            return Ok(Some(order(pass.before, pass.delayed, pass.started, pages, true)));
        }
        let depth = queue.depth(self.stage()).await?;
        Ok(
            match self.memory.plan(now, &depth, settings.grace_ms.duration()) {
                Plan::Rest => None,
                Plan::Sweep { before, delayed } => {
                    Some(order(before, delayed, now, settings.pages_per_round, true))
                }
                Plan::Page { before } => Some(order(before, 0, now, 1, false)),
            },
        )
    }
}
