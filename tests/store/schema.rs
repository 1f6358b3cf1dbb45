//! Migrations and settings.

use serde_json::json;
use tsms::store::{self, StoreError};

use crate::base::Base;

pub(crate) async fn migrating_twice_is_migrating_once(base: &Base) {
    let store = base.open().await;
    assert!(store.ping().await.is_err(), "an empty database is not ready");
    store.migrate().await.unwrap();
    store.ping().await.unwrap();
    let applied = base.rows("_sqlx_migrations").await;
    store.migrate().await.unwrap();
    assert_eq!(base.rows("_sqlx_migrations").await, applied);
    store.ping().await.unwrap();
}

pub(crate) async fn four_processes_migrate_at_once(base: &Base) {
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = base.open().await;
        processes.spawn(async move { store.migrate().await });
    }
    while let Some(ended) = processes.join_next().await {
        ended.unwrap().unwrap();
    }
    base.open().await.ping().await.unwrap();
    assert_eq!(base.rows("id_blocks").await, 2);
}

pub(crate) async fn a_newer_schema_is_refused(base: &Base) {
    let store = base.store().await;
    base.run("UPDATE _sqlx_migrations SET version = 999999 WHERE version = 7")
        .await;
    assert!(matches!(store.migrate().await, Err(StoreError::Settings(_))));
    assert!(matches!(store.ping().await, Err(StoreError::Settings(_))));
}

pub(crate) async fn settings_that_cannot_work_are_refused(base: &Base) {
    for changes in [
        json!({"url": "postgres://localhost/tsms"}),
        json!({"url": "sqlite::memory:"}),
        json!({"statement_rows": 100}),
        json!({"statement_rows": 0}),
        json!({"statement_rows": 1024}),
    ] {
        let opened = store::open(&base.settings(&changes)).await;
        assert!(matches!(opened, Err(StoreError::Settings(_))), "{changes}");
    }
}
