//! When tokens were last used and terminals last seen: written behind, many at a time.

use super::{Store, StoreError, dialect::Sql, values::Binds};
use crate::domain::time::Timestamp;

const TOUCH_TOKENS: Sql = Sql {
    name: "tokens.touch",
    text: "UPDATE tokens SET last_used_at = ? WHERE last_used_at < ? AND id IN ({?})",
};

const TOUCH_TERMINALS: Sql = Sql {
    name: "terminals.touch",
    text: "UPDATE terminals SET last_seen_at = ? WHERE last_seen_at < ? AND id IN ({?})",
};

impl Store {
    /// These tokens were used at about `at`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn touch_tokens(&self, ids: &[i64], at: Timestamp) -> Result<(), StoreError> {
        self.touch(&TOUCH_TOKENS, ids, at).await
    }

    /// These terminals were seen at about `at`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn touch_terminals(&self, ids: &[i64], at: Timestamp) -> Result<(), StoreError> {
        self.touch(&TOUCH_TERMINALS, ids, at).await
    }

    /// In order of id, so that two processes that touch the same rows do not lock each other out.
    async fn touch(&self, sql: &Sql, ids: &[i64], at: Timestamp) -> Result<(), StoreError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        for ids in self.pieces(&ids) {
            let mut values = Binds::of(ids.len() + 2);
            values.put(at).put(at).put_all(ids.iter().copied());
            retrying!(self, self.inner.db.execute(sql, ids.len(), &values))?;
        }
        Ok(())
    }
}
