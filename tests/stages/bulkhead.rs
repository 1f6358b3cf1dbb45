//! One sink in trouble is nobody else's trouble: five of fifty hang, a backlog comes back, batches are too large,
//! sales grow old.

use std::time::Duration;

use tsms::{
    config::{Millis, Secret},
    domain::sink::Change,
    outcome::Verdict,
    queue::Job,
    sinks::{self, Wish},
    stage::Stage,
    standin::{
        sim::SimTerminal,
        sink::{
            SinkHandle,
            mode::{Answer, Mode},
        },
    },
    store::NewTerminal,
};

use crate::world::{World, web_application};

const DEADLINE: Duration = Duration::from_secs(60);
const SHOPS: usize = 50;
const HANGING: usize = 5;
/// Sales of each shop in one wave.
const SALES: usize = 3;

/// A tenant with a sink of its own; the place of its till, and the web application.
async fn shop(world: &mut World, number: usize) -> (usize, SinkHandle) {
    let store = world.store.clone();
    let company = store.ensure_company("C", "Company").await.unwrap();
    let code = format!("S-{number}");
    let tenant = store.create_tenant(company, &code, "Shop", "UTC").await.unwrap();
    let new = NewTerminal {
        tenant_id: tenant.id,
        serial_number: format!("SN-S-{number}"),
        callback_url: None,
        expires_at: None,
    };
    let terminal = store.create_terminal(&new).await.unwrap();
    let (sink, endpoint) = web_application("token", &world.stop).await;
    let wish = Wish {
        name: format!("shop-{number}"),
        tenant_id: Some(tenant.id),
        environment: None,
        endpoint,
    };
    let token = Some(Some(Secret::new("token")));
    sinks::create(&store, &world.config, wish, &Change::default(), token)
        .await
        .unwrap();
    world.tills.push(SimTerminal {
        terminal_id: terminal.id,
        tenant_id: tenant.id,
        serial_number: new.serial_number,
        customer_code: code,
        token: String::new(),
    });
    (world.tills.len() - 1, sink)
}

async fn wave(world: &World, tills: &[usize], seed: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (till, seed) in tills.iter().zip(seed..) {
        jobs.extend(world.due_sales(*till, SALES, seed).await);
    }
    jobs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_of_fifty_sinks_hang_and_the_others_get_everything() {
    let mut world = World::new(|config| {
        config.forwarding.patience_ms = Millis::new(50);
        // Nothing here is given up while the test runs: who waited for it would never come back.
        config.forwarding.timeout_ms = Millis::new(600_000);
        let pool = config.stage.get_mut("forwarding").unwrap();
        pool.timeout_ms = Millis::new(700_000);
    })
    .await;
    let (mut tills, mut sinks) = (Vec::new(), Vec::new());
    for number in 0..SHOPS {
        let (till, sink) = shop(&mut world, number).await;
        tills.push(till);
        sinks.push(sink);
    }
    let (hanging, well) = sinks.split_at(HANGING);
    for sink in hanging {
        sink.set_mode(Mode::always(Answer::Hang));
    }
    let mut all = 0;
    for seed in [1000, 2000, 3000] {
        let jobs = wave(&world, &tills, seed).await;
        let outcome = world.run(Stage::Forwarding, &jobs).await;
        let codes = outcome.verdicts.iter().map(Verdict::code);
        let waits = codes
            .filter(|code| ["under_way", "sink_stuck"].contains(code))
            .count();
        assert!(waits >= HANGING * SALES, "{waits}");
        all += SALES as u64;
        for sink in well {
            sink.wait_until(|seen| seen.distinct == all, DEADLINE)
                .await
                .unwrap();
        }
    }
    // The five hang as they did, each with what it was sent before it was known to.
    for sink in hanging {
        assert_eq!(sink.summary().distinct, 0);
    }
    let jobs = wave(&world, &tills[..HANGING], 4000).await;
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert!(
        outcome
            .verdicts
            .iter()
            .all(|verdict| verdict.code() == "sink_stuck")
    );
    for sink in well {
        assert_eq!(
            sink.summary().complaints,
            0,
            "{:?}",
            sink.summary().first_complaints
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_set_left_under_way_is_settled_and_its_audit_taken_along() {
    let mut world = World::new(|config| config.forwarding.patience_ms = Millis::new(1)).await;
    let (till, sink) = shop(&mut world, 0).await;
    sink.set_mode(Mode::always(Answer::Slow(Duration::from_millis(300))));
    let jobs = world.due_sales(till, SALES, 1).await;
    let first = world.run(Stage::Forwarding, &jobs).await;
    assert!(first.verdicts.iter().all(|verdict| verdict.code() == "under_way"));
    sink.wait_until(|seen| seen.distinct == SALES as u64, DEADLINE)
        .await
        .unwrap();
    // The jobs come back until the end is committed, and then are done.
    let mut audits = 0;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while audits < SALES {
        assert!(tokio::time::Instant::now() < deadline, "only {audits} audits");
        let outcome = world.run(Stage::Forwarding, &jobs).await;
        audits += outcome
            .next
            .iter()
            .filter(|(stage, _)| *stage == Stage::Audit)
            .count();
        tokio::task::yield_now().await;
    }
    let last = world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(last.verdicts, vec![Verdict::Done; SALES]);
    assert_eq!((audits, sink.summary().duplicates), (SALES, 0), "sent once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_learns_when_what_was_left_under_way_is_due_again() {
    let mut world = World::new(|config| {
        config.forwarding.patience_ms = Millis::new(1);
        config.forwarding.timeout_ms = Millis::new(200);
        config.forwarding.retry_min_ms = Millis::new(3_600_000);
        config.forwarding.retry_max_ms = Millis::new(3_600_000);
    })
    .await;
    let (till, sink) = shop(&mut world, 0).await;
    sink.set_mode(Mode::always(Answer::Hang));
    let jobs = world.due_sales(till, 1, 1).await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        assert!(tokio::time::Instant::now() < deadline);
        let verdict = world.run(Stage::Forwarding, &jobs).await.verdicts.remove(0);
        match verdict {
            Verdict::Retry {
                code: "timeout",
                after,
            } => {
                assert_eq!(after, Duration::from_secs(3600));
                break;
            }
            Verdict::Retry { code, .. } => {
                assert!(
                    ["under_way", "sink_stuck", "claimed_elsewhere"].contains(&code),
                    "{code}"
                );
            }
            other => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_backlog_gets_its_share_and_what_is_new_goes_first() {
    let world = World::new(|config| {
        config.forwarding.late_percent = 50;
        config.forwarding.late_per_s = 1;
    })
    .await;
    let mut late = world.due_sales(0, 40, 1).await;
    late.iter_mut().for_each(|job| job.attempt = 1);
    let fresh = world.due_sales(0, 20, 2).await;
    let jobs: Vec<Job> = late.iter().chain(&fresh).cloned().collect();
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    let done = |verdicts: &[Verdict]| {
        verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Done)
            .count()
    };
    assert_eq!(done(&outcome.verdicts[40..]), 20, "all that is new");
    let of_late = done(&outcome.verdicts[..40]);
    assert!((10..40).contains(&of_late), "{of_late}: a share of the backlog");
    let held = outcome
        .verdicts
        .iter()
        .filter(|verdict| verdict.code() == "late_share");
    assert_eq!(held.count(), 40 - of_late, "the rest waits, none is lost");
    assert_eq!(world.sink.summary().distinct, 20 + of_late as u64);
}

#[tokio::test]
async fn a_batch_that_is_too_large_makes_the_next_ones_smaller() {
    let world = World::new(|config| config.forwarding.batch_size = 16).await;
    let first = world.due_sales(0, 16, 1).await;
    world.sink.set_mode(Mode::always(Answer::Status(413)).times(1));
    world.run(Stage::Forwarding, &first).await;
    assert_eq!(world.sink.summary().distinct, 16, "in halves");
    let requests = || world.sink.summary().requests.values().sum::<u64>();
    let before = requests();
    world
        .run(Stage::Forwarding, &world.due_sales(0, 16, 2).await)
        .await;
    assert_eq!(
        requests() - before,
        2,
        "10 and 6: half, grown by two good answers"
    );
}

#[tokio::test]
async fn a_sale_that_grew_too_old_is_a_dead_letter() {
    let world = World::new(|config| {
        config.forwarding.max_age_ms = Millis::new(1);
        config.forwarding.breaker_failures = 100;
    })
    .await;
    let jobs = world.due_sales(0, 2, 1).await;
    let made = std::time::Instant::now();
    while made.elapsed() < Duration::from_millis(2) {
        tokio::task::yield_now().await;
    }
    world.sink.set_mode(Mode::always(Answer::Status(500)).times(1));
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(outcome.verdicts, vec![Verdict::Dead { code: "too_old" }; 2]);
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 2);
    // Old ones that get through are delivered: age alone kills nobody.
    let more = world.due_sales(0, 1, 2).await;
    let outcome = world.run(Stage::Forwarding, &more).await;
    assert_eq!(outcome.verdicts, [Verdict::Done]);
}
