//! When a pool lets jobs gather, so that its sets are fewer and larger.

use std::time::Duration;

/// How much longer than a set a pause is, where that is more than the least: sets then run a third of the time.
const TIMES_A_SET: u32 = 2;

/// When a pool lets jobs gather: after a set that was not full, yet had jobs enough to tell that more are
/// on their way. A job that comes alone makes nobody wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Least jobs of such a set.
    pub from: usize,
    /// For how long at the least; zero takes jobs as they come.
    pub pause: Duration,
    /// For how long at most: sets that take long are followed by longer pauses.
    pub most: Duration,
}

impl Gather {
    /// Jobs are taken as they come.
    pub const NONE: Self = Self {
        from: 1,
        pause: Duration::ZERO,
        most: Duration::ZERO,
    };

    /// How long to wait after a set of `taken` jobs that was not full, where sets of late took `took`: on a machine
    /// that has too much to do they take longer, and larger ones are what leaves it less to do.
    pub(super) fn after(self, taken: usize, took: Duration) -> Option<Duration> {
        let wanted = took.saturating_mul(TIMES_A_SET);
        let pause = wanted.min(self.most).max(self.pause);
        (taken >= self.from && !self.pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        config::Layers,
        domain::time::Timestamp,
        outcome::Verdict,
        queue::{self, Handler, Job, Pool, Valve},
        stage::Stage,
    };

    /// Works for a while and ends the pool.
    #[derive(Clone)]
    struct Last(CancellationToken);

    impl Handler for Last {
        async fn work(&self, jobs: Vec<Job>) -> Vec<Verdict> {
            for _ in 0..10_000 {
                tokio::task::yield_now().await;
            }
            self.0.cancel();
            jobs.iter().map(|_| Verdict::Done).collect()
        }

        async fn parked(&self, _job: Job, _reason: String) {}
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_pause_follows_the_time_of_sets_within_its_bounds() {
        let gather = Gather {
            from: 2,
            pause: ms(4),
            most: ms(20),
        };
        assert_eq!(gather.after(1, ms(9)), None, "it came alone");
        assert_eq!(gather.after(2, ms(0)), Some(ms(4)));
        assert_eq!(gather.after(9, ms(2)), Some(ms(4)));
        assert_eq!(gather.after(9, ms(6)), Some(ms(12)));
        assert_eq!(gather.after(9, Duration::MAX), Some(ms(20)));
        let fixed = Gather {
            most: ms(0),
            ..gather
        };
        assert_eq!(fixed.after(2, ms(6)), Some(ms(4)));
        assert_eq!(Gather::NONE.after(9, ms(6)), None);
    }

    #[tokio::test]
    async fn a_pool_knows_how_long_its_sets_took() {
        let settings = Layers::read(None, Vec::new()).unwrap().config().unwrap().queue;
        let queue = queue::open(&settings).await.unwrap();
        let job = Job {
            key: 1,
            tenant_id: 1,
            attempt: 0,
            enqueued_at: Timestamp::now(),
            request_id: String::new(),
            body: bytes::Bytes::new(),
        };
        queue.push(Stage::Validation, vec![job]).await.unwrap();
        let pool = Pool {
            concurrency: 1,
            express: 0,
            ahead: true,
            batch: 1,
            gather: Gather::NONE,
            lease: ms(3_000),
            max_deliveries: 5,
        };
        let (valve, stop) = (Valve::new(1), CancellationToken::new());
        let last = Last(stop.clone());
        queue
            .work_through(Stage::Validation, pool, &valve, stop, ms(60_000), last)
            .await;
        assert!(valve.set_time() > Duration::ZERO);
    }
}
