//! Claims on forwards and their ends.

use std::{collections::HashSet, time::Duration};

use tokio::task::JoinSet;
use tsms::{
    domain::{
        sale::{ForwardState, Transaction},
        work::AuditEvent,
    },
    store::{Claim, Sequence, Settled, Store},
};

use crate::{
    base::{Base, sent_since},
    claiming::claimed,
    fixtures::{TERMINAL, after, row, submission, valid, validated},
};

pub(crate) const HOLD: Duration = Duration::from_secs(45);

pub(crate) fn ids_of(rows: &[Transaction]) -> Vec<i64> {
    rows.iter().map(|row| row.id).collect()
}

pub(crate) fn forwarded(id: i64) -> Settled {
    Settled::Forwarded {
        id,
        at: after(20),
        batch_id: "batch-1".into(),
    }
}

pub(crate) async fn state(store: &Store, row: &Transaction) -> (Option<ForwardState>, u32) {
    let views = store
        .transaction_views(TERMINAL, &[row.sale.transaction_id])
        .await
        .unwrap();
    (views[0].forward, views[0].forward_attempts)
}

pub(crate) async fn each_row_is_claimed_by_one_worker(base: &Base) {
    let stores = [base.store().await, base.open().await];
    let rows = valid(&stores[0], 200).await;
    let mut workers = JoinSet::new();
    for (worker, store) in stores.iter().cloned().enumerate() {
        let mut ids = ids_of(&rows);
        ids.rotate_left(77 * worker);
        // One worker has copies of some rows, the other of none.
        let copies: Vec<Transaction> = rows.iter().take(50 * worker).cloned().collect();
        workers.spawn(async move {
            let mut items = Vec::new();
            for ids in ids.chunks(40) {
                let claim = store
                    .claim_forwards(ids, copies.clone(), after(10), HOLD)
                    .await
                    .unwrap();
                items.extend(claim.items);
            }
            items
        });
    }
    let items = workers.join_all().await.concat();
    assert_eq!(items.len(), 200);
    let unique: HashSet<i64> = items.iter().map(|item| item.row.id).collect();
    assert_eq!(unique.len(), 200);
    for item in &items {
        assert_eq!((item.attempt, item.created_at), (1, after(3)));
        assert!(rows.contains(&item.row));
    }
    let early = stores[0]
        .claim_forwards(&ids_of(&rows), Vec::new(), after(11), HOLD)
        .await
        .unwrap();
    assert!(early.items.is_empty(), "claimed and not yet due again");
}

pub(crate) async fn a_claim_taken_over_settles_nothing(base: &Base) {
    let store = base.store().await;
    let rows = valid(&store, 3).await;
    let ids = ids_of(&rows);
    let first = store
        .claim_forwards(&ids, Vec::new(), after(10), HOLD)
        .await
        .unwrap();
    // Its hold ends; another worker takes two of the three.
    let second = store
        .claim_forwards(&ids[..2], rows.clone(), after(60), HOLD)
        .await
        .unwrap();
    assert_eq!(second.items.len(), 2);
    assert!(second.items.iter().all(|item| item.attempt == 2));

    let ends: Vec<Settled> = ids
        .iter()
        .map(|id| Settled::Dead {
            id: *id,
            at: after(61),
            code: "refused",
            detail: "422".into(),
        })
        .collect();
    assert_eq!(store.settle_forwards(first.token, &ends).await.unwrap(), 2);
    assert_eq!(store.count_dead_letters().await.unwrap(), 1);
    let ends: Vec<Settled> = ids[..2].iter().map(|id| forwarded(*id)).collect();
    assert_eq!(store.settle_forwards(second.token, &ends).await.unwrap(), 0);
    assert_eq!(state(&store, &rows[0]).await, (Some(ForwardState::Forwarded), 2));
    assert_eq!(state(&store, &rows[2]).await, (Some(ForwardState::Dead), 1));
    // An end is an end.
    assert_eq!(store.settle_forwards(second.token, &ends).await.unwrap(), 2);
    let late = store
        .claim_forwards(&ids, Vec::new(), after(9999), HOLD)
        .await
        .unwrap();
    assert!(late.items.is_empty());
}

pub(crate) async fn retries_come_back_and_count_when_they_should(base: &Base) {
    let store = base.store().await;
    let rows = valid(&store, 3).await;
    let ids = ids_of(&rows);
    let claim = store
        .claim_forwards(&ids, Vec::new(), after(10), HOLD)
        .await
        .unwrap();
    let retry = |id, due, counts| Settled::Retry {
        id,
        due_at: after(due),
        code: "timeout",
        counts,
    };
    let ends = [
        retry(ids[0], 100, true),
        retry(ids[1], 200, false),
        retry(ids[2], 300, true),
    ];
    assert_eq!(store.settle_forwards(claim.token, &ends).await.unwrap(), 0);
    assert_eq!(state(&store, &rows[0]).await, (Some(ForwardState::Pending), 1));
    assert_eq!(state(&store, &rows[1]).await, (Some(ForwardState::Pending), 0));

    let claim = store
        .claim_forwards(&ids, Vec::new(), after(99), HOLD)
        .await
        .unwrap();
    assert!(claim.items.is_empty());
    let claim = store
        .claim_forwards(&ids, Vec::new(), after(250), HOLD)
        .await
        .unwrap();
    let attempts: Vec<(i64, u32)> = claim
        .items
        .iter()
        .map(|item| (item.row.id, item.attempt))
        .collect();
    assert_eq!(attempts, [(ids[0], 2), (ids[1], 1)]);
}

/// What it tells is what the row says; one that was claimed before is looked up with the others.
pub(crate) async fn a_claim_on_sales_never_claimed_is_one_statement(base: &Base) {
    let store = base.store().await;
    let rows = valid(&store, 3).await;
    let ids = ids_of(&rows);
    let before = store.statements();
    let claim = store.claim_forwards(&ids[..2], rows[..2].to_vec(), after(10), HOLD);
    let claim = claim.await.unwrap();
    assert_eq!(sent_since(&store, &before), [("forwards.claim_fresh", 1)]);
    let told = |claim: &Claim| -> Vec<_> {
        let items = claim.items.iter();
        items
            .map(|item| (item.row.id, item.attempt, item.created_at))
            .collect()
    };
    assert_eq!(told(&claim), [(ids[0], 1, after(3)), (ids[1], 1, after(3))]);
    assert!(claim.held.is_empty());
    let again = Settled::Retry {
        id: ids[0],
        due_at: after(20),
        code: "http_503",
        counts: true,
    };
    assert_eq!(store.settle_forwards(claim.token, &[again]).await.unwrap(), 0);
    // The first has an attempt, the second is held, the third is fresh.
    let later = store
        .claim_forwards(&ids, rows.clone(), after(20), HOLD)
        .await
        .unwrap();
    assert_eq!(told(&later), [(ids[0], 2, after(3)), (ids[2], 1, after(3))]);
    assert_eq!(later.held.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[1]]);
    let (sent, overtaken) = (forwarded(ids[0]), forwarded(ids[1]));
    assert_eq!(
        store
            .settle_forwards(later.token, &[sent, overtaken])
            .await
            .unwrap(),
        1
    );
}

pub(crate) async fn a_dead_one_leaves_one_letter(base: &Base) {
    let store = base.store().await;
    let rows = valid(&store, 5).await;
    let ids = ids_of(&rows);
    let claim = store
        .claim_forwards(&ids, Vec::new(), after(10), HOLD)
        .await
        .unwrap();
    let dead = |id: i64, code| Settled::Dead {
        id,
        at: after(20),
        code,
        detail: format!("{} {id}", "long ".repeat(1000)),
    };
    let ends = [
        dead(ids[4], "exhausted"),
        forwarded(ids[0]),
        dead(ids[1], "refused"),
        forwarded(ids[2]),
        dead(ids[3], "refused"),
    ];
    assert_eq!(store.settle_forwards(claim.token, &ends).await.unwrap(), 0);
    assert_eq!(store.count_dead_letters().await.unwrap(), 3);
    let matching = "SELECT COUNT(*) FROM dead_letters d JOIN forwards f ON f.transaction_id = d.subject_id \
                    WHERE d.stage = 'forwarding' AND d.code = f.last_code AND d.tenant_id = f.tenant_id \
                    AND f.state = 'DEAD' AND f.due_at IS NULL AND f.settled_at = d.created_at";
    assert_eq!(base.number(matching).await, 3);
}

/// The row budget of the design is ten row writes from accept to forwarded, audit included.
/// Alone, a sale makes one statement of one row for each write.
pub(crate) async fn a_sale_costs_nine_row_writes(base: &Base) {
    let store = base.store().await;
    let submission_id = store.next_ids(Sequence::Submission, 1).await.unwrap()[0];
    let id = store.next_ids(Sequence::Transaction, 1).await.unwrap()[0];
    let before = store.statements();
    let of = submission(submission_id);
    store.accept(std::slice::from_ref(&of)).await.unwrap();
    let row = row(id, &of, of.transaction_ids[0]);
    store
        .record_validated(&[validated(&of, vec![row.clone()])])
        .await
        .unwrap();
    assert!(store.decide(&[claimed(id)]).await.unwrap().claimed);
    let mut claim = store
        .claim_forwards(&[], Vec::new(), after(10), HOLD)
        .await
        .unwrap();
    claim.add_made(vec![row.clone()]);
    store
        .settle_forwards(claim.token, &[forwarded(id)])
        .await
        .unwrap();
    let decided = &store.transactions(&[id]).await.unwrap()[0];
    let events = [
        AuditEvent::recorded(&row),
        AuditEvent::decided(decided).unwrap(),
        AuditEvent::delivered(row.tenant_id, id, ForwardState::Forwarded, after(20)).unwrap(),
    ];
    for event in events {
        store.append_audit(&[event]).await.unwrap();
    }
    let reads = [
        "audit_log.heads",
        "audit_log.recorded",
        "tenants.lock_chains",
        "transactions.by_id",
    ];
    let writes: Vec<_> = sent_since(&store, &before)
        .into_iter()
        .filter(|(name, _)| !reads.contains(name))
        .collect();
    assert_eq!(
        writes,
        [
            ("audit_log.insert", 3),
            ("forwards.forwarded", 1),
            ("forwards.insert", 1),
            ("submissions.insert", 1),
            ("submissions.processed", 1),
            ("transactions.decide_valid", 1),
            ("transactions.insert", 1),
        ]
    );
}
