//! Forwards that are made claimed, with the decision on their sale.

use tsms::{
    domain::sale::{ForwardState, Transaction, ValidationStatus},
    store::{Claim, Decision, Settled, Store},
};

use crate::{
    base::{Base, sent_since},
    fixtures::{after, decision, recorded},
    forwarding::{HOLD, forwarded, ids_of, state},
};

/// The decision of a VALID sale that is made claimed.
pub(crate) fn claimed(id: i64) -> Decision {
    Decision {
        claimed_until: Some(after(40)),
        ..decision(id, ValidationStatus::Valid)
    }
}

/// VALID sales that were made claimed.
async fn made_claimed(store: &Store, count: usize) -> Vec<Transaction> {
    let ids = ids_of(&recorded(store, count).await);
    let decisions: Vec<Decision> = ids.iter().map(|id| claimed(*id)).collect();
    assert!(store.decide(&decisions).await.unwrap().claimed);
    store.transactions(&ids).await.unwrap()
}

pub(crate) async fn what_is_made_claimed_is_held_until_then_and_counted_at_its_end(base: &Base) {
    let store = base.store().await;
    let rows = made_claimed(&store, 5).await;
    let ids = ids_of(&rows);
    assert_eq!(state(&store, &rows[0]).await, (Some(ForwardState::Sending), 0));
    let mut early = store
        .claim_forwards(&ids, Vec::new(), after(39), HOLD)
        .await
        .unwrap();
    let held: Vec<_> = ids.iter().map(|id| (*id, after(40))).collect();
    assert_eq!((early.items.len(), &early.held), (0, &held));
    early.add_made(rows[..4].to_vec());
    for (item, row) in early.items.iter().zip(&rows) {
        assert_eq!(
            (item.row.id, item.attempt, item.created_at),
            (row.id, 1, after(3))
        );
    }
    // Renewed, it is counted; the others are at their end.
    store
        .renew_forwards(early.token, &ids[3..4], after(90))
        .await
        .unwrap();
    assert_eq!(state(&store, &rows[3]).await, (Some(ForwardState::Sending), 1));
    let retry = |id, counts| Settled::Retry {
        id,
        due_at: after(50),
        code: "timeout",
        counts,
    };
    let ends = [
        forwarded(ids[0]),
        retry(ids[1], true),
        retry(ids[2], false),
        forwarded(ids[3]),
    ];
    assert_eq!(store.settle_forwards(early.token, &ends).await.unwrap(), 0);
    assert_eq!(state(&store, &rows[0]).await, (Some(ForwardState::Forwarded), 1));
    assert_eq!(state(&store, &rows[1]).await, (Some(ForwardState::Pending), 1));
    assert_eq!(state(&store, &rows[2]).await, (Some(ForwardState::Pending), 0));
    assert_eq!(state(&store, &rows[3]).await, (Some(ForwardState::Forwarded), 1));
    assert_eq!(store.settle_forwards(early.token, &ends).await.unwrap(), 4);
}

pub(crate) async fn what_was_made_claimed_is_taken_over_when_its_claim_ends(base: &Base) {
    let store = base.store().await;
    let rows = made_claimed(&store, 3).await;
    let ids = ids_of(&rows);
    let mut first = store
        .claim_forwards(&[], Vec::new(), after(20), HOLD)
        .await
        .unwrap();
    first.add_made(rows.clone());
    // With copies, without, and not at all.
    let second = store
        .claim_forwards(&ids[..1], rows.clone(), after(40), HOLD)
        .await
        .unwrap();
    let third = store
        .claim_forwards(&ids[1..2], Vec::new(), after(40), HOLD)
        .await
        .unwrap();
    for claim in [&second, &third] {
        assert_eq!((claim.items.len(), claim.items[0].attempt), (1, 1));
    }
    let dead = |id| Settled::Dead {
        id,
        at: after(41),
        code: "webapp_refused",
        detail: String::new(),
    };
    let ends: Vec<Settled> = ids.iter().copied().map(dead).collect();
    assert_eq!(store.settle_forwards(first.token, &ends).await.unwrap(), 2);
    assert_eq!(store.count_dead_letters().await.unwrap(), 1);
    assert_eq!(state(&store, &rows[2]).await, (Some(ForwardState::Dead), 1));
    for (claim, id) in [(&second, ids[0]), (&third, ids[1])] {
        assert_eq!(
            store
                .settle_forwards(claim.token, &[forwarded(id)])
                .await
                .unwrap(),
            0
        );
    }
    assert_eq!(state(&store, &rows[0]).await, (Some(ForwardState::Forwarded), 1));
}

pub(crate) async fn a_claim_that_was_made_is_renewed_by_its_job_once(base: &Base) {
    let store = base.store().await;
    let rows = made_claimed(&store, 3).await;
    let ids = ids_of(&rows);
    // One has run out and is somebody else's.
    let other = store.claim_forwards(&ids[2..], Vec::new(), after(40), HOLD);
    assert_eq!(other.await.unwrap().items.len(), 1);
    let before = store.statements();
    let mut claim = Claim::empty();
    let others = store
        .claim_made_forwards(&mut claim, rows.clone(), after(39), HOLD)
        .await
        .unwrap();
    assert_eq!(
        sent_since(&store, &before),
        [("forwards.claim_made", 1), ("forwards.claimed", 1)]
    );
    assert_eq!(others, rows[2..]);
    let taken: Vec<_> = claim
        .items
        .iter()
        .map(|item| (item.row.id, item.attempt))
        .collect();
    assert_eq!(taken, [(ids[0], 1), (ids[1], 1)]);
    let mut again = Claim::empty();
    let others = store
        .claim_made_forwards(&mut again, rows.clone(), after(39), HOLD)
        .await
        .unwrap();
    assert_eq!((others.len(), again.items.len()), (3, 0));
    // It lasts from then on.
    let early = store
        .claim_forwards(&ids, Vec::new(), after(83), HOLD)
        .await
        .unwrap();
    assert_eq!((early.items.len(), early.held.len()), (0, 3));
    assert_eq!(
        store
            .settle_forwards(claim.token, &[forwarded(ids[0])])
            .await
            .unwrap(),
        0
    );
    assert_eq!(state(&store, &rows[0]).await, (Some(ForwardState::Forwarded), 1));
}
