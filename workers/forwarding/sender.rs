//! Sends the batches of a set side by side, each sale at most twice.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{Ctx, schedule::Budget},
    answer::Ruling,
    batches::Batch,
    ends::{self, Ended},
    webapp::{Answered, Origin, WebApp},
};
use crate::{
    domain::{
        forward::{Envelope, Item},
        time::Timestamp,
        trace::{self, TraceContext},
    },
    queue::Job,
    telemetry::metrics,
};

/// What the batches of a set share while they are sent side by side.
pub(super) struct Sender<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) budget: Budget,
    pub(super) jobs: &'a HashMap<i64, Job>,
    /// Where the sales of each tenant go.
    pub(super) sinks: &'a HashMap<i64, Arc<WebApp>>,
}

impl Sender<'_> {
    /// Sends a batch, and halves of it where it is refused; at most two POSTs a sale.
    pub(super) async fn deliver(&self, batch: Batch) -> Vec<Ended> {
        let mut ended = Vec::with_capacity(batch.parcels.len());
        let mut open = vec![batch];
        while let Some(part) = open.pop() {
            match self.attempt(&part).await {
                Attempt::Judged {
                    ruling: Ruling::Refused { .. },
                    ..
                } if part.parcels.len() > 1 => {
                    let (first, second) = part.halves();
                    open.extend([second, first]);
                }
                attempt => ended.extend(ends::of(part, attempt)),
            }
        }
        ended
    }

    async fn attempt(&self, batch: &Batch) -> Attempt {
        let Some(sink) = self.sinks.get(&batch.tenant_id) else {
            return Attempt::NotReached;
        };
        let Some(_call) = sink.lane.call().await else {
            return Attempt::NotReached;
        };
        if !self.budget.left_for(sink.timeout) || !self.ctx.sinks.still(batch.tenant_id, sink).await {
            return Attempt::NotReached;
        }
        let Some(permit) = self.ctx.breakers.permit(sink.name(), sink.timeout).await else {
            return Attempt::BreakerOpen {
                open: self.ctx.config.forwarding.breaker_open_ms.duration(),
            };
        };
        let items: Vec<&Item> = batch.parcels.iter().map(|parcel| &parcel.item).collect();
        let requests = self.requests_of(&items);
        let envelope = Envelope::new(batch.tenant_id, &items, &requests, Timestamp::now());
        let started = Instant::now();
        let origin = Origin {
            request_id: requests.first().copied().unwrap_or_default(),
            trace: self.trace_of(&items),
        };
        let Answered { ruling, too_large } = sink.post(&envelope, origin).await;
        sink.learn(items.len(), started.elapsed(), &ruling, too_large);
        permit.tell(ruling.health(), ruling.outcome()).await;
        metrics::forward_attempt(ruling.outcome(), items.len(), started.elapsed());
        tracing::info!(
            batch_id = envelope.batch_id,
            sink = sink.name(),
            tenant_id = batch.tenant_id,
            sales = items.len(),
            outcome = ruling.outcome(),
            took_ms = started.elapsed().as_millis(),
            request_ids = requests.join(","),
            trace_id = origin.trace.map(TraceContext::trace_id),
            "batch sent"
        );
        Attempt::Judged {
            batch_id: envelope.batch_id,
            ruling,
        }
    }

    /// The requests that brought the sales in, each once, in the order of the batch.
    fn requests_of(&self, items: &[&Item]) -> Vec<&str> {
        let mut seen = HashSet::new();
        items
            .iter()
            .filter_map(|item| self.jobs.get(&item.id()))
            .map(|job| trace::request_id(&job.request_id))
            .filter(|request| !request.is_empty() && seen.insert(*request))
            .collect()
    }

    /// Our step in the trace of the first sale that is a part of one.
    fn trace_of(&self, items: &[&Item]) -> Option<TraceContext> {
        items
            .iter()
            .filter_map(|item| self.jobs.get(&item.id()))
            .find_map(|job| trace::context(&job.request_id))
            .map(TraceContext::child)
    }
}

/// What came of sending a batch.
pub(super) enum Attempt {
    /// There was no time left to send it within the time limit of the set.
    NotReached,
    /// The breaker is open.
    BreakerOpen { open: Duration },
    /// It was sent.
    Judged { batch_id: String, ruling: Ruling },
}
