//! Carries fates out, those of sets that end within `ack_gather_ms` together, in as few commands as there
//! are kinds of them, and insists until it is done. While it cannot, its channel fills up, the sets that wait
//! to be settled keep their places among the workers, and no more jobs are taken.

use std::sync::Arc;

use ::redis::{RedisResult, pipe};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Life, by_lane,
    keys::GROUP,
    millis,
    outage::{self, Outage},
    scripts::SCRIPTS,
};
use crate::queue::{
    fair::Lane,
    line::{EntryId, Fate, Settled},
};

/// The jobs of one round, by what becomes of them.
#[derive(Default)]
struct Round {
    done: Vec<EntryId>,
    retry: Vec<(EntryId, u64)>,
    park: Vec<(EntryId, String)>,
    back: Vec<EntryId>,
    abandoned: Vec<EntryId>,
}

/// One command's worth of a round, for the jobs of one lane.
enum Step<'a> {
    Done(Lane, &'a [EntryId]),
    Retry(Lane, &'a [(EntryId, u64)]),
    Park(Lane, &'a [(EntryId, String)]),
    Back(Lane, &'a [EntryId]),
}

/// Runs until every sender is gone and everything is carried out.
pub(super) async fn run(life: Arc<Life>, mut settled: mpsc::Receiver<Settled>) {
    let mut outage = life.outage("settle");
    let most = life.settings.ack_batch.max(1);
    while let Some(mut fates) = settled.recv().await {
        // Nobody waits for an acknowledgement: only a crash meanwhile has the jobs done again.
        let end = Instant::now() + life.settings.ack_gather_ms.duration();
        while fates.len() < most
            && let Ok(Some(more)) = timeout_at(end, settled.recv()).await
        {
            fates.extend(more);
        }
        let count = fates.len();
        let round = Round::new(fates);
        for step in round.steps(most) {
            insist(&life, &step, &mut outage).await;
            life.live.settled(step.ids());
        }
        // Nothing to say to the server: without renewal their lease runs out.
        life.live.settled(round.abandoned.iter().copied());
        life.activity.settled(count);
    }
}

async fn insist(life: &Life, step: &Step<'_>, outage: &mut Outage) {
    loop {
        match step.carry_out(life).await {
            Ok(()) => return outage.over(),
            // The server lost everything it had: there is nothing left to settle.
            Err(error) if outage::is_gone(&error) => return,
            Err(error) => sleep(outage.failed(&error)).await,
        }
    }
}

impl Round {
    fn new(fates: Settled) -> Self {
        let mut round = Self::default();
        for (id, fate) in fates {
            match fate {
                Fate::Done => round.done.push(id),
                Fate::Retry(after) => round.retry.push((id, millis(after))),
                Fate::Park(reason) => round.park.push((id, reason)),
                Fate::HandBack => round.back.push(id),
                Fate::Abandon => round.abandoned.push(id),
            }
        }
        round.done.sort_unstable();
        round.retry.sort_unstable();
        round.park.sort_unstable();
        round.back.sort_unstable();
        round
    }

    fn steps(&self, most: usize) -> impl Iterator<Item = Step<'_>> {
        let done = by_lane(&self.done, most).map(|(lane, ids)| Step::Done(lane, ids));
        let retry = by_lane(&self.retry, most).map(|(lane, jobs)| Step::Retry(lane, jobs));
        let park = by_lane(&self.park, most).map(|(lane, jobs)| Step::Park(lane, jobs));
        let back = by_lane(&self.back, most).map(|(lane, ids)| Step::Back(lane, ids));
        done.chain(retry).chain(park).chain(back)
    }
}

impl Step<'_> {
    fn ids(&self) -> impl Iterator<Item = EntryId> + use<> {
        let ids: Vec<EntryId> = match self {
            Step::Done(_, ids) | Step::Back(_, ids) => ids.to_vec(),
            Step::Retry(_, jobs) => jobs.iter().map(|(id, _)| *id).collect(),
            Step::Park(_, jobs) => jobs.iter().map(|(id, _)| *id).collect(),
        };
        ids.into_iter()
    }

    async fn carry_out(&self, life: &Life) -> RedisResult<()> {
        let mut shared = life.shared.clone();
        let keys = &life.keys;
        match self {
            Step::Done(lane, ids) => {
                let ready = keys.lane(*lane);
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                // In one transaction: an entry acknowledged but not deleted would stay for ever.
                let mut both = pipe();
                both.atomic();
                both.cmd("XACK").arg(ready).arg(GROUP).arg(&ids).ignore();
                both.cmd("XDEL").arg(ready).arg(&ids).ignore();
                both.query_async(&mut shared).await
            }
            Step::Retry(lane, jobs) => {
                let mut call = SCRIPTS.retry.prepare_invoke();
                call.key(keys.lane(*lane)).key(&keys.delayed).key(&keys.bell);
                call.arg(GROUP);
                for (id, after) in *jobs {
                    call.arg(id.to_string()).arg(after);
                }
                call.invoke_async(&mut shared).await
            }
            Step::Park(lane, jobs) => {
                let mut call = SCRIPTS.park.prepare_invoke();
                call.key(keys.lane(*lane)).key(&keys.parked).arg(GROUP);
                for (id, reason) in *jobs {
                    call.arg(id.to_string()).arg(reason);
                }
                call.invoke_async(&mut shared).await
            }
            Step::Back(lane, ids) => life.hand_back(*lane, ids).await.map(|_| ()),
        }
    }
}
