//! Validation: rows are made once, whoever else works on the same submissions.

use tsms::{
    domain::{checksum::Version, time::Timestamp},
    outcome::Verdict,
    stage::Stage,
    standin::sim::{Kind, make_sale},
    store::{ItemState, RedriveState},
    workers,
};

use crate::world::{World, bare, keys, stripped, with_body};

#[tokio::test]
async fn a_job_that_comes_again_changes_nothing_and_names_the_same_followers() {
    let world = World::new(|_| ()).await;
    let accepted = [
        world.accept(0, 1, false, 1).await,
        world.accept(1, 3, true, 2).await,
        world.accept(2, 1, false, 3).await,
    ];
    let jobs: Vec<_> = accepted.iter().map(with_body).collect();
    let first = world.run(Stage::Validation, &jobs).await;
    let rows = world.rows(&accepted).await;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 5);
    assert_eq!(first.verdicts, vec![Verdict::Done; 3]);
    for jobs in [jobs.clone(), stripped(&jobs), jobs] {
        let again = world.run(Stage::Validation, &jobs).await;
        assert_eq!(again.verdicts, first.verdicts);
        assert_eq!(keys(&again, Stage::Processing), ids);
        assert_eq!(keys(&first, Stage::Processing), ids);
        assert_eq!(world.rows(&accepted).await, rows);
    }
}

#[tokio::test]
async fn workers_at_once_make_each_row_once_and_name_only_rows_that_exist() {
    let world = World::new(|_| ()).await;
    let mut accepted = Vec::new();
    for seed in 0..40 {
        accepted.push(
            world
                .accept(usize::try_from(seed % 4).unwrap(), 2, false, seed)
                .await,
        );
    }
    let jobs: Vec<_> = accepted.iter().map(with_body).collect();
    let mut backwards = jobs.clone();
    backwards.reverse();
    let bare = stripped(&jobs);
    let sets = [&jobs[..], &backwards, &bare, &jobs[20..], &jobs[..20]];
    let outcomes = futures::future::join_all(sets.map(|set| world.run(Stage::Validation, set))).await;
    let rows = world.rows(&accepted).await;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 80);
    for (set, outcome) in sets.iter().zip(&outcomes) {
        let named = keys(outcome, Stage::Processing);
        assert_eq!(named.len(), set.len() * 2);
        assert!(named.iter().all(|key| ids.contains(key)));
    }
}

#[tokio::test]
async fn the_first_of_two_submissions_with_one_sale_wins() {
    let world = World::new(|_| ()).await;
    let now = Timestamp::now();
    let kind = Kind {
        version: Version::V21,
        items: 1,
        flawed: false,
    };
    let sale = make_sale(&world.tills[0], kind, 7, now).unwrap();
    let first = world.commit(0, &sale).await;
    // The same sale under another submission, and another sale under the same transaction id.
    let text = String::from_utf8(sale.body.to_vec()).unwrap();
    let repeat = text.replace(
        &sale.submission_uuid.to_string(),
        "00000000-0000-4000-8000-000000000001",
    );
    let other = make_sale(&world.tills[0], kind, 8, now).unwrap();
    let clash = String::from_utf8(other.body.to_vec()).unwrap().replace(
        &other.sales[0].transaction_id.to_string(),
        &sale.sales[0].transaction_id.to_string(),
    );
    let mut jobs = vec![with_body(&first)];
    for (key, body) in [(first.id + 1, repeat), (first.id + 2, clash)] {
        let submission_uuid = uuid::Uuid::from_u128(u128::try_from(key).unwrap());
        world.accept_raw(key, submission_uuid, body.as_bytes()).await;
        jobs.push(bare(key, first.tenant_id));
    }
    let outcome = world.run(Stage::Validation, &jobs).await;
    let code = "transaction_conflict";
    assert_eq!(
        outcome.verdicts,
        [Verdict::Done, Verdict::Done, Verdict::Reject { code }]
    );
    let rows = world.rows(std::slice::from_ref(&first)).await;
    assert_eq!(rows.len(), 1);
    for (key, state) in [
        (first.id + 1, ItemState::Duplicate),
        (first.id + 2, ItemState::Conflict),
    ] {
        let uuid = uuid::Uuid::from_u128(u128::try_from(key).unwrap());
        let view = world
            .store
            .submission(first.terminal_id, uuid)
            .await
            .unwrap()
            .unwrap();
        assert!(view.processed_at.is_some());
        assert_eq!(
            (view.results[0].state, view.results[0].original),
            (state, rows[0].id)
        );
    }
    assert_eq!(keys(&outcome, Stage::Processing), [rows[0].id]);
}

#[tokio::test]
async fn a_damaged_record_becomes_a_dead_letter_and_holds_up_nobody() {
    let world = World::new(|_| ()).await;
    let good = world.accept(0, 1, false, 1).await;
    let key = good.id + 1;
    world
        .accept_raw(key, uuid::Uuid::from_u128(5), b"{\"broken\":")
        .await;
    let jobs = [bare(key, good.tenant_id), with_body(&good)];
    let code = "record_damaged";
    for _ in 0..2 {
        let outcome = world.run(Stage::Validation, &jobs).await;
        assert_eq!(outcome.verdicts[1], Verdict::Done);
        assert_eq!(keys(&outcome, Stage::Processing).len(), 1);
    }
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
    let view = world
        .store
        .submission(good.terminal_id, uuid::Uuid::from_u128(5))
        .await;
    assert_eq!(view.unwrap().unwrap().dead_code.as_deref(), Some(code));
    // Being set aside afterwards keeps the first reason.
    workers::bury(Stage::Validation, &world.ctx, key, "poison")
        .await
        .unwrap();
    let view = world
        .store
        .submission(good.terminal_id, uuid::Uuid::from_u128(5))
        .await;
    assert_eq!(view.unwrap().unwrap().dead_code.as_deref(), Some(code));
    // Brought back it meets its stage again, and as it is still broken it is given up again.
    let done = world.bring_back("stage=validation", "").await;
    assert_eq!((done.moved, done.state), (1, RedriveState::Done));
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    let again = world.run(Stage::Validation, &jobs).await;
    assert_eq!(again.verdicts[1], Verdict::Done);
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
}

#[tokio::test]
async fn the_tills_beside_one_that_sells_are_known_after_one_look() {
    let world = World::new(|_| ()).await;
    for till in 0..4 {
        let accepted = world
            .accept(till, 1, false, 1 + u64::try_from(till).unwrap())
            .await;
        let outcome = world.run(Stage::Validation, &[with_body(&accepted)]).await;
        assert_eq!(outcome.verdicts, [Verdict::Done]);
    }
    let sent = world.store.statements();
    let looks = sent.iter().find(|(name, _)| *name == "terminals.by_id");
    assert_eq!(looks, Some(&("terminals.by_id", 1)));
}
