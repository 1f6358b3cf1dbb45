//! What a tenant that sells a thousand times as much as each of the others costs them. A program of its
//! own, so that no other test runs beside it: it compares times.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    dead_code,
    missing_docs,
    reason = "a failed expectation is a failed test; of what it shares with `it` it needs a part"
)]

#[path = "../it/answer.rs"]
mod answer;
#[path = "../it/bodies.rs"]
mod bodies;
#[path = "../it/contract.rs"]
mod contract;
#[path = "../it/left.rs"]
mod left;
#[path = "../support/mariadb.rs"]
mod mariadb;
#[path = "../support/servers.rs"]
mod servers;
#[path = "../it/world.rs"]
mod world;

use std::time::Duration;

use bodies::sale;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tsms::{
    domain::{checksum::Version, time::Timestamp},
    standin::{
        sim::SimTerminal,
        sink::mode::{Answer as SinkAnswer, Mode},
    },
};
use uuid::Uuid;
use world::{Tier, World, register_till};

/// How long the web application takes for an answer: as long as slow ones do, and so much longer than
/// anything of ours that how busy the machine is has little say.
const ANSWER: Duration = Duration::from_millis(1000);
/// Pause between two sales of quiet tenants, who take turns.
const PAUSE: Duration = Duration::from_millis(1400);
/// Quiet tenants, and sales that they have together.
const TENANTS: u64 = 8;
const SALES: u64 = 20;
/// How often the hot tenant sells while one of the quiet ones does once.
const TIMES: u32 = 1000;
/// Sales of the hot tenant before the quiet ones are looked at: a burst of `queue.tenant_burst` is still
/// within its share.
const WARM: u64 = 300;
/// Pairs of measurements, of which the best counts: other work on the machine only ever adds, while a
/// tenant that has to wait for another waits every time.
const PAIRS: u64 = 3;

/// The others' p95, from the accepted sale to the settled delivery, rises by less than a fifth. Settings as
/// shipped.
///
/// Without the express a sale stands behind a set of the crowd for a part of an answer of the web
/// application, and without the lanes behind all of the crowd.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_at_a_thousand_times_the_rate_costs_the_others_less_than_a_fifth() {
    let world = World::start(Tier::Fleet).await;
    world.sink.set_mode(Mode::always(SinkAnswer::Slow(ANSWER)));
    let quiet = quiet_tills(&world).await;
    for pair in 1..=PAIRS {
        let (alone, beside) = alone_and_beside(&world, &quiet, pair * 1_000_000).await;
        eprintln!("pair {pair}: p95 alone {alone:?}, beside the hot tenant {beside:?}");
        if beside * 5 <= alone * 6 {
            world.stop().await;
            return;
        }
    }
    panic!("in none of {PAIRS} pairs");
}

async fn quiet_tills(world: &World) -> Vec<SimTerminal> {
    let company = world.store.ensure_company("C-1", "A company").await.unwrap();
    let mut tills = Vec::new();
    for number in 0..TENANTS {
        let code = format!("C-Q{number}");
        let tenant = world
            .store
            .create_tenant(company, &code, "A quiet shop", "Asia/Manila")
            .await
            .unwrap();
        let serial = format!("SN-Q-{number}");
        tills.push(register_till(&world.store, tenant.id, &code, &serial, None).await);
    }
    tills
}

/// The p95 of the quiet tenants, first alone, then beside the hot one. Sales are made from `seed` on.
async fn alone_and_beside(world: &World, quiet: &[SimTerminal], seed: u64) -> (Duration, Duration) {
    let sold = sell(world, quiet, seed).await;
    world.drain().await;
    let alone = p95(world, &sold).await;

    let of_one = PAUSE.as_micros() * u128::from(TENANTS);
    let every = Duration::from_micros(u64::try_from(of_one).unwrap()) / TIMES;
    let (warm, ended) = (Notify::new(), CancellationToken::new());
    let beside = async {
        warm.notified().await;
        let sold = sell(world, quiet, seed + SALES).await;
        ended.cancel();
        sold
    };
    let hot = keep_selling(world, every, seed + 2 * SALES, (&warm, &ended));
    let (sold, crowd) = tokio::join!(beside, hot);
    assert!(
        crowd >= u64::from(TIMES) * SALES / TENANTS / 2,
        "{crowd} sales are no crowd"
    );
    world.drain().await;
    (alone, p95(world, &sold).await)
}

/// Lets quiet tills sell in turn.
async fn sell<'a>(world: &World, tills: &'a [SimTerminal], first: u64) -> Vec<(&'a SimTerminal, Uuid)> {
    let mut turn = interval(PAUSE);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sold = Vec::new();
    for (till, seed) in tills.iter().cycle().zip(first..first + SALES) {
        turn.tick().await;
        let body = sale(till, Version::V21, seed);
        assert_eq!(world.post(till, body.body.clone()).await.status, 202);
        sold.push((till, body.sales[0].transaction_id));
    }
    sold
}

/// Posts a sale of the hot till `every` so often until `ended`, without waiting for answers; how many.
/// Tells `warm` when it has been at it for a while.
async fn keep_selling(
    world: &World,
    every: Duration,
    seed: u64,
    (warm, ended): (&Notify, &CancellationToken),
) -> u64 {
    let till = world.till();
    let mut turn = interval(every);
    let mut posts = FuturesUnordered::new();
    let mut sold = 0;
    loop {
        tokio::select! {
            () = ended.cancelled() => break,
            Some(()) = posts.next() => {}
            _ = turn.tick() => {
                let body = sale(till, Version::V21, seed + sold);
                sold += 1;
                if sold == WARM {
                    warm.notify_one();
                }
                posts.push(async { assert_eq!(world.post(till, body.body).await.status, 202) });
            }
        }
    }
    while posts.next().await.is_some() {}
    sold
}

/// From the accepted sale to the settled delivery, of all but a twentieth.
async fn p95(world: &World, sold: &[(&SimTerminal, Uuid)]) -> Duration {
    let mut took = Vec::new();
    for (till, id) in sold {
        let path = format!("/api/v1/transactions/{id}/status");
        let status = world.get(till, &path).await.json();
        assert_eq!(status["status"], "FORWARDED", "{status}");
        let time = |text: &serde_json::Value| Timestamp::parse(text.as_str().unwrap()).unwrap();
        took.push(time(&status["forward"]["settled_at"]).since(time(&status["accepted_at"])));
    }
    took.sort_unstable();
    took[took.len() * 95 / 100 - 1]
}
