//! The audit chains.

use tokio::task::JoinSet;
use tsms::{
    domain::{
        audit::link,
        checksum::Digest,
        sale::ForwardState,
        work::{AuditEvent, Change},
    },
    store::{AuditRow, Store, StoreError},
};

use crate::{base::Base, fixtures::after};

fn event(tenant_id: i64, transaction_id: i64, change: Change) -> AuditEvent {
    AuditEvent {
        tenant_id,
        transaction_id,
        change,
        at: after(5),
        details: format!("{{\"note\":\"№ {transaction_id}\"}}"),
    }
}

/// Reads a whole chain in small pages and checks every link.
async fn chain(store: &Store, tenant_id: i64) -> Vec<AuditRow> {
    let mut rows: Vec<AuditRow> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.seq);
        let page = store.audit_page(tenant_id, after, 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    let mut previous = Digest::default();
    for (row, seq) in rows.iter().zip(1..) {
        assert_eq!((row.seq, row.previous), (seq, previous));
        assert_eq!(row.event.tenant_id, tenant_id);
        assert_eq!(row.hash, link(&previous, seq, &row.event, row.appended_at));
        previous = row.hash;
    }
    rows
}

pub(crate) async fn a_chain_has_no_gap_and_every_link_holds(base: &Base) {
    let store = base.store().await;
    let mut events: Vec<AuditEvent> = Vec::new();
    for id in 1..=100 {
        events.push(event(1 + id % 3, id, Change::Recorded));
        events.push(event(1 + id % 3, id, Change::Decided));
    }
    assert_eq!(store.append_audit(&events).await.unwrap(), 200);
    let delivered = AuditEvent::delivered(2, 1, ForwardState::Dead, after(6)).unwrap();
    assert_eq!(
        store
            .append_audit(std::slice::from_ref(&delivered))
            .await
            .unwrap(),
        1
    );

    let mut appended = Vec::new();
    for tenant in 1..=3 {
        appended.extend(chain(&store, tenant).await.into_iter().map(|row| row.event));
    }
    assert_eq!(appended.len(), 201);
    assert!(events.iter().all(|event| appended.contains(event)));
    assert_eq!(chain(&store, 2).await.last().unwrap().event, delivered);

    base.run("UPDATE audit_log SET change_no = 4 WHERE tenant_id = 1 AND seq = 1")
        .await;
    assert!(matches!(
        store.audit_page(1, 0, 5).await,
        Err(StoreError::Damaged(_))
    ));
}

pub(crate) async fn two_writers_never_fork_a_chain(base: &Base) {
    let stores = [base.store().await, base.open().await];
    // One tenant is known to the directory, the other is not: its chain has no row to wait at.
    let company = stores[0].ensure_company("C", "C").await.unwrap();
    let tenant = stores[0]
        .create_tenant(company, "T", "T", "Asia/Manila")
        .await
        .unwrap()
        .id;
    let mut writers = JoinSet::new();
    for (writer, store) in stores.iter().cloned().enumerate() {
        writers.spawn(async move {
            let mut new = 0;
            for round in 0..20_i64 {
                // Half of the events are the other writer's too.
                let first = round * 10 + 5 * writer as i64;
                for tenant in [tenant, 4711] {
                    let events: Vec<AuditEvent> = (first..first + 10)
                        .map(|id| event(tenant, tenant * 1000 + id, Change::Recorded))
                        .collect();
                    new += append(&store, &events).await;
                }
            }
            new
        });
    }
    let new: usize = writers.join_all().await.into_iter().sum();
    let rows = [chain(&stores[0], tenant).await, chain(&stores[0], 4711).await].concat();
    assert_eq!(rows.len(), new);
    assert_eq!(new, 2 * 205);
}

/// Appends, asking again as a worker would when the tries were used up.
async fn append(store: &Store, events: &[AuditEvent]) -> usize {
    for _ in 0..20 {
        match store.append_audit(events).await {
            Ok(new) => return new,
            Err(StoreError::Exists(_) | StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("not appended in 20 calls");
}

pub(crate) async fn an_event_is_recorded_once(base: &Base) {
    let store = base.store().await;
    let first = event(1, 5, Change::Recorded);
    let twice = [first.clone(), first.clone()];
    assert_eq!(store.append_audit(&twice).await.unwrap(), 1);
    let mixed = [
        first.clone(),
        event(1, 5, Change::Decided),
        event(1, 6, Change::Recorded),
    ];
    assert_eq!(store.append_audit(&mixed).await.unwrap(), 2);
    assert_eq!(store.append_audit(&mixed).await.unwrap(), 0);
    assert_eq!(store.append_audit(&[]).await.unwrap(), 0);
    assert_eq!(chain(&store, 1).await.len(), 3);
}
