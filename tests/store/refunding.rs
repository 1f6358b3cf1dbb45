//! Refunds: bounded by their sale, and told after it. And heartbeats.

use tokio::task::JoinSet;
use tsms::{
    domain::{money::Money, sale::ValidationStatus, time::Timestamp},
    store::{Heartbeat, Reversed, Sequence},
};
use uuid::Uuid;

use crate::{
    base::Base,
    fixtures::{decision, recorded, submission, valid},
    reversing::{MOST, ask, claim, forwarded, id_of, made, refund, void},
};

pub(crate) async fn refunds_never_exceed_their_sale(base: &Base) {
    let stores = [base.store().await, base.open().await];
    // Worth 1,234.56.
    let rows = valid(&stores[0], 2).await;
    let sale = id_of(&rows[0]);
    let mut tasks = JoinSet::new();
    for number in 0..12_usize {
        let store = stores[number % 2].clone();
        let new = refund(sale, &format!("R-{}", number / 2), 50_000);
        tasks.spawn(async move { ask(&store, &new).await });
    }
    let answers = tasks.join_all().await;
    let count = |wanted: fn(&Reversed) -> bool| answers.iter().filter(|answer| wanted(answer)).count();
    assert_eq!(
        count(|answer| matches!(answer, Reversed::Made(_))),
        2,
        "{answers:?}"
    );
    assert_eq!(count(|answer| matches!(answer, Reversed::Before(_))), 2);
    let left = Money::from_minor(23_456);
    assert!(answers.contains(&Reversed::TooMuch { left }));
    assert_eq!(count(|answer| matches!(answer, Reversed::TooMuch { .. })), 8);
    // To the centavo, and then nothing more.
    made(&stores[0], &refund(sale, "rest", 23_456)).await;
    let left = Money::ZERO;
    assert_eq!(
        ask(&stores[0], &refund(sale, "more", 1)).await,
        Reversed::TooMuch { left }
    );
    assert!(matches!(
        ask(&stores[0], &refund(sale, "rest", 1)).await,
        Reversed::Other(_)
    ));
    assert_eq!(ask(&stores[0], &void(sale, "late")).await, Reversed::Refunded);

    let other = id_of(&rows[1]);
    for number in 0..MOST {
        made(&stores[0], &refund(other, &number.to_string(), 1)).await;
    }
    assert_eq!(ask(&stores[0], &refund(other, "x", 1)).await, Reversed::TooMany);
}

pub(crate) async fn a_refund_needs_a_valid_sale(base: &Base) {
    let store = base.store().await;
    let of = submission(store.next_ids(Sequence::Submission, 1).await.unwrap()[0]);
    store.accept(std::slice::from_ref(&of)).await.unwrap();
    let sale = of.transaction_ids[0];
    assert_eq!(
        ask(&store, &refund(Uuid::new_v4(), "a", 1)).await,
        Reversed::Unknown
    );
    assert_eq!(ask(&store, &refund(sale, "a", 1)).await, Reversed::Undecided);
    let rows = recorded(&store, 2).await;
    assert_eq!(
        ask(&store, &refund(id_of(&rows[0]), "a", 1)).await,
        Reversed::Undecided
    );
    store
        .decide(&[decision(rows[0].id, ValidationStatus::Invalid)])
        .await
        .unwrap();
    assert_eq!(
        ask(&store, &refund(id_of(&rows[0]), "a", 1)).await,
        Reversed::Invalid
    );
    let first = made(&store, &void(id_of(&rows[1]), "void")).await;
    assert_eq!(
        ask(&store, &refund(id_of(&rows[1]), "a", 1)).await,
        Reversed::Voided(first)
    );
}

pub(crate) async fn refunds_of_a_sale_travel_together_after_it(base: &Base) {
    let store = base.store().await;
    let sale = valid(&store, 1).await.remove(0);
    made(&store, &refund(id_of(&sale), "a", 100)).await;
    let first = claim(&store, &[sale.id]).await;
    assert!(first.items[0].reversals.is_none(), "the sale itself comes first");
    store
        .settle_forwards(first.token, &[forwarded(sale.id)])
        .await
        .unwrap();
    made(&store, &refund(id_of(&sale), "b", 200)).await;
    base.run("UPDATE reversals SET due_at = 1 WHERE due_at IS NOT NULL")
        .await;
    let both = claim(&store, &[sale.id]).await;
    let reversals = both.items[0].reversals.clone().unwrap();
    assert_eq!((both.items.len(), reversals.claimed.len()), (1, 2));
    made(&store, &refund(id_of(&sale), "c", 300)).await;
    store
        .settle_reversals(both.token, &[forwarded(sale.id)])
        .await
        .unwrap();
    let last = claim(&store, &[sale.id]).await;
    let reversals = last.items[0].reversals.clone().unwrap();
    let references: Vec<&str> = reversals
        .refunds
        .iter()
        .map(|one| one.reference.as_str())
        .collect();
    assert_eq!((reversals.claimed.len(), references), (1, vec!["a", "b", "c"]));
}

pub(crate) async fn the_newest_heartbeat_of_each_terminal_is_kept(base: &Base) {
    let store = base.store().await;
    let beat = |terminal_id, second: i64, backlog| Heartbeat {
        terminal_id,
        received_at: Timestamp::from_micros(second * 1_000_000),
        clock_skew_ms: Some(-second),
        backlog,
    };
    store.record_heartbeats(&[]).await.unwrap();
    store
        .record_heartbeats(&[beat(2, 10, Some(7)), beat(1, 10, None), beat(3, 10, None)])
        .await
        .unwrap();
    store
        .record_heartbeats(&[beat(1, 20, Some(1)), beat(2, 5, None)])
        .await
        .unwrap();
    assert_eq!(
        store.heartbeats(&[1, 2, 3, 4]).await.unwrap(),
        [beat(1, 20, Some(1)), beat(2, 10, Some(7)), beat(3, 10, None)]
    );
}
