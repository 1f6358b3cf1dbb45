//! Processing: a decision is made once, and what follows is named from it.

use tsms::{
    domain::{money::Money, sale::ValidationStatus, work::AuditEvent},
    outcome::Verdict,
    stage::Stage,
    store::RedriveState,
    workers,
};

use crate::world::{World, bare, followers, keys, stripped, with_body};

#[tokio::test]
async fn a_decision_is_made_once_whatever_the_rules_say_later() {
    let world = World::new(|_| ()).await;
    let accepted = [
        world.accept(0, 3, true, 1).await,
        world.accept(2, 2, false, 2).await,
    ];
    let jobs: Vec<_> = accepted.iter().map(with_body).collect();
    let validated = world.run(Stage::Validation, &jobs).await;
    let jobs = followers(&validated, Stage::Processing);
    let first = world.run(Stage::Processing, &jobs).await;
    let rows = world.rows(&accepted).await;
    let invalid: Vec<i64> = (rows.iter())
        .filter(|row| row.status == ValidationStatus::Invalid)
        .map(|row| row.id)
        .collect();
    assert_eq!(invalid.len(), 1);
    let code = "invalid";
    for (job, verdict) in jobs.iter().zip(&first.verdicts) {
        assert_eq!(*verdict == Verdict::Reject { code }, invalid.contains(&job.key));
    }
    assert_eq!(keys(&first, Stage::Forwarding).len(), 4);

    let strict = world.other(|config| config.rules.max_amount = Money::from_minor(1));
    for jobs in [jobs.clone(), stripped(&jobs)] {
        let again = workers::run(Stage::Processing, &strict, &jobs).await.unwrap();
        assert_eq!(again.verdicts, first.verdicts);
        assert_eq!(keys(&again, Stage::Forwarding), keys(&first, Stage::Forwarding));
        let events = |outcome| {
            let mut events: Vec<AuditEvent> = (followers(outcome, Stage::Audit).iter())
                .flat_map(|job| AuditEvent::decode(&job.body).unwrap())
                .collect();
            events.sort_by_key(|event| event.transaction_id);
            events
        };
        assert_eq!(events(&again), events(&first));
    }
    assert_eq!(world.rows(&accepted).await, rows);
}

#[tokio::test]
async fn workers_at_once_that_disagree_pass_on_the_one_decision() {
    let world = World::new(|_| ()).await;
    let accepted = [world.accept(0, 50, false, 1).await];
    let validated = world.run(Stage::Validation, &[with_body(&accepted[0])]).await;
    let jobs = followers(&validated, Stage::Processing);
    let strict = world.other(|config| config.rules.max_amount = Money::from_minor(1));
    let (mild, harsh) = futures::future::join(
        workers::run(Stage::Processing, &world.ctx, &jobs),
        workers::run(Stage::Processing, &strict, &jobs),
    )
    .await;
    let (mild, harsh) = (mild.unwrap(), harsh.unwrap());
    assert_eq!(keys(&mild, Stage::Forwarding), keys(&harsh, Stage::Forwarding));
    assert_eq!(mild.verdicts, harsh.verdicts);
}

#[tokio::test]
async fn audit_rows_are_appended_once_with_or_without_the_copy() {
    let world = World::new(|_| ()).await;
    let accepted = world.accept(0, 4, false, 1).await;
    let validated = world.run(Stage::Validation, &[with_body(&accepted)]).await;
    let recorded = followers(&validated, Stage::Audit);
    let decided = world
        .run(Stage::Processing, &followers(&validated, Stage::Processing))
        .await;
    let decided = followers(&decided, Stage::Audit);
    for jobs in [
        &decided[..2],
        &stripped(&recorded),
        &recorded,
        &decided,
        &stripped(&decided),
    ] {
        let outcome = world.run(Stage::Audit, jobs).await;
        assert_eq!(outcome.verdicts, vec![Verdict::Done; jobs.len()]);
    }
    assert_eq!(world.audited().await, 8);
}

#[tokio::test]
async fn a_transaction_that_was_given_up_leads_nowhere_until_it_is_brought_back() {
    let world = World::new(|_| ()).await;
    let accepted = world.accept(0, 1, false, 1).await;
    let validated = world.run(Stage::Validation, &[with_body(&accepted)]).await;
    let jobs = followers(&validated, Stage::Processing);
    workers::bury(Stage::Processing, &world.ctx, jobs[0].key, "kills its workers")
        .await
        .unwrap();
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
    for jobs in [&jobs, &stripped(&jobs), &vec![bare(987_654, 1)]] {
        let outcome = world.run(Stage::Processing, jobs).await;
        assert_eq!(outcome.verdicts, [Verdict::Done]);
        assert!(outcome.next.is_empty(), "{:?}", outcome.next);
    }
    // A person brings it back: it is decided like any other, whoever still has the job.
    let done = world.bring_back("all", "mended").await;
    assert_eq!((done.moved, done.state), (1, RedriveState::Done));
    for _ in 0..2 {
        let outcome = world.run(Stage::Processing, &stripped(&jobs)).await;
        assert_eq!(outcome.verdicts, [Verdict::Done]);
        assert_eq!(keys(&outcome, Stage::Forwarding), [jobs[0].key]);
    }
}
