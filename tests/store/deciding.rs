//! Decisions and what follows from them.

use tokio::task::JoinSet;
use tsms::{
    domain::sale::{ForwardState, ValidationStatus},
    store::Decision,
};

use crate::{
    base::Base,
    fixtures::{TERMINAL, after, decision, finding, notice, recorded},
};

pub(crate) async fn a_valid_sale_gets_one_forward(base: &Base) {
    let store = base.store().await;
    let rows = recorded(&store, 4).await;
    let mut decisions = vec![
        decision(rows[0].id, ValidationStatus::Valid),
        decision(rows[1].id, ValidationStatus::Valid),
        decision(rows[2].id, ValidationStatus::Invalid),
        decision(rows[3].id, ValidationStatus::Invalid),
    ];
    decisions[1].findings = vec![finding("vat.off")];
    decisions[2].findings = vec![finding("amount.not_positive"), finding("vat.off")];
    decisions[3].findings = vec![finding("sum.off")];
    decisions[3].notice = Some(notice(rows[3].id));
    store.decide(&decisions).await.unwrap();
    store.decide(&decisions).await.unwrap();

    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let decided = store.transactions(&ids).await.unwrap();
    for (row, decision) in decided.iter().zip(&decisions) {
        assert_eq!((row.status, &row.findings), (decision.status, &decision.findings));
        assert_eq!(row.decided_at, Some(after(3)));
    }
    assert_eq!(base.rows("notifications").await, 1);
    let uuids: Vec<_> = rows.iter().map(|row| row.sale.transaction_id).collect();
    for view in store.transaction_views(TERMINAL, &uuids).await.unwrap() {
        let expected = (view.row.status == ValidationStatus::Valid).then_some(ForwardState::Pending);
        assert_eq!((view.forward, view.forward_attempts), (expected, 0));
    }
}

pub(crate) async fn the_first_decision_stands(base: &Base) {
    let store = base.store().await;
    let rows = recorded(&store, 3).await;
    store
        .decide(&[decision(rows[1].id, ValidationStatus::Invalid)])
        .await
        .unwrap();
    // One decided before, one twice in the call, one unknown.
    let again: Vec<Decision> = [rows[0].id, rows[1].id, rows[2].id, rows[2].id, 999_999]
        .map(|id| decision(id, ValidationStatus::Valid))
        .to_vec();
    let left_alone = store.decide(&again).await.unwrap().left_alone;
    assert_eq!(left_alone, [rows[1].id, 999_999]);
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let states: Vec<ValidationStatus> = store
        .transactions(&ids)
        .await
        .unwrap()
        .iter()
        .map(|row| row.status)
        .collect();
    assert_eq!(
        states,
        [
            ValidationStatus::Valid,
            ValidationStatus::Invalid,
            ValidationStatus::Valid
        ]
    );
    assert_eq!(base.rows("forwards").await, 2);
}

pub(crate) async fn two_workers_decide_each_row_once(base: &Base) {
    let stores = [base.store().await, base.open().await];
    let rows = recorded(&stores[0], 150).await;
    let mut workers = JoinSet::new();
    for (store, status) in stores
        .iter()
        .cloned()
        .zip([ValidationStatus::Valid, ValidationStatus::Invalid])
    {
        let mut decisions: Vec<Decision> = rows.iter().map(|row| decision(row.id, status)).collect();
        if status == ValidationStatus::Invalid {
            decisions.reverse();
        }
        workers.spawn(async move {
            for chunk in decisions.chunks(30) {
                store.decide(chunk).await.unwrap();
            }
        });
    }
    workers.join_all().await;
    assert_eq!(
        base.number("SELECT COUNT(*) FROM transactions WHERE validation_status = 'PENDING'")
            .await,
        0
    );
    let valid = "SELECT COUNT(*) FROM transactions WHERE validation_status = 'VALID'";
    let with_forward = "SELECT COUNT(*) FROM transactions t JOIN forwards f ON f.transaction_id = t.id \
                        WHERE t.validation_status = 'VALID'";
    let valid = base.number(valid).await;
    assert_eq!(base.number(with_forward).await, valid);
    assert_eq!(base.rows("forwards").await, valid);
}

pub(crate) async fn a_buried_transaction_is_not_decided(base: &Base) {
    let store = base.store().await;
    let rows = recorded(&store, 2).await;
    store
        .decide(&[decision(rows[1].id, ValidationStatus::Valid)])
        .await
        .unwrap();
    for row in &rows {
        store
            .bury_transaction(row.id, "poison", "kills its workers", after(4))
            .await
            .unwrap();
        store
            .bury_transaction(row.id, "again", "", after(5))
            .await
            .unwrap();
    }
    assert_eq!(
        store.count_dead_letters().await.unwrap(),
        1,
        "the other was decided"
    );
    let left_alone = store
        .decide(&[decision(rows[0].id, ValidationStatus::Valid)])
        .await
        .unwrap()
        .left_alone;
    assert_eq!(left_alone, [rows[0].id]);
    assert_eq!(base.rows("forwards").await, 1);
    let uuid = rows[0].sale.transaction_id;
    let view = store
        .transaction_views(TERMINAL, &[uuid])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(view.dead_code.as_deref(), Some("poison"));
}
