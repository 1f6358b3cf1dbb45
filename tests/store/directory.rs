//! Companies, tenants, terminals and tokens.

use tsms::{
    domain::{
        directory::{Tenant, Terminal, TerminalStatus},
        keyring::Hashed,
        network::Networks,
        rotation::Life,
        time::Timestamp,
    },
    store::{NewTerminal, NewToken, Origin, Store, StoreError},
};

use crate::{base::Base, fixtures::after};

pub(crate) async fn tenant(store: &Store, code: &str) -> Tenant {
    let company = store.ensure_company("ACME", "Acme Foods").await.unwrap();
    store
        .create_tenant(company, code, "Café Ñandú", "Asia/Manila")
        .await
        .unwrap()
}

pub(crate) async fn terminal(store: &Store, tenant_id: i64, serial: &str) -> Terminal {
    let new = NewTerminal {
        tenant_id,
        serial_number: serial.into(),
        callback_url: Some("https://till.example/cb".into()),
        expires_at: Some(after(1000)),
    };
    store.create_terminal(&new).await.unwrap()
}

/// A token with the hash `digest`, in the hands of a person.
pub(crate) fn token(digest: u8, terminal_id: Option<i64>, expires_at: Option<Timestamp>) -> NewToken {
    NewToken {
        hashed: Hashed {
            digest: [digest; 32],
            key: "pepper".to_owned(),
        },
        terminal_id,
        name: "a token".to_owned(),
        abilities: vec!["transaction:create".to_owned(), "transaction:read".to_owned()],
        expires_at,
        networks: Networks::default(),
        origin: Origin::Issued,
    }
}

pub(crate) async fn a_token_stands_for_its_terminal(base: &Base) {
    let store = base.store().await;
    let tenant = tenant(&store, "T-1").await;
    let terminal = terminal(&store, tenant.id, "SN-1").await;
    let mut new = token(1, Some(terminal.id), Some(after(500)));
    new.networks = "10.0.0.0/8, 192.0.2.7".parse().unwrap();
    let id = store.create_token(&new).await.unwrap();
    let admin = store.create_token(&token(2, None, None)).await.unwrap();

    // The hash may be any of those that the peppers give.
    let candidates = [[9; 32], [1; 32], [8; 32]];
    let identity = store.identity(&candidates).await.unwrap().unwrap();
    assert_eq!((identity.token_id, identity.family_id), (id, id));
    assert_eq!((identity.digest, identity.hash_key.as_str()), ([1; 32], "pepper"));
    assert_eq!(identity.networks, new.networks);
    assert!(identity.confirmed, "a person has it");
    assert_eq!(identity.terminal, Some((terminal.clone(), tenant.clone())));
    assert_eq!(identity.abilities, new.abilities);
    let life = Life {
        expires_at: Some(after(500)),
        ..Life::default()
    };
    assert_eq!(identity.life, life);
    let identity = store.identity(&[[2; 32]]).await.unwrap().unwrap();
    assert_eq!((identity.token_id, identity.terminal), (admin, None));
    assert!(store.identity(&[[3; 32]]).await.unwrap().is_none());

    let found = store.terminals(&[terminal.id, 999]).await.unwrap();
    assert_eq!(found, [(terminal, tenant)]);
}

pub(crate) async fn codes_are_unique_and_parents_must_exist(base: &Base) {
    let store = base.store().await;
    let first = tenant(&store, "T-1").await;
    assert_eq!(
        store.ensure_company("ACME", "again").await.unwrap(),
        first.company_id
    );
    let again = store.create_tenant(first.company_id, "T-1", "x", "UTC").await;
    assert!(matches!(again, Err(StoreError::Exists("tenant"))));
    let lower = store.create_tenant(first.company_id, "t-1", "x", "UTC").await;
    assert!(lower.is_ok(), "codes differ by case");
    let orphan = store.create_tenant(999, "T-3", "x", "UTC").await;
    assert!(matches!(orphan, Err(StoreError::Missing("company"))));

    terminal(&store, first.id, "SN-1").await;
    let mut new = NewTerminal {
        tenant_id: first.id,
        serial_number: "SN-1".into(),
        callback_url: None,
        expires_at: None,
    };
    let again = store.create_terminal(&new).await;
    assert!(matches!(again, Err(StoreError::Exists("terminal"))));
    (new.serial_number, new.tenant_id) = ("SN-2".into(), 999);
    let orphan = store.create_terminal(&new).await;
    assert!(matches!(orphan, Err(StoreError::Missing("tenant"))));
    let orphan = store.create_token(&token(1, Some(999), None)).await;
    assert!(matches!(orphan, Err(StoreError::Missing("terminal"))));
    let long = store
        .create_tenant(first.company_id, &"x".repeat(51), "x", "UTC")
        .await;
    assert!(matches!(long, Err(StoreError::Unfit(_))));
}

pub(crate) async fn lists_come_in_pages(base: &Base) {
    let store = base.store().await;
    let (one, two) = (tenant(&store, "T-1").await, tenant(&store, "T-2").await);
    assert_eq!(
        store.list_tenants(0, 1).await.unwrap(),
        std::slice::from_ref(&one)
    );
    assert_eq!(
        store.list_tenants(one.id, 10).await.unwrap(),
        std::slice::from_ref(&two)
    );

    let a = terminal(&store, one.id, "SN-1").await;
    let b = terminal(&store, two.id, "SN-2").await;
    let c = terminal(&store, one.id, "SN-3").await;
    assert_eq!(
        store.list_terminals(None, a.id, 10).await.unwrap(),
        [b.clone(), c.clone()]
    );
    assert_eq!(
        store.list_terminals(Some(one.id), 0, 10).await.unwrap(),
        [a.clone(), c]
    );

    let first = store.create_token(&token(1, Some(a.id), None)).await.unwrap();
    store.create_token(&token(2, Some(b.id), None)).await.unwrap();
    let listed = store.list_tokens(Some(a.id), 0, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, listed[0].terminal_id), (first, Some(a.id)));
    assert_eq!(listed[0].abilities.len(), 2);
    assert_eq!(store.list_tokens(None, first, 10).await.unwrap().len(), 1);
}

pub(crate) async fn what_is_revoked_stays_revoked(base: &Base) {
    let store = base.store().await;
    let tenant = tenant(&store, "T-1").await;
    let terminal = terminal(&store, tenant.id, "SN-1").await;
    let id = store
        .create_token(&token(1, Some(terminal.id), None))
        .await
        .unwrap();
    store.revoke_token(id, after(1)).await.unwrap();
    store.revoke_token(id, after(2)).await.unwrap();
    assert_eq!(store.token(id).await.unwrap().revoked_at, Some(after(1)));
    assert!(matches!(
        store.revoke_token(999, after(1)).await,
        Err(StoreError::Missing("token"))
    ));

    store.set_tenant_active(tenant.id, false).await.unwrap();
    store.set_tenant_active(tenant.id, false).await.unwrap();
    store
        .set_terminal_status(terminal.id, TerminalStatus::Inactive)
        .await
        .unwrap();
    let (now, owner) = store.terminals(&[terminal.id]).await.unwrap().remove(0);
    assert_eq!((now.status, owner.active), (TerminalStatus::Inactive, false));
    store
        .set_terminal_status(terminal.id, TerminalStatus::Revoked)
        .await
        .unwrap();
    store
        .set_terminal_status(terminal.id, TerminalStatus::Revoked)
        .await
        .unwrap();
    let back = store
        .set_terminal_status(terminal.id, TerminalStatus::Active)
        .await;
    assert!(matches!(back, Err(StoreError::Missing("terminal"))));
    let unknown = store.set_tenant_active(999, true).await;
    assert!(matches!(unknown, Err(StoreError::Missing("tenant"))));
}
