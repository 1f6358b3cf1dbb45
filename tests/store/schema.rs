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

pub(crate) async fn a_newer_schema_is_worked_on_and_not_migrated(base: &Base) {
    let store = base.store().await;
    let newest = "SELECT * FROM (SELECT MAX(version) FROM _sqlx_migrations) AS newest";
    base.run(&format!(
        "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
         SELECT 999999, description, installed_on, 0, checksum, execution_time FROM _sqlx_migrations \
         WHERE version = ({newest})"
    ))
    .await;
    // The version before, while the next one migrates and when it has: it works on.
    store.ping().await.unwrap();
    base.run("UPDATE _sqlx_migrations SET success = 1 WHERE version = 999999")
        .await;
    store.ping().await.unwrap();
    assert!(matches!(store.migrate().await, Err(StoreError::Settings(_))));
    // Not so one whose own last step is not there.
    base.run("DELETE FROM _sqlx_migrations WHERE version = 999999")
        .await;
    base.run(&format!(
        "DELETE FROM _sqlx_migrations WHERE version = ({newest})"
    ))
    .await;
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
