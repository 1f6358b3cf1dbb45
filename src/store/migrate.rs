//! Brings the schema up to date, one process at a time.

use sqlx::{
    Connection, MySqlConnection,
    migrate::{MigrateError, Migrator},
};

use deadpool::managed::{Object, Pool};

use super::{
    Store, StoreError,
    dialect::Sql,
    driver::Pools,
    group::Writer,
    pool::{self, MySqlDoor},
};

static MYSQL_MIGRATIONS: Migrator = sqlx::migrate!("migrations/mysql");
static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long to wait while another process migrates, in seconds.
const MIGRATION_WAIT: i64 = 300;

const NEWEST_MIGRATION: Sql = Sql {
    name: "_sqlx_migrations.newest",
    text: "SELECT version FROM _sqlx_migrations WHERE success = 1 ORDER BY version DESC LIMIT 1",
};

impl Store {
    /// Brings the schema up to date; safe to call from many processes at once.
    ///
    /// # Errors
    /// The database refuses, or was migrated by a newer program.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.inner.db.pools {
            Pools::MySql { pool, .. } => migrate_mysql(pool).await,
            Pools::Sqlite { writer, .. } => retrying!(self, migrate_sqlite(writer)),
        }
    }

    /// Asks for a sign of life, and whether the schema has what this program expects. A newer one has
    /// it: while a fleet is restarted one process at a time, the version before works on the schema of
    /// the next (`tests/operations/migrations.rs` holds migrations to it).
    ///
    /// # Errors
    /// It is not ready.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let migrations = match self.inner.db.pools {
            Pools::MySql { .. } => &MYSQL_MIGRATIONS,
            Pools::Sqlite { .. } => &SQLITE_MIGRATIONS,
        };
        let expected = migrations.iter().map(|migration| migration.version).max();
        let rows = self.inner.db.fetch(&NEWEST_MIGRATION, 1, &[]).await?;
        let applied = rows.first().map(|row| row.cells().int()).transpose()?;
        if applied >= expected {
            return Ok(());
        }
        Err(StoreError::Settings(format!(
            "the schema is at version {applied:?}, this program needs {expected:?}; run `tsms migrate`"
        )))
    }
}

/// The migrator of sqlx asks the server for a lock without a time limit, which MariaDB refuses, and
/// does not look at the answer: several processes would then migrate at once. So a lock of our own
/// is held around it.
async fn migrate_mysql(pool: &Pool<MySqlDoor>) -> Result<(), StoreError> {
    // The lock belongs to the connection; taken out of the pool and closed, it cannot stay behind.
    let mut connection = Object::take(pool::take(pool).await.map_err(StoreError::Unavailable)?);
    let migrated = migrate_locked(&mut connection).await;
    let closed = connection.close().await.map_err(StoreError::Unavailable);
    migrated.and(closed)
}

async fn migrate_locked(connection: &mut MySqlConnection) -> Result<(), StoreError> {
    let locked: Option<i64> =
        sqlx::query_scalar("SELECT GET_LOCK(CONCAT('tsms.migrate.', MD5(DATABASE())), ?)")
            .bind(MIGRATION_WAIT)
            .fetch_one(&mut *connection)
            .await
            .map_err(StoreError::Unavailable)?;
    if locked != Some(1) {
        return Err(StoreError::Settings(format!(
            "another process has been migrating for {MIGRATION_WAIT} s"
        )));
    }
    MYSQL_MIGRATIONS
        .run_direct(None, connection, false)
        .await
        .map_err(cannot_migrate)
}

/// SQLite has no named locks: the write lock of an outer transaction keeps a second process out,
/// and a half-done migration from being seen.
async fn migrate_sqlite(writer: &Writer) -> Result<(), StoreError> {
    let mut alone = writer.alone().await.map_err(StoreError::Unavailable)?;
    let connection = alone.connection().await.map_err(StoreError::Unavailable)?;
    let mut tx = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(StoreError::Unavailable)?;
    SQLITE_MIGRATIONS
        .run_direct(None, &mut *tx, false)
        .await
        .map_err(cannot_migrate)?;
    tx.commit().await.map_err(StoreError::Unavailable)
}

fn cannot_migrate(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            StoreError::Unavailable(error)
        }
        other => StoreError::Settings(format!("cannot migrate: {other}")),
    }
}
