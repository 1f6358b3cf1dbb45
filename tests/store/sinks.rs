//! Sinks: unique, audited, and counted change by change.

use tsms::{
    domain::{
        compression::Compression,
        sink::{Change, Settings},
    },
    store::{NewSink, StoreError},
};

use crate::base::Base;

fn new(name: &str, tenant_id: Option<i64>) -> NewSink {
    NewSink {
        name: name.to_owned(),
        tenant_id,
        environment: "live".to_owned(),
        settings: Settings {
            token: Some("x1.0.sealed".to_owned()),
            ..Settings::new("https://mall.example/in".to_owned(), 30_000, 50)
        },
    }
}

pub(crate) async fn a_sink_is_made_changed_and_removed(base: &Base) {
    let store = base.store().await;
    let company = store.ensure_company("C", "Company").await.unwrap();
    let tenant = store.create_tenant(company, "T", "Shop", "UTC").await.unwrap();
    let own = new("own", Some(tenant.id));
    let before = store.list_actions(0, 100).await.unwrap().len();
    assert_eq!(store.sinks_epoch().await.unwrap(), 0);
    let id = store.create_sink(&own, 2).await.unwrap();
    let rest = store.create_sink(&new("rest", None), 2).await.unwrap();
    let kept = store.sink(id).await.unwrap();
    assert_eq!((kept.tenant_id, kept.version), (Some(tenant.id), 1));
    assert_eq!(kept.settings, own.settings);
    assert_eq!(store.sink_named("rest").await.unwrap().tenant_id, None);

    let change = Change {
        enabled: Some(false),
        token: Some(None),
        ca: Some(Some("PEM".to_owned())),
        compression: Some(Compression::Zstd),
        signing: Some(Some("x1.0.secrets".to_owned())),
        of_version: Some(1),
        ..Change::default()
    };
    let changed = store.change_sink(id, &change).await.unwrap();
    assert_eq!(changed, store.sink(id).await.unwrap());
    let settings = &changed.settings;
    assert_eq!(
        (changed.version, settings.enabled, settings.batch_size),
        (2, false, 50)
    );
    assert_eq!(
        (settings.token.as_deref(), settings.ca.as_deref()),
        (None, Some("PEM"))
    );
    let page = store.list_sinks(id, 10).await.unwrap();
    assert_eq!(page.iter().map(|sink| sink.id).collect::<Vec<_>>(), [rest]);

    store.remove_sink(id).await.unwrap();
    assert_eq!(store.sinks_epoch().await.unwrap(), 4);
    for missing in [
        store.remove_sink(id).await.unwrap_err(),
        store.change_sink(id, &change).await.unwrap_err(),
        store.sink(id).await.unwrap_err(),
        store.sink_named("own").await.unwrap_err(),
    ] {
        assert!(matches!(missing, StoreError::Missing("sink")), "{missing:?}");
    }
    assert_eq!(store.sinks_epoch().await.unwrap(), 4, "nothing was changed");
    let actions = store.list_actions(0, 100).await.unwrap().split_off(before);
    let told: Vec<_> = actions
        .iter()
        .map(|row| (row.action.as_str(), row.subject_id))
        .collect();
    let expected = [
        ("sink.created", id),
        ("sink.created", rest),
        ("sink.changed", id),
        ("sink.removed", id),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        actions[2].detail,
        "own: enabled=false, compression=zstd, token removed, ca set, signing set"
    );
    assert!(actions.iter().all(|row| !row.detail.contains("sealed")));
}

pub(crate) async fn a_tenant_has_one_sink_and_a_name_is_used_once(base: &Base) {
    let store = base.store().await;
    let company = store.ensure_company("C", "Company").await.unwrap();
    let tenant = store.create_tenant(company, "T", "Shop", "UTC").await.unwrap();
    store.create_sink(&new("own", Some(tenant.id)), 10).await.unwrap();
    store.create_sink(&new("rest", None), 10).await.unwrap();
    for taken in [
        new("own", None),
        new("second", Some(tenant.id)),
        new("second", None),
    ] {
        let refused = store.create_sink(&taken, 10).await;
        assert!(matches!(refused, Err(StoreError::Exists(_))), "{refused:?}");
    }
    let elsewhere = NewSink {
        environment: "test".to_owned(),
        ..new("second", Some(tenant.id))
    };
    store.create_sink(&elsewhere, 10).await.unwrap();
    let nobody = store.create_sink(&new("third", Some(9999)), 10).await;
    assert!(matches!(nobody, Err(StoreError::Missing("tenant"))), "{nobody:?}");
    let many = store.create_sink(&new("third", None), 3).await;
    assert!(matches!(many, Err(StoreError::Unfit(_))), "{many:?}");
    let long = store.create_sink(&new(&"x".repeat(41), None), 10).await;
    assert!(matches!(long, Err(StoreError::Unfit(_))), "{long:?}");
    assert_eq!(base.rows("sinks").await, 3);
    assert_eq!(store.sinks_epoch().await.unwrap(), 3);
}
