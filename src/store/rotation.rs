//! How tokens are replaced and revoked: the transitions of `domain/rotation.rs`, each one transaction.
//!
//! Locks are taken in one order: the token, its successor, the feed. A family is revoked in the order
//! of its ids, which is that of its line; so a successor that is being made is either seen or refused.

use super::{
    Store, StoreError, changes::Subject, dialect::Sql, directory::found, driver::Tx, security::NewEvent,
};
use crate::domain::{
    checksum::Digest,
    keyring::Hashed,
    rotation::{Life, Replacement, Standing, Successor},
    time::Timestamp,
};

/// What became of a wish for a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// There is one: its row id, and its end.
    By(i64, Option<Timestamp>),
    /// The token has one that is in use.
    Already,
    /// The token is not good.
    Refused(Standing),
}

/// Who will hold the successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A till, whose answer may get lost: the old token stays good until the successor is used.
    Till,
    /// A person, who sees the answer: the old token has until this time.
    Person(Timestamp),
}

const LOCK_TOKEN: Sql = Sql {
    name: "tokens.lock",
    text: "SELECT created_at, expires_at, revoked_at, retires_at, family_id FROM tokens \
           WHERE id = ? $LOCK",
};

const LOCK_SUCCESSOR: Sql = Sql {
    name: "tokens.lock_successor",
    text: "SELECT id, confirmed_at, revoked_at FROM tokens WHERE parent_id = ? $LOCK",
};

const INSERT_SUCCESSOR: Sql = Sql {
    name: "tokens.insert_successor",
    text: "INSERT INTO tokens (digest, hash_key, terminal_id, name, abilities, created_at, expires_at, networks, \
           origin, confirmed_at, family_id, parent_id) \
           SELECT ?, ?, terminal_id, name, abilities, ?, ?, networks, origin, ?, family_id, id FROM tokens \
           WHERE id = ?",
};

const REMINT: Sql = Sql {
    name: "tokens.remint",
    text: "UPDATE tokens SET digest = ?, hash_key = ?, created_at = ?, expires_at = ?, confirmed_at = ? \
           WHERE id = ? AND confirmed_at = 0 AND revoked_at IS NULL",
};

const CONFIRM: Sql = Sql {
    name: "tokens.confirm",
    text: "UPDATE tokens SET confirmed_at = ? \
           WHERE id = ? AND digest = ? AND confirmed_at = 0 AND revoked_at IS NULL",
};

const RETIRE: Sql = Sql {
    name: "tokens.retire",
    text: "UPDATE tokens SET retires_at = ? WHERE id = ? AND retires_at = 0",
};

const REVOKE_TOKEN: Sql = Sql {
    name: "tokens.revoke",
    text: "UPDATE tokens SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?",
};

const REVOKE_SUCCESSOR: Sql = Sql {
    name: "tokens.revoke_successor",
    text: "UPDATE tokens SET revoked_at = ? WHERE parent_id = ? AND confirmed_at = 0 AND revoked_at IS NULL",
};

const REVOKE_FAMILY: Sql = Sql {
    name: "tokens.revoke_family",
    text: "UPDATE tokens SET revoked_at = ? WHERE family_id = ? AND revoked_at IS NULL",
};

const REKEY: Sql = Sql {
    name: "tokens.rekey",
    text: "UPDATE tokens SET digest = ?, hash_key = ? WHERE id = ? AND digest = ?",
};

struct Locked {
    created_at: Timestamp,
    life: Life,
    family_id: i64,
}

impl Locked {
    /// When a successor made at `at` ends: it lives as long as its predecessor was meant to.
    fn end_of_successor(&self, at: Timestamp) -> Option<Timestamp> {
        let end = self.life.expires_at?;
        Some(at.plus(end.since(self.created_at)))
    }
}

impl Store {
    /// Gives the token `id` a successor with this hash, or its unused successor this new hash.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such token.
    pub async fn replace_token(
        &self,
        id: i64,
        hashed: &Hashed,
        holder: Holder,
        at: Timestamp,
    ) -> Result<Replaced, StoreError> {
        retrying!(self, self.replace_token_once(id, hashed, holder, at))
    }

    async fn replace_token_once(
        &self,
        id: i64,
        hashed: &Hashed,
        holder: Holder,
        at: Timestamp,
    ) -> Result<Replaced, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let token = lock_token(&mut tx, id).await?;
        let standing = token.life.standing(at);
        if standing != Standing::Good {
            tx.roll_back().await?;
            return Ok(Replaced::Refused(standing));
        }
        let (next, successor) = lock_successor(&mut tx, id).await?;
        let end = token.end_of_successor(at);
        let confirmed_at = match holder {
            Holder::Till => 0,
            Holder::Person(_) => at.as_micros(),
        };
        let next = match (successor.replacement(), next) {
            (Replacement::Mint, _) => {
                let values = [
                    (&hashed.digest).into(),
                    hashed.key.as_str().into(),
                    at.into(),
                    end.into(),
                    confirmed_at.into(),
                    id.into(),
                ];
                tx.execute(&INSERT_SUCCESSOR, 1, &values).await?.last_id
            }
            (Replacement::Remint, Some(next)) => {
                remint(&mut tx, next, hashed, at, end, confirmed_at).await?;
                next
            }
            _ => {
                tx.roll_back().await?;
                return Ok(Replaced::Already);
            }
        };
        let detail = format!("replaces token {id}");
        self.attribute(&mut tx, "token.replaced", Subject::Token(next), &detail)
            .await?;
        if let Holder::Person(retires_at) = holder {
            tx.execute(&RETIRE, 1, &[retires_at.into(), id.into()]).await?;
            self.publish(&mut tx, Subject::Token(id)).await?;
        }
        tx.commit().await?;
        Ok(Replaced::By(next, end))
    }

    /// The token `id` with this hash is in use: its predecessor, if it has one, retires at
    /// `parent_ends`. Says whether this call was the first to see it; if not, the token was
    /// confirmed before, revoked, or given another hash meanwhile, and must be looked up again.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn confirm_token(
        &self,
        id: i64,
        digest: &Digest,
        at: Timestamp,
        parent_ends: Timestamp,
    ) -> Result<bool, StoreError> {
        retrying!(self, self.confirm_token_once(id, digest, at, parent_ends))
    }

    async fn confirm_token_once(
        &self,
        id: i64,
        digest: &Digest,
        at: Timestamp,
        parent_ends: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let Some(parent_id) = self.parent_of(&mut tx, id).await? else {
            let done = tx
                .execute(&CONFIRM, 1, &[at.into(), id.into(), digest.into()])
                .await?;
            tx.commit().await?;
            return Ok(done.rows > 0);
        };
        lock_token(&mut tx, parent_id).await?;
        let done = tx
            .execute(&CONFIRM, 1, &[at.into(), id.into(), digest.into()])
            .await?;
        if done.rows == 0 {
            tx.roll_back().await?;
            return Ok(false);
        }
        tx.execute(&RETIRE, 1, &[parent_ends.into(), parent_id.into()])
            .await?;
        self.publish(&mut tx, Subject::Token(parent_id)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Read without a lock: it never changes.
    async fn parent_of(&self, tx: &mut Tx, id: i64) -> Result<Option<i64>, StoreError> {
        const PARENT: Sql = Sql {
            name: "tokens.parent",
            text: "SELECT parent_id FROM tokens WHERE id = ?",
        };
        let rows = tx.fetch(&PARENT, 1, &[id.into()]).await?;
        let row = rows.first().ok_or(StoreError::Missing("token"))?;
        row.cells().int_or_null()
    }

    /// Revokes a token, and its successor where nobody has used it. Doing it twice keeps the first time.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such token.
    pub async fn revoke_token(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        retrying!(self, self.revoke_token_once(id, at))
    }

    async fn revoke_token_once(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let done = tx.execute(&REVOKE_TOKEN, 1, &[at.into(), id.into()]).await?;
        found(done.rows, "token")?;
        tx.execute(&REVOKE_SUCCESSOR, 1, &[at.into(), id.into()]).await?;
        let family_id = lock_token(&mut tx, id).await?.family_id;
        self.attribute(&mut tx, "token.revoked", Subject::Token(id), "")
            .await?;
        // Whoever knows the token or its successor looks again: both are of the family.
        self.publish(&mut tx, Subject::Family(family_id)).await?;
        tx.commit().await
    }

    /// Revokes every token of a family that is not revoked yet, and records `event` with it. Says
    /// whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn revoke_family(
        &self,
        family_id: i64,
        at: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<bool, StoreError> {
        retrying!(self, self.revoke_family_once(family_id, at, event))
    }

    async fn revoke_family_once(
        &self,
        family_id: i64,
        at: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let done = tx
            .execute(&REVOKE_FAMILY, 1, &[at.into(), family_id.into()])
            .await?;
        if done.rows == 0 {
            tx.roll_back().await?;
            return Ok(false);
        }
        let reason = event.map_or("by hand", |event| event.kind);
        self.attribute(&mut tx, "family.revoked", Subject::Family(family_id), reason)
            .await?;
        if let Some(event) = event {
            Self::count_event(&mut tx, event).await?;
        }
        self.publish(&mut tx, Subject::Family(family_id)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Hashes a token with a newer pepper, if it still has the hash `was`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn rekey_token(&self, id: i64, was: &Digest, hashed: &Hashed) -> Result<(), StoreError> {
        let values = [
            (&hashed.digest).into(),
            hashed.key.as_str().into(),
            id.into(),
            was.into(),
        ];
        retrying!(self, self.inner.db.execute(&REKEY, 1, &values))?;
        Ok(())
    }
}

async fn lock_token(tx: &mut Tx, id: i64) -> Result<Locked, StoreError> {
    let rows = tx.fetch(&LOCK_TOKEN, 1, &[id.into()]).await?;
    let row = rows.first().ok_or(StoreError::Missing("token"))?;
    let mut cells = row.cells();
    Ok(Locked {
        created_at: cells.time()?,
        life: Life {
            expires_at: cells.time_or_null()?,
            revoked_at: cells.time_or_null()?,
            retires_at: cells.time_or_zero()?,
        },
        family_id: cells.int()?,
    })
}

async fn lock_successor(tx: &mut Tx, id: i64) -> Result<(Option<i64>, Successor), StoreError> {
    let rows = tx.fetch(&LOCK_SUCCESSOR, 1, &[id.into()]).await?;
    let Some(row) = rows.first() else {
        return Ok((None, Successor::None));
    };
    let mut cells = row.cells();
    let next = cells.int()?;
    let confirmed = cells.time_or_zero()?.is_some();
    // A successor that a person revoked is not made good again by asking for it.
    let revoked = cells.time_or_null()?.is_some();
    let state = if confirmed || revoked {
        Successor::Confirmed
    } else {
        Successor::Unconfirmed
    };
    Ok((Some(next), state))
}

/// Gives an unused token a new secret; says whether it was unused.
pub(super) async fn remint(
    tx: &mut Tx,
    id: i64,
    hashed: &Hashed,
    at: Timestamp,
    end: Option<Timestamp>,
    confirmed_at: i64,
) -> Result<bool, StoreError> {
    let values = [
        (&hashed.digest).into(),
        hashed.key.as_str().into(),
        at.into(),
        end.into(),
        confirmed_at.into(),
        id.into(),
    ];
    Ok(tx.execute(&REMINT, 1, &values).await?.rows > 0)
}
