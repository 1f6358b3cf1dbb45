//! Tokens: who may ask, known by the digest of what they present.

use serde::Serialize;

use super::{
    Store, StoreError,
    cells::Cells,
    dialect::Sql,
    directory::{found, named, read_tenant, read_terminal},
    pieces::fits,
    values::page,
};
use crate::domain::{checksum::Digest, directory::Identity, time::Timestamp};

/// A token as listed: never its text.
#[derive(Clone, Debug, Serialize)]
pub struct TokenRow {
    /// Row id.
    pub id: i64,
    /// The terminal it belongs to; `None` for an administrator's.
    pub terminal_id: Option<i64>,
    /// What a person called it.
    pub name: String,
    /// What it may do.
    pub abilities: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

const INSERT_TOKEN: Sql = Sql {
    name: "tokens.insert",
    text: "INSERT INTO tokens (digest, terminal_id, name, abilities, created_at, expires_at) \
           VALUES (?, ?, ?, ?, ?, ?)",
};

const IDENTITY: Sql = Sql {
    name: "tokens.identity",
    text: "SELECT k.id, k.abilities, k.expires_at, k.revoked_at, k.terminal_id, \
           t.id, t.tenant_id, t.serial_number, t.status, t.expires_at, t.callback_url, \
           n.id, n.company_id, n.code, n.name, n.timezone, n.active \
           FROM tokens k LEFT JOIN terminals t ON t.id = k.terminal_id \
           LEFT JOIN tenants n ON n.id = t.tenant_id WHERE k.digest = ?",
};

const LIST_TOKENS: Sql = Sql {
    name: "tokens.page",
    text: "SELECT id, terminal_id, name, abilities, created_at, expires_at, revoked_at FROM tokens \
           WHERE id > ? AND (? IS NULL OR terminal_id = ?) ORDER BY id LIMIT ?",
};

const REVOKE_TOKEN: Sql = Sql {
    name: "tokens.revoke",
    text: "UPDATE tokens SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?",
};

impl Store {
    /// Stores a token's digest and gives its row id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the terminal is unknown.
    pub async fn create_token(
        &self,
        digest: &Digest,
        terminal_id: Option<i64>,
        name: &str,
        abilities: &[&str],
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        fits("a token name", name, 255)?;
        let abilities =
            serde_json::to_string(abilities).map_err(|error| StoreError::Unfit(error.to_string()))?;
        fits("the abilities of a token", &abilities, 2000)?;
        let values = [
            digest.into(),
            terminal_id.into(),
            name.into(),
            abilities.as_str().into(),
            Timestamp::now().into(),
            expires_at.into(),
        ];
        let done = retrying!(self, self.inner.db.execute(&INSERT_TOKEN, 1, &values))
            .map_err(|error| named(error, "token", "terminal"))?;
        Ok(done.last_id)
    }

    /// What the token with this digest stands for, revoked and expired ones included.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn identity(&self, digest: &Digest) -> Result<Option<Identity>, StoreError> {
        let rows = self.inner.db.fetch(&IDENTITY, 1, &[digest.into()]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let mut cells = row.cells();
        let token_id = cells.int()?;
        let abilities = cells.list()?;
        let (expires_at, revoked_at) = (cells.time_or_null()?, cells.time_or_null()?);
        let terminal = match cells.int_or_null()? {
            Some(_) => Some((read_terminal(&mut cells)?, read_tenant(&mut cells)?)),
            None => None,
        };
        Ok(Some(Identity {
            token_id,
            terminal,
            abilities,
            expires_at,
            revoked_at,
        }))
    }

    /// One page of tokens with an id above `after`, of one terminal or of all.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_tokens(
        &self,
        terminal_id: Option<i64>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<TokenRow>, StoreError> {
        let values = [after.into(), terminal_id.into(), terminal_id.into(), page(limit)];
        let rows = self.inner.db.fetch(&LIST_TOKENS, 1, &values).await?;
        rows.iter().map(|row| read_token(&mut row.cells())).collect()
    }

    /// Revokes a token. Doing it twice keeps the first time.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such token.
    pub async fn revoke_token(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        let values = [at.into(), id.into()];
        let done = retrying!(self, self.inner.db.execute(&REVOKE_TOKEN, 1, &values))?;
        found(done.rows, "token")
    }
}

fn read_token(cells: &mut Cells<'_>) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        id: cells.int()?,
        terminal_id: cells.int_or_null()?,
        name: cells.text()?,
        abilities: cells.list()?,
        created_at: cells.time()?,
        expires_at: cells.time_or_null()?,
        revoked_at: cells.time_or_null()?,
    })
}
