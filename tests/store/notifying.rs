//! Callbacks: made once, claimed, settled.

use std::time::Duration;

use tsms::{
    domain::sale::ValidationStatus,
    store::{Decision, NoticeOutcome, Store},
};

use crate::{
    base::Base,
    fixtures::{after, decision, notice, recorded},
};

const HOLD: Duration = Duration::from_secs(20);

/// Decides `count` sales with a notice each and gives the transactions.
async fn noticed(store: &Store, count: usize) -> Vec<i64> {
    let ids: Vec<i64> = recorded(store, count).await.iter().map(|row| row.id).collect();
    let decisions: Vec<Decision> = ids
        .iter()
        .map(|id| Decision {
            notice: Some(notice(*id)),
            ..decision(*id, ValidationStatus::Invalid)
        })
        .collect();
    store.decide(&decisions).await.unwrap();
    ids
}

pub(crate) async fn a_notice_is_made_and_delivered_once(base: &Base) {
    let store = base.store().await;
    let ids = noticed(&store, 3).await;
    let claimed = store.claim_notices(&ids, after(10), HOLD).await.unwrap();
    assert_eq!(claimed.len(), 3);
    let expected = notice(ids[0]);
    assert_eq!(claimed[0].transaction_id, ids[0]);
    assert_eq!(
        (&claimed[0].url, &claimed[0].payload),
        (&expected.url, &expected.payload)
    );
    assert_eq!(claimed[0].attempt, 1);
    assert!(
        store
            .claim_notices(&ids, after(11), HOLD)
            .await
            .unwrap()
            .is_empty()
    );

    let delivered = NoticeOutcome::Delivered {
        id: claimed[0].id,
        at: after(12),
        status: 204,
    };
    let retries = claimed[1..]
        .iter()
        .zip([100, 200])
        .map(|(notice, due)| NoticeOutcome::Retry {
            id: notice.id,
            due_at: after(due),
            code: "timeout",
            status: None,
        });
    let ends: Vec<NoticeOutcome> = std::iter::once(delivered).chain(retries).collect();
    store.settle_notices(&ends).await.unwrap();

    assert!(
        store
            .claim_notices(&ids, after(50), HOLD)
            .await
            .unwrap()
            .is_empty()
    );
    let again = store.claim_notices(&ids, after(150), HOLD).await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].id, again[0].attempt), (claimed[1].id, 2));
    let late = "SELECT COUNT(*) FROM notifications WHERE state = 'DELIVERED' AND last_status = 204";
    assert_eq!(base.number(late).await, 1);
}

pub(crate) async fn a_failed_notice_is_not_due_again(base: &Base) {
    let store = base.store().await;
    let ids = noticed(&store, 1).await;
    let claimed = store.claim_notices(&ids, after(10), HOLD).await.unwrap();
    let failed = NoticeOutcome::Failed {
        id: claimed[0].id,
        at: after(11),
        code: "exhausted",
        status: Some(503),
    };
    let late = NoticeOutcome::Retry {
        id: claimed[0].id,
        due_at: after(12),
        code: "timeout",
        status: None,
    };
    store.settle_notices(&[failed]).await.unwrap();
    store.settle_notices(&[late]).await.unwrap();
    assert!(
        store
            .claim_notices(&ids, after(9999), HOLD)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .due_notices((after(0), 0), after(9999), 10)
            .await
            .unwrap()
            .is_empty()
    );
}
