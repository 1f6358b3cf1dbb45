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
    call.key(keys.epoch());
    let mut places: HashMap<Bucket, usize> = HashMap::new();
    let mut order = Vec::new();
    for bucket in requests.iter().copied().flatten() {
        places.entry(*bucket).or_insert_with(|| {
            order.push(*bucket);
            order.len()
        });
    }
    call.arg(epoch).arg(Class::ALL.len());
    for class in Class::ALL {
        let rule = rules.of(class);
        call.arg(rule.quota).arg(rule.period).arg(rule.grain);
    }
    for bucket in order {
        call.key(keys.bucket(bucket)).arg(bucket.class as usize + 1);
    }
    for request in requests {
        call.arg(request.len());
        for bucket in *request {
            call.arg(places[bucket]);
        }
    }
    let figures: Vec<u64> = call.invoke_async(connection).await?;
    Ok(answer(&figures, requests))
}

fn answer(figures: &[u64], requests: &[&[Bucket]]) -> Option<Answer> {
    let mut figures = figures.iter().copied();
    let at = figures.next()?;
    let mut decisions = Vec::with_capacity(requests.len());
    for request in requests {
        let admitted = figures.next()? == 1;
        let mut standings = Vec::with_capacity(request.len());
        for bucket in *request {
            standings.push(Standing {
                class: bucket.class,
                remaining: u32::try_from(figures.next()?).unwrap_or(u32::MAX),
                next_free: Duration::from_millis(figures.next()?),
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
    Some(Answer { at, decisions })
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
        let till = [Bucket::terminal(1, 1), Bucket::tenant(1)];
        let whole = [1000, 1, 59, 60_001, 99, 5, 0, 0, 7, 98, 5];
        let decided = |figures: &[u64]| answer(figures, &[&till, &till]).map(|answer| answer.decisions);
        let decisions = decided(&whole).unwrap();
        assert!(decisions[0].admitted());
        assert_eq!(
            (decisions[1].full.as_slice(), decisions[1].wait().as_millis()),
            (&[0][..], 7)
        );
        for cut in 0..whole.len() {
            assert!(decided(&whole[..cut]).is_none(), "{cut}");
        }
    }
}
