//! Two versions of the program beside each other on one Redis: what one does not understand of the other is set
//! aside and not lost, and the sale it was about goes its way, once.

use redis::Value;
use tsms::{domain::checksum::Version, fleet::Roles, stage::Stage};

use crate::{
    bodies::sale,
    control::until,
    world::{Tier, World},
};

const SALES: u64 = 9;

/// An entry: its id, and the line and the body of its job.
type Entry = (String, String, Vec<u8>);

async fn entries(redis: &mut redis::aio::MultiplexedConnection, stream: &str) -> Vec<Entry> {
    let found: Vec<(String, Vec<(String, Value)>)> = redis::cmd("XRANGE")
        .arg(stream)
        .arg("-")
        .arg("+")
        .query_async(redis)
        .await
        .unwrap();
    let bytes = |value: &Value| match value {
        Value::BulkString(bytes) => bytes.clone(),
        other => panic!("{other:?}"),
    };
    found
        .into_iter()
        .map(|(id, fields)| {
            let (line, body) = (bytes(&fields[0].1), bytes(&fields[1].1));
            (id, String::from_utf8(line).unwrap(), body)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_an_older_and_of_a_newer_version_lose_and_double_nothing() {
    let rest = Roles {
        ingress: true,
        scheduler: true,
        stages: Stage::ALL
            .into_iter()
            .filter(|stage| *stage != Stage::Validation)
            .collect(),
    };
    let mut world = World::start_roles(Tier::Fleet, "", &rest).await;
    for seed in 0..SALES {
        let till = &world.tills[usize::try_from(seed % 4).unwrap()];
        let body = sale(till, Version::V21, seed).body;
        assert_eq!(world.post(till, body).await.status, 202);
    }
    until("they wait for validation", async || {
        world.queue.depth(Stage::Validation).await.unwrap().ready >= SALES
    })
    .await;
    let client = redis::Client::open(world.redis.as_ref().unwrap().url()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let prefix = &world.config.queue.prefix;
    let (mut newer, mut older) = (0_u64, 0);
    for lane in ["ready", "crowd"] {
        let stream = format!("{prefix}:{{validation}}:{lane}");
        for (number, (id, line, body)) in entries(&mut redis, &stream).await.into_iter().enumerate() {
            let mut again = redis::cmd("XADD");
            again.arg(&stream).arg("*");
            let words: Vec<&str> = line.splitn(6, ' ').collect();
            match number % 3 {
                // As a version to come may write it.
                0 => {
                    let line = line.replacen("2 ", "3 of another form: ", 1);
                    again.arg("h").arg(line).arg("b").arg(&body);
                    newer += 1;
                }
                // As version 1 wrote it, a field each.
                1 => {
                    again.arg("v").arg("1");
                    for (name, value) in ["k", "t", "a", "e", "r"].iter().zip(&words[1..]) {
                        again.arg(*name).arg(*value);
                    }
                    again.arg("b").arg(&body);
                    older += 1;
                }
                _ => continue,
            }
            let _: String = again.query_async(&mut redis).await.unwrap();
            let gone: u64 = redis::cmd("XDEL")
                .arg(&stream)
                .arg(&id)
                .query_async(&mut redis)
                .await
                .unwrap();
            assert_eq!(gone, 1);
        }
    }
    assert!(newer > 0 && older > 0, "{newer} and {older}");
    let validation = Roles {
        stages: vec![Stage::Validation],
        ..Roles::default()
    };
    world.join(&validation).await;
    until("what cannot be read is set aside", async || {
        world.queue.depth(Stage::Validation).await.unwrap().parked >= newer
    })
    .await;
    // Their rows are the record: the sweeper makes jobs that this version understands.
    world.drain().await;
    let summary = world.sink.summary();
    assert_eq!((summary.distinct, summary.duplicates), (SALES, 0), "{summary}");
    let parked = world.queue.parked(Stage::Validation, 100).await.unwrap();
    assert_eq!(parked.len() as u64, newer);
    assert!(
        parked.iter().all(|(_, reason)| reason.contains("version")),
        "{parked:?}"
    );
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    world.stop().await;
}
