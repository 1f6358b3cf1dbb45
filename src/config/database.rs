//! `[database]`: the record.

use serde::Deserialize;

use super::{Millis, Secret};

/// `[database]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `mysql://user:password@host/name`.
    pub url: Secret,
    /// Most connections of one process (SQLite: readers; there is always one writer).
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub acquire_timeout_ms: Millis,
    /// How long one statement may wait for a lock.
    pub lock_timeout_ms: Millis,
    /// Tries of a transaction that met a deadlock or lock wait, the first included.
    pub transaction_tries: u32,
    /// Most rows in one statement.
    pub statement_rows: usize,
    /// Audit chains whose end one process remembers.
    pub chain_ends: usize,
    /// SQLite: most transactions that share one commit.
    pub commit_group: usize,
    /// SQLite: memory of the writer for pages, in KiB; a reader has an eighth of it.
    pub cache_kib: u32,
    /// SQLite: pages of 4 KiB in the write-ahead log before they are moved to the file.
    pub checkpoint_pages: u32,
    /// Most row ids reserved at a time.
    pub id_block: i64,
    /// How long a block of ids may be used.
    pub id_block_ttl_ms: Millis,
}
