//! What the record holds, table by table, as text that can be compared.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, SqliteConnection, query_scalar};

use crate::world::World;

/// Tables that move by themselves.
const RESTLESS: [(&str, &str); 6] = [
    ("id_blocks", "ids are reserved ahead"),
    ("sweep_marks", "the sweeper walks on"),
    ("ingress_beats", "an ingress says that it lives"),
    ("worker_beats", "and so do the workers"),
    ("duties", "the scheduler renews its duty"),
    ("security_events", "what is refused is noted there"),
];
/// Columns that a request moves even when it is refused.
const SEEN: [&str; 2] = ["last_used_at", "last_seen_at"];

/// The rows of every table, quoted, in the order of their text.
pub(super) async fn contents(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut tables = if world.database.starts_with("sqlite:") {
        sqlite(&world.database).await
    } else {
        mysql(&world.database).await
    };
    assert!(tables.len() > 8, "{:?}", tables.keys());
    for (table, _) in RESTLESS {
        tables.remove(table);
    }
    tables
}

async fn sqlite(url: &str) -> BTreeMap<String, Vec<String>> {
    let mut database = SqliteConnection::connect(url).await.unwrap();
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    let names: Vec<String> = query_scalar(names).fetch_all(&mut database).await.unwrap();
    let mut tables = BTreeMap::new();
    for table in names {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns: Vec<String> = query_scalar(AssertSqlSafe(columns))
            .fetch_all(&mut database)
            .await
            .unwrap();
        let columns = columns.iter().filter(|column| !SEEN.contains(&column.as_str()));
        let columns = columns.map(|column| format!("quote(\"{column}\")"));
        let row = columns.collect::<Vec<_>>().join(" || ',' || ");
        let rows = format!("SELECT {row} FROM {table} ORDER BY 1");
        let rows: Vec<String> = query_scalar(AssertSqlSafe(rows))
            .fetch_all(&mut database)
            .await
            .unwrap();
        tables.insert(table, rows);
    }
    tables
}

async fn mysql(url: &str) -> BTreeMap<String, Vec<String>> {
    let mut database = MySqlConnection::connect(url).await.unwrap();
    let names =
        "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE()";
    let names: Vec<String> = query_scalar(names).fetch_all(&mut database).await.unwrap();
    let mut tables = BTreeMap::new();
    for table in names {
        let columns = format!(
            "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = '{table}' ORDER BY ordinal_position"
        );
        let columns: Vec<String> = query_scalar(AssertSqlSafe(columns))
            .fetch_all(&mut database)
            .await
            .unwrap();
        let columns = columns.iter().filter(|column| !SEEN.contains(&column.as_str()));
        let columns = columns.map(|column| format!("COALESCE(HEX(`{column}`), 'NULL')"));
        let row = columns.collect::<Vec<_>>().join(", ',', ");
        let rows = format!("SELECT CONCAT({row}) FROM `{table}` ORDER BY 1");
        let rows: Vec<String> = query_scalar(AssertSqlSafe(rows))
            .fetch_all(&mut database)
            .await
            .unwrap();
        tables.insert(table, rows);
    }
    tables
}
