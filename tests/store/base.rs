//! A database for one test, and handles on it.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, SqliteConnection};
use tempfile::TempDir;
use tsms::{
    config::Database,
    store::{self, Store},
};

use crate::mariadb::MariaDb;

/// An empty database; a SQLite file is removed with it.
pub(crate) struct Base {
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Base {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::with_prefix("tsms-store-").unwrap();
        Self {
            url: format!("sqlite:{}", folder.path().join("tsms.db").display()),
            _folder: Some(folder),
        }
    }

    pub(crate) async fn mariadb() -> Self {
        // Starting the server takes seconds; it must not hold up a runtime thread.
        let server = tokio::task::spawn_blocking(MariaDb::shared).await.unwrap();
        Self {
            url: server.database().await,
            _folder: None,
        }
    }

    /// Settings like the defaults, with changes.
    pub(crate) fn settings(&self, changes: &serde_json::Value) -> Database {
        let mut settings = json!({
            "url": self.url,
            "max_connections": 4,
            "acquire_timeout_ms": 20_000,
            "lock_timeout_ms": 20_000,
            "transaction_tries": 10,
            "statement_rows": 64,
            "chain_ends": 100,
            "commit_group": 8,
            "cache_kib": 2048,
            "checkpoint_pages": 1000,
            "id_block": 1000,
            "id_block_ttl_ms": 3_600_000,
        });
        for (key, value) in changes.as_object().unwrap() {
            settings[key] = value.clone();
        }
        serde_json::from_value(settings).unwrap()
    }

    /// Another handle, as another process would have it.
    pub(crate) async fn open_with(&self, changes: serde_json::Value) -> Store {
        store::open(&self.settings(&changes)).await.unwrap()
    }

    pub(crate) async fn open(&self) -> Store {
        self.open_with(json!({})).await
    }

    /// A handle on a migrated database.
    pub(crate) async fn store(&self) -> Store {
        let store = self.open().await;
        store.migrate().await.unwrap();
        store
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn run(&self, sql: &str) {
        if self.url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            let query = sqlx::query(AssertSqlSafe(sql));
            query.execute(&mut connection).await.unwrap();
        } else {
            let mut connection = MySqlConnection::connect(&self.url).await.unwrap();
            let query = sqlx::query(AssertSqlSafe(sql));
            query.execute(&mut connection).await.unwrap();
        }
    }

    /// Reads one number behind the store's back.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        if self.url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            let query = sqlx::query_scalar(AssertSqlSafe(sql));
            query.fetch_one(&mut connection).await.unwrap()
        } else {
            let mut connection = MySqlConnection::connect(&self.url).await.unwrap();
            let query = sqlx::query_scalar(AssertSqlSafe(sql));
            query.fetch_one(&mut connection).await.unwrap()
        }
    }

    /// Cuts every connection to this database but its own. SQLite has none to cut.
    pub(crate) async fn cut_connections(&self) {
        if self.url.starts_with("sqlite:") {
            return;
        }
        let mut connection = MySqlConnection::connect(&self.url).await.unwrap();
        let others = "SELECT id FROM information_schema.processlist \
                      WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        let ids: Vec<i64> = sqlx::query_scalar(others)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        for id in ids {
            // It may have gone by itself.
            sqlx::query(AssertSqlSafe(format!("KILL CONNECTION {id}")))
                .execute(&mut connection)
                .await
                .ok();
        }
    }

    pub(crate) async fn rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT COUNT(*) FROM {table}")).await
    }
}

/// What the store sent since `before`, by name.
pub(crate) fn sent_since(store: &Store, before: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
    let count = |name| {
        before
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, count)| *count)
    };
    store
        .statements()
        .into_iter()
        .map(|(name, sent)| (name, sent - count(name)))
        .filter(|(_, sent)| *sent > 0)
        .collect()
}
