//! Row ids from blocks.

use std::collections::HashSet;

use serde_json::json;
use tokio::task::JoinSet;
use tsms::store::Sequence;

use crate::base::{Base, sent_since};

pub(crate) async fn ids_are_unique_over_processes(base: &Base) {
    let stores = [base.store().await, base.open().await];
    let mut takers = JoinSet::new();
    for taker in 0..8_usize {
        let store = stores[taker % 2].clone();
        takers.spawn(async move {
            let mut ids = Vec::new();
            for count in [1, 7, 100, 3, 1500, 1] {
                let taken = store.next_ids(Sequence::Transaction, count).await.unwrap();
                assert_eq!(taken.len(), count);
                assert!(taken.is_sorted());
                ids.extend(taken);
            }
            ids
        });
    }
    let ids = takers.join_all().await.concat();
    let unique: HashSet<i64> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len());
    assert!(ids.iter().all(|id| *id >= 1));
    let other = stores[0].next_ids(Sequence::Submission, 2).await.unwrap();
    assert_eq!(other, [1, 2], "each series counts by itself");
}

pub(crate) async fn an_old_block_is_thrown_away(base: &Base) {
    let store = base.store().await;
    let idle = base.open_with(json!({"id_block_ttl_ms": 0})).await;
    let first = idle.next_ids(Sequence::Submission, 1).await.unwrap()[0];
    let others = store.next_ids(Sequence::Submission, 5).await.unwrap();
    let second = idle.next_ids(Sequence::Submission, 1).await.unwrap()[0];
    assert!(
        first < others[0] && others[4] < second,
        "later ids are higher, whoever takes them"
    );
}

pub(crate) async fn one_statement_serves_many_ids(base: &Base) {
    let store = base.store().await;
    let before = store.statements();
    let mut last = 0;
    for _ in 0..5000 {
        let id = store.next_ids(Sequence::Submission, 1).await.unwrap()[0];
        assert_eq!(id, last + 1, "alone, a process leaves no gap");
        last = id;
    }
    let sent = sent_since(&store, &before);
    // Blocks double from 16 to 1000: 6 to reach 1008 ids, then one for each 1000.
    assert_eq!(sent, [("id_blocks.take", 10)]);
    assert!(store.next_ids(Sequence::Submission, 0).await.unwrap().is_empty());
}
