//! Makes delayed jobs ready when they are due, to the millisecond and without polling: it sleeps in
//! the server until the next one is due, and a push of an earlier one rings the bell it sleeps at.
//! It has its own task and connection, so that delays are kept while every worker of the pool is
//! busy.

use std::{sync::Arc, time::Duration};

use ::redis::{RedisResult, Value, aio::MultiplexedConnection};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Life, outage::Outage, scripts::SCRIPTS};
use crate::queue::fair::Lane;

/// Runs until `stop`: a pool that takes no more must not hear the bell in the place of one that does.
pub(super) async fn run(life: Arc<Life>, stop: CancellationToken) {
    let mut outage = life.outage("clock");
    let forever = async {
        loop {
            if let Err(error) = tick(&life, &mut outage).await {
                sleep(outage.failed(&error)).await;
            }
        }
    };
    // Nothing is lost with a tick that is broken off: a bell it may have heard is rung again when
    // the pool leaves.
    stop.run_until_cancelled(forever).await;
}

/// Promotes and sleeps in turn until something fails.
async fn tick(life: &Life, outage: &mut Outage) -> RedisResult<()> {
    let longest = life.settings.block_ms.duration();
    let mut connection = life.connect(longest).await?;
    loop {
        let next = promote(life, &mut connection).await?;
        outage.over();
        // Even when nothing is due: whoever heard the bell for an earlier job may have died since.
        let wait = next.map_or(longest, |next| next.min(longest));
        if !wait.is_zero() && slept_until_bell(life, &mut connection, wait).await? {
            life.live.look.notify_one();
        }
    }
}

/// Promotes up to `promote_batch` jobs; how long until the next is due.
async fn promote(life: &Life, connection: &mut MultiplexedConnection) -> RedisResult<Option<Duration>> {
    let mut call = SCRIPTS.promote.prepare_invoke();
    call.key(life.keys.lane(Lane::Main))
        .key(&life.keys.delayed)
        .key(&life.keys.parked)
        .key(life.keys.lane(Lane::Crowd));
    call.arg(life.settings.promote_batch.max(1))
        .arg(life.settings.tenant_burst);
    let (_, wait): (u64, i64) = call.invoke_async(connection).await?;
    Ok(u64::try_from(wait).ok().map(Duration::from_millis))
}

/// Sleeps for `wait`; true when the bell rang before.
async fn slept_until_bell(
    life: &Life,
    connection: &mut MultiplexedConnection,
    wait: Duration,
) -> RedisResult<bool> {
    let wait = wait.as_millis().max(1);
    let seconds = format!("{}.{:03}", wait / 1000, wait % 1000);
    let mut sleep = ::redis::cmd("BLPOP");
    sleep.arg(&life.keys.bell).arg(seconds);
    let rang: Value = sleep.query_async(connection).await?;
    Ok(rang != Value::Nil)
}
