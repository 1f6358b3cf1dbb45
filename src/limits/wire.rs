//! The shared logs in Redis: their keys, and the two scripts that read and write them.
//!
//! All keys carry the same hash tag, so that one call may decide over any of them in a Redis Cluster
//! too; decision 0012 tells what that costs.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use redis::{RedisResult, Script};

use super::{
    Decision, Standing,
    bucket::{Bucket, Class},
    table::Rules,
    window::Piece,
};
use crate::link::Link;

static CHECK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/check.lua")));
static MERGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/merge.lua")));

/// The keys under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    tag: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            tag: format!("{prefix}:{{rate_limit}}"),
        }
    }

    /// `{prefix}:{rate_limit}:{type}:{tenant}:{identifier}`, where only `{rate_limit}` is meant to
    /// the letter.
    fn bucket(&self, bucket: Bucket) -> String {
        format!("{}:{bucket}", self.tag)
    }

    /// A set: the processes that lately brought their logs to these.
    fn back(&self, epoch: &str) -> String {
        format!("{}:back:{epoch}", self.tag)
    }

    /// A random text. Whoever finds another one than before knows that the logs were lost.
    fn epoch(&self) -> String {
        format!("{}:epoch", self.tag)
    }
}

/// Says that process `name` has brought its logs to those of `epoch`, for `kept`; how many have.
pub(super) async fn back(
    connection: &mut Link,
    keys: &Keys,
    epoch: &str,
    name: u64,
    kept: Duration,
) -> RedisResult<u32> {
    let key = keys.back(epoch);
    let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    let mut call = redis::pipe();
    call.sadd(&key, name).ignore();
    call.pexpire(&key, kept).ignore();
    call.scard(&key);
    let (count,): (u32,) = call.query_async(connection).await?;
    Ok(count)
}

/// The decisions of one call, and when they were made by the server's clock.
pub(super) struct Answer {
    /// In milliseconds.
    pub(super) at: u64,
    pub(super) decisions: Vec<Decision>,
}

/// Decides requests, each by its buckets. `None`: the epoch is another one, and nothing was decided.
pub(super) async fn check(
    connection: &mut Link,
    keys: &Keys,
    rules: &Rules,
    epoch: &str,
    requests: &[&[Bucket]],
) -> RedisResult<Option<Answer>> {
    let mut call = CHECK.prepare_invoke();
    call.key(keys.epoch()).arg(epoch);
    let mut places: HashMap<Bucket, u16> = HashMap::new();
    let mut order = Vec::new();
    let mut asked = Vec::with_capacity(requests.len() * 8);
    for request in requests {
        // Neither can be cut off: a request has three buckets at most, a call `limits.check_batch` requests.
        asked.push(u8::try_from(request.len()).unwrap_or(u8::MAX));
        for bucket in *request {
            let place = *places.entry(*bucket).or_insert_with(|| {
                order.push(*bucket);
                u16::try_from(order.len()).unwrap_or(u16::MAX)
            });
            asked.extend_from_slice(&place.to_be_bytes());
        }
    }
    let mut policies = Vec::with_capacity(Class::ALL.len() * 16);
    for class in Class::ALL {
        let rule = rules.of(class);
        policies.extend_from_slice(&rule.quota.to_be_bytes());
        policies.extend_from_slice(&six(rule.period));
        policies.extend_from_slice(&six(rule.grain));
    }
    let mut classes = Vec::with_capacity(order.len());
    for bucket in &order {
        call.key(keys.bucket(*bucket));
        classes.push(bucket.class as u8 + 1);
    }
    call.arg(policies).arg(classes).arg(asked);
    let figures: Vec<u8> = call.invoke_async(connection).await?;
    Ok(answer(&figures, &order, rules, requests))
}

/// The lower six bytes of a number: nine thousand years of milliseconds.
fn six(number: u64) -> [u8; 6] {
    let [_, _, rest @ ..] = number.min((1 << 48) - 1).to_be_bytes();
    rest
}

/// A bucket while the requests of a call are gone through: how many count, and the stamp of the oldest.
struct Level {
    total: u32,
    first: Option<u64>,
}

/// Reads what `check.lua` returned for these buckets and requests; `None` for anything else.
fn answer(mut figures: &[u8], order: &[Bucket], rules: &Rules, requests: &[&[Bucket]]) -> Option<Answer> {
    let mut take = |bytes: usize| {
        let (taken, rest) = figures.split_at_checked(bytes)?;
        figures = rest;
        Some(taken.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let at = take(6)?;
    let mut levels = HashMap::with_capacity(order.len());
    for bucket in order {
        let total = u32::try_from(take(4)?).ok()?;
        let first = Some(take(6)?).filter(|stamp| *stamp > 0);
        levels.insert(*bucket, Level { total, first });
    }
    let mut decisions = Vec::with_capacity(requests.len());
    for request in requests {
        let admitted = take(1)? == u64::from(b'1');
        let mut standings = Vec::with_capacity(request.len());
        for bucket in *request {
            let (level, rule) = (levels.get_mut(bucket)?, rules.of(bucket.class));
            if admitted {
                level.total = level.total.saturating_add(1);
                level.first.get_or_insert(rule.stamp(at));
            }
            let free = level.first.map_or(at, |first| first.saturating_add(rule.period));
            standings.push(Standing {
                class: bucket.class,
                remaining: rule.quota.saturating_sub(level.total),
                next_free: Duration::from_millis(free.saturating_sub(at)),
            });
        }
        decisions.push(if admitted {
            Decision {
                standings,
                full: Vec::new(),
            }
        } else {
            Decision::by(standings)
        });
    }
    figures.is_empty().then_some(Answer { at, decisions })
}

/// Brings to the logs what they lack. False: the epoch is another one, and nothing was done.
pub(super) async fn merge(
    connection: &mut Link,
    keys: &Keys,
    rules: &Rules,
    epoch: &str,
    logs: &[(Bucket, Vec<Piece>)],
) -> RedisResult<bool> {
    let mut call = MERGE.prepare_invoke();
    call.key(keys.epoch()).arg(epoch);
    for (bucket, pieces) in logs {
        call.key(keys.bucket(*bucket));
        call.arg(rules.of(bucket.class).period).arg(pieces.len());
        for piece in pieces {
            call.arg(piece.stamp)
                .arg(piece.count)
                .arg(u8::from(!piece.shared));
        }
    }
    call.invoke_async(connection).await
}

/// The epoch, begun now if there is none, and the server's time in milliseconds.
pub(super) async fn epoch(connection: &mut Link, keys: &Keys) -> RedisResult<(String, u64)> {
    let mut both = redis::pipe();
    let fresh = format!("{:032x}", rand::random::<u128>());
    both.cmd("SET").arg(keys.epoch()).arg(fresh).arg("NX").ignore();
    both.cmd("GET").arg(keys.epoch());
    both.cmd("TIME");
    let (epoch, (seconds, micros)): (String, (u64, u64)) = both.query_async(connection).await?;
    Ok((epoch, seconds * 1000 + micros / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_the_same_hash_tag() {
        let keys = Keys::new("tsms");
        assert_eq!(
            keys.bucket(Bucket::terminal(3, 7)),
            "tsms:{rate_limit}:terminal:3:7"
        );
        assert_eq!(keys.epoch(), "tsms:{rate_limit}:epoch");
    }

    #[test]
    fn an_answer_that_is_cut_off_decides_nothing() {
        let rules = Rules::new(
            &crate::config::Layers::read(None, Vec::new())
                .unwrap()
                .config()
                .unwrap()
                .limits,
        );
        let till = [Bucket::terminal(1, 1), Bucket::tenant(1)];
        let (mine, its) = (rules.of(till[0].class), rules.of(till[1].class));
        let now = 1_763_800_000_123;
        // Nothing of the terminal's counts, all but one place of the tenant's are taken.
        let mut whole = six(now).to_vec();
        whole.extend([0; 10]);
        whole.extend((its.quota - 1).to_be_bytes());
        whole.extend(six(now - 3));
        whole.extend(b"10");
        let decided =
            |figures: &[u8]| answer(figures, &till, &rules, &[&till, &till]).map(|answer| answer.decisions);
        let decisions = decided(&whole).unwrap();
        assert!(decisions[0].admitted());
        let left = |at: usize| {
            let standings = decisions[at].standings.iter();
            standings
                .map(|it| (it.remaining, u64::try_from(it.next_free.as_millis()).unwrap()))
                .collect::<Vec<_>>()
        };
        let both = [
            (mine.quota - 1, mine.stamp(now) + mine.period - now),
            (0, its.period - 3),
        ];
        assert_eq!(left(0), both);
        assert_eq!(left(1), both, "a refused request leaves no mark");
        assert_eq!(decisions[1].full, [1]);
        for cut in 0..whole.len() {
            assert!(decided(&whole[..cut]).is_none(), "{cut}");
        }
        assert!(decided(&[&whole[..], b"1"].concat()).is_none());
    }
}
