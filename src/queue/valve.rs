//! How much of a queue a pool takes at present: the width may change while it runs, and it may be shut.
//!
//! The reader asks before it takes a set, so that a pool that is shut holds no jobs; the sets that run
//! are counted, so that a narrower width is reached as soon as running ones end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

/// Sets that the average of their time goes over.
const AVERAGED: u64 = 16;

/// What a pool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Sets of jobs worked on at the same time.
    pub width: usize,
    /// Take nothing; what runs goes on to its end.
    pub shut: bool,
}

/// Controls a running pool; cheap to clone.
#[derive(Clone, Debug)]
pub struct Valve(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    flow: Arc<watch::Sender<Flow>>,
    /// The pool beside, whose width does not change whatever the flow says.
    beside: Option<Beside>,
    /// Sets taken and not ended: those that run and the one that waits.
    taken: AtomicUsize,
    /// Sets that run.
    running: AtomicUsize,
    /// How long sets of late took, on the average.
    set_micros: AtomicU64,
    ended: Arc<Notify>,
}

/// What a pool beside another one knows of it.
#[derive(Debug)]
struct Beside {
    width: usize,
    main: Valve,
}

impl Valve {
    /// Open, `width` sets wide.
    #[must_use]
    pub fn new(width: usize) -> Self {
        let flow = Flow { width, shut: false };
        Self(Arc::new(Inner {
            flow: Arc::new(watch::Sender::new(flow)),
            beside: None,
            taken: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            set_micros: AtomicU64::new(0),
            ended: Arc::default(),
        }))
    }

    /// A valve of a pool beside this one, always `width` sets wide, that is shut with this one and takes
    /// nothing while this one has a place free: two pools that wait for the same jobs only halve their sets.
    pub(super) fn beside(&self, width: usize) -> Self {
        Self(Arc::new(Inner {
            flow: Arc::clone(&self.0.flow),
            beside: Some(Beside {
                width,
                main: self.clone(),
            }),
            taken: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            set_micros: AtomicU64::new(0),
            ended: Arc::clone(&self.0.ended),
        }))
    }

    /// Changes what the pool may do, from the next set on.
    pub fn set(&self, flow: Flow) {
        self.0.flow.send_if_modified(|now| {
            let changed = *now != flow;
            *now = flow;
            changed
        });
        self.0.ended.notify_waiters();
    }

    /// What the pool may do at present.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let flow = *self.0.flow.borrow();
        Flow {
            width: self.0.beside.as_ref().map_or(flow.width, |beside| beside.width),
            ..flow
        }
    }

    /// Waits until a further set may be taken: as many as may run, and one more `ahead`.
    pub(super) async fn may_take(&self, ahead: bool) {
        let room = |inner: &Inner, flow: Flow| {
            let most = flow.width.max(1).saturating_add(usize::from(ahead));
            let needed = inner.beside.as_ref().is_none_or(|beside| beside.main.is_full());
            !flow.shut && needed && inner.taken.load(Ordering::SeqCst) < most
        };
        self.when(room).await;
    }

    /// Whether as many sets are taken as may run.
    fn is_full(&self) -> bool {
        self.0.taken.load(Ordering::SeqCst) >= self.flow().width.max(1)
    }

    /// Waits until the valve is shut.
    pub(super) async fn shut(&self) {
        self.when(|_, flow| flow.shut).await;
    }

    /// A set was taken.
    pub(super) fn took(&self) {
        self.0.taken.fetch_add(1, Ordering::SeqCst);
        if self.0.beside.is_none() && self.is_full() {
            // The pool beside is needed now.
            self.0.ended.notify_waiters();
        }
    }

    /// A set took this long.
    pub(super) fn ended_after(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let average = |before: u64| Some(before - before / AVERAGED + took / AVERAGED);
        // It cannot fail: the closure never refuses.
        self.0
            .set_micros
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, average)
            .ok();
    }

    /// How long sets of late took, on the average.
    pub(super) fn set_time(&self) -> Duration {
        Duration::from_micros(self.0.set_micros.load(Ordering::Relaxed))
    }

    /// The pool was built anew: what it had taken comes back by its leases.
    pub(super) fn forget(&self) {
        self.0.taken.store(0, Ordering::SeqCst);
        self.0.ended.notify_waiters();
    }

    /// A set that was taken comes to work; it has ended when this is dropped.
    pub(super) fn begin(&self) -> Taken {
        Taken {
            valve: self.clone(),
            runs: false,
        }
    }

    async fn when(&self, ready: impl Fn(&Inner, Flow) -> bool) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            // Listening begins before looking, so that no change in between is missed.
            ended.as_mut().enable();
            if ready(&self.0, self.flow()) {
                return;
            }
            ended.await;
        }
    }
}

/// A set that was taken.
pub(super) struct Taken {
    valve: Valve,
    runs: bool,
}

impl Taken {
    /// Waits for a place among the running sets.
    pub(super) async fn run(&mut self) {
        loop {
            let place = |inner: &Inner, flow: Flow| inner.running.load(Ordering::SeqCst) < flow.width.max(1);
            self.valve.when(place).await;
            let width = self.valve.flow().width.max(1);
            let running = &self.valve.0.running;
            let got = running.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                (count < width).then_some(count + 1)
            });
            if got.is_ok() {
                self.runs = true;
                return;
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let inner = &self.valve.0;
        let fewer = |count: usize| Some(count.saturating_sub(1));
        // Neither update can fail: the closure never refuses.
        if self.runs {
            inner
                .running
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
                .ok();
        }
        inner
            .taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
            .ok();
        inner.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn now(wait: impl Future<Output = ()>) -> bool {
        wait.now_or_never().is_some()
    }

    #[test]
    fn the_time_of_sets_is_an_average() {
        let valve = Valve::new(1);
        assert_eq!(valve.set_time(), Duration::ZERO);
        let set = Duration::from_micros(6_400);
        for _ in 0..200 {
            valve.ended_after(set);
        }
        assert!((6_300..6_500).contains(&valve.set_time().as_micros()));
        valve.ended_after(Duration::from_micros(22_400));
        assert!(
            (7_300..7_500).contains(&valve.set_time().as_micros()),
            "a sixteenth of the rest"
        );
        for _ in 0..20 {
            valve.ended_after(Duration::MAX);
        }
        assert!(valve.set_time() > set, "it is bounded where it is used");
    }

    #[tokio::test]
    async fn the_width_bounds_what_is_taken_and_what_runs() {
        let valve = Valve::new(1);
        assert!(now(valve.may_take(true)));
        valve.took();
        assert!(now(valve.may_take(true)), "one more is kept at hand");
        assert!(!now(valve.may_take(false)), "unless nothing is");
        valve.took();
        assert!(!now(valve.may_take(true)));
        let (mut first, mut second) = (valve.begin(), valve.begin());
        assert!(now(first.run()));
        assert!(!now(second.run()), "the width is 1");
        valve.set(Flow {
            width: 2,
            shut: false,
        });
        assert!(now(second.run()));
        assert!(now(valve.may_take(true)));
        valve.set(Flow {
            width: 1,
            shut: false,
        });
        assert!(!now(valve.may_take(true)));
        drop((first, second));
        assert!(now(valve.may_take(false)));
        assert_eq!(valve.0.running.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_shut_valve_lets_nothing_in_and_opens_again() {
        let valve = Valve::new(2);
        valve.set(Flow { width: 2, shut: true });
        assert!(!now(valve.may_take(true)));
        assert!(now(valve.shut()));
        let waits = tokio::spawn({
            let valve = valve.clone();
            async move { valve.may_take(true).await }
        });
        tokio::task::yield_now().await;
        valve.set(Flow {
            width: 2,
            shut: false,
        });
        waits.await.unwrap();
        assert!(!now(valve.shut()));
        let beside = valve.beside(1);
        valve.set(Flow { width: 9, shut: true });
        assert_eq!(beside.flow(), Flow { width: 1, shut: true });
    }

    #[tokio::test]
    async fn a_pool_beside_takes_only_while_the_other_one_is_full() {
        let valve = Valve::new(2);
        let beside = valve.beside(1);
        valve.took();
        let waits = tokio::spawn({
            let beside = beside.clone();
            async move { beside.may_take(false).await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished(), "the other pool has a place");
        valve.took();
        waits.await.unwrap();
        beside.took();
        assert!(!now(beside.may_take(false)), "its own width is 1");
        let taken = beside.begin();
        drop(taken);
        assert!(now(beside.may_take(false)));
        drop(valve.begin());
        assert!(!now(beside.may_take(false)), "a place is free again");
    }
}
