//! Sales that are made claimed, with their decision, for the job that is named with it.

use tsms::{
    config::Millis,
    domain::{money::Money, reversal::ReversalKind, sale::ForwardState},
    outcome::Verdict,
    queue::Job,
    stage::Stage,
    standin::sink::mode::{Answer, Mode},
    store::{NewReversal, Reversed},
    workers,
};

use crate::world::{World, bare, followers, stripped, with_body};

#[tokio::test]
async fn what_was_made_claimed_is_sent_without_a_claim_and_counted_at_its_end() {
    let world = World::new(|config| config.forwarding.breaker_failures = 100).await;
    let jobs = world.claimed_sales(0, 3, 1).await;
    assert_eq!(world.states(&jobs).await, vec![(ForwardState::Sending, 0); 3]);
    // A second job of the same sale, as the sweeper or a void makes it, waits for the claim.
    let others = world.run(Stage::Forwarding, &stripped(&jobs)).await;
    assert!((others.verdicts.iter()).all(|verdict| verdict.code() == "claimed_elsewhere"));
    let claims = || {
        let sent = world.store.statements();
        let claims = sent.iter().filter(|(name, _)| name.starts_with("forwards.claim"));
        claims.map(|(_, sent)| sent).sum::<u64>()
    };
    let before = claims();
    world.sink.set_mode(Mode::always(Answer::Status(503)).times(1));
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert!((outcome.verdicts.iter()).all(|verdict| verdict.code() == "http_5xx"));
    assert_eq!(claims(), before);
    assert_eq!(world.states(&jobs).await, vec![(ForwardState::Pending, 1); 3]);
    world.forward_to_the_end(&jobs).await;
    assert_eq!(world.states(&jobs).await, vec![(ForwardState::Forwarded, 2); 3]);
    let summary = world.sink.summary();
    assert_eq!((summary.distinct, summary.duplicates), (3, 0), "{summary}");
}

/// A job that comes late takes the claim over, whether or not it has run out; so its sales are sent by one set even
/// where another one has the same jobs.
#[tokio::test]
async fn a_late_job_takes_over_the_claim_that_was_made_for_it() {
    let world = World::new(|_| ()).await;
    let short = world.other(|config| config.forwarding.claim_ms = Millis::new(0));
    let mut jobs = world.decided_by(&short, 0, 2, 1).await;
    jobs.extend(world.claimed_sales(0, 2, 2).await);
    // Nothing is relied on that was made longer ago than a lease.
    let late = world.other(|config| {
        config.stage.get_mut("forwarding").unwrap().lease_ms = Millis::new(0);
    });
    let (one, two) = futures::future::join(
        workers::run(Stage::Forwarding, &late, &jobs),
        workers::run(Stage::Forwarding, &late, &jobs),
    )
    .await;
    let verdicts = [one.unwrap().verdicts, two.unwrap().verdicts].concat();
    assert_eq!(verdicts.len(), 8);
    let done = |verdict: &&Verdict| **verdict == Verdict::Done;
    assert!(verdicts.iter().filter(done).count() >= 4);
    assert!((verdicts.iter()).all(|verdict| ["", "claimed_elsewhere"].contains(&verdict.code())));
    assert_eq!(world.states(&jobs).await, vec![(ForwardState::Forwarded, 1); 4]);
    let summary = world.sink.summary();
    assert_eq!((summary.distinct, summary.duplicates), (4, 0), "{summary}");
}

/// A job that comes back claims like any other.
#[tokio::test]
async fn a_job_that_comes_back_relies_on_no_claim() {
    let world = World::new(|_| ()).await;
    let mut jobs = world.claimed_sales(0, 2, 1).await;
    jobs.iter_mut().for_each(|job| job.attempt = 1);
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert!((outcome.verdicts.iter()).all(|verdict| verdict.code() == "claimed_elsewhere"));
    assert_eq!(world.states(&jobs).await, vec![(ForwardState::Sending, 0); 2]);
    assert_eq!(world.sink.summary().distinct, 0);
}

/// Of the jobs that processing names for a sale only those of the set that decided it may send unclaimed.
#[tokio::test]
async fn a_set_that_comes_again_names_no_second_claimed_job() {
    let world = World::new(|_| ()).await;
    let accepted = world.accept(0, 4, false, 1).await;
    let validated = world.run(Stage::Validation, &[with_body(&accepted)]).await;
    let undecided = followers(&validated, Stage::Processing);
    let first = world.run(Stage::Processing, &undecided).await;
    let again = world.run(Stage::Processing, &undecided).await;
    let second = world
        .run(Stage::Forwarding, &followers(&again, Stage::Forwarding))
        .await;
    assert!((second.verdicts.iter()).all(|verdict| verdict.code() == "claimed_elsewhere"));
    assert_eq!(world.sink.summary().distinct, 0);
    let jobs = followers(&first, Stage::Forwarding);
    let first = world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(first.verdicts, vec![Verdict::Done; 4]);
    let summary = world.sink.summary();
    assert_eq!((summary.distinct, summary.duplicates), (4, 0), "{summary}");
}

/// A sale that was void before its decision is withdrawn, and no job of its set relies on a claim.
#[tokio::test]
async fn a_set_with_a_void_sale_is_claimed_as_usual_and_the_void_one_stays() {
    let world = World::new(|_| ()).await;
    let accepted = world.accept(0, 3, false, 1).await;
    let validated = world.run(Stage::Validation, &[with_body(&accepted)]).await;
    let rows = world.rows(std::slice::from_ref(&accepted)).await;
    let till = &world.tills[0];
    let void = NewReversal {
        tenant_id: till.tenant_id,
        terminal_id: till.terminal_id,
        transaction_id: rows[1].sale.transaction_id,
        kind: ReversalKind::Void,
        reference: String::new(),
        amount: Money::ZERO,
        reason: "a mistake".to_owned(),
        content: [1; 32],
    };
    let made = world.store.reverse(&void, 10).await.unwrap();
    assert!(matches!(made, Reversed::Made(_)), "{made:?}");
    let decided = world
        .run(Stage::Processing, &followers(&validated, Stage::Processing))
        .await;
    let jobs = followers(&decided, Stage::Forwarding);
    let outcome = world.run(Stage::Forwarding, &jobs).await;
    assert_eq!(outcome.verdicts, vec![Verdict::Done; jobs.len()]);
    let all: Vec<Job> = rows.iter().map(|row| bare(row.id, row.tenant_id)).collect();
    assert_eq!(
        world.states(&all).await,
        [
            (ForwardState::Forwarded, 1),
            (ForwardState::Withdrawn, 0),
            (ForwardState::Forwarded, 1)
        ]
    );
    assert_eq!(world.sink.summary().distinct, 2);
}
