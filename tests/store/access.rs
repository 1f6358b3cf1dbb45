//! Tokens that replace one another, the feed of changes, who did what, and what is written behind.

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use tsms::{
    domain::{directory::TerminalStatus, keyring::Hashed, rotation::Standing, time::Timestamp},
    store::{Actor, Holder, NewEvent, Replaced, Store, Subject},
};

use crate::{
    base::Base,
    directory::{tenant, terminal, token},
    fixtures::after,
};

fn hashed(number: u8) -> Hashed {
    Hashed {
        digest: [number; 32],
        key: "pepper".to_owned(),
    }
}

async fn issued(store: &Store, number: u8, end: Option<Timestamp>) -> i64 {
    store.create_token(&token(number, None, end)).await.unwrap()
}

pub(crate) async fn a_token_has_one_successor(base: &Base) {
    let (store, other) = (base.store().await, base.open().await);
    let id = issued(&store, 1, None).await;
    let handles = [&store, &other];
    let tries = (10..26).map(|number| {
        let hash = hashed(number);
        let handle = handles[usize::from(number % 2)];
        async move { handle.replace_token(id, &hash, Holder::Till, after(1)).await }
    });
    let mut successors = HashSet::new();
    for replaced in join_all(tries).await {
        let Replaced::By(next, None) = replaced.unwrap() else {
            panic!("refused")
        };
        successors.insert(next);
    }
    assert_eq!(successors.len(), 1);
    assert_eq!(base.rows("tokens").await, 2);
    let next = successors.into_iter().next().unwrap();
    let row = store.token(next).await.unwrap();
    assert_eq!(
        (row.parent_id, row.family_id, row.confirmed_at),
        (Some(id), id, None)
    );
    assert_eq!(
        store.token(id).await.unwrap().retires_at,
        None,
        "pending for as long as it takes"
    );

    // Whatever hash won: the one that is kept is confirmed, and no other.
    assert!(
        !store
            .confirm_token(next, &[99; 32], after(2), after(9))
            .await
            .unwrap()
    );
    let mut confirmed = 0;
    for number in 10..26 {
        let first = store.confirm_token(next, &[number; 32], after(2), after(9)).await;
        confirmed += u32::from(first.unwrap());
    }
    assert_eq!(confirmed, 1);
    assert_eq!(store.token(id).await.unwrap().retires_at, Some(after(9)));
    let again = store.replace_token(id, &hashed(50), Holder::Till, after(3)).await;
    assert_eq!(again.unwrap(), Replaced::Already);
    let late = store.replace_token(id, &hashed(50), Holder::Till, after(9)).await;
    assert_eq!(late.unwrap(), Replaced::Refused(Standing::Reused));
}

pub(crate) async fn a_successor_lives_as_long_as_its_predecessor_was_to(base: &Base) {
    let store = base.store().await;
    let end = Timestamp::now().plus(Duration::from_secs(1000));
    let id = issued(&store, 1, Some(end)).await;
    let created = store.token(id).await.unwrap().created_at;
    let at = created.plus(Duration::from_secs(400));
    let replaced = store
        .replace_token(id, &hashed(2), Holder::Till, at)
        .await
        .unwrap();
    let Replaced::By(next, Some(next_end)) = replaced else {
        panic!("{replaced:?}")
    };
    assert_eq!(next_end, at.plus(end.since(created)));
    assert_eq!(store.token(next).await.unwrap().expires_at, Some(next_end));
    let expired = store
        .replace_token(id, &hashed(3), Holder::Till, end)
        .await
        .unwrap();
    assert_eq!(expired, Replaced::Refused(Standing::Expired));
}

pub(crate) async fn what_is_revoked_takes_its_unused_successor_along(base: &Base) {
    let store = base.store().await;
    let revoked = async |id| store.token(id).await.unwrap().revoked_at.is_some();
    let id = issued(&store, 1, None).await;
    let by = store
        .replace_token(id, &hashed(2), Holder::Till, after(1))
        .await
        .unwrap();
    let Replaced::By(unused, _) = by else {
        panic!("{by:?}")
    };
    store.revoke_token(id, after(2)).await.unwrap();
    assert!(revoked(id).await && revoked(unused).await);

    // A person who rotates has the successor in hand; the old one can go at once.
    let id = issued(&store, 3, None).await;
    let holder = Holder::Person(after(9));
    let by = store
        .replace_token(id, &hashed(4), holder, after(1))
        .await
        .unwrap();
    let Replaced::By(held, _) = by else {
        panic!("{by:?}")
    };
    assert_eq!(store.token(id).await.unwrap().retires_at, Some(after(9)));
    store.revoke_token(id, after(2)).await.unwrap();
    assert!(revoked(id).await && !revoked(held).await);
    let family = store.token(held).await.unwrap().family_id;
    assert!(store.revoke_family(family, after(3), None).await.unwrap());
    assert!(revoked(held).await);
    assert!(
        !store.revoke_family(family, after(4), None).await.unwrap(),
        "nothing is left"
    );
}

pub(crate) async fn the_feed_has_every_change_and_no_gap(base: &Base) {
    let (store, other) = (base.store().await, base.open().await);
    let shop = tenant(&store, "T-1").await;
    let till = terminal(&store, shop.id, "SN-1").await;
    let start = store.auth_epoch().await.unwrap();
    let handles = [&store, &other];
    let changes = (0..20_i64).map(|number| {
        let handle = handles[usize::try_from(number % 2).unwrap()];
        let (tenant_id, terminal_id) = (shop.id, till.id);
        async move {
            if number % 4 < 2 {
                handle.set_tenant_active(tenant_id, number % 3 == 0).await
            } else {
                handle
                    .set_terminal_status(terminal_id, TerminalStatus::Inactive)
                    .await
            }
        }
    });
    for done in join_all(changes).await {
        done.unwrap();
    }
    let feed = store.auth_changes(start, 100).await.unwrap();
    let numbers: Vec<i64> = feed.iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(numbers, (start + 1..=start + 20).collect::<Vec<_>>());
    assert_eq!(store.auth_epoch().await.unwrap(), start + 20);
    let of = |subject| feed.iter().filter(|(_, found)| *found == subject).count();
    assert_eq!(
        (of(Subject::Tenant(shop.id)), of(Subject::Terminal(till.id))),
        (10, 10)
    );
    assert_eq!(store.auth_changes(start + 15, 3).await.unwrap(), feed[15..18]);
}

pub(crate) async fn every_change_names_who_made_it(base: &Base) {
    let store = base.store().await;
    let shop = tenant(&store, "T-1").await;
    let ana = store.acting_as(Actor {
        name: "cli:ana".to_owned(),
        address: "192.0.2.1".to_owned(),
        request_id: "r-1".to_owned(),
    });
    ana.set_tenant_active(shop.id, false).await.unwrap();
    // A change that is refused leaves nothing.
    assert!(ana.set_tenant_active(999, false).await.is_err());
    let actions = store.list_actions(0, 10).await.unwrap();
    let told: Vec<_> = actions
        .iter()
        .map(|row| (row.actor.as_str(), row.action.as_str(), row.subject_id))
        .collect();
    assert_eq!(
        told,
        [
            ("system", "tenant.created", shop.id),
            ("cli:ana", "tenant.changed", shop.id)
        ]
    );
    assert_eq!(
        (actions[1].address.as_str(), actions[1].request_id.as_str()),
        ("192.0.2.1", "r-1")
    );
}

pub(crate) async fn events_are_counted_by_the_hour(base: &Base) {
    let (store, other) = (base.store().await, base.open().await);
    let event = |seconds, count| NewEvent {
        kind: "login_failed",
        subject: "address:192.0.2.1".to_owned(),
        count,
        first_at: after(seconds),
        last_at: after(seconds),
        address: "192.0.2.1".to_owned(),
        request_id: format!("r-{seconds}"),
    };
    let counted = (0..20).map(|number| {
        let handle = [&store, &other][usize::from(number % 2 == 0)];
        let event = event(number, 2);
        async move { handle.count_events(&[event]).await }
    });
    for done in join_all(counted).await {
        done.unwrap();
    }
    store.count_events(&[event(3600, 1)]).await.unwrap();
    let events = store.list_events(None, 10).await.unwrap();
    let counts: Vec<i64> = events.iter().map(|row| row.count).collect();
    assert_eq!(counts, [1, 40]);
    assert_eq!(events[1].last_at, after(19));
    let first = (
        events[0].hour,
        events[0].kind.as_str(),
        events[0].subject.as_str(),
    );
    assert_eq!(store.list_events(Some(first), 10).await.unwrap().len(), 1);
}

pub(crate) async fn sightings_never_go_back(base: &Base) {
    let store = base.store().await;
    let shop = tenant(&store, "T-1").await;
    let till = terminal(&store, shop.id, "SN-1").await;
    let (one, two) = (issued(&store, 1, None).await, issued(&store, 2, None).await);
    store.touch_tokens(&[two, one], after(5)).await.unwrap();
    store.touch_tokens(&[one], after(4)).await.unwrap();
    store.touch_tokens(&[two], after(6)).await.unwrap();
    store.touch_tokens(&[], after(7)).await.unwrap();
    assert_eq!(store.token(one).await.unwrap().last_used_at, Some(after(5)));
    assert_eq!(store.token(two).await.unwrap().last_used_at, Some(after(6)));
    store.touch_terminals(&[till.id, 999], after(5)).await.unwrap();
    let seen = base.number("SELECT last_seen_at FROM terminals").await;
    assert_eq!(seen, after(5).as_micros());
}
