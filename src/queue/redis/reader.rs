//! Takes jobs: new ones by a blocking group read, and those whose owner is gone by a claim, three
//! times a lease. It takes a set only when the one before it has been begun, or, for
//! a pool that takes none ahead, when there is a place for it.

use std::{sync::Arc, time::Duration};

use ::redis::{RedisResult, Value, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::{
    Life,
    keys::GROUP,
    lost,
    outage::{self, Outage},
    scripts::SCRIPTS,
    wire::{self, Raw},
};
use crate::queue::{
    fair::Lane,
    line::{Entry, Fate, Set, Settled, suspect_from},
};

/// Pages of taken jobs looked through in one search for jobs without an owner; a longer list is
/// gone on with at the next search.
const CLAIM_PAGES: usize = 16;
/// How often a reader that should come back from a blocking read is called.
const CALL_EVERY: Duration = Duration::from_millis(20);
/// How often the names of dead workers are removed, after how long a silence, and how many at a time.
const TIDY_EVERY: Duration = Duration::from_secs(60);
const TIDY_IDLE_MS: u64 = 60_000;
const TIDY_MOST: usize = 100;
/// Where a search begins and, when it returns here, ends.
const START: &str = "0-0";

/// Runs until `stop`.
pub(super) async fn run(
    life: Arc<Life>,
    give: mpsc::Sender<Set>,
    settle: mpsc::Sender<Settled>,
    stop: CancellationToken,
) {
    let mut outage = life.outage("reader");
    let mut again = false;
    loop {
        let ended = match Session::begin(&life, again).await {
            Ok(session) => session.take(&give, &settle, &stop, &mut outage).await,
            Err(error) => Err(error),
        };
        again = true;
        let Err(error) = ended else { return };
        let pause = outage.failed(&error);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// The life of one connection.
struct Session<'a> {
    life: &'a Life,
    connection: MultiplexedConnection,
    /// Its number in the server, to call it back from a blocking read.
    number: i64,
    /// How many jobs the lane with fewer of them gave at the last read.
    fewer: usize,
    /// How many jobs the last read gave, if it emptied both lanes and did not fill a set.
    few: Option<usize>,
    /// Jobs taken beyond the size of a set: the next set.
    spare: Set,
    /// Where the search for jobs without an owner goes on in each lane, and when.
    cursors: [String; Lane::ALL.len()],
    search_at: Instant,
    tidy_at: Instant,
}

impl<'a> Session<'a> {
    /// Connects, `again` after a session that broke off.
    async fn begin(life: &'a Life, again: bool) -> RedisResult<Self> {
        let longest = life.settings.block_ms.duration().min(life.third());
        let mut connection = life.connect(longest).await?;
        let number = ::redis::cmd("CLIENT")
            .arg("ID")
            .query_async(&mut connection)
            .await?;
        let mut session = Self {
            life,
            connection,
            number,
            fewer: 0,
            few: None,
            spare: Set::new(),
            cursors: Lane::ALL.map(|_| START.to_owned()),
            search_at: Instant::now(),
            tidy_at: Instant::now() + TIDY_EVERY,
        };
        session.make_groups().await?;
        if again {
            lost::due(life, &mut session.connection).await?;
        }
        Ok(session)
    }

    /// Makes streams and groups that are missing. A group begins with the first entry, so jobs that
    /// were pushed before it existed are taken too.
    async fn make_groups(&mut self) -> RedisResult<()> {
        for lane in Lane::ALL {
            let mut make = ::redis::cmd("XGROUP");
            make.arg("CREATE").arg(self.life.keys.lane(lane));
            make.arg(GROUP).arg("0").arg("MKSTREAM");
            match make.query_async::<()>(&mut self.connection).await {
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Takes sets until `stop` (then `Ok`) or until the connection fails; jobs that no set has room
    /// for any more go back.
    async fn take(
        mut self,
        give: &mpsc::Sender<Set>,
        settle: &mpsc::Sender<Settled>,
        stop: &CancellationToken,
        outage: &mut Outage,
    ) -> RedisResult<()> {
        let ended = self.take_sets(give, settle, stop, outage).await;
        let spare: Settled = self
            .spare
            .iter()
            .map(|entry| (entry.id, Fate::HandBack))
            .collect();
        if !spare.is_empty() && settle.send(spare).await.is_err() {
            debug!("nobody is left to hand jobs back; they come back when their lease runs out");
        }
        ended
    }

    async fn take_sets(
        &mut self,
        give: &mpsc::Sender<Set>,
        settle: &mpsc::Sender<Settled>,
        stop: &CancellationToken,
        outage: &mut Outage,
    ) -> RedisResult<()> {
        loop {
            let room = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                room = give.reserve() => room,
            };
            let Ok(room) = room else { return Ok(()) };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                // Whoever pauses a queue expects that its jobs wait in the queue.
                () = self.life.valve.shut(), if !self.spare.is_empty() => {
                    let spare = std::mem::take(&mut self.spare);
                    let back = spare.iter().map(|entry| (entry.id, Fate::HandBack)).collect();
                    if settle.send(back).await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                () = self.life.valve.may_take(self.life.pool.ahead) => {}
            }
            if !self.spare.is_empty() {
                self.life.valve.took();
                room.send(std::mem::take(&mut self.spare));
                continue;
            }
            let taken = match self.next(stop).await {
                Err(error) if outage::is_gone(&error) => {
                    info!(stage = %self.life.stage, "the queue is gone from the server; making it anew");
                    self.make_groups().await?;
                    continue;
                }
                taken => taken?,
            };
            outage.over();
            let (mut set, unreadable) = self.sort(taken);
            self.spare = set.split_off(set.len().min(self.life.pool.batch.max(1)));
            if !set.is_empty() {
                self.life.valve.took();
                room.send(set);
            }
            if !unreadable.is_empty() && settle.send(unreadable).await.is_err() {
                return Ok(());
            }
            if let Some(pause) = self.pause() {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = sleep(pause) => {}
                }
            }
        }
    }

    /// How long to let jobs gather.
    fn pause(&mut self) -> Option<Duration> {
        let life = self.life;
        let few = self.few.take()?;
        life.pool.gather.after(few, life.valve.set_time())
    }

    /// Jobs without an owner when it is time to look for them, else new ones.
    async fn next(&mut self, stop: &CancellationToken) -> RedisResult<Vec<(Raw, u32)>> {
        if Instant::now() >= self.search_at {
            let found = self.search().await?;
            if !found.is_empty() {
                return Ok(found);
            }
            self.search_at = Instant::now() + self.life.third();
            if Instant::now() >= self.tidy_at {
                self.tidy_at = Instant::now() + TIDY_EVERY;
                self.tidy().await?;
            }
        }
        let new = self.read(stop).await?;
        Ok(new.into_iter().map(|raw| (raw, 1)).collect())
    }

    /// Claims jobs whose lease has run out, of one lane.
    async fn search(&mut self) -> RedisResult<Vec<(Raw, u32)>> {
        for lane in self.life.lanes.each() {
            let found = self.search_in(*lane).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    async fn search_in(&mut self, lane: Lane) -> RedisResult<Vec<(Raw, u32)>> {
        let life = self.life;
        let cursor = &mut self.cursors[lane as usize];
        for _ in 0..CLAIM_PAGES {
            let mut call = SCRIPTS.claim.prepare_invoke();
            call.key(life.keys.lane(lane)).arg(GROUP).arg(&life.consumer);
            call.arg(super::millis(life.pool.lease))
                .arg(&*cursor)
                .arg(life.pool.batch.max(1))
                .arg(suspect_from(life.pool.max_deliveries))
                .arg(u8::from(!life.live.has_suspect()));
            let answer: Value = call.invoke_async(&mut self.connection).await?;
            let (next, found) = wire::claimed(lane, answer);
            *cursor = next;
            if !found.is_empty() {
                // More may be found on the same page: it is looked through again.
                START.clone_into(cursor);
                return Ok(found);
            }
            if *cursor == START {
                break;
            }
        }
        Ok(Vec::new())
    }

    /// Waits for new jobs, but no longer than until the next search. The wait is broken off by
    /// calling the connection back, never by giving up on the answer: jobs may be in it.
    ///
    /// The server counts for each lane by itself: it is asked for so many that, with as many as last
    /// time from the lane with fewer jobs, they are one set, half of it from each lane at the least.
    /// When the other lane wakes up both may give a whole set.
    async fn read(&mut self, stop: &CancellationToken) -> RedisResult<Vec<Raw>> {
        let life = self.life;
        let wait = self.search_at.saturating_duration_since(Instant::now());
        let wait = wait.min(life.settings.block_ms.duration());
        let mut command = ::redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&life.consumer);
        let batch = life.pool.batch.max(1);
        let most = batch - self.fewer.min(batch / 2);
        command.arg("COUNT").arg(most);
        command.arg("BLOCK").arg(super::millis(wait).max(1));
        let lanes = life.lanes.each();
        command.arg("STREAMS");
        for lane in lanes {
            command.arg(life.keys.lane(*lane));
        }
        for _ in lanes {
            command.arg(">");
        }
        let answer = command.query_async::<Value>(&mut self.connection);
        tokio::pin!(answer);
        let mut called = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => {
                    let lane = |stream: &[u8]| match stream == life.keys.lane(Lane::Crowd).as_bytes() {
                        true => Lane::Crowd,
                        false => Lane::Main,
                    };
                    let taken = wire::read(answer?, lane);
                    let given = Lane::ALL.map(|lane| taken.iter().filter(|raw| raw.id.0 == lane).count());
                    self.fewer = given.into_iter().min().unwrap_or_default();
                    let few = !taken.is_empty() && given.into_iter().all(|given| given < most);
                    self.few = few.then_some(taken.len());
                    return Ok(fairly(taken, batch));
                }
                () = stop.cancelled(), if !called => {}
                () = life.valve.shut(), if !called => {}
                () = life.live.look.notified(), if !called => self.search_at = Instant::now(),
                // The call before may have come before the read.
                () = sleep(CALL_EVERY), if called => {}
            }
            called = true;
            let mut call = ::redis::cmd("CLIENT");
            call.arg("UNBLOCK").arg(self.number);
            if let Err(error) = call.query_async::<()>(&mut life.shared.clone()).await {
                debug!(%error, "could not call the reader back; it comes back by itself");
            }
        }
    }

    /// Removes the names of dead workers that hold nothing.
    async fn tidy(&mut self) -> RedisResult<()> {
        for lane in Lane::ALL {
            let mut call = SCRIPTS.tidy.prepare_invoke();
            call.key(self.life.keys.lane(lane))
                .arg(GROUP)
                .arg(&self.life.consumer);
            call.arg(TIDY_IDLE_MS).arg(TIDY_MOST);
            call.invoke_async::<()>(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Tells jobs from what cannot be read as one, which is parked for a person to see.
    fn sort(&self, taken: Vec<(Raw, u32)>) -> (Set, Settled) {
        let suspect = suspect_from(self.life.pool.max_deliveries);
        let mut set = Set::with_capacity(taken.len());
        let mut unreadable = Settled::new();
        for (raw, deliveries) in taken {
            let id = raw.id;
            self.life.live.took(id, deliveries > suspect);
            match raw.job() {
                Ok(job) => set.push(Entry { id, job, deliveries }),
                Err(reason) => {
                    error!(stage = %self.life.stage, %id, reason, "parking an entry that is no job");
                    unreadable.push((id, Fate::Park(reason)));
                }
            }
        }
        (set, unreadable)
    }
}

/// Jobs of both lanes, each in its order, so that the first `batch` of them are half of each lane if
/// it has as many.
fn fairly(taken: Vec<Raw>, batch: usize) -> Vec<Raw> {
    if taken.len() <= batch {
        return taken;
    }
    let (mut main, mut crowd): (Vec<Raw>, Vec<Raw>) =
        taken.into_iter().partition(|raw| raw.id.0 == Lane::Main);
    let from_main = batch
        .div_ceil(2)
        .max(batch.saturating_sub(crowd.len()))
        .min(main.len());
    let from_crowd = batch.saturating_sub(from_main).min(crowd.len());
    let (later_main, later_crowd) = (main.split_off(from_main), crowd.split_off(from_crowd));
    [main, crowd, later_main, later_crowd]
        .into_iter()
        .flatten()
        .collect()
}
