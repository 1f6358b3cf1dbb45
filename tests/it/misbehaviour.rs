//! Every way in which a web application can misbehave: in the end it holds just what was accepted, nothing
//! twice, after as many attempts as the schedule has it.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tsms::{
    domain::checksum::Version,
    standin::sink::{BULK_PATH, Summary, mode::Mode},
};

use crate::{
    bodies::{batch, sale},
    on_both_tiers,
    world::{DEADLINE, World},
};

on_both_tiers!(
    every_misbehaviour_ends_with_each_sale_once,
    a_web_application_that_flaps_loses_nothing
);

/// How a sale ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Held once.
    Taken,
    /// A dead letter; held by nobody.
    Dead,
}

/// What the web application does to one sale, how that ends, after how many attempts, and how many copies
/// of it had no effect.
const MATRIX: [(&str, End, u64, u64); 24] = [
    ("ok", End::Taken, 1, 0),
    ("empty+apply*1", End::Taken, 1, 0),
    ("scramble*1", End::Taken, 1, 0),
    ("partial:1:retry*2", End::Taken, 3, 0),
    ("partial:1:missing*2", End::Taken, 3, 2),
    ("partial:1:rejected*1", End::Dead, 1, 0),
    ("status:400*1", End::Dead, 1, 0),
    ("status:409*1", End::Dead, 1, 0),
    ("status:413*1", End::Dead, 1, 0),
    ("status:422*1", End::Dead, 1, 0),
    ("status:401*2", End::Taken, 3, 0),
    ("status:403*2", End::Taken, 3, 0),
    ("redirect*2", End::Taken, 3, 0),
    ("busy:1*1", End::Taken, 2, 0),
    ("status:500*2", End::Taken, 3, 0),
    ("status:500+apply*2", End::Taken, 3, 2),
    ("status:503*2", End::Taken, 3, 0),
    ("html*2", End::Taken, 3, 0),
    ("garbled*2", End::Taken, 3, 0),
    ("huge:2000000+apply*1", End::Taken, 2, 1),
    ("reset*2", End::Taken, 3, 0),
    ("reset+apply*2", End::Taken, 3, 2),
    ("hang+apply*1", End::Taken, 2, 1),
    ("drip:1000+apply*1", End::Taken, 2, 1),
];

/// What was posted, and is to be held in the end.
#[derive(Default)]
struct Posted(Vec<u8>);

impl Posted {
    fn add(&mut self, body: &[u8]) {
        self.0.extend_from_slice(body);
        self.0.push(b'\n');
    }

    /// Has another program, in another language, compare it with what the web application holds.
    async fn compare_with_what_is_held(self, world: &World) {
        let base = (world.config.forwarding.endpoint).trim_end_matches(BULK_PATH);
        let mut command = tokio::process::Command::new("python3");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reconcile/held.py"))
            .args(["--sink", base])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut checker = command.spawn().unwrap();
        checker.stdin.take().unwrap().write_all(&self.0).await.unwrap();
        let ended = checker.wait_with_output().await.unwrap();
        let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{said}");
    }
}

async fn every_misbehaviour_ends_with_each_sale_once(world: World) {
    let till = world.till();
    let (mut taken, mut posted) = (0, Posted::default());
    for ((text, end, attempts, copies), seed) in MATRIX.into_iter().zip(1..) {
        let before = world.sink.summary();
        let mode: Mode = text.parse().unwrap();
        world.sink.set_mode(mode);
        let body = sale(till, Version::V21, seed);
        let id = body.sales[0].transaction_id;
        posted.add(&body.body);
        assert_eq!(world.post(till, body.body).await.status, 202);
        world.drain().await;
        let status = world.status(id).await;
        assert_eq!(status["forward"]["attempts"], attempts, "{text}: {status}");
        let state = match end {
            End::Taken => "FORWARDED",
            End::Dead => "DEAD",
        };
        assert_eq!(status["forward"]["state"], state, "{text}: {status}");
        taken += u64::from(end == End::Taken);
        let after = world.sink.summary();
        assert_eq!(after.distinct, taken, "{text}: {after}");
        assert_eq!(after.duplicates - before.duplicates, copies, "{text}: {after}");
        let requests = |of: &Summary| of.requests.values().sum::<u64>();
        assert_eq!(requests(&after) - requests(&before), attempts, "{text}: {after}");
        world.sink.set_mode(Mode::OK);
    }
    world.never_complained();
    let dead = MATRIX.iter().filter(|(_, end, ..)| *end == End::Dead).count();
    assert_eq!(world.store.count_dead_letters().await.unwrap(), dead as u64);
    // What was refused is taken when a person sends it again: the ledger is the accepted set.
    let (code, said) = world
        .operator(&["dlq", "retry", "--reason", "mended", "--yes"])
        .await;
    assert_eq!(code, Some(0), "{said}");
    world.drain().await;
    let summary = world.sink.summary();
    assert_eq!(summary.distinct, MATRIX.len() as u64, "{summary}");
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    world.never_complained();
    posted.compare_with_what_is_held(&world).await;
    world.stop().await;
}

async fn a_web_application_that_flaps_loses_nothing(world: World) {
    let mode = "flap:2000".parse().unwrap();
    world.sink.set_mode(mode);
    let mut posted = Posted::default();
    for seed in 0..30_u64 {
        let till = &world.tills[usize::try_from(seed % 4).unwrap()];
        let body = batch(till, Version::V21, 3, seed);
        posted.add(&body.body);
        assert_eq!(world.post(till, body.body).await.status, 202);
        // Spread over the turns by what arrives, not by a clock.
        world
            .sink
            .wait_until(|seen| seen.distinct >= seed * 2, DEADLINE)
            .await
            .unwrap();
    }
    world
        .sink
        .wait_until(|seen| seen.distinct == 90, DEADLINE)
        .await
        .unwrap();
    world.drain().await;
    let summary = world.sink.summary();
    assert_eq!((summary.distinct, summary.duplicates), (90, 0), "{summary}");
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    world.never_complained();
    posted.compare_with_what_is_held(&world).await;
    world.stop().await;
}
