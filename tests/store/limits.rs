//! Orders about rate limits, live ingresses, and counts of refusals.

use std::time::Duration;

use tsms::{
    domain::orders::{OrderKind, Subject},
    store::{NewOrder, Refused, StoreError},
};

use crate::{base::Base, fixtures::after};

fn order(kind: OrderKind, subject: Subject, ends: u64) -> NewOrder {
    NewOrder {
        kind,
        subject,
        owner: "J. Cruz".to_owned(),
        reason: "posts in a loop".to_owned(),
        ends_at: after(ends),
    }
}

pub(crate) async fn orders_hold_until_they_end_or_are_lifted(base: &Base) {
    let store = base.store().await;
    let address = Subject::Address("192.0.2.1".parse().unwrap());
    let long = store
        .give_order(&order(OrderKind::Block, Subject::Terminal(7), 100))
        .await
        .unwrap();
    store
        .give_order(&order(OrderKind::Allow, address, 10))
        .await
        .unwrap();
    let standing = async |at| {
        let orders = store.standing_orders(after(at), 10).await.unwrap();
        orders
            .into_iter()
            .map(|order| (order.kind, order.subject))
            .collect::<Vec<_>>()
    };
    let both = [
        (OrderKind::Allow, address),
        (OrderKind::Block, Subject::Terminal(7)),
    ];
    assert_eq!(standing(9).await, both);
    assert_eq!(standing(10).await, both[1..]);
    store.lift_order(long, after(20)).await.unwrap();
    store.lift_order(long, after(30)).await.unwrap();
    assert_eq!(standing(11).await, []);
    let all = store.list_orders(0, 10).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].lifted_at, Some(after(20)), "the first time");
    assert_eq!(all[0].owner, "J. Cruz");
    assert_eq!(store.list_orders(all[0].id, 10).await.unwrap(), all[1..]);
    let actions = store.list_actions(0, 10).await.unwrap();
    let actions: Vec<_> = actions
        .iter()
        .map(|row| (row.action.as_str(), row.subject_id))
        .collect();
    assert_eq!(
        actions,
        [
            ("limit.blocked", long),
            ("limit.allowed", long + 1),
            ("limit.lifted", long),
            ("limit.lifted", long),
        ],
        "who gave and lifted them is put down"
    );
    let missing = store.lift_order(9999, after(20)).await;
    assert!(
        matches!(missing, Err(StoreError::Missing("order"))),
        "{missing:?}"
    );
    let wordy = NewOrder {
        reason: "x".repeat(501),
        ..order(OrderKind::Block, address, 1)
    };
    assert!(matches!(
        store.give_order(&wordy).await,
        Err(StoreError::Unfit(_))
    ));
}

pub(crate) async fn ingresses_count_while_they_are_heard(base: &Base) {
    let store = base.store().await;
    let within = Duration::from_secs(10);
    let beat = async |name, at| store.ingress_beats(name, after(at), within).await.unwrap();
    assert_eq!(beat("one", 100).await, 1);
    assert_eq!(beat("two", 101).await, 2);
    assert_eq!(beat("one", 111).await, 2);
    assert_eq!(beat("one", 112).await, 1, "silence");
    assert_eq!(beat("two", 113).await, 2);
    store.ingress_ends("two", after(0)).await.unwrap();
    assert_eq!(beat("one", 114).await, 1);
}

pub(crate) async fn refusals_add_up_by_the_hour(base: &Base) {
    let store = base.store().await;
    let refused = |identifier: &str, refused| Refused {
        class: "terminal".to_owned(),
        tenant_id: 3,
        identifier: identifier.to_owned(),
        refused,
    };
    let hour = 3600;
    for at in [0, 1, hour] {
        let few = [refused("7", 5), refused("8", 1)];
        store.add_refused(after(at), &few).await.unwrap();
    }
    store
        .add_refused(after(2 * hour), &[refused("8", 100)])
        .await
        .unwrap();
    let top = async |since, limit| store.top_refused(after(since), limit).await.unwrap();
    assert_eq!(top(0, 10).await, [refused("8", 103), refused("7", 15)]);
    assert_eq!(top(hour, 1).await, [refused("8", 101)]);
}
