//! What the sweeper reads.

use std::time::Duration;

use tsms::{
    domain::{
        sale::{ForwardState, ValidationStatus},
        work::AuditEvent,
    },
    store::{Decision, Mark, Settled},
};

use crate::{
    base::Base,
    fixtures::{TENANT, after, decision, noon, notice, recorded, submission, valid, validated},
};

pub(crate) async fn a_mark_never_moves_back(base: &Base) {
    let store = base.store().await;
    for mark in [Mark::Validation, Mark::Processing, Mark::Audit] {
        assert_eq!(store.mark(mark).await.unwrap(), 0);
        assert!(store.set_mark(mark, 0, 50).await.unwrap());
        assert!(!store.set_mark(mark, 50, 40).await.unwrap());
        assert_eq!(store.mark(mark).await.unwrap(), 50);
        // A redrive set it back since it was read: what it brought back is not passed over.
        base.run("UPDATE sweep_marks SET id = 20").await;
        assert!(!store.set_mark(mark, 50, 60).await.unwrap());
        assert_eq!(store.mark(mark).await.unwrap(), 20);
        base.run("UPDATE sweep_marks SET id = 0").await;
    }
}

pub(crate) async fn a_scan_tells_which_submissions_are_unfinished(base: &Base) {
    let store = base.store().await;
    let mut submissions: Vec<_> = (1..=6).map(submission).collect();
    submissions[5].accepted_at = after(100);
    store.accept(&submissions).await.unwrap();
    store
        .record_validated(&[validated(&submissions[1], Vec::new())])
        .await
        .unwrap();
    store.bury_submission(3, "poison", "", after(3)).await.unwrap();
    let page = store.scan_submissions(0, after(50), 4).await.unwrap();
    let waiting: Vec<(i64, bool)> = page.iter().map(|(id, .., waits)| (*id, *waits)).collect();
    assert_eq!(waiting, [(1, true), (2, false), (3, false), (4, true)]);
    assert_eq!(page[0], (1, TENANT, "request-1".to_owned(), noon(), true));
    let page = store.scan_submissions(4, after(50), 4).await.unwrap();
    assert_eq!(page.len(), 1, "the sixth is too young");
}

pub(crate) async fn a_scan_tells_which_transactions_are_unfinished(base: &Base) {
    let store = base.store().await;
    let rows = recorded(&store, 3).await;
    store
        .decide(&[decision(rows[0].id, ValidationStatus::Invalid)])
        .await
        .unwrap();
    store
        .bury_transaction(rows[1].id, "poison", "", after(4))
        .await
        .unwrap();
    let page = store.scan_transactions(0, after(50), 10).await.unwrap();
    let expected: Vec<_> = rows
        .iter()
        .zip([false, false, true])
        .map(|(row, waits)| (row.id, TENANT, after(2), waits))
        .collect();
    assert_eq!(page, expected);
    assert!(
        store
            .scan_transactions(rows[2].id, after(50), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.scan_transactions(0, after(2), 10).await.unwrap().is_empty());
}

pub(crate) async fn due_rows_page_by_time(base: &Base) {
    let store = base.store().await;
    let rows = recorded(&store, 5).await;
    // Two become due at the same moment, the last is due too late.
    let decisions: Vec<Decision> = rows
        .iter()
        .zip([30, 20, 20, 10, 99])
        .map(|(row, due)| Decision {
            at: after(due),
            notice: Some(notice(row.id)),
            ..decision(row.id, ValidationStatus::Valid)
        })
        .collect();
    store.decide(&decisions).await.unwrap();
    let expected: Vec<(i64, i64, _)> = [(3, 10), (1, 20), (2, 20), (0, 30)]
        .map(|(row, due): (usize, u64)| (rows[row].id, TENANT, after(due)))
        .to_vec();
    let mut forwards = Vec::new();
    let mut notices = Vec::new();
    for _ in 0..5 {
        let place = |found: &Vec<(i64, i64, _)>| found.last().map_or((noon(), 0), |(id, _, due)| (*due, *id));
        forwards.extend(store.due_forwards(place(&forwards), after(99), 1).await.unwrap());
        notices.extend(store.due_notices(place(&notices), after(99), 1).await.unwrap());
    }
    assert_eq!(forwards, expected);
    assert_eq!(notices, expected);

    // A claimed row is due when its claim ends, an ended one never.
    let hold = Duration::from_secs(45);
    let ids = [rows[3].id, rows[1].id];
    let claim = store
        .claim_forwards(&ids, Vec::new(), after(20), hold)
        .await
        .unwrap();
    let end = Settled::Forwarded {
        id: rows[1].id,
        at: after(21),
        batch_id: "b".into(),
    };
    store.settle_forwards(claim.token, &[end]).await.unwrap();
    let due = store.due_forwards((noon(), 0), after(99), 10).await.unwrap();
    let due: Vec<(i64, _)> = due.into_iter().map(|(id, _, due)| (id, due)).collect();
    assert_eq!(
        due,
        [
            (rows[2].id, after(20)),
            (rows[0].id, after(30)),
            (rows[3].id, after(65))
        ]
    );
}

pub(crate) async fn the_audit_scan_shows_what_is_missing(base: &Base) {
    let store = base.store().await;
    let forwarded = valid(&store, 1).await.remove(0);
    let pending = recorded(&store, 1).await.remove(0);
    let hold = Duration::from_secs(45);
    let claim = store
        .claim_forwards(&[forwarded.id], Vec::new(), after(10), hold)
        .await
        .unwrap();
    let end = Settled::Forwarded {
        id: forwarded.id,
        at: after(20),
        batch_id: "b".into(),
    };
    store.settle_forwards(claim.token, &[end]).await.unwrap();
    let events = [
        AuditEvent::recorded(&forwarded),
        AuditEvent::delivered(TENANT, forwarded.id, ForwardState::Forwarded, after(20)).unwrap(),
    ];
    store.append_audit(&events).await.unwrap();

    let gaps = store.scan_audit(0, after(50), 10).await.unwrap();
    assert_eq!(gaps.len(), 2);
    assert_eq!(gaps[0].row, forwarded);
    assert_eq!(gaps[0].forward, Some((ForwardState::Forwarded, Some(after(20)))));
    let mut audited = gaps[0].audited.clone();
    audited.sort_unstable();
    assert_eq!(audited, [1, 3]);
    assert_eq!(
        (&gaps[1].row, &gaps[1].forward, gaps[1].audited.len()),
        (&pending, &None, 0)
    );
    assert_eq!(
        store.scan_audit(forwarded.id, after(50), 10).await.unwrap().len(),
        1
    );
}
