//! The gate of back-pressure while nobody works and tills go on sending.

use tokio::sync::Mutex;
use tsms::{domain::checksum::Version, fleet::Roles, stage::Stage, telemetry::metrics};

use crate::{
    bodies::sale,
    world::{Answer, DEADLINE, Tier, World},
};

/// The counters of what met the gate are of the whole process, so one of these tests runs at a time.
static COUNTERS: Mutex<()> = Mutex::const_new(());

/// Jobs of which it can be told that nobody works on them.
const BACKLOG: u64 = 25;
/// Sales sent once the gate is known to be closed.
const MORE: u64 = 20;
/// What a client may be told to wait, in seconds.
const WAITS: std::ops::RangeInclusive<u64> = 2..=9;

async fn start(tier: Tier, mode: &str) -> World {
    let settings = format!(
        "[gate]\nmode = \"{mode}\"\nsample_ms = 20\nclose_ms = 3000\nopen_ms = 1500\nleast_jobs = {BACKLOG}\n\
         [ingress]\nretry_after_min_s = {}\nretry_after_max_s = {}\n",
        WAITS.start(),
        WAITS.end()
    );
    let ingress = Roles {
        ingress: true,
        ..Roles::default()
    };
    World::start_roles(tier, &settings, &ingress).await
}

/// The tills' sales, each with another seed.
struct Posting<'a> {
    world: &'a World,
    seed: u64,
    accepted: u64,
    refused: u64,
}

impl Posting<'_> {
    /// Sends the next sale; whether it was taken. A refusal must say when to come back.
    async fn next(&mut self) -> bool {
        let till = self.world.till();
        let answer = self
            .world
            .post(till, sale(till, Version::V21, self.seed).body)
            .await;
        self.seed += 1;
        if answer.status == 202 {
            self.accepted += 1;
            return true;
        }
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (503, "overloaded")
        );
        says_when_to_come_back(&answer);
        self.refused += 1;
        false
    }

    /// Sends until one is taken, or is not.
    async fn until(&mut self, taken: bool) {
        let sending = async { while self.next().await != taken {} };
        tokio::time::timeout(DEADLINE, sending)
            .await
            .expect("the gate moves");
    }
}

fn says_when_to_come_back(answer: &Answer) {
    let header: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(answer.json()["retry_after"], header, "{answer:?}");
    assert!(WAITS.contains(&header), "{answer:?}");
}

/// Submissions so far that met a closed gate and were told this.
fn met(decision: &str) -> u64 {
    let series = format!("tsms_gate_decisions_total{{decision=\"{decision}\"}} ");
    let text = metrics::render();
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0, |value| value.parse().unwrap())
}

async fn start_workers(world: &mut World) {
    let workers = Roles {
        stages: Stage::ALL.to_vec(),
        scheduler: true,
        ..Roles::default()
    };
    world.join(&workers).await;
}

/// Everything that was accepted arrives, and nothing else.
async fn all_arrive(world: World, accepted: u64) {
    world
        .sink
        .wait_until(|seen| seen.distinct >= accepted, DEADLINE)
        .await
        .unwrap();
    world.drain().await;
    assert_eq!(world.sink.summary().distinct, accepted);
    world.stop().await;
}

async fn a_closed_gate_refuses_until_the_backlog_is_worked_off(tier: Tier) {
    let _alone = COUNTERS.lock().await;
    let before = met("refused");
    let mut world = start(tier, "enforce").await;
    let mut posting = Posting {
        world: &world,
        seed: 0,
        accepted: 0,
        refused: 0,
    };
    posting.until(false).await;
    assert!(posting.accepted >= BACKLOG, "{}", posting.accepted);
    for _ in 0..MORE {
        assert!(!posting.next().await, "nobody works, so it stays closed");
    }
    assert_eq!(met("refused") - before, posting.refused);
    let (seed, first) = (posting.seed, posting.accepted);

    start_workers(&mut world).await;
    let mut posting = Posting {
        world: &world,
        seed,
        accepted: 0,
        refused: 0,
    };
    posting.until(true).await;
    let accepted = first + posting.accepted;
    all_arrive(world, accepted).await;
}

async fn an_observing_gate_counts_and_lets_in(tier: Tier) {
    let _alone = COUNTERS.lock().await;
    let before = met("would_refuse");
    let mut world = start(tier, "observe").await;
    let mut posting = Posting {
        world: &world,
        seed: 0,
        accepted: 0,
        refused: 0,
    };
    let closed = async {
        while met("would_refuse") == before {
            assert!(posting.next().await, "it only observes");
        }
    };
    tokio::time::timeout(DEADLINE, closed)
        .await
        .expect("the gate closes");
    let closed = met("would_refuse");
    for _ in 0..MORE {
        assert!(posting.next().await, "it only observes");
    }
    assert_eq!(met("would_refuse") - closed, MORE);
    let accepted = posting.accepted;
    start_workers(&mut world).await;
    all_arrive(world, accepted).await;
}

/// One bucket full is another refusal than a full house, and says as much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_says_in_header_and_body_when_to_come_back() {
    let settings = "[limits.terminal]\nquota = 1\nperiod_ms = 20000\n";
    let world = World::start_with(Tier::Embedded, settings).await;
    let till = world.till();
    let mut answers = Vec::new();
    for seed in 0..2 {
        answers.push(world.post(till, sale(till, Version::V21, seed).body).await);
    }
    assert_eq!(
        (answers[0].status.as_u16(), answers[1].status.as_u16()),
        (202, 429)
    );
    let header: u64 = answers[1].headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(answers[1].json()["retry_after"], header);
    // Once to twice the time until there is room, so that those refused together do not come together.
    assert!((1..=40).contains(&header), "{header}");
    world.stop().await;
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_closed_gate_refuses_until_the_backlog_is_worked_off() {
        super::a_closed_gate_refuses_until_the_backlog_is_worked_off(Tier::Embedded).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_observing_gate_counts_and_lets_in() {
        super::an_observing_gate_counts_and_lets_in(Tier::Embedded).await;
    }
}

mod fleet {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_closed_gate_refuses_until_the_backlog_is_worked_off() {
        super::a_closed_gate_refuses_until_the_backlog_is_worked_off(Tier::Fleet).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_observing_gate_counts_and_lets_in() {
        super::an_observing_gate_counts_and_lets_in(Tier::Fleet).await;
    }
}
