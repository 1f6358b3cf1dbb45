//! Enrolment codes: each lets one till of one tenant register itself, once.

use uuid::Uuid;

use super::{
    Store, StoreError,
    changes::Subject,
    dialect::Sql,
    directory::{NewTerminal, named, read_tenant, read_terminal},
    driver::Tx,
    pieces::fits,
    rotation::remint,
    tokens::NewToken,
    values::Binds,
};
use crate::domain::{
    checksum::Digest,
    directory::{Tenant, Terminal, TerminalStatus},
    keyring::Hashed,
    time::Timestamp,
};

const INSERT: Sql = Sql {
    name: "enrolments.insert",
    text: "INSERT INTO enrolments (digest, hash_key, tenant_id, serial_number, created_at, expires_at) \
           VALUES (?, ?, ?, ?, ?, ?)",
};

const LOCK: Sql = Sql {
    name: "enrolments.lock",
    text: "SELECT id, tenant_id, serial_number, expires_at, redeemed_at, registration_id, token_id \
           FROM enrolments WHERE digest IN ({?}) $LOCK",
};

const REDEEM: Sql = Sql {
    name: "enrolments.redeem",
    text: "UPDATE enrolments SET redeemed_at = ?, registration_id = ?, token_id = ? \
           WHERE id = ? AND redeemed_at = 0",
};

const TENANT: Sql = Sql {
    name: "tenants.by_id",
    text: "SELECT id, company_id, code, name, timezone, active FROM tenants WHERE id = ?",
};

const TERMINAL: Sql = Sql {
    name: "terminals.by_serial_plain",
    text: "SELECT id, tenant_id, serial_number, status, expires_at, callback_url FROM terminals \
           WHERE serial_number = ?",
};

/// A till that wants to register itself.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Every hash that its code may have.
    pub candidates: Vec<Digest>,
    /// The serial number it says it has.
    pub serial_number: String,
    /// Chosen by the till, and the same whenever it repeats the request.
    pub registration_id: Uuid,
    /// The token it will get; the terminal is filled in.
    pub token: NewToken,
    /// When this happens.
    pub at: Timestamp,
    /// How long the same registration may be repeated.
    pub repeat_for: std::time::Duration,
}

/// What became of a registration.
#[derive(Clone, Debug)]
pub enum Redeemed {
    /// The terminal exists and its token has the hash that was given.
    Done(Box<(Terminal, Tenant)>),
    /// The code was used: by another registration, or by this one, whose token is in use.
    Used,
    /// No such code, not for this serial number, too old, or its tenant or terminal is switched off.
    Refused,
}

struct Code {
    id: i64,
    tenant_id: i64,
    serial_number: String,
    expires_at: Timestamp,
    redeemed_at: Option<Timestamp>,
    registration_id: Option<Uuid>,
    token_id: i64,
}

impl Store {
    /// Stores an enrolment code and gives its row id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the tenant is unknown.
    pub async fn create_enrolment(
        &self,
        hashed: &Hashed,
        tenant_id: i64,
        serial_number: &str,
        expires_at: Timestamp,
    ) -> Result<i64, StoreError> {
        fits("a serial number", serial_number, 255)?;
        retrying!(
            self,
            self.create_enrolment_once(hashed, tenant_id, serial_number, expires_at)
        )
    }

    async fn create_enrolment_once(
        &self,
        hashed: &Hashed,
        tenant_id: i64,
        serial_number: &str,
        expires_at: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let values = [
            (&hashed.digest).into(),
            hashed.key.as_str().into(),
            tenant_id.into(),
            serial_number.into(),
            Timestamp::now().into(),
            expires_at.into(),
        ];
        let done = tx
            .execute(&INSERT, 1, &values)
            .await
            .map_err(|error| named(error, "enrolment", "tenant"))?;
        let subject = Subject::Enrolment(done.last_id);
        self.attribute(&mut tx, "enrolment.made", subject, serial_number)
            .await?;
        tx.commit().await?;
        Ok(done.last_id)
    }

    /// Redeems an enrolment code: makes the terminal if need be, and its token.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn register(&self, registration: &Registration) -> Result<Redeemed, StoreError> {
        match retrying!(self, self.register_once(registration)) {
            // Another code made a terminal with this serial number at the same moment: now it is there.
            Err(StoreError::Exists(_)) => retrying!(self, self.register_once(registration)),
            ended => ended,
        }
    }

    async fn register_once(&self, registration: &Registration) -> Result<Redeemed, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let redeemed = self.redeem(&mut tx, registration).await;
        match redeemed {
            Ok(Redeemed::Done(_)) => tx.commit().await?,
            Ok(_) => tx.roll_back().await?,
            // It ends with the refused statement.
            Err(_) => drop(tx),
        }
        redeemed
    }

    async fn redeem(&self, tx: &mut Tx, registration: &Registration) -> Result<Redeemed, StoreError> {
        let Some(code) = lock(tx, &registration.candidates).await? else {
            return Ok(Redeemed::Refused);
        };
        if code.serial_number != registration.serial_number {
            return Ok(Redeemed::Refused);
        }
        let at = registration.at;
        if code.redeemed_at.is_none() && code.expires_at <= at {
            return Ok(Redeemed::Refused);
        }
        let Some(tenant) = tenant(tx, code.tenant_id).await?.filter(|tenant| tenant.active) else {
            return Ok(Redeemed::Refused);
        };
        let known = terminal(tx, &code.serial_number).await?;
        let fits_code = known.as_ref().is_none_or(|terminal| {
            terminal.tenant_id == code.tenant_id && terminal.status != TerminalStatus::Revoked
        });
        if !fits_code {
            return Ok(Redeemed::Refused);
        }
        if let Some(redeemed_at) = code.redeemed_at {
            let same = code.registration_id == Some(registration.registration_id);
            let in_time = at < redeemed_at.plus(registration.repeat_for);
            let (Some(terminal), true) = (known, same && in_time) else {
                return Ok(Redeemed::Used);
            };
            let new = &registration.token;
            let unused = remint(tx, code.token_id, &new.hashed, at, new.expires_at, 0).await?;
            return Ok(if unused {
                Redeemed::Done(Box::new((terminal, tenant)))
            } else {
                Redeemed::Used
            });
        }
        let terminal = match known {
            Some(terminal) => terminal,
            None => self.make_terminal(tx, &code).await?,
        };
        let mut new = registration.token.clone();
        new.terminal_id = Some(terminal.id);
        let token_id = self.insert_token(tx, &new, at).await?;
        let values = [
            at.into(),
            registration.registration_id.into(),
            token_id.into(),
            code.id.into(),
        ];
        tx.execute(&REDEEM, 1, &values).await?;
        let detail = format!("terminal {} got token {token_id}", terminal.id);
        self.attribute(tx, "enrolment.redeemed", Subject::Enrolment(code.id), &detail)
            .await?;
        Ok(Redeemed::Done(Box::new((terminal, tenant))))
    }

    async fn make_terminal(&self, tx: &mut Tx, code: &Code) -> Result<Terminal, StoreError> {
        let new = NewTerminal {
            tenant_id: code.tenant_id,
            serial_number: code.serial_number.clone(),
            callback_url: None,
            expires_at: None,
        };
        self.insert_terminal(tx, &new).await
    }
}

async fn lock(tx: &mut Tx, candidates: &[Digest]) -> Result<Option<Code>, StoreError> {
    let mut values = Binds::of(candidates.len());
    values.put_all(candidates);
    let rows = tx.fetch(&LOCK, candidates.len(), &values).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let mut cells = row.cells();
    Ok(Some(Code {
        id: cells.int()?,
        tenant_id: cells.int()?,
        serial_number: cells.text()?,
        expires_at: cells.time()?,
        redeemed_at: cells.time_or_zero()?,
        registration_id: cells.uuid_or_null()?,
        token_id: cells.int()?,
    }))
}

async fn tenant(tx: &mut Tx, id: i64) -> Result<Option<Tenant>, StoreError> {
    let rows = tx.fetch(&TENANT, 1, &[id.into()]).await?;
    rows.first().map(|row| read_tenant(&mut row.cells())).transpose()
}

async fn terminal(tx: &mut Tx, serial_number: &str) -> Result<Option<Terminal>, StoreError> {
    let rows = tx.fetch(&TERMINAL, 1, &[serial_number.into()]).await?;
    rows.first()
        .map(|row| read_terminal(&mut row.cells()))
        .transpose()
}
