use std::sync::atomic::AtomicUsize;

use super::*;
use crate::{
    domain::{
        directory::{Tenant, Terminal, TerminalStatus},
        network::Networks,
        rotation::Life,
    },
    ingress::fixture,
};

const TOKEN: Digest = [1; 32];

fn identities() -> Identities {
    Identities::new(&fixture::settings(), Duration::ZERO)
}

fn identity() -> Identity {
    Identity {
        token_id: 1,
        family_id: 2,
        terminal: Some((
            Terminal {
                id: 7,
                tenant_id: 3,
                serial_number: "S-7".to_owned(),
                status: TerminalStatus::Active,
                expires_at: None,
                callback_url: None,
            },
            Tenant {
                id: 3,
                company_id: 1,
                code: "C-3".to_owned(),
                name: "Shop".to_owned(),
                timezone: "Asia/Manila".to_owned(),
                active: true,
            },
        )),
        abilities: Vec::new(),
        life: Life::default(),
        networks: Networks::default(),
        created_at: Timestamp::from_micros(0),
        confirmed: true,
        hash_key: String::new(),
        digest: TOKEN,
    }
}

/// Counts the look-ups that `get` makes.
async fn get(identities: &Identities, loads: &AtomicUsize) {
    let load = || async {
        loads.fetch_add(1, Ordering::SeqCst);
        Ok(Some(identity()))
    };
    identities.get(TOKEN, load).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_load_serves_all_who_ask_and_unknown_tokens_are_remembered() {
    let identities = identities();
    let loads = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(tokio::sync::Barrier::new(2));
    let ask = || {
        let (identities, loads, gate) = (identities.clone(), Arc::clone(&loads), Arc::clone(&gate));
        async move {
            let load = || async {
                loads.fetch_add(1, Ordering::SeqCst);
                gate.wait().await;
                Ok(None)
            };
            identities.get(TOKEN, load).await.unwrap().is_none()
        }
    };
    let open = async {
        gate.wait().await;
        true
    };
    let (a, b, c, _) = tokio::join!(ask(), ask(), ask(), open);
    assert!(a && b && c);
    assert!(ask().await, "remembered");
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_store_error_is_not_remembered() {
    let identities = identities();
    let broken = identities
        .get([2; 32], || async { Err(StoreError::Missing("database")) })
        .await;
    assert!(broken.is_err());
    let healed = identities.get([2; 32], || async { Ok(Some(identity())) }).await;
    assert!(healed.unwrap().is_some());
}

#[tokio::test]
async fn a_change_is_forgotten_by_whom_it_concerns_and_by_nobody_else() {
    let (identities, loads) = (identities(), AtomicUsize::new(0));
    let made = || loads.load(Ordering::SeqCst);
    get(&identities, &loads).await;
    for (newest, subject) in [
        (1, Subject::Token(2)),
        (2, Subject::Family(1)),
        (3, Subject::Terminal(8)),
        (4, Subject::Tenant(7)),
    ] {
        identities.forget_changed(newest, HashSet::from([subject]));
        get(&identities, &loads).await;
        assert_eq!(made(), 1, "{subject:?}");
    }
    for (number, subject) in [
        Subject::Token(1),
        Subject::Family(2),
        Subject::Terminal(7),
        Subject::Tenant(3),
    ]
    .into_iter()
    .enumerate()
    {
        identities.forget_changed(5, HashSet::from([subject]));
        get(&identities, &loads).await;
        assert_eq!(made(), number + 2, "{subject:?}");
    }
    identities.forget_all(6);
    get(&identities, &loads).await;
    assert_eq!(made(), 6);
}

/// The state before the change was read, the change was published, and only then is the state put
/// into the cache: it must not stay there.
#[tokio::test]
async fn a_look_up_that_a_change_overtakes_is_made_again() {
    let (identities, loads) = (identities(), AtomicUsize::new(0));
    let load = || async {
        if loads.fetch_add(1, Ordering::SeqCst) == 0 {
            identities.forget_changed(1, HashSet::from([Subject::Token(1)]));
        }
        Ok(Some(identity()))
    };
    identities.get(TOKEN, load).await.unwrap().unwrap();
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    get(&identities, &loads).await;
    assert_eq!(loads.load(Ordering::SeqCst), 2, "the second one stays");
}

#[tokio::test]
async fn while_the_feed_is_lost_nothing_is_trusted_for_long() {
    let (identities, loads) = (identities(), AtomicUsize::new(0));
    get(&identities, &loads).await;
    get(&identities, &loads).await;
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    identities.set_feed_lost(true);
    get(&identities, &loads).await;
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    identities.set_feed_lost(false);
    get(&identities, &loads).await;
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

#[test]
fn a_use_is_noted_once_in_an_interval() {
    let known = Known::from(identity());
    let interval = Duration::from_secs(60);
    let noted: Vec<bool> = [100, 130, 159, 160, 161]
        .into_iter()
        .map(|second| known.is_to_be_noted(Timestamp::from_micros(second * 1_000_000), interval))
        .collect();
    assert_eq!(noted, [true, false, false, true, false]);
}
