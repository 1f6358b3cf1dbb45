//! The durable accept.

use serde_json::json;
use tokio::task::JoinSet;
use tsms::store::{Accepted, NewSubmission, StoreError};
use uuid::Uuid;

use crate::{
    base::{Base, sent_since},
    fixtures::{TERMINAL, after, noon, recorded, submission},
};

pub(crate) async fn the_same_again_is_a_replay_and_other_content_a_conflict(base: &Base) {
    let store = base.store().await;
    let first = submission(1);
    assert_eq!(
        store.accept(std::slice::from_ref(&first)).await.unwrap(),
        [Accepted::New]
    );

    let again = NewSubmission {
        id: 2,
        accepted_at: after(60),
        ..first.clone()
    };
    let other = NewSubmission {
        id: 3,
        payload_checksum: [9; 32],
        ..again.clone()
    };
    let elsewhere = NewSubmission {
        id: 4,
        terminal_id: TERMINAL + 1,
        ..again.clone()
    };
    let answers = store
        .accept(&[again, other, elsewhere, submission(5)])
        .await
        .unwrap();
    let accepted_at = noon();
    assert_eq!(
        answers,
        [
            Accepted::Replay { id: 1, accepted_at },
            Accepted::Conflict { accepted_at },
            Accepted::New,
            Accepted::New,
        ]
    );
    assert_eq!(base.rows("submissions").await, 3);

    let kept = &store.unprocessed_submissions(&[1, 99]).await.unwrap()[0];
    assert_eq!(kept.body, first.body);
    assert_eq!(kept.submission_uuid, first.submission_uuid);
    assert_eq!(kept.request_id, first.request_id);
    assert_eq!(
        (kept.tenant_id, kept.terminal_id),
        (first.tenant_id, first.terminal_id)
    );
    assert_eq!(kept.accepted_at, first.accepted_at);
}

pub(crate) async fn one_of_many_at_once_is_new(base: &Base) {
    let stores = [base.store().await, base.open().await];
    let same = submission(0);
    let mut posts = JoinSet::new();
    for id in 1..=64 {
        let store = stores[usize::from(id % 2 == 0)].clone();
        let mut mine = same.clone();
        mine.id = id;
        posts.spawn(async move { (id, store.accept(&[mine]).await.unwrap()) });
    }
    let mut new = Vec::new();
    let mut replayed = Vec::new();
    for (id, answers) in posts.join_all().await {
        match &answers[..] {
            [Accepted::New] => new.push(id),
            [Accepted::Replay { id, .. }] => replayed.push(*id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(new.len(), 1);
    assert_eq!(replayed, vec![new[0]; 63]);
    assert_eq!(base.rows("submissions").await, 1);
}

pub(crate) async fn duplicates_in_one_call_follow_the_first(base: &Base) {
    let store = base.store().await;
    let first = submission(1);
    let mut same = first.clone();
    same.id = 2;
    let mut other = first.clone();
    (other.id, other.payload_checksum) = (3, [9; 32]);
    let accepted_at = first.accepted_at;
    let expected = [
        Accepted::New,
        Accepted::Replay { id: 1, accepted_at },
        Accepted::Conflict { accepted_at },
    ];
    assert_eq!(store.accept(&[first, same, other]).await.unwrap(), expected);
    assert_eq!(base.rows("submissions").await, 1);
}

pub(crate) async fn a_lone_submission_is_one_statement(base: &Base) {
    let store = base.store().await;
    let before = store.statements();
    store.accept(&[submission(1)]).await.unwrap();
    assert_eq!(sent_since(&store, &before), [("submissions.insert", 1)]);

    let before = store.statements();
    let many: Vec<NewSubmission> = (2..66).map(submission).collect();
    store.accept(&many).await.unwrap();
    assert_eq!(sent_since(&store, &before), [("submissions.insert", 1)]);
}

pub(crate) async fn a_call_of_many_sizes_keeps_everything(base: &Base) {
    let store = base.store().await;
    let mut many: Vec<NewSubmission> = (1..=100).map(submission).collect();
    // More than one statement may carry.
    for large in &mut many[10..14] {
        large.body = vec![b'x'; 2 * 1024 * 1024].into();
    }
    let answers = store.accept(&many).await.unwrap();
    assert_eq!(answers, vec![Accepted::New; 100]);
    assert_eq!(base.rows("submissions").await, 100);
    assert_eq!(
        base.number("SELECT CAST(SUM(LENGTH(body) >= 2097152) AS SIGNED) FROM submissions")
            .await,
        4
    );
}

pub(crate) async fn overlapping_calls_keep_each_key_once(base: &Base) {
    let stores = [
        base.store().await,
        base.open_with(json!({"transaction_tries": 2})).await,
    ];
    let shared: Vec<NewSubmission> = (0..40).map(submission).collect();
    let mut calls = JoinSet::new();
    for call in 0..8_usize {
        let store = stores[call % 2].clone();
        // Each call has most of the shared keys, in its own order, under its own row ids.
        let mut mine: Vec<NewSubmission> = shared.iter().skip(call).step_by(1 + call % 3).cloned().collect();
        mine.rotate_left(call);
        for (submission, id) in mine.iter_mut().zip(1000 * (call as i64 + 1)..) {
            submission.id = id;
        }
        calls.spawn(async move {
            // Contention may use up the tries; asking again is what the caller does then.
            for _ in 0..20 {
                match store.accept(&mine).await {
                    Ok(answers) => return answers,
                    Err(StoreError::Unavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            panic!("no answer in 20 calls");
        });
    }
    let answers = calls.join_all().await.concat();
    let new = answers.iter().filter(|answer| **answer == Accepted::New).count();
    assert_eq!(new, 40);
    assert!(
        !answers
            .iter()
            .any(|answer| matches!(answer, Accepted::Conflict { .. }))
    );
    assert_eq!(base.rows("submissions").await, 40);
}

pub(crate) async fn what_a_batch_carries_is_known_before_validation(base: &Base) {
    let store = base.store().await;
    let mut batch = submission(1);
    batch.transaction_ids = (0..5).map(|_| Uuid::new_v4()).collect();
    let single = submission(2);
    let mut later = submission(3);
    later.transaction_ids = vec![Uuid::new_v4(), batch.transaction_ids[4]];
    store
        .accept(&[batch.clone(), single.clone(), later.clone()])
        .await
        .unwrap();
    assert_eq!(base.rows("submission_items").await, 7);

    let view = store
        .submission(TERMINAL, batch.submission_uuid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (view.id, view.transaction_ids),
        (1, batch.transaction_ids.clone())
    );
    assert_eq!((view.processed_at, view.dead_code), (None, None));
    assert!(
        store
            .submission(TERMINAL + 1, batch.submission_uuid)
            .await
            .unwrap()
            .is_none()
    );

    for (transaction, expected) in [
        (batch.transaction_ids[0], 1),
        (single.transaction_ids[0], 2),
        (batch.transaction_ids[4], 3), // the newest that carries it
    ] {
        let view = store.submission_of(TERMINAL, transaction).await.unwrap().unwrap();
        assert_eq!(view.id, expected);
    }
    assert!(
        store
            .submission_of(TERMINAL, Uuid::new_v4())
            .await
            .unwrap()
            .is_none()
    );
}

pub(crate) async fn a_buried_submission_is_dead_once(base: &Base) {
    let store = base.store().await;
    store.accept(&[submission(500)]).await.unwrap();
    for code in ["poison", "again"] {
        store
            .bury_submission(500, code, &"é".repeat(5000), after(1))
            .await
            .unwrap();
    }
    assert_eq!(store.count_dead_letters().await.unwrap(), 1);
    assert!(store.unprocessed_submissions(&[500]).await.unwrap().is_empty());
    assert_eq!(
        base.number("SELECT COUNT(*) FROM dead_letters WHERE stage = 'validation' AND code = 'poison'")
            .await,
        1
    );

    let processed = recorded(&store, 1).await;
    store
        .bury_submission(processed[0].submission_id, "late", "", after(1))
        .await
        .unwrap();
    assert_eq!(store.count_dead_letters().await.unwrap(), 1, "its rows were made");
}

pub(crate) async fn what_no_column_holds_is_refused(base: &Base) {
    let store = base.store().await;
    let mut long = submission(1);
    long.request_id = "x".repeat(129);
    assert!(matches!(store.accept(&[long]).await, Err(StoreError::Unfit(_))));
    let code = "x".repeat(65);
    let buried = store.bury_submission(1, &code, "", noon()).await;
    assert!(matches!(buried, Err(StoreError::Unfit(_))));
}
