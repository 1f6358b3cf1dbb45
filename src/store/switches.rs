//! Switches tenants and terminals on and off, and changes what else of them changes.

use super::{
    Store, StoreError,
    changes::Subject,
    dialect::Sql,
    directory::{found, read_tenant, status_word},
    pieces::fits,
};
use crate::domain::{
    directory::{Tenant, TerminalStatus},
    time::Timestamp,
};

/// What of a terminal changes; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct TerminalChange {
    /// Its state.
    pub status: Option<TerminalStatus>,
    /// When it stops being accepted, if ever.
    pub expires_at: Option<Option<Timestamp>>,
    /// Where results are posted, if anywhere.
    pub callback_url: Option<Option<String>>,
}

const TENANT: Sql = Sql {
    name: "tenants.one",
    text: "SELECT id, company_id, code, name, timezone, active FROM tenants WHERE id = ?",
};

const SET_TENANT: Sql = Sql {
    name: "tenants.set",
    text: "UPDATE tenants SET active = COALESCE(?, active), name = COALESCE(?, name) WHERE id = ?",
};

const SET_TERMINAL: Sql = Sql {
    name: "terminals.set",
    text: "UPDATE terminals SET status = COALESCE(?, status), \
           expires_at = CASE WHEN ? = 1 THEN ? ELSE expires_at END, \
           callback_url = CASE WHEN ? = 1 THEN ? ELSE callback_url END \
           WHERE id = ? AND (status <> 'revoked' OR ? = 'revoked')",
};

impl Store {
    /// The tenant with this id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    pub async fn tenant(&self, id: i64) -> Result<Tenant, StoreError> {
        let rows = self.inner.db.fetch(&TENANT, 1, &[id.into()]).await?;
        let row = rows.first().ok_or(StoreError::Missing("tenant"))?;
        read_tenant(&mut row.cells())
    }

    /// Sets whether a tenant may submit.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such tenant.
    pub async fn set_tenant_active(&self, id: i64, active: bool) -> Result<(), StoreError> {
        self.update_tenant(id, Some(active), None).await
    }

    /// Sets whether a tenant may submit, its trade name, or both; what is `None` stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such tenant.
    pub async fn update_tenant(
        &self,
        id: i64,
        active: Option<bool>,
        name: Option<&str>,
    ) -> Result<(), StoreError> {
        fits("a tenant name", name.unwrap_or(""), 255)?;
        retrying!(self, self.update_tenant_once(id, active, name))
    }

    async fn update_tenant_once(
        &self,
        id: i64,
        active: Option<bool>,
        name: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let values = [active.map(i64::from).into(), name.into(), id.into()];
        found(tx.execute(&SET_TENANT, 1, &values).await?.rows, "tenant")?;
        let subject = Subject::Tenant(id);
        let detail = format!("active {active:?} name {name:?}");
        self.attribute(&mut tx, "tenant.changed", subject, &detail)
            .await?;
        self.publish(&mut tx, subject).await?;
        tx.commit().await
    }

    /// Sets the state of a terminal. A revoked one stays revoked.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such terminal, or it is revoked and should come back.
    pub async fn set_terminal_status(&self, id: i64, status: TerminalStatus) -> Result<(), StoreError> {
        let change = TerminalChange {
            status: Some(status),
            ..TerminalChange::default()
        };
        self.update_terminal(id, &change).await
    }

    /// Changes a terminal. A revoked one does not change any more.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such terminal, or it is revoked and should change.
    pub async fn update_terminal(&self, id: i64, change: &TerminalChange) -> Result<(), StoreError> {
        let url = change.callback_url.as_ref().and_then(Option::as_deref);
        fits("a callback URL", url.unwrap_or(""), 2000)?;
        retrying!(self, self.update_terminal_once(id, change))
    }

    async fn update_terminal_once(&self, id: i64, change: &TerminalChange) -> Result<(), StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let status = change.status.map(status_word);
        let values = [
            status.into(),
            i64::from(change.expires_at.is_some()).into(),
            change.expires_at.flatten().into(),
            i64::from(change.callback_url.is_some()).into(),
            change.callback_url.as_ref().and_then(Option::as_deref).into(),
            id.into(),
            status.unwrap_or("").into(),
        ];
        found(tx.execute(&SET_TERMINAL, 1, &values).await?.rows, "terminal")?;
        let subject = Subject::Terminal(id);
        let detail = format!("{change:?}");
        self.attribute(&mut tx, "terminal.changed", subject, &detail)
            .await?;
        self.publish(&mut tx, subject).await?;
        tx.commit().await
    }
}
