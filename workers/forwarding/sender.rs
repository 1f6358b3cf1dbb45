//! Sends the batches of a set side by side, each sale at most twice.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{
    super::{Ctx, schedule::Budget},
    answer::Ruling,
    batches::Batch,
    ends::{self, Ended},
    traced::{Sent, Traced},
    tried::{self, Tried},
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
        let (started, sent_at) = (Instant::now(), Timestamp::now());
        let traced = Traced::begin(self.traces_of(&items));
        let origin = Origin {
            request_id: requests.first().copied().unwrap_or_default(),
            trace: traced.told(),
        };
        let Answered {
            ruling,
            answer,
            too_large,
        } = sink.post(&envelope, origin).await;
        let took = started.elapsed();
        sink.learn(items.len(), took, &ruling, too_large);
        permit.tell(ruling.health(), ruling.outcome()).await;
        metrics::forward_attempt(ruling.outcome(), items.len(), took);
        if let Some(tracer) = &self.ctx.tracer {
            let sent = Sent {
                at: sent_at,
                sink: sink.name(),
                batch_id: &envelope.batch_id,
                tenant_id: batch.tenant_id,
                sales: items.len(),
                outcome: ruling.outcome(),
                failed: matches!(ruling, Ruling::Later { .. } | Ruling::Refused { .. }),
                status: answer.as_ref().map(|(status, _)| *status),
            };
            traced.end(tracer, &sent);
        }
        tracing::info!(
            batch_id = envelope.batch_id,
            sink = sink.name(),
            tenant_id = batch.tenant_id,
            sales = items.len(),
            outcome = ruling.outcome(),
            took_ms = took.as_millis(),
            request_ids = requests.join(","),
            trace_id = origin.trace.map(TraceContext::trace_id),
            "batch sent"
        );
        let tried = Tried {
            sink: sink.name().to_owned(),
            batch_id: envelope.batch_id,
            sales: items.len(),
            sent_at,
            took,
            answer,
            request: envelope.body,
            digests: OnceLock::new(),
        };
        Attempt::Judged {
            ruling,
            tried: Arc::new(tried),
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

    /// The traces that the sales are a part of, in the order of the batch.
    fn traces_of(&self, items: &[&Item]) -> impl Iterator<Item = TraceContext> {
        (items.iter())
            .filter_map(|item| self.jobs.get(&item.id()))
            .filter_map(|job| trace::context(&job.request_id))
    }
}

/// What came of sending a batch.
pub(super) enum Attempt {
    /// There was no time left to send it within the time limit of the set.
    NotReached,
    /// The breaker is open.
    BreakerOpen { open: Duration },
    /// It was sent.
    Judged { ruling: Ruling, tried: tried::Shared },
}
