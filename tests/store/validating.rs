//! Transaction rows and the submissions they come from.

use std::collections::HashMap;

use tokio::task::JoinSet;
use tsms::{
    domain::{money::Money, sale::Transaction},
    store::{ItemResult, ItemState, StoreError, Validated},
};
use uuid::Uuid;

use crate::{
    base::Base,
    fixtures::{TERMINAL, after, finding, noon, recorded, row, submission, validated},
};

pub(crate) async fn a_row_comes_back_as_it_was_written(base: &Base) {
    let store = base.store().await;
    let batch = submission(1);
    store.accept(std::slice::from_ref(&batch)).await.unwrap();
    let mut full = row(10, &batch, Uuid::new_v4());
    full.findings = vec![finding("receipt.duplicate"), finding("time.skewed")];
    full.voided_at = Some(after(9));
    full.void_reason = Some("Falsch getippt".into());
    let mut bare = row(11, &batch, Uuid::new_v4());
    bare.sale.hardware_id = None;
    bare.sale.base_amount = None;
    bare.sale.gross_sales = None;
    bare.sale.net_sales = None;
    bare.sale.promo_status = None;
    bare.sale.customer_code = None;
    bare.sale.receipt_no = None;
    bare.sale.remarks = Vec::new();
    let rows = vec![full, bare];
    store
        .record_validated(&[validated(&batch, rows.clone())])
        .await
        .unwrap();

    assert_eq!(store.transactions(&[11, 12, 10]).await.unwrap(), rows);
    assert_eq!(store.transactions_of(&[1, 2]).await.unwrap(), rows);
    let ids: Vec<Uuid> = rows.iter().map(|row| row.sale.transaction_id).collect();
    let views = store.transaction_views(TERMINAL, &ids).await.unwrap();
    assert_eq!(views.len(), 2);
    assert!(
        views
            .iter()
            .all(|view| rows.contains(&view.row) && view.forward.is_none())
    );
    assert!(
        store
            .transaction_views(TERMINAL + 1, &ids)
            .await
            .unwrap()
            .is_empty()
    );

    let keys = [
        (TERMINAL, ids[0]),
        (TERMINAL, Uuid::new_v4()),
        (TERMINAL + 1, ids[0]),
    ];
    let existing = store.existing_transactions(&keys).await.unwrap();
    assert_eq!(existing.len(), 1);
    let first = existing[&(TERMINAL, ids[0])];
    assert_eq!(
        (first.id, first.submission_id, first.payload_checksum),
        (10, 1, [0xab; 32])
    );
}

pub(crate) async fn the_largest_amounts_are_exact(base: &Base) {
    let store = base.store().await;
    let batch = submission(1);
    store.accept(std::slice::from_ref(&batch)).await.unwrap();
    let amounts = [
        Money::MAX,
        -Money::MAX,
        Money::from_minor(1),
        Money::from_minor(-1),
        Money::ZERO,
        Money::from_minor(999_999_999_998),
        Money::from_minor(90_071_992_547),
    ];
    let rows: Vec<Transaction> = amounts
        .iter()
        .zip(10..)
        .map(|(amount, id)| {
            let mut row = row(id, &batch, Uuid::new_v4());
            row.sale.net_sales = Some(*amount);
            row.sale.adjustments.employee_discount = *amount;
            row
        })
        .collect();
    store
        .record_validated(&[validated(&batch, rows.clone())])
        .await
        .unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(store.transactions(&ids).await.unwrap(), rows);
}

pub(crate) async fn an_amount_out_of_range_is_refused(base: &Base) {
    let store = base.store().await;
    let batch = submission(1);
    store.accept(std::slice::from_ref(&batch)).await.unwrap();
    for amount in [Money::from_minor(1_000_000_000_000), Money::from_minor(i64::MIN)] {
        let mut row = row(10, &batch, Uuid::new_v4());
        row.sale.gross_sales = Some(amount);
        let refused = store.record_validated(&[validated(&batch, vec![row])]).await;
        assert!(matches!(refused, Err(StoreError::Unfit(_))), "{refused:?}");
    }
    let mut long = row(10, &batch, Uuid::new_v4());
    long.sale.receipt_no = Some("9".repeat(129));
    let refused = store.record_validated(&[validated(&batch, vec![long])]).await;
    assert!(matches!(refused, Err(StoreError::Unfit(_))), "{refused:?}");
    assert_eq!(base.rows("transactions").await, 0);
    assert_eq!(store.unprocessed_submissions(&[1]).await.unwrap().len(), 1);
}

pub(crate) async fn a_submission_is_processed_once(base: &Base) {
    let store = base.store().await;
    let submissions = [submission(1), submission(2), submission(3)];
    store.accept(&submissions).await.unwrap();
    let [first, second, third] = &submissions;
    store
        .record_validated(&[validated(first, vec![row(10, first, first.transaction_ids[0])])])
        .await
        .unwrap();

    // The first comes again with rows of its own, beside a new one and one whose sale is a duplicate.
    let duplicate = ItemResult {
        transaction_id: third.transaction_ids[0],
        state: ItemState::Duplicate,
        original: 10,
    };
    let set = [
        Validated {
            results: vec![duplicate.clone()],
            ..validated(third, Vec::new())
        },
        validated(first, vec![row(20, first, Uuid::new_v4())]),
        validated(second, vec![row(21, second, second.transaction_ids[0])]),
    ];
    assert_eq!(store.record_validated(&set).await.unwrap(), [1]);
    assert_eq!(store.record_validated(&set).await.unwrap(), [1, 2, 3]);

    let ids: Vec<i64> = store
        .transactions_of(&[1, 2, 3])
        .await
        .unwrap()
        .iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids, [10, 21]);
    assert!(
        store
            .unprocessed_submissions(&[1, 2, 3])
            .await
            .unwrap()
            .is_empty()
    );
    let view = store
        .submission(TERMINAL, third.submission_uuid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (view.processed_at, view.results),
        (Some(after(2)), vec![duplicate])
    );
}

pub(crate) async fn a_row_that_exists_changes_nothing(base: &Base) {
    let store = base.store().await;
    let submissions = [submission(1), submission(2)];
    store.accept(&submissions).await.unwrap();
    let [first, second] = &submissions;
    let taken = Uuid::new_v4();
    store
        .record_validated(&[validated(first, vec![row(10, first, taken)])])
        .await
        .unwrap();
    let rows = vec![row(11, second, Uuid::new_v4()), row(12, second, taken)];
    let refused = store.record_validated(&[validated(second, rows)]).await;
    assert!(
        matches!(refused, Err(StoreError::Exists("transaction"))),
        "{refused:?}"
    );
    assert_eq!(base.rows("transactions").await, 1);
    assert_eq!(store.unprocessed_submissions(&[2]).await.unwrap().len(), 1);
}

pub(crate) async fn two_workers_record_the_same_set_once(base: &Base) {
    let stores = [base.store().await, base.open().await];
    let submissions: Vec<_> = (1..=100).map(submission).collect();
    stores[0].accept(&submissions).await.unwrap();
    let mut workers = JoinSet::new();
    for (worker, store) in stores.iter().cloned().enumerate() {
        // The same jobs, each worker with row ids of its own and in another order.
        let mut set: Vec<Validated> = submissions
            .iter()
            .map(|of| {
                validated(
                    of,
                    vec![row(of.id + 1000 * worker as i64, of, of.transaction_ids[0])],
                )
            })
            .collect();
        set.rotate_left(33 * worker);
        workers.spawn(async move { store.record_validated(&set).await });
    }
    for ended in workers.join_all().await {
        ended.unwrap();
    }
    assert_eq!(base.rows("transactions").await, 100);
    let mut per_submission: HashMap<i64, usize> = HashMap::new();
    let ids: Vec<i64> = submissions.iter().map(|of| of.id).collect();
    for row in stores[0].transactions_of(&ids).await.unwrap() {
        *per_submission.entry(row.submission_id).or_default() += 1;
    }
    assert!(per_submission.values().all(|rows| *rows == 1));
    assert_eq!(per_submission.len(), 100);
}

pub(crate) async fn receipts_are_found_in_their_window(base: &Base) {
    let store = base.store().await;
    let rows = recorded(&store, 3).await;
    let key = (TERMINAL, "R001-0000001".to_owned());
    let keys = [key.clone(), (TERMINAL, "r001-0000001".to_owned())];
    let found = store.existing_receipts(&keys, noon(), after(1)).await.unwrap();
    assert_eq!(found.len(), 1, "receipt numbers differ by case");
    let mut used: Vec<Uuid> = found[&key].iter().map(|(id, _)| *id).collect();
    let mut expected: Vec<Uuid> = rows.iter().map(|row| row.sale.transaction_id).collect();
    used.sort_unstable();
    expected.sort_unstable();
    assert_eq!(used, expected);
    assert!(
        store
            .existing_receipts(&keys, after(2), after(9))
            .await
            .unwrap()
            .is_empty()
    );
}
