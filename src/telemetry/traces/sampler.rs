//! Which requests are traced. The decision is made once, at the ingress; the flag that travels with the job
//! tells everybody else.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    config::{self, ALL_REQUESTS},
    domain::trace::TraceContext,
};

/// The time over which requests of clients are counted.
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Sampler {
    per_million: u32,
    client_per_s: u32,
    /// When the second that is counted began, and what was let through in it.
    granted: Mutex<(Instant, u32)>,
}

impl Sampler {
    pub(super) fn new(settings: &config::Traces) -> Self {
        Self {
            per_million: settings.sample_per_million,
            client_per_s: settings.client_per_s,
            granted: Mutex::new((Instant::now(), 0)),
        }
    }

    /// A client that has a trace decides whether it is sampled, within the bound: a client must not be able
    /// to have everything recorded. Of the others a part is picked by chance.
    pub(super) fn request(&self, sent: Option<TraceContext>) -> Option<TraceContext> {
        match sent {
            Some(sent) if sent.is_sampled() && !self.grant(Instant::now()) => Some(sent.child().unsampled()),
            Some(sent) => Some(sent.child()),
            None => (rand::random_range(0..ALL_REQUESTS) < self.per_million).then(TraceContext::root),
        }
    }

    /// Whether one more client may have its request traced at `now`.
    fn grant(&self, now: Instant) -> bool {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(granted.0) >= SECOND {
            *granted = (now, 0);
        }
        let free = granted.1 < self.client_per_s;
        granted.1 += u32::from(free);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn sampler(per_million: u32, client_per_s: u32) -> Sampler {
        let settings = Layers::read(None, Vec::new()).unwrap().config().unwrap().traces;
        Sampler::new(&config::Traces {
            sample_per_million: per_million,
            client_per_s,
            ..settings
        })
    }

    #[test]
    fn all_or_none_or_about_a_part_is_picked() {
        let picked = |per_million| {
            let sampler = sampler(per_million, 0);
            (0..10_000)
                .filter_map(|_| sampler.request(None))
                .inspect(|step| assert!(step.is_sampled()))
                .count()
        };
        assert_eq!((picked(0), picked(ALL_REQUESTS)), (0, 10_000));
        let half = picked(ALL_REQUESTS / 2);
        assert!(
            (4_000..6_000).contains(&half),
            "{half}: twenty standard deviations"
        );
    }

    #[test]
    fn a_client_decides_for_its_own_trace_within_the_bound() {
        let sent = TraceContext::root();
        let sampler = sampler(ALL_REQUESTS, 3);
        let recorded = (0..10).filter(|_| {
            let step = sampler.request(Some(sent)).unwrap();
            assert_eq!(step.trace_id(), sent.trace_id());
            step.is_sampled()
        });
        let recorded = recorded.count();
        // A slow machine may see more than one second go by.
        assert!((3..10).contains(&recorded), "{recorded}");
        let not = sampler.request(Some(sent.unsampled())).unwrap();
        assert!(!not.is_sampled(), "what the client does not record, nobody does");
    }

    #[test]
    fn every_second_has_its_own_share() {
        let sampler = sampler(0, 2);
        let start = Instant::now() + SECOND;
        let at = |millis| start + Duration::from_millis(millis);
        let granted = [0, 1, 2, 999, 1000, 1001, 1002].map(|millis| sampler.grant(at(millis)));
        assert_eq!(granted, [true, true, false, false, true, true, false]);
        let none = self::sampler(0, 0);
        assert!(!none.grant(at(5000)));
    }
}
