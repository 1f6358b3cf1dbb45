//! Where MySQL/MariaDB and SQLite differ: how a statement is written out, which refusals pass, and
//! how a block of ids is taken.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::mysql::MySqlDatabaseError;

use super::StoreError;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    MySql,
    Sqlite,
}

/// A statement: its fixed name, and its text for both dialects.
///
/// In the text `{…}` stands for one row and is repeated with commas, `{…|sep}` with `sep` between;
/// `$LOCK` locks the rows read until the transaction ends; `$KEEP_FIRST` lets an insert leave a row
/// that has the key already as it is, without hiding any other refusal as `INSERT IGNORE` would;
/// `$BY_INDEX[name]` has rows found by that index, whatever the statistics say.
pub(super) struct Sql {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

impl Dialect {
    /// The text for `rows` rows.
    pub(super) fn write_out(self, template: &str, rows: usize) -> String {
        // SQLite needs no row locks: a write transaction holds the whole database from its start.
        let (lock, keep_first) = match self {
            Dialect::MySql => ("FOR UPDATE", "ON DUPLICATE KEY UPDATE created_at = created_at"),
            Dialect::Sqlite => ("", "ON CONFLICT DO NOTHING"),
        };
        let template = template.replace("$LOCK", lock).replace("$KEEP_FIRST", keep_first);
        let template = match template.split_once(" $BY_INDEX[") {
            Some((before, after)) => {
                let (index, after) = after.split_once(']').unwrap_or((after, ""));
                match self {
                    Dialect::MySql => format!("{before} FORCE INDEX ({index}){after}"),
                    // It has no statistics that could grow old.
                    Dialect::Sqlite => format!("{before}{after}"),
                }
            }
            None => template,
        };
        let mut text = String::with_capacity(template.len() * 2);
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (group, tail) = after.split_once('}').unwrap_or((after, ""));
            let (row, separator) = group.rsplit_once('|').unwrap_or((group, ", "));
            text.push_str(before);
            for number in 0..rows {
                if number > 0 {
                    text.push_str(separator);
                }
                text.push_str(row);
            }
            rest = tail;
        }
        text.push_str(rest);
        text
    }

    /// Takes `$1` ids of the series `$2`; [`Dialect::first_taken`] tells the first of them.
    pub(super) const fn take_ids(self) -> Sql {
        let text = match self {
            Dialect::MySql => "UPDATE id_blocks SET next_id = LAST_INSERT_ID(next_id) + ? WHERE name = ?",
            Dialect::Sqlite => "UPDATE id_blocks SET next_id = next_id + ? WHERE name = ? RETURNING next_id",
        };
        Sql {
            name: "id_blocks.take",
            text,
        }
    }
}

/// Statement texts written out once per size, with a count of how often each was sent.
pub(super) struct Texts {
    dialect: Dialect,
    known: RwLock<HashMap<(&'static str, usize), Arc<Text>>>,
}

pub(super) struct Text {
    pub(super) sql: Arc<str>,
    sent: AtomicU64,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            known: RwLock::default(),
        }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The text of a statement that is about to be sent.
    pub(super) fn sending(&self, sql: &Sql, rows: usize) -> Arc<str> {
        let key = (sql.name, rows);
        let known = {
            let texts = self.known.read().unwrap_or_else(PoisonError::into_inner);
            texts.get(&key).cloned()
        };
        let text = known.unwrap_or_else(|| {
            let mut texts = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let fresh = || {
                Arc::new(Text {
                    sql: self.dialect.write_out(sql.text, rows).into(),
                    sent: AtomicU64::new(0),
                })
            };
            Arc::clone(texts.entry(key).or_insert_with(fresh))
        });
        text.sent.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&text.sql)
    }

    /// How often each statement was sent, in order of name.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let mut counts = BTreeMap::new();
        let texts = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for ((name, _), text) in texts.iter() {
            *counts.entry(*name).or_insert(0) += text.sent.load(Ordering::Relaxed);
        }
        counts.into_iter().collect()
    }
}

/// What a refusal of the database means.
pub(super) fn judge(error: sqlx::Error, name: &'static str) -> StoreError {
    let table = name.split_once('.').map_or(name, |(table, _)| table);
    match &error {
        sqlx::Error::Encode(reason) => StoreError::Unfit(format!("{name}: {reason}")),
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => StoreError::Exists(table),
        sqlx::Error::Database(refusal) if refusal.is_foreign_key_violation() => {
            StoreError::Missing("parent row")
        }
        sqlx::Error::Database(refusal) if unfit(refusal.as_ref()) => {
            StoreError::Unfit(format!("{name}: {refusal}"))
        }
        _ => StoreError::Unavailable(error),
    }
}

/// Whether the database refused a value: out of range, too long, wrong characters, or null.
fn unfit(refusal: &dyn sqlx::error::DatabaseError) -> bool {
    refusal.try_downcast_ref::<MySqlDatabaseError>().map_or_else(
        // SQLITE_CONSTRAINT_NOTNULL, SQLITE_CONSTRAINT_DATATYPE, SQLITE_TOOBIG
        || matches!(refusal.code().as_deref(), Some("1299" | "3091" | "18")),
        |mysql| matches!(mysql.number(), 1048 | 1264 | 1265 | 1366 | 1406),
    )
}

/// Whether a transaction met another one and was rolled back: the same again may well succeed.
pub(super) fn contended(error: &StoreError) -> bool {
    let StoreError::Unavailable(sqlx::Error::Database(refusal)) = error else {
        return false;
    };
    refusal.try_downcast_ref::<MySqlDatabaseError>().map_or_else(
        // SQLITE_BUSY and SQLITE_LOCKED.
        || matches!(sqlite_kind(refusal.as_ref()), Some(5 | 6)),
        // Lock wait timeout, deadlock.
        |mysql| matches!(mysql.number(), 1205 | 1213),
    )
}

/// Whether SQLite refused the values of a statement, and so undid that statement and nothing else.
pub(super) fn refused_alone(error: &sqlx::Error) -> bool {
    // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH.
    matches!(error.as_database_error().and_then(sqlite_kind), Some(18..=20))
}

/// The kind of a refusal by SQLite: the low byte of its extended code.
fn sqlite_kind(refusal: &dyn sqlx::error::DatabaseError) -> Option<u32> {
    let code = refusal.code()?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_repeated_with_their_separator() {
        let template = "INSERT INTO t (a) VALUES {(?, ?)} $KEEP_FIRST";
        assert_eq!(
            Dialect::Sqlite.write_out(template, 2),
            "INSERT INTO t (a) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING"
        );
        let template = "SELECT a FROM t WHERE {(b = ? AND c = ?)| OR } AND d IN ({?}) $LOCK";
        assert_eq!(
            Dialect::MySql.write_out(template, 2),
            "SELECT a FROM t WHERE (b = ? AND c = ?) OR (b = ? AND c = ?) AND d IN (?, ?) FOR UPDATE"
        );
    }

    #[test]
    fn an_index_is_named_where_statistics_may_be_old() {
        let template = "SELECT a FROM t $BY_INDEX[t_b] WHERE {(b = ?)| OR }";
        let written = |dialect: Dialect| dialect.write_out(template, 1);
        assert_eq!(
            written(Dialect::MySql),
            "SELECT a FROM t FORCE INDEX (t_b) WHERE (b = ?)"
        );
        assert_eq!(written(Dialect::Sqlite), "SELECT a FROM t WHERE (b = ?)");
    }

    #[test]
    fn texts_count_by_name_over_all_sizes() {
        let texts = Texts::new(Dialect::Sqlite);
        let sql = Sql {
            name: "t.read",
            text: "SELECT {?}",
        };
        assert_eq!(&*texts.sending(&sql, 1), "SELECT ?");
        assert_eq!(&*texts.sending(&sql, 2), "SELECT ?, ?");
        assert_eq!(&*texts.sending(&sql, 2), "SELECT ?, ?");
        assert_eq!(texts.counts(), [("t.read", 3)]);
    }
}
