//! One set under way: its claim is worked off, several batches at a time, and the ends are committed as they
//! come, whether or not the set still waits for them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::time::{Instant, interval_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::{
    super::{
        Ctx,
        schedule::{Budget, Schedule},
    },
    batches::{self, Batch, Parcel},
    ends::{self, End, Ended},
    left::UNDER_WAY,
    sender::Sender,
    webapp::WebApp,
};
use crate::{
    domain::{forward::Item, reversal::Reversal, sale::ForwardState, time::Timestamp, work::AuditEvent},
    outcome::Verdict,
    queue::Job,
    stage::Stage,
    store::{Claim, ForwardItem, Settled, StoreError, Try},
    telemetry::metrics::{self, ReversalState},
};

/// Shortest time after which a job looks again at a sale that another claim holds.
const HELD_AT_LEAST: Duration = Duration::from_millis(100);

/// The verdict on a job whose sale another one of the same set has taken.
const CLAIMED_ELSEWHERE: Verdict = Verdict::Retry {
    after: HELD_AT_LEAST,
    code: "claimed_elsewhere",
};

/// Longest time that a sale waits for others to be settled with it.
const SETTLE_AFTER: Duration = Duration::from_millis(100);

/// Renews a claim three times in its length for as long as it is polled. Where the record is away the
/// claim may run out; the sales are then sent twice at worst, with the same ids.
async fn renew(ctx: &Ctx, token: i64, sold: &[i64], reversed: &[i64]) -> Infallible {
    let hold = ctx.config.forwarding.claim_ms.duration();
    let mut turn = interval_at(Instant::now() + hold / 3, hold / 3);
    loop {
        turn.tick().await;
        let until = Timestamp::now().plus(hold);
        let renewed = match ctx.store.renew_forwards(token, sold, until).await {
            Ok(()) => ctx.store.renew_reversals(token, reversed, until).await,
            failed => failed,
        };
        if let Err(error) = renewed {
            tracing::warn!(%error, sales = sold.len() + reversed.len(), "cannot renew a claim");
        }
    }
}

/// One set under way.
pub(super) struct Run {
    ctx: Ctx,
    token: i64,
    jobs: Arc<HashMap<i64, Job>>,
    /// Where the sales of each tenant go.
    sinks: Arc<HashMap<i64, Arc<WebApp>>>,
    budget: Budget,
    schedule: Schedule,
    /// The sales of the claim.
    claimed: HashSet<i64>,
    found: Arc<Mutex<Found>>,
}

/// What came of a set so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) verdicts: HashMap<i64, Verdict>,
    pub(super) next: Vec<(Stage, Job)>,
}

/// What a set has when it ends.
pub(super) struct Finished {
    verdicts: HashMap<i64, Verdict>,
    /// The sales of the claim.
    claimed: HashSet<i64>,
    /// What follows, of sets before it too.
    pub(super) next: Vec<(Stage, Job)>,
    /// The verdict on jobs of the claim that have none of their own.
    again: Verdict,
}

impl Finished {
    /// The verdict on the next job that names a sale. The first one takes the verdict on the sale; a second
    /// one, and one whose sale is under way, comes back to look.
    pub(super) fn verdict(&mut self, sale: i64) -> Verdict {
        match self.verdicts.remove(&sale) {
            Some(verdict) => verdict,
            None if self.claimed.contains(&sale) => self.again.clone(),
            None => Verdict::Done,
        }
    }
}

impl Run {
    pub(super) fn new(ctx: &Ctx, jobs: &[&Job], sinks: HashMap<i64, Arc<WebApp>>, claim: &Claim) -> Self {
        let settings = &ctx.config.forwarding;
        let limit = ctx.config.pool(Stage::Forwarding).timeout_ms.duration();
        let now = Timestamp::now();
        let held = claim.held.iter().map(|(id, end)| {
            let after = end.since(now).max(HELD_AT_LEAST);
            (
                *id,
                Verdict::Retry {
                    after,
                    code: "claimed_elsewhere",
                },
            )
        });
        Self {
            ctx: ctx.clone(),
            token: claim.token,
            jobs: Arc::new(jobs.iter().map(|job| (job.key, (*job).clone())).collect()),
            sinks: Arc::new(sinks),
            budget: Budget::new(limit, Duration::ZERO),
            schedule: Schedule {
                min: settings.retry_min_ms.duration(),
                max: settings.retry_max_ms.duration(),
                max_attempts: settings.max_attempts,
            },
            claimed: claim.items.iter().map(|item| item.row.id).collect(),
            found: Arc::new(Mutex::new(Found {
                verdicts: held.collect(),
                next: Vec::new(),
            })),
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the claim until its end, for at most `patience` if there is one. What is under way then goes
    /// on by itself: the claim is renewed and every end committed, and the jobs come back to look. What a set
    /// leaves to be enqueued after its own end is taken along by the next one.
    ///
    /// # Errors
    /// The record cannot be reached.
    pub(super) async fn finish(
        self,
        claim: Claim,
        patience: Option<Duration>,
    ) -> Result<Finished, StoreError> {
        let (claimed, found) = (self.claimed.clone(), Arc::clone(&self.found));
        let left = self.ctx.left.clone();
        let mut task = AbortOnDropHandle::new(tokio::spawn(self.hold(claim).in_current_span()));
        let ended = match patience {
            None => Some((&mut task).await),
            Some(patience) => tokio::time::timeout(patience, &mut task).await.ok(),
        };
        let again = match ended {
            Some(_) => CLAIMED_ELSEWHERE,
            None => UNDER_WAY,
        };
        match ended {
            Some(Ok(worked)) => worked?,
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => tracing::warn!(%error, "a set was broken off"),
            },
            None => left.adopt(task, claimed.clone(), Arc::clone(&found)),
        }
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = std::mem::take(&mut found.next);
        next.extend(left.take());
        Ok(Finished {
            verdicts: std::mem::take(&mut found.verdicts),
            claimed,
            next,
            again,
        })
    }

    /// Works on the claim and renews it meanwhile.
    async fn hold(self, claim: Claim) -> Result<(), StoreError> {
        let (reversed, sold): (Vec<&ForwardItem>, Vec<&ForwardItem>) =
            claim.items.iter().partition(|item| item.reversals.is_some());
        let ids = |items: Vec<&ForwardItem>| items.iter().map(|item| item.row.id).collect();
        let (sold, reversed): (Vec<i64>, Vec<i64>) = (ids(sold), ids(reversed));
        tokio::select! {
            worked = self.work_off(claim.items) => worked,
            never = renew(&self.ctx, claim.token, &sold, &reversed) => match never {},
        }
    }

    /// Sends what was claimed, several batches at a time, and commits the ends as they come.
    async fn work_off(&self, items: Vec<ForwardItem>) -> Result<(), StoreError> {
        let settings = &self.ctx.config.forwarding;
        let terminals = self
            .ctx
            .directory
            .terminals(items.iter().map(|item| item.row.terminal_id))
            .await?;
        let mut parcels = Vec::with_capacity(items.len());
        let mut unwritable = Vec::new();
        for claimed in items {
            let from = terminals.get(&claimed.row.terminal_id).map(AsRef::as_ref);
            let item = match &claimed.reversals {
                None => Item::new(&claimed.row, from),
                Some(reversals) => Item::reversed(&claimed.row, from, &reversals.refunds),
            };
            match item {
                Ok(item) => parcels.push(Parcel { item, claimed }),
                Err(error) => unwritable.push(Ended {
                    claimed,
                    end: End::Dead {
                        code: "record_damaged",
                        detail: error.to_string(),
                    },
                    tried: None,
                }),
            }
        }
        self.settle(unwritable).await?;
        let sender = Sender {
            ctx: &self.ctx,
            budget: self.budget,
            jobs: &self.jobs,
            sinks: &self.sinks,
        };
        let size = |tenant| self.sinks.get(&tenant).map_or(1, |sink| sink.batch_size());
        // Each sink has its own places, so that one that hangs holds up no other's batches.
        let mut by_sink: BTreeMap<&str, Vec<Batch>> = BTreeMap::new();
        for batch in batches::build(parcels, size) {
            let name = self.sinks.get(&batch.tenant_id).map_or("", |sink| sink.name());
            by_sink.entry(name).or_default().push(batch);
        }
        let lanes = by_sink.into_values().map(|batches| {
            stream::iter(batches)
                .map(|batch| sender.deliver(batch))
                .buffer_unordered(settings.parallel.max(1))
        });
        let mut ends = stream::select_all(lanes);
        // Ends are committed together, but never wait long for a batch that hangs.
        let mut waiting = Vec::new();
        // A first turn at once would be a timer that every set waits a millisecond for.
        let mut turn = interval_at(Instant::now() + SETTLE_AFTER, SETTLE_AFTER);
        loop {
            tokio::select! {
                ended = ends.next() => match ended {
                    Some(ended) => waiting.extend(ended),
                    None => break,
                },
                _ = turn.tick() => self.settle(std::mem::take(&mut waiting)).await?,
            }
        }
        self.settle(waiting).await
    }

    /// Commits ends and keeps what follows from them.
    async fn settle(&self, ended: Vec<Ended>) -> Result<(), StoreError> {
        if ended.is_empty() {
            return Ok(());
        }
        let now = Timestamp::now();
        let mut settled = Vec::with_capacity(ended.len());
        let mut events = Vec::new();
        let mut reversed = Vec::new();
        let mut verdicts = Vec::with_capacity(ended.len());
        self.keep_tries(&ended).await;
        for Ended { claimed, end, .. } in ended {
            let (tenant_id, id) = (claimed.row.tenant_id, claimed.row.id);
            let returns = self.jobs.get(&id).map_or(0, |job| job.attempt);
            let longest = self.ctx.config.forwarding.max_age_ms.duration();
            let end = match claimed.reversals {
                None => end.aged(now.since(claimed.created_at), longest),
                Some(_) => end,
            };
            let (settle, verdict) = end.settle(id, claimed.attempt, returns, now, &self.schedule);
            verdicts.push((id, verdict));
            if let Some(reversals) = claimed.reversals {
                reversed.push((reversals.claimed, settle));
                continue;
            }
            if let Some(state) = ends::state(&settle) {
                events.extend(AuditEvent::delivered(tenant_id, id, state, now));
            }
            settled.push(settle);
        }
        self.settle_reversals(reversed, now).await?;
        let overtaken = self.ctx.store.settle_forwards(self.token, &settled).await?;
        self.found().verdicts.extend(verdicts);
        if overtaken > 0 {
            // Which ones is not known here, so no event is made of a state that may not be in the
            // record: the sweeper makes them from the rows.
            tracing::warn!(sales = overtaken, "claims ran out before the sales were settled");
            return Ok(());
        }
        for event in events {
            self.audit(event.transaction_id, event, now);
        }
        Ok(())
    }

    /// The same for voids and refunds, with the end of each sale.
    async fn settle_reversals(
        &self,
        ended: Vec<(Vec<Reversal>, Settled)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ends: Vec<Settled> = ended.iter().map(|(_, end)| end.clone()).collect();
        let overtaken = self.ctx.store.settle_reversals(self.token, &ends).await?;
        for (reversals, end) in ended {
            let Some(state) = ends::state(&end) else {
                continue;
            };
            for mut reversal in reversals {
                let sale = reversal.sale_id.unwrap_or(0);
                if overtaken.contains(&sale) {
                    continue;
                }
                reversal.state = state;
                let ended = if state == ForwardState::Forwarded {
                    ReversalState::Forwarded
                } else {
                    ReversalState::Dead
                };
                metrics::reversal(reversal.kind.label(), ended);
                reversal.settled_at = Some(now);
                if let Some(event) = AuditEvent::reversal_delivered(&reversal) {
                    self.audit(sale, event, now);
                }
            }
        }
        Ok(())
    }

    /// Keeps what did not succeed, for whoever looks into it. It decides nothing, so that ends are committed
    /// without it too.
    async fn keep_tries(&self, ended: &[Ended]) {
        let kept = ended.iter().filter_map(|one| {
            let tried = one.tried.as_ref()?;
            tried.kept(one.claimed.row.id, one.claimed.attempt, &one.end)
        });
        let kept: Vec<Try> = kept.collect();
        if kept.is_empty() {
            return;
        }
        if let Err(error) = self.ctx.store.keep_tries(&kept).await {
            tracing::warn!(%error, tries = kept.len(), "tries to forward could not be kept");
        }
    }

    /// Passes an event on, with the request of the job that named the sale.
    fn audit(&self, sale: i64, event: AuditEvent, now: Timestamp) {
        let cause = self.jobs.get(&sale);
        let request_id = cause.map_or("", |job| job.request_id.as_str());
        let job = super::super::audit_job(&[event], request_id, now);
        self.found().next.extend(job.map(|job| (Stage::Audit, job)));
    }
}
