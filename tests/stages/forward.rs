//! Forwarding: every sale is accepted once in effect, and what is not accepted is not forgotten.

use std::num::NonZeroU64;

use tsms::{
    config::Millis,
    domain::sale::ForwardState,
    outcome::Verdict,
    queue::Job,
    stage::Stage,
    standin::sink::mode::{Answer, Denial, Mode},
    workers,
};

use crate::world::{World, followers, stripped};

impl World {
    /// Attempts of the sale that was tried least.
    pub(crate) async fn attempts(&self, jobs: &[Job]) -> u32 {
        let states = self.states(jobs).await;
        states.iter().map(|(_, attempts)| *attempts).min().unwrap_or(0)
    }

    /// The states of the sales of `jobs`, with their attempts.
    pub(crate) async fn states(&self, jobs: &[Job]) -> Vec<(ForwardState, u32)> {
        let ids: Vec<i64> = jobs.iter().map(|job| job.key).collect();
        let mut states = Vec::new();
        for row in self.store.transactions(&ids).await.unwrap() {
            let ids = [row.sale.transaction_id];
            let views = self.store.transaction_views(row.terminal_id, &ids).await.unwrap();
            states.push((views[0].forward.unwrap(), views[0].forward_attempts));
        }
        states
    }

    pub(crate) async fn all(&self, jobs: &[Job], state: ForwardState) -> bool {
        self.states(jobs).await.iter().all(|(now, _)| *now == state)
    }

    /// Forwards until nothing is left to retry; the tests set pauses of a millisecond.
    pub(crate) async fn forward_to_the_end(&self, jobs: &[Job]) {
        for _ in 0..200 {
            self.run(Stage::Forwarding, &stripped(jobs)).await;
            let states = self.states(jobs).await;
            if (states.iter())
                .all(|(state, _)| !matches!(state, ForwardState::Pending | ForwardState::Sending))
            {
                return;
            }
        }
        panic!("still not settled: {:?}", self.states(jobs).await);
    }
}

#[tokio::test]
async fn sales_of_several_tenants_arrive_once_and_pass_every_check_of_the_contract() {
    let world = World::new(|config| config.forwarding.batch_size = 7).await;
    let mut jobs = Vec::new();
    for (till, seed) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        jobs.extend(world.claimed_sales(till, 9, seed).await);
    }
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(outcome.verdicts, vec![Verdict::Done; 36]);
    assert_eq!(followers(&outcome, Stage::Audit).len(), 36);
    assert!(world.all(&jobs, ForwardState::Forwarded).await);
    let again = world.run(Stage::Forwarding, &stripped(&jobs)).await;
    assert_eq!((again.verdicts, again.next.len()), (vec![Verdict::Done; 36], 0));
    let summary = world.sink.summary();
    assert_eq!(
        (summary.distinct, summary.duplicates, summary.clashes),
        (36, 0, 0),
        "{summary}"
    );
    assert_eq!(summary.complaints, 0, "{:?}", summary.first_complaints);
    // Two tenants of 18 sales in batches of 7.
    assert_eq!(summary.requests.values().sum::<u64>(), 6);
}

#[tokio::test]
async fn one_sale_that_is_refused_does_not_hold_back_the_others() {
    let world = World::new(|_| ()).await;
    let jobs = world.claimed_sales(0, 16, 1).await;
    world.sink.set_mode(Mode::always(Answer::Status(422)).times(5));
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    // The batch, its first half, … down to one sale: five refusals, then the rest gets through.
    let dead = (outcome.verdicts.iter()).filter(|verdict| {
        **verdict
            == Verdict::Dead {
                code: "webapp_refused",
            }
    });
    assert_eq!(dead.count(), 1);
    let done = outcome
        .verdicts
        .iter()
        .filter(|verdict| **verdict == Verdict::Done);
    assert_eq!(done.count(), 15);
    assert_eq!(world.sink.summary().distinct, 15);
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
    assert_eq!(followers(&outcome, Stage::Audit).len(), 16);
}

#[tokio::test]
async fn an_answer_that_was_lost_has_no_second_effect() {
    let world = World::new(|config| config.forwarding.breaker_failures = 100).await;
    let jobs = world.claimed_sales(0, 10, 1).await;
    world
        .sink
        .set_mode(Mode::always(Answer::Reset).applied().times(3));
    let first = world.run(Stage::Forwarding, &jobs).await;
    assert!(
        (first.verdicts.iter()).all(|verdict| matches!(verdict, Verdict::Retry { code: "network", .. })),
        "{:?}",
        first.verdicts
    );
    assert!(first.next.is_empty());
    world.forward_to_the_end(&jobs).await;
    assert!(world.all(&jobs, ForwardState::Forwarded).await);
    let summary = world.sink.summary();
    assert_eq!(
        (summary.distinct, summary.clashes, summary.conflicts),
        (10, 0, 0),
        "{summary}"
    );
    assert!(summary.duplicates >= 10);
}

#[tokio::test]
async fn results_by_item_are_followed() {
    let world = World::new(|_| ()).await;
    let jobs = world.due_sales(0, 9, 1).await;
    let every = NonZeroU64::new(3).unwrap();
    for denial in [Denial::Retry, Denial::Missing] {
        world
            .sink
            .set_mode(Mode::always(Answer::Partial { every, denial }).times(1));
        world.run(Stage::Forwarding, &stripped(&jobs)).await;
    }
    let denial = Denial::Rejected;
    let more = world.due_sales(1, 9, 2).await;
    world
        .sink
        .set_mode(Mode::always(Answer::Partial { every, denial }).times(1));
    let outcome = world.run(Stage::Forwarding, &more).await;
    let dead = (outcome.verdicts.iter()).filter(|verdict| {
        **verdict
            == Verdict::Dead {
                code: "webapp_rejected",
            }
    });
    assert_eq!(dead.count(), 3);
    world.forward_to_the_end(&jobs).await;
    world.forward_to_the_end(&more).await;
    assert!(world.all(&jobs, ForwardState::Forwarded).await);
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 3);
    assert_eq!(world.sink.summary().distinct, 15);
}

#[tokio::test]
async fn whole_answers_without_results_are_believed() {
    let world = World::new(|_| ()).await;
    let mut seed = 0;
    for answer in [Answer::Empty, Answer::Scramble] {
        seed += 1;
        let jobs = world.due_sales(0, 4, seed).await;
        world.sink.set_mode(Mode::always(answer));
        world.run(Stage::Forwarding, &jobs).await;
        assert!(world.all(&jobs, ForwardState::Forwarded).await, "{answer:?}");
    }
}

#[tokio::test]
async fn a_page_with_status_200_is_not_believed() {
    let world = World::new(|_| ()).await;
    let jobs = world.due_sales(0, 4, 1).await;
    world.sink.set_mode(Mode::always(Answer::Html));
    world.run(Stage::Forwarding, &jobs).await;
    assert!(world.all(&jobs, ForwardState::Pending).await);
}

#[tokio::test]
async fn an_open_breaker_sends_nothing_and_burns_no_attempt() {
    let world = World::new(|config| {
        config.forwarding.breaker_failures = 2;
        config.forwarding.batch_size = 1;
        config.forwarding.parallel = 1;
        config.forwarding.breaker_open_ms = Millis::new(3_600_000);
    })
    .await;
    let jobs = world.claimed_sales(0, 5, 1).await;
    world.sink.set_mode(Mode::always(Answer::Status(503)));
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    let codes: Vec<&str> = outcome.verdicts.iter().map(Verdict::code).collect();
    assert_eq!(codes.iter().filter(|code| **code == "http_5xx").count(), 2);
    assert_eq!(codes.iter().filter(|code| **code == "breaker_open").count(), 3);
    assert_eq!(world.sink.summary().requests.values().sum::<u64>(), 2);
    let attempts: u32 = world
        .states(&jobs)
        .await
        .iter()
        .map(|(_, attempts)| attempts)
        .sum();
    assert_eq!(attempts, 2);
}

#[tokio::test]
async fn attempts_end_in_one_dead_letter_a_sale() {
    let world = World::new(|config| {
        config.forwarding.max_attempts = 3;
        config.forwarding.breaker_failures = 100;
    })
    .await;
    let jobs = world.due_sales(0, 4, 1).await;
    world.sink.set_mode(Mode::always(Answer::Status(500)));
    world.forward_to_the_end(&jobs).await;
    assert_eq!(world.states(&jobs).await, vec![(ForwardState::Dead, 3); 4]);
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 4);
    world.sink.set_mode(Mode::OK);
    world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(world.sink.summary().distinct, 0);
}

#[tokio::test]
async fn two_workers_share_the_sales_and_send_none_twice() {
    let world = World::new(|_| ()).await;
    let mut jobs = world.due_sales(0, 60, 1).await;
    jobs.extend(world.due_sales(2, 60, 2).await);
    let other = world.other(|_| ());
    let (one, two) = futures::future::join(
        workers::run(Stage::Forwarding, &world.ctx, &jobs),
        workers::run(Stage::Forwarding, &other, &jobs),
    )
    .await;
    let events = followers(&one.unwrap(), Stage::Audit).len() + followers(&two.unwrap(), Stage::Audit).len();
    let summary = world.sink.summary();
    assert_eq!(
        (events, summary.distinct, summary.duplicates),
        (120, 120, 0),
        "{summary}"
    );
}

#[tokio::test]
async fn a_sale_that_was_set_aside_is_given_up_though_its_claim_lives() {
    let world = World::new(|_| ()).await;
    let jobs = world.due_sales(0, 2, 1).await;
    let key = jobs[0].key;
    let now = tsms::domain::time::Timestamp::now();
    let hold = world.config.forwarding.claim_ms.duration();
    let claim = world
        .store
        .claim_forwards(&[key], Vec::new(), now, hold)
        .await
        .unwrap();
    assert_eq!(claim.items.len(), 1);
    for _ in 0..2 {
        workers::bury(Stage::Forwarding, &world.ctx, key, "kills its workers")
            .await
            .unwrap();
    }
    world.run(Stage::Forwarding, &jobs).await;
    let states: Vec<_> = world
        .states(&jobs)
        .await
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    assert_eq!(states, [ForwardState::Dead, ForwardState::Forwarded]);
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
    // One that has arrived stays so.
    workers::bury(Stage::Forwarding, &world.ctx, jobs[1].key, "late")
        .await
        .unwrap();
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
}

#[tokio::test]
async fn switched_off_nothing_is_sent_or_touched() {
    let world = World::new(|_| ()).await;
    let jobs = world.due_sales(0, 3, 1).await;
    let off = world.other(|config| config.forwarding.enabled = false);
    let outcome = workers::run(Stage::Forwarding, &off, &jobs).await.unwrap();
    assert_eq!(outcome.verdicts, vec![Verdict::Done; 3]);
    assert_eq!(world.states(&jobs).await, vec![(ForwardState::Pending, 0); 3]);
    assert_eq!(world.sink.summary().requests.values().sum::<u64>(), 0);
}
