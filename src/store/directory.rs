//! Companies, tenants, terminals and tokens.

use serde::Serialize;

use super::{Store, StoreError};
use crate::domain::{
    checksum::Digest,
    directory::{Identity, Tenant, Terminal, TerminalStatus},
    time::Timestamp,
};

/// A terminal to be registered.
#[derive(Clone, Debug)]
pub struct NewTerminal {
    /// The tenant it stands in.
    pub tenant_id: i64,
    /// Serial number, unique.
    pub serial_number: String,
    /// Where results are posted.
    pub callback_url: Option<String>,
    /// When it stops being accepted.
    pub expires_at: Option<Timestamp>,
}

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

impl Store {
    /// Makes the company if its code is new, and gives its id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ensure_company(&self, code: &str, name: &str) -> Result<i64, StoreError> {
        let _ = (code, name);
        todo!("store")
    }

    /// Registers a tenant.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the code is taken.
    pub async fn create_tenant(
        &self,
        company_id: i64,
        code: &str,
        name: &str,
        timezone: &str,
    ) -> Result<Tenant, StoreError> {
        let _ = (company_id, code, name, timezone);
        todo!("store")
    }

    /// Registers a terminal.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the serial number is taken, [`StoreError::Missing`] when the tenant is unknown.
    pub async fn create_terminal(&self, new: &NewTerminal) -> Result<Terminal, StoreError> {
        let _ = new;
        todo!("store")
    }

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
        let _ = (digest, terminal_id, name, abilities, expires_at);
        todo!("store")
    }

    /// What the token with this digest stands for, revoked and expired ones included.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn identity(&self, digest: &Digest) -> Result<Option<Identity>, StoreError> {
        let _ = digest;
        todo!("store")
    }

    /// Terminals with their tenants, by id; unknown ids are left out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn terminals(&self, ids: &[i64]) -> Result<Vec<(Terminal, Tenant)>, StoreError> {
        let _ = ids;
        todo!("store")
    }

    /// One page of tenants with an id above `after`, in order of id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_tenants(&self, after: i64, limit: usize) -> Result<Vec<Tenant>, StoreError> {
        let _ = (after, limit);
        todo!("store")
    }

    /// One page of terminals with an id above `after`, of one tenant or of all.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_terminals(
        &self,
        tenant_id: Option<i64>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Terminal>, StoreError> {
        let _ = (tenant_id, after, limit);
        todo!("store")
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
        let _ = (terminal_id, after, limit);
        todo!("store")
    }

    /// Revokes a token. Doing it twice keeps the first time.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such token.
    pub async fn revoke_token(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        let _ = (id, at);
        todo!("store")
    }

    /// Sets whether a tenant may submit.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such tenant.
    pub async fn set_tenant_active(&self, id: i64, active: bool) -> Result<(), StoreError> {
        let _ = (id, active);
        todo!("store")
    }

    /// Sets the state of a terminal. A revoked one stays revoked.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such terminal, or it is revoked and should come back.
    pub async fn set_terminal_status(&self, id: i64, status: TerminalStatus) -> Result<(), StoreError> {
        let _ = (id, status);
        todo!("store")
    }
}
