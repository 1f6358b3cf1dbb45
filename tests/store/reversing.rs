//! Voids and refunds: one of those that exclude each other is made, and none is told of before its sale.

use std::time::Duration;

use tokio::task::JoinSet;
use tsms::{
    domain::{
        money::Money,
        reversal::ReversalKind,
        sale::{ForwardState, Transaction, ValidationStatus},
        time::Timestamp,
        work::{AuditEvent, Change},
    },
    store::{Claim, Decision, NewReversal, Reversed, Sequence, Settled, Store},
};
use uuid::Uuid;

use crate::{
    base::{Base, sent_since},
    fixtures::{TENANT, TERMINAL, decision, recorded, row, submission, valid, validated},
};

const HOLD: Duration = Duration::from_secs(60);
pub(crate) const MOST: usize = 5;

pub(crate) fn void(transaction_id: Uuid, reason: &str) -> NewReversal {
    NewReversal {
        tenant_id: TENANT,
        terminal_id: TERMINAL,
        transaction_id,
        kind: ReversalKind::Void,
        reference: String::new(),
        amount: Money::ZERO,
        reason: reason.to_owned(),
        content: [u8::try_from(reason.len()).unwrap(); 32],
    }
}

pub(crate) fn refund(transaction_id: Uuid, reference: &str, centavos: i64) -> NewReversal {
    NewReversal {
        kind: ReversalKind::Refund,
        reference: reference.to_owned(),
        amount: Money::from_minor(centavos),
        content: [centavos.to_be_bytes()[7]; 32],
        ..void(transaction_id, "refund")
    }
}

pub(crate) fn id_of(row: &Transaction) -> Uuid {
    row.sale.transaction_id
}

pub(crate) async fn ask(store: &Store, new: &NewReversal) -> Reversed {
    store.reverse(new, MOST).await.unwrap()
}

pub(crate) async fn made(store: &Store, new: &NewReversal) -> tsms::domain::reversal::Reversal {
    match ask(store, new).await {
        Reversed::Made(made) => made,
        other => panic!("{other:?}"),
    }
}

/// Claims what of these sales is due, as the worker does.
pub(crate) async fn claim(store: &Store, ids: &[i64]) -> Claim {
    let now = Timestamp::now();
    let mut claim = store.claim_forwards(ids, Vec::new(), now, HOLD).await.unwrap();
    store.claim_reversals(&mut claim, ids, now, HOLD).await.unwrap();
    claim
}

pub(crate) fn forwarded(id: i64) -> Settled {
    Settled::Forwarded {
        id,
        at: Timestamp::now(),
        batch_id: "TSMS_1".to_owned(),
    }
}

async fn state(store: &Store, row: &Transaction) -> (Option<ForwardState>, Vec<ForwardState>) {
    let views = store.transaction_views(TERMINAL, &[id_of(row)]).await.unwrap();
    let reversals = store.reversals_of(TERMINAL, id_of(row)).await.unwrap();
    (
        views[0].forward,
        reversals.iter().map(|reversal| reversal.state).collect(),
    )
}

pub(crate) async fn one_of_many_voids_wins(base: &Base) {
    let stores = [base.store().await, base.open().await];
    let sale = valid(&stores[0], 1).await.remove(0);
    let mut tasks = JoinSet::new();
    for number in 0..24_usize {
        let store = stores[number % 2].clone();
        // Three different requests, eight times each.
        let new = void(id_of(&sale), &"x".repeat(1 + number % 3));
        tasks.spawn(async move { (number % 3, ask(&store, &new).await) });
    }
    let answers = tasks.join_all().await;
    let winners: Vec<_> = answers
        .iter()
        .filter_map(|(kind, answer)| match answer {
            Reversed::Made(made) => Some((*kind, made.clone())),
            _ => None,
        })
        .collect();
    let [(winner, first)] = winners.as_slice() else {
        panic!("{} voids were made", winners.len());
    };
    for (kind, answer) in &answers {
        match answer {
            Reversed::Made(_) => {}
            Reversed::Before(same) => assert_eq!((kind, same), (winner, first)),
            Reversed::Other(same) => assert!(kind != winner && same == first),
            other => panic!("{other:?}"),
        }
    }
    let rows = stores[0].transactions(&[sale.id]).await.unwrap();
    assert_eq!(rows[0].voided_at, Some(first.made_at));
    assert_eq!(rows[0].void_reason.as_ref(), Some(&first.reason));
    // It was never sent, so it never will be, and nobody needs to hear of it.
    assert_eq!(
        state(&stores[0], &sale).await,
        (Some(ForwardState::Withdrawn), vec![ForwardState::Withdrawn])
    );
    assert!(claim(&stores[0], &[sale.id]).await.items.is_empty());
}

pub(crate) async fn a_sale_void_before_its_decision_is_never_sent(base: &Base) {
    let store = base.store().await;
    let rows = recorded(&store, 3).await;
    made(&store, &void(id_of(&rows[1]), "early")).await;
    let decisions: Vec<_> = [
        ValidationStatus::Valid,
        ValidationStatus::Valid,
        ValidationStatus::Invalid,
    ]
    .iter()
    .zip(&rows)
    .map(|(status, row)| decision(row.id, *status))
    .collect();
    made(&store, &void(id_of(&rows[2]), "early")).await;
    assert!(store.decide(&decisions).await.unwrap().left_alone.is_empty());
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let claimed = claim(&store, &ids).await;
    assert_eq!(claimed.items.len(), 1);
    assert_eq!(claimed.items[0].row.id, rows[0].id);
    let stored = store.transactions(&ids).await.unwrap();
    assert_eq!(stored[1].status, ValidationStatus::Valid);
    assert_eq!(stored[2].status, ValidationStatus::Invalid);
    assert!(stored[0].voided_at.is_none() && stored[1].voided_at.is_some());
    assert_eq!(state(&store, &rows[1]).await.0, Some(ForwardState::Withdrawn));
    assert_eq!(state(&store, &rows[2]).await.0, None);
}

/// Voids of sales that are being recorded and decided: whoever comes first, none is left to be sent.
pub(crate) async fn a_void_meets_its_sale_wherever_it_is(base: &Base) {
    const SALES: usize = 60;
    let stores = [base.store().await, base.open().await];
    let ids = stores[0].next_ids(Sequence::Submission, SALES).await.unwrap();
    let submissions: Vec<_> = ids.into_iter().map(submission).collect();
    stores[0].accept(&submissions).await.unwrap();
    let mut tasks = JoinSet::new();
    for of in submissions.clone() {
        let sale = of.transaction_ids[0];
        let store = stores[0].clone();
        tasks.spawn(async move {
            let id = store.next_ids(Sequence::Transaction, 1).await.unwrap()[0];
            let row = row(id, &of, sale);
            store
                .record_validated(&[validated(&of, vec![row])])
                .await
                .unwrap();
            let decision = Decision {
                sale: (TERMINAL, sale),
                ..decision(id, ValidationStatus::Valid)
            };
            store.decide(&[decision]).await.unwrap();
        });
        let store = stores[1].clone();
        tasks.spawn(async move {
            made(&store, &void(sale, "at once")).await;
        });
    }
    tasks.join_all().await;
    let ids: Vec<i64> = submissions.iter().map(|of| of.id).collect();
    let rows = stores[0].transactions_of(&ids).await.unwrap();
    assert_eq!(rows.len(), SALES);
    assert!(rows.iter().all(|row| row.voided_at.is_some()));
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert!(claim(&stores[0], &ids).await.items.is_empty());
    for row in &rows {
        let withdrawn = ForwardState::Withdrawn;
        assert_eq!(state(&stores[0], row).await, (Some(withdrawn), vec![withdrawn]));
    }
    // One that is asked for by nobody who has the sale is unknown, whoever else has it.
    let stranger = NewReversal {
        terminal_id: TERMINAL + 1,
        ..void(id_of(&rows[0]), "at once")
    };
    assert_eq!(ask(&stores[0], &stranger).await, Reversed::Unknown);
}

/// A void that waits for its row is joined with it by the decision, and holds up no other sale.
pub(crate) async fn a_parked_void_is_joined_by_the_decision(base: &Base) {
    let store = base.store().await;
    let ids = store.next_ids(Sequence::Submission, 3).await.unwrap();
    let submissions: Vec<_> = ids.into_iter().map(submission).collect();
    store.accept(&submissions).await.unwrap();
    // The third has no row when the others are decided.
    for of in &submissions[1..] {
        let parked = made(&store, &void(of.transaction_ids[0], "early")).await;
        assert_eq!(parked.sale_id, None);
    }
    let row_ids = store.next_ids(Sequence::Transaction, 2).await.unwrap();
    let rows: Vec<_> = (row_ids.iter().zip(&submissions))
        .map(|(id, of)| row(*id, of, of.transaction_ids[0]))
        .collect();
    let set: Vec<_> = (submissions.iter().zip(&rows))
        .map(|(of, row)| validated(of, vec![row.clone()]))
        .collect();
    store.record_validated(&set).await.unwrap();
    let decisions: Vec<_> = (rows.iter())
        .map(|row| Decision {
            sale: (TERMINAL, id_of(row)),
            ..decision(row.id, ValidationStatus::Valid)
        })
        .collect();
    // Alone, the first needs no second look.
    let before = store.statements();
    assert!(store.decide(&decisions[..1]).await.unwrap().left_alone.is_empty());
    let sent = sent_since(&store, &before);
    assert_eq!(sent, [("forwards.insert", 1), ("transactions.decide_valid", 1)]);
    assert_eq!(store.decide(&decisions).await.unwrap().left_alone, [rows[0].id]);
    let stored = store.transactions(&row_ids).await.unwrap();
    assert!(stored.iter().all(|row| row.status == ValidationStatus::Valid));
    assert!(stored[0].voided_at.is_none() && stored[1].voided_at.is_some());
    assert_eq!(
        state(&store, &rows[1]).await,
        (Some(ForwardState::Withdrawn), vec![ForwardState::Withdrawn])
    );
}

pub(crate) async fn a_void_is_told_after_its_sale_and_once(base: &Base) {
    let store = base.store().await;
    let rows = valid(&store, 2).await;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let sending = claim(&store, &ids).await;
    assert_eq!(sending.items.len(), 2);
    for row in &rows {
        made(&store, &void(id_of(row), "late")).await;
    }
    let waiting = claim(&store, &ids).await;
    assert!(waiting.items.is_empty());
    assert_eq!(waiting.held.len(), 2, "both are on their way");
    // One arrives, of the other nobody knows.
    let retry = Settled::Retry {
        id: ids[1],
        due_at: Timestamp::now(),
        code: "timeout",
        counts: true,
    };
    store
        .settle_forwards(sending.token, &[forwarded(ids[0]), retry])
        .await
        .unwrap();
    base.run("UPDATE reversals SET due_at = 1 WHERE due_at IS NOT NULL")
        .await;
    let now = Timestamp::now();
    let mut told = store.claim_forwards(&[], Vec::new(), now, HOLD).await.unwrap();
    store.claim_reversals(&mut told, &ids, now, HOLD).await.unwrap();
    assert_eq!(told.items.len(), 2);
    for item in &told.items {
        assert!(item.row.voided_at.is_some() && item.attempt == 1);
        assert!(item.reversals.as_ref().unwrap().has_void());
    }
    assert_eq!(
        state(&store, &rows[1]).await,
        (Some(ForwardState::Withdrawn), vec![ForwardState::Sending])
    );
    let late = Timestamp::now().plus(HOLD);
    store.renew_reversals(told.token, &ids, late).await.unwrap();
    let dead = Settled::Dead {
        id: ids[1],
        at: now,
        code: "webapp_rejected",
        detail: "no".to_owned(),
    };
    let overtaken = store
        .settle_reversals(told.token, &[forwarded(ids[0]), dead.clone()])
        .await;
    assert!(overtaken.unwrap().is_empty());
    assert_eq!(store.count_dead_letters().await.unwrap(), 1);
    assert_eq!(
        store.settle_reversals(told.token, &[dead]).await.unwrap(),
        [ids[1]]
    );
    assert_eq!(state(&store, &rows[0]).await.1, [ForwardState::Forwarded]);
    assert_eq!(state(&store, &rows[1]).await.1, [ForwardState::Dead]);
    assert!(claim(&store, &ids).await.items.is_empty());
}

/// The worker of a sale that is made claimed may be sending it without a word in the record: its void waits for
/// the end of the claim, and is told then.
pub(crate) async fn a_void_of_a_sale_made_claimed_waits_and_is_told(base: &Base) {
    let store = base.store().await;
    let rows = recorded(&store, 2).await;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let soon = Timestamp::now().plus(HOLD);
    let ends = [soon, Timestamp::from_micros(1)];
    let decisions: Vec<_> = (ends.into_iter().zip(&ids))
        .map(|(until, id)| Decision {
            claimed_until: Some(until),
            ..decision(*id, ValidationStatus::Valid)
        })
        .collect();
    assert!(store.decide(&decisions).await.unwrap().claimed);
    for row in &rows {
        made(&store, &void(id_of(row), "at once")).await;
    }
    let (sending, withdrawn) = (ForwardState::Sending, ForwardState::Withdrawn);
    let waits = vec![ForwardState::Pending];
    assert_eq!(state(&store, &rows[0]).await, (Some(sending), waits.clone()));
    assert_eq!(state(&store, &rows[1]).await, (Some(withdrawn), waits));
    let told = claim(&store, &ids).await;
    let taken: Vec<i64> = told.items.iter().map(|item| item.row.id).collect();
    assert_eq!(taken, [ids[1]]);
    assert_eq!(told.held.len(), 1);
    // That it may have left is not forgotten: a void that comes back later is told too.
    store
        .settle_reversals(told.token, &[again(ids[1])])
        .await
        .unwrap();
    assert_eq!(claim(&store, &ids).await.items.len(), 1);
}

/// Again at once.
fn again(id: i64) -> Settled {
    Settled::Retry {
        id,
        due_at: Timestamp::now(),
        code: "timeout",
        counts: true,
    }
}

pub(crate) async fn a_sweeper_finds_reversals_and_what_the_log_misses(base: &Base) {
    let store = base.store().await;
    let of = submission(store.next_ids(Sequence::Submission, 1).await.unwrap()[0]);
    store.accept(std::slice::from_ref(&of)).await.unwrap();
    let parked = made(&store, &void(of.transaction_ids[0], "early")).await;
    assert_eq!((parked.sale_id, parked.state), (None, ForwardState::Pending));
    let far = Timestamp::from_micros(i64::MAX);
    let start = (Timestamp::from_micros(i64::MIN), 0);
    assert!(store.due_reversals(start, far, 10).await.unwrap().is_empty());
    store.unpark_due(far, parked.made_at, 10).await.unwrap();
    let id = store.next_ids(Sequence::Transaction, 1).await.unwrap()[0];
    let pending = row(id, &of, of.transaction_ids[0]);
    store
        .record_validated(&[validated(&of, vec![pending.clone()])])
        .await
        .unwrap();
    store.unpark_due(far, far, 10).await.unwrap();
    assert!(store.transactions(&[id]).await.unwrap()[0].voided_at.is_some());

    let sale = valid(&store, 1).await.remove(0);
    let sending = claim(&store, &[sale.id]).await;
    store
        .settle_forwards(sending.token, &[forwarded(sale.id)])
        .await
        .unwrap();
    let refund = made(&store, &refund(id_of(&sale), "a", 100)).await;
    let due = store.due_reversals(start, far, 10).await.unwrap();
    assert_eq!(due, [(sale.id, TENANT, refund.made_at)]);

    let gaps = store.scan_reversals(0, far, 10).await.unwrap();
    assert_eq!(gaps.len(), 2);
    assert!(gaps.iter().all(|gap| gap.audited.is_empty()));
    let event = AuditEvent::reversed(&gaps[0].reversal);
    assert_eq!((event.change, event.transaction_id), (Change::Voided, parked.id));
    let unrelated = AuditEvent::reversal_delivered(&gaps[1].reversal);
    assert_eq!(unrelated, None, "on its way");
    store.append_audit(&[event]).await.unwrap();
    let gaps = store.scan_reversals(0, far, 10).await.unwrap();
    assert_eq!(gaps[0].audited, [Change::Voided.number()]);
    let page = store.audit_page(TENANT, 0, 10).await.unwrap();
    assert_eq!(page.last().unwrap().event.change, Change::Voided);
}
