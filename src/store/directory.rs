//! Companies, tenants and terminals.

use super::{
    Store, StoreError,
    cells::Cells,
    changes::Subject,
    dialect::Sql,
    driver::Tx,
    pieces::fits,
    values::{Binds, page},
};
use crate::domain::{
    directory::{Tenant, Terminal, TerminalStatus},
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

const COMPANY_BY_CODE: Sql = Sql {
    name: "companies.by_code",
    text: "SELECT id FROM companies WHERE code = ?",
};

const INSERT_COMPANY: Sql = Sql {
    name: "companies.insert",
    text: "INSERT INTO companies (code, name, created_at) VALUES (?, ?, ?)",
};

const INSERT_TENANT: Sql = Sql {
    name: "tenants.insert",
    text: "INSERT INTO tenants (company_id, code, name, timezone, active, created_at) \
           VALUES (?, ?, ?, ?, 1, ?)",
};

const INSERT_TERMINAL: Sql = Sql {
    name: "terminals.insert",
    text: "INSERT INTO terminals (tenant_id, serial_number, status, expires_at, callback_url, \
           created_at) VALUES (?, ?, 'active', ?, ?, ?)",
};

const TERMINALS: Sql = Sql {
    name: "terminals.by_id",
    text: "SELECT t.id, t.tenant_id, t.serial_number, t.status, t.expires_at, t.callback_url, \
           n.id, n.company_id, n.code, n.name, n.timezone, n.active \
           FROM terminals t JOIN tenants n ON n.id = t.tenant_id WHERE t.id IN ({?})",
};

const LIST_TENANTS: Sql = Sql {
    name: "tenants.page",
    text: "SELECT id, company_id, code, name, timezone, active FROM tenants \
           WHERE id > ? ORDER BY id LIMIT ?",
};

const LIST_TERMINALS: Sql = Sql {
    name: "terminals.page",
    text: "SELECT id, tenant_id, serial_number, status, expires_at, callback_url FROM terminals \
           WHERE id > ? AND (? IS NULL OR tenant_id = ?) ORDER BY id LIMIT ?",
};

impl Store {
    /// Makes the company if its code is new, and gives its id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ensure_company(&self, code: &str, name: &str) -> Result<i64, StoreError> {
        fits("a company code", code, 50)?;
        fits("a company name", name, 255)?;
        if let Some(id) = self.company(code).await? {
            return Ok(id);
        }
        let values = [code.into(), name.into(), Timestamp::now().into()];
        match retrying!(self, self.inner.db.execute(&INSERT_COMPANY, 1, &values)) {
            Ok(done) => Ok(done.last_id),
            // Another process made it between the look and the insert.
            Err(StoreError::Exists(_)) => self.company(code).await?.ok_or(StoreError::Missing("company")),
            Err(error) => Err(error),
        }
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
        fits("a tenant code", code, 50)?;
        fits("a tenant name", name, 255)?;
        fits("a time zone", timezone, 64)?;
        let id = retrying!(self, self.insert_tenant(company_id, code, name, timezone))?;
        Ok(Tenant {
            id,
            company_id,
            code: code.to_owned(),
            name: name.to_owned(),
            timezone: timezone.to_owned(),
            active: true,
        })
    }

    async fn insert_tenant(
        &self,
        company_id: i64,
        code: &str,
        name: &str,
        timezone: &str,
    ) -> Result<i64, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let values = [
            company_id.into(),
            code.into(),
            name.into(),
            timezone.into(),
            Timestamp::now().into(),
        ];
        let done = tx
            .execute(&INSERT_TENANT, 1, &values)
            .await
            .map_err(|error| named(error, "tenant", "company"))?;
        self.attribute(&mut tx, "tenant.created", Subject::Tenant(done.last_id), code)
            .await?;
        tx.commit().await?;
        Ok(done.last_id)
    }

    /// Registers a terminal.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the serial number is taken, [`StoreError::Missing`] when the tenant is unknown.
    pub async fn create_terminal(&self, new: &NewTerminal) -> Result<Terminal, StoreError> {
        retrying!(self, self.create_terminal_once(new))
    }

    async fn create_terminal_once(&self, new: &NewTerminal) -> Result<Terminal, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let terminal = self.insert_terminal(&mut tx, new).await?;
        tx.commit().await?;
        Ok(terminal)
    }

    pub(super) async fn insert_terminal(
        &self,
        tx: &mut Tx,
        new: &NewTerminal,
    ) -> Result<Terminal, StoreError> {
        fits("a serial number", &new.serial_number, 255)?;
        fits("a callback URL", new.callback_url.as_deref().unwrap_or(""), 2000)?;
        let values = [
            new.tenant_id.into(),
            new.serial_number.as_str().into(),
            new.expires_at.into(),
            new.callback_url.as_deref().into(),
            Timestamp::now().into(),
        ];
        let done = tx
            .execute(&INSERT_TERMINAL, 1, &values)
            .await
            .map_err(|error| named(error, "terminal", "tenant"))?;
        let subject = Subject::Terminal(done.last_id);
        self.attribute(tx, "terminal.created", subject, &new.serial_number)
            .await?;
        Ok(Terminal {
            id: done.last_id,
            tenant_id: new.tenant_id,
            serial_number: new.serial_number.clone(),
            status: TerminalStatus::Active,
            expires_at: new.expires_at,
            callback_url: new.callback_url.clone(),
        })
    }

    /// Terminals with their tenants, by id; unknown ids are left out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn terminals(&self, ids: &[i64]) -> Result<Vec<(Terminal, Tenant)>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in self.pieces(ids) {
            let values = Binds::ids(ids);
            for row in self.inner.db.fetch(&TERMINALS, ids.len(), &values).await? {
                let mut cells = row.cells();
                found.push((read_terminal(&mut cells)?, read_tenant(&mut cells)?));
            }
        }
        Ok(found)
    }

    /// One page of tenants with an id above `after`, in order of id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_tenants(&self, after: i64, limit: usize) -> Result<Vec<Tenant>, StoreError> {
        let values = [after.into(), page(limit)];
        let rows = self.inner.db.fetch(&LIST_TENANTS, 1, &values).await?;
        rows.iter().map(|row| read_tenant(&mut row.cells())).collect()
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
        let values = [after.into(), tenant_id.into(), tenant_id.into(), page(limit)];
        let rows = self.inner.db.fetch(&LIST_TERMINALS, 1, &values).await?;
        rows.iter().map(|row| read_terminal(&mut row.cells())).collect()
    }

    async fn company(&self, code: &str) -> Result<Option<i64>, StoreError> {
        let rows = self.inner.db.fetch(&COMPANY_BY_CODE, 1, &[code.into()]).await?;
        rows.first().map(|row| row.cells().int()).transpose()
    }
}

pub(super) fn read_tenant(cells: &mut Cells<'_>) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: cells.int()?,
        company_id: cells.int()?,
        code: cells.text()?,
        name: cells.text()?,
        timezone: cells.text()?,
        active: cells.flag()?,
    })
}

pub(super) fn read_terminal(cells: &mut Cells<'_>) -> Result<Terminal, StoreError> {
    Ok(Terminal {
        id: cells.int()?,
        tenant_id: cells.int()?,
        serial_number: cells.text()?,
        status: cells.word(status_of)?,
        expires_at: cells.time_or_null()?,
        callback_url: cells.text_or_null()?,
    })
}

/// The stored word; the same as in JSON.
pub(super) const fn status_word(status: TerminalStatus) -> &'static str {
    match status {
        TerminalStatus::Active => "active",
        TerminalStatus::Inactive => "inactive",
        TerminalStatus::Revoked => "revoked",
    }
}

fn status_of(word: &str) -> Option<TerminalStatus> {
    [
        TerminalStatus::Active,
        TerminalStatus::Inactive,
        TerminalStatus::Revoked,
    ]
    .into_iter()
    .find(|status| status_word(*status) == word)
}

/// A refused insert in the words of the directory: its own key, or its parent's.
pub(super) fn named(error: StoreError, what: &'static str, parent: &'static str) -> StoreError {
    match error {
        StoreError::Exists(_) => StoreError::Exists(what),
        StoreError::Missing(_) => StoreError::Missing(parent),
        other => other,
    }
}

pub(super) fn found(rows: u64, what: &'static str) -> Result<(), StoreError> {
    if rows == 0 {
        Err(StoreError::Missing(what))
    } else {
        Ok(())
    }
}
