//! The record: durability, strictness, schema, clock, and whether the connections suffice.

use super::{Finding, clock};
use crate::{
    config::Config,
    domain::time::Timestamp,
    store::{self, Checkup, Store, StoreError},
};

/// Part of the server's connections that the fleet may take, in percent; people and backups need some.
const BUDGET_PERCENT: u64 = 80;

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let remedy = "start the database, or correct database.url";
    let store = match store::open(&config.database).await {
        Ok(store) => store,
        Err(error) => return vec![Finding::fail("database", error.to_string(), remedy)],
    };
    let mut findings = Vec::new();
    match store.checkup().await {
        Ok(checkup) if checkup.sqlite => findings.extend(sqlite(&checkup)),
        Ok(checkup) => {
            findings.extend(mysql(&checkup));
            findings.extend(checkup.now.map(|now| clock("database.clock", now)));
            match budget(config, &store, &checkup).await {
                Ok(finding) => findings.push(finding),
                Err(error) => tracing::debug!(%error, "cannot tell the budget of connections"),
            }
        }
        Err(error) => findings.push(Finding::fail(
            "database",
            error.to_string(),
            "mend it, or restore it from a backup",
        )),
    }
    findings.push(match store.ping().await {
        Ok(()) => Finding::ok("database.schema", "up to date"),
        Err(error) => Finding::fail("database.schema", error.to_string(), "tsms migrate"),
    });
    findings
}

fn setting<'a>(checkup: &'a Checkup, name: &str) -> &'a str {
    checkup.settings.get(name).map_or("", String::as_str)
}

fn mysql(checkup: &Checkup) -> Vec<Finding> {
    let mut findings = Vec::new();
    let flush = setting(checkup, "innodb_flush_log_at_trx_commit");
    findings.push(if flush == "1" {
        Finding::ok("database.flush", "every commit is flushed")
    } else {
        Finding::fail(
            "database.flush",
            format!(
                "innodb_flush_log_at_trx_commit is {flush}: a power cut loses sales that were answered 202"
            ),
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1; and write it in the server's configuration",
        )
    });
    let doublewrite = setting(checkup, "innodb_doublewrite");
    if doublewrite.eq_ignore_ascii_case("off") || doublewrite == "0" {
        findings.push(Finding::warn(
            "database.doublewrite",
            "innodb_doublewrite is off: a power cut may tear a page",
            "turn it on unless the file system writes pages whole",
        ));
    }
    let (binlog, sync) = (setting(checkup, "log_bin"), setting(checkup, "sync_binlog"));
    if binlog.eq_ignore_ascii_case("on") && sync != "1" {
        findings.push(Finding::warn(
            "database.binlog",
            format!(
                "sync_binlog is {sync}: after a power cut replicas may lack sales that were answered 202"
            ),
            "SET GLOBAL sync_binlog = 1; and write it in the server's configuration",
        ));
    }
    let mode = setting(checkup, "sql_mode");
    findings.push(if mode.contains("STRICT_TRANS_TABLES") || mode.contains("STRICT_ALL_TABLES") {
        Finding::ok("database.sql_mode", "strict")
    } else {
        Finding::warn(
            "database.sql_mode",
            format!("sql_mode is {mode:?}: TSMS asks for strictness itself, but what others write is cut silently"),
            "SET GLOBAL sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION';",
        )
    });
    findings
}

fn sqlite(checkup: &Checkup) -> Vec<Finding> {
    let (journal, level) = (setting(checkup, "journal_mode"), setting(checkup, "synchronous"));
    let said = setting(checkup, "quick_check");
    vec![
        if journal == "wal" {
            Finding::ok("database.journal", "write-ahead log")
        } else {
            Finding::fail(
                "database.journal",
                format!("journal_mode is {journal}: the file system has no shared memory (NFS?)"),
                "put fleet.data_dir on a local disk",
            )
        },
        // 2 is FULL, 3 is EXTRA.
        if matches!(level, "2" | "3") {
            Finding::ok("database.flush", "every commit is flushed")
        } else {
            Finding::fail(
                "database.flush",
                format!("synchronous is {level}: a power cut loses sales that were answered 202"),
                "take pragmas out of database.url",
            )
        },
        if said == "ok" {
            Finding::ok("database.integrity", "quick_check finds nothing")
        } else {
            Finding::fail(
                "database.integrity",
                format!("quick_check says: {said}"),
                "stop TSMS, keep a copy of the file, restore it from a backup",
            )
        },
    ]
}

/// Whether all processes that run can open all of their connections.
async fn budget(config: &Config, store: &Store, checkup: &Checkup) -> Result<Finding, StoreError> {
    let since = Timestamp::now().minus(config.fleet.lease_ms.duration());
    let most: u64 = setting(checkup, "max_connections").parse().unwrap_or(0);
    let each = u64::from(config.database.max_connections);
    let workers = store.worker_connections(since).await?;
    // One more for the scheduler.
    let others = store
        .ingresses(since)
        .await?
        .saturating_add(1)
        .saturating_mul(each);
    let wanted = workers.saturating_add(others);
    let found = format!("{wanted} of {most} connections may be opened by what runs");
    let remedy =
        "lower database.max_connections, run fewer processes, or raise max_connections of the server";
    Ok(if wanted > most {
        Finding::fail("database.connections", found, remedy)
    } else if wanted.saturating_mul(100) > most.saturating_mul(BUDGET_PERCENT) {
        Finding::warn("database.connections", found, remedy)
    } else {
        Finding::ok("database.connections", found)
    })
}
