//! Terminals that log in with a key of their own: the tills of today.

use super::{
    Store, StoreError,
    changes::Subject,
    dialect::Sql,
    directory::{found, read_tenant, read_terminal},
    rotation::remint,
    tokens::NewToken,
};
use crate::domain::{
    directory::{Tenant, Terminal},
    keyring::Hashed,
    time::Timestamp,
};

const BY_SERIAL: Sql = Sql {
    name: "terminals.by_serial",
    text: "SELECT t.id, t.tenant_id, t.serial_number, t.status, t.expires_at, t.callback_url, \
           n.id, n.company_id, n.code, n.name, n.timezone, n.active, t.key_hash_key, t.key_digest \
           FROM terminals t JOIN tenants n ON n.id = t.tenant_id WHERE t.serial_number = ?",
};

const SET_KEY: Sql = Sql {
    name: "terminals.set_key",
    text: "UPDATE terminals SET key_digest = ?, key_hash_key = ? WHERE id = ?",
};

const LOCK_TERMINAL: Sql = Sql {
    name: "terminals.lock",
    text: "SELECT id FROM terminals WHERE id = ? $LOCK",
};

const UNUSED_LOGIN: Sql = Sql {
    name: "tokens.unused_login",
    text: "SELECT id FROM tokens WHERE terminal_id = ? AND origin = 'login' AND parent_id IS NULL \
           AND confirmed_at = 0 AND revoked_at IS NULL ORDER BY id DESC LIMIT 1",
};

const END_LOGINS: Sql = Sql {
    name: "tokens.end_logins",
    text: "UPDATE tokens SET expires_at = ? WHERE terminal_id = ? AND origin = 'login' AND id <> ? \
           AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
};

/// A terminal as it is found by its serial number.
#[derive(Clone, Debug)]
pub struct Known {
    /// The terminal.
    pub terminal: Terminal,
    /// The tenant it stands in.
    pub tenant: Tenant,
    /// The hash of its key, if it has one.
    pub key: Option<Hashed>,
}

impl Store {
    /// The terminal with this serial number.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn terminal_by_serial(&self, serial_number: &str) -> Result<Option<Known>, StoreError> {
        let rows = self
            .inner
            .db
            .fetch(&BY_SERIAL, 1, &[serial_number.into()])
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let mut cells = row.cells();
        let (terminal, tenant) = (read_terminal(&mut cells)?, read_tenant(&mut cells)?);
        // MySQL ignores trailing spaces when it compares; a serial number is what it is.
        if terminal.serial_number != serial_number {
            return Ok(None);
        }
        let name = cells.text()?;
        let key = if name.is_empty() {
            None
        } else {
            Some(Hashed {
                digest: cells.digest()?,
                key: name,
            })
        };
        Ok(Some(Known {
            terminal,
            tenant,
            key,
        }))
    }

    /// Sets the key with which a terminal logs in, or takes it away.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such terminal.
    pub async fn set_terminal_key(&self, id: i64, hashed: Option<&Hashed>) -> Result<(), StoreError> {
        retrying!(self, self.set_terminal_key_once(id, hashed))
    }

    async fn set_terminal_key_once(&self, id: i64, hashed: Option<&Hashed>) -> Result<(), StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let values = [
            hashed.map(|hashed| &hashed.digest).into(),
            hashed.map_or("", |hashed| hashed.key.as_str()).into(),
            id.into(),
        ];
        found(tx.execute(&SET_KEY, 1, &values).await?.rows, "terminal")?;
        let action = if hashed.is_some() {
            "terminal.key_set"
        } else {
            "terminal.key_removed"
        };
        self.attribute(&mut tx, action, Subject::Terminal(id), "").await?;
        tx.commit().await
    }

    /// Gives a terminal that has shown its key a token, and ends those of earlier logins at `others_end`.
    /// A login whose token nobody has used is repeated: its token gets a new secret.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn log_in(
        &self,
        terminal_id: i64,
        new: &NewToken,
        at: Timestamp,
        others_end: Timestamp,
    ) -> Result<i64, StoreError> {
        retrying!(self, self.log_in_once(terminal_id, new, at, others_end))
    }

    async fn log_in_once(
        &self,
        terminal_id: i64,
        new: &NewToken,
        at: Timestamp,
        others_end: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        tx.fetch(&LOCK_TERMINAL, 1, &[terminal_id.into()]).await?;
        let unused = tx.fetch(&UNUSED_LOGIN, 1, &[terminal_id.into()]).await?;
        let unused = unused.first().map(|row| row.cells().int()).transpose()?;
        let reminted = match unused {
            Some(id) => remint(&mut tx, id, &new.hashed, at, new.expires_at, 0).await?,
            None => false,
        };
        let id = match unused {
            Some(id) if reminted => id,
            _ => self.insert_token(&mut tx, new, at).await?,
        };
        let values = [
            others_end.into(),
            terminal_id.into(),
            id.into(),
            others_end.into(),
        ];
        let ended = tx.execute(&END_LOGINS, 1, &values).await?.rows;
        if ended > 0 {
            self.publish(&mut tx, Subject::Terminal(terminal_id)).await?;
        }
        tx.commit().await?;
        Ok(id)
    }
}
