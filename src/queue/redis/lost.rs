//! Jobs that the server gave to this pool in an answer that never came, as when the connection broke
//! while it was on its way. They need not wait until their lease runs out.

use ::redis::{RedisResult, Value, aio::MultiplexedConnection};
use tracing::info;

use super::{Life, keys::GROUP, millis, wire};
use crate::queue::{fair::Lane, line::EntryId};

/// Pages of `ack_batch` jobs looked through in each lane; the lease brings what is beyond.
const PAGES: usize = 16;

/// Ends the lease of the jobs that are under this pool's name and that it knows nothing of, so that
/// the next search of any pool finds them. Their delivery counts, though nobody worked on them: the
/// answer may have been what broke the connection.
pub(super) async fn due(life: &Life, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut count = 0;
    for lane in Lane::ALL {
        let mut after = "-".to_owned();
        for _ in 0..PAGES {
            let mut held = ::redis::cmd("XPENDING");
            held.arg(life.keys.lane(lane)).arg(GROUP);
            held.arg(&after).arg("+").arg(life.settings.ack_batch.max(1));
            held.arg(&life.consumer);
            let held = wire::pending(lane, held.query_async(connection).await?);
            let Some(last) = held.last() else { break };
            after = format!("({last}");
            // What was settled since it was listed is no longer held, and stays as it is.
            let lost: Vec<&EntryId> = held.iter().filter(|id| !life.live.holds(id)).collect();
            if lost.is_empty() {
                continue;
            }
            count += lost.len();
            let mut claim = ::redis::cmd("XCLAIM");
            claim
                .arg(life.keys.lane(lane))
                .arg(GROUP)
                .arg(&life.consumer)
                .arg(0);
            for id in lost {
                claim.arg(id.to_string());
            }
            claim.arg("IDLE").arg(millis(life.pool.lease)).arg("JUSTID");
            claim.query_async::<Value>(connection).await?;
        }
    }
    if count > 0 {
        info!(stage = %life.stage, count, "jobs whose answer was lost are taken up again");
    }
    Ok(())
}
