//! The jobs that follow from a void or refund, on their way to the queue: as with submissions, a
//! convenience. What is not enqueued here the sweeper finds.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::enqueue;
use crate::{
    domain::{reversal::Reversal, time::Timestamp, work::AuditEvent},
    queue::{Job, Queue},
    stage::Stage,
    telemetry::metrics,
    workers,
};

/// The way to the queue. Its tasks end when the last clone of it is gone and all is pushed.
#[derive(Clone)]
pub(super) struct PassOn {
    forwarding: mpsc::Sender<Vec<Job>>,
    audit: mpsc::Sender<Vec<Job>>,
}

impl PassOn {
    /// At most `most` sets wait for each stage.
    pub(super) fn start(queue: &Queue, most: usize) -> Self {
        let line = |stage| {
            let (sender, sets) = mpsc::channel(most.max(1));
            let queue = queue.clone();
            tokio::spawn(enqueue::run(sets, most.max(1), move |jobs| {
                let queue = queue.clone();
                async move { queue.push(stage, jobs).await }
            }));
            sender
        };
        Self {
            forwarding: line(Stage::Forwarding),
            audit: line(Stage::Audit),
        }
    }

    /// Hands on what follows from a reversal that was committed now.
    pub(super) fn reversed(&self, reversal: &Reversal, request_id: &str) {
        let now = Timestamp::now();
        let events = [
            Some(AuditEvent::reversed(reversal)),
            AuditEvent::reversal_delivered(reversal),
        ];
        let events: Vec<AuditEvent> = events.into_iter().flatten().collect();
        hand(
            &self.audit,
            workers::audit_job(&events, request_id, now).into_iter().collect(),
        );
        if let (Some(sale), None) = (reversal.sale_id, reversal.settled_at) {
            let job = Job {
                key: sale,
                tenant_id: reversal.tenant_id,
                attempt: 0,
                enqueued_at: now,
                request_id: request_id.to_owned(),
                body: Bytes::new(),
            };
            hand(&self.forwarding, vec![job]);
        }
    }
}

fn hand(to: &mpsc::Sender<Vec<Job>>, jobs: Vec<Job>) {
    let count = jobs.len();
    if to.try_send(jobs).is_err() {
        metrics::enqueue_left_to_sweeper(count);
    }
}
