//! Tokens: who may ask, known by the hash of what they present.

use serde::Serialize;

use super::{
    Store, StoreError,
    cells::Cells,
    changes::Subject,
    dialect::Sql,
    directory::{named, read_tenant, read_terminal},
    driver::Tx,
    pieces::fits,
    values::{Binds, page},
};
use crate::domain::{
    checksum::Digest, directory::Identity, keyring::Hashed, network::Networks, rotation::Life,
    time::Timestamp,
};

/// How a token came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// By a person.
    Issued,
    /// By an enrolment code.
    Enrolled,
    /// By a terminal's key. A new login ends the tokens of those before it.
    Login,
}

/// A token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its hash.
    pub hashed: Hashed,
    /// The terminal it is for; `None` for an administrator's.
    pub terminal_id: Option<i64>,
    /// What a person calls it.
    pub name: String,
    /// What it may do.
    pub abilities: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from; anywhere when empty.
    pub networks: Networks,
    /// How it came to be. What a person issues is in his hands; of everything else the answer may be lost.
    pub origin: Origin,
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
    /// The first token of its line of successors.
    pub family_id: i64,
    /// The token it replaces.
    pub parent_id: Option<i64>,
    /// How it came to be.
    pub origin: Origin,
    /// When it was first seen in use, or handed to a person.
    pub confirmed_at: Option<Timestamp>,
    /// When its overlap with its successor ends.
    pub retires_at: Option<Timestamp>,
    /// Networks it may be used from; anywhere when empty.
    pub networks: String,
    /// When it was last seen in use, give or take the interval of writing it down.
    pub last_used_at: Option<Timestamp>,
    /// The pepper its hash is keyed with.
    pub hash_key: String,
}

const INSERT_TOKEN: Sql = Sql {
    name: "tokens.insert",
    text: "INSERT INTO tokens (digest, hash_key, terminal_id, name, abilities, created_at, expires_at, networks, \
           origin, confirmed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
};

const FOUND_FAMILY: Sql = Sql {
    name: "tokens.found_family",
    text: "UPDATE tokens SET family_id = id WHERE id = ?",
};

const IDENTITY: Sql = Sql {
    name: "tokens.identity",
    text: "SELECT k.id, k.family_id, k.abilities, k.expires_at, k.revoked_at, k.retires_at, k.networks, \
           k.created_at, k.confirmed_at, k.hash_key, k.digest, k.terminal_id, \
           t.id, t.tenant_id, t.serial_number, t.status, t.expires_at, t.callback_url, \
           n.id, n.company_id, n.code, n.name, n.timezone, n.active \
           FROM tokens k LEFT JOIN terminals t ON t.id = k.terminal_id \
           LEFT JOIN tenants n ON n.id = t.tenant_id WHERE k.digest IN ({?})",
};

macro_rules! token_columns {
    () => {
        "SELECT id, terminal_id, name, abilities, created_at, expires_at, revoked_at, family_id, parent_id, \
         origin, confirmed_at, retires_at, networks, last_used_at, hash_key FROM tokens "
    };
}

const LIST_TOKENS: Sql = Sql {
    name: "tokens.page",
    text: concat!(
        token_columns!(),
        "WHERE id > ? AND (? IS NULL OR terminal_id = ?) ORDER BY id LIMIT ?"
    ),
};

const TOKEN: Sql = Sql {
    name: "tokens.by_id",
    text: concat!(token_columns!(), "WHERE id = ?"),
};

const UNKNOWN_KEYS: Sql = Sql {
    name: "tokens.hash_keys",
    text: "SELECT hash_key, COUNT(*) FROM tokens WHERE revoked_at IS NULL GROUP BY hash_key",
};

impl Origin {
    /// The stored word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Origin::Issued => "issued",
            Origin::Enrolled => "enrolled",
            Origin::Login => "login",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Origin::Issued, Origin::Enrolled, Origin::Login]
            .into_iter()
            .find(|origin| origin.word() == word)
    }
}

impl Store {
    /// Stores a token and gives its row id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the terminal is unknown.
    pub async fn create_token(&self, new: &NewToken) -> Result<i64, StoreError> {
        retrying!(self, self.create_token_once(new))
    }

    async fn create_token_once(&self, new: &NewToken) -> Result<i64, StoreError> {
        let mut tx = self.inner.db.begin().await?;
        let id = self.insert_token(&mut tx, new, Timestamp::now()).await?;
        let detail = format!("{} may {}", new.name, new.abilities.join(" "));
        self.attribute(&mut tx, "token.issued", Subject::Token(id), &detail)
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Inserts a token as the first of a family.
    pub(super) async fn insert_token(
        &self,
        tx: &mut Tx,
        new: &NewToken,
        at: Timestamp,
    ) -> Result<i64, StoreError> {
        fits("a token name", &new.name, 255)?;
        let abilities =
            serde_json::to_string(&new.abilities).map_err(|error| StoreError::Unfit(error.to_string()))?;
        fits("the abilities of a token", &abilities, 2000)?;
        let networks = networks_text(&new.networks)?;
        let confirmed_at = if new.origin == Origin::Issued {
            at.as_micros()
        } else {
            0
        };
        let values = [
            (&new.hashed.digest).into(),
            new.hashed.key.as_str().into(),
            new.terminal_id.into(),
            new.name.as_str().into(),
            abilities.as_str().into(),
            at.into(),
            new.expires_at.into(),
            networks.as_deref().into(),
            new.origin.word().into(),
            confirmed_at.into(),
        ];
        let done = tx
            .execute(&INSERT_TOKEN, 1, &values)
            .await
            .map_err(|error| named(error, "token", "terminal"))?;
        tx.execute(&FOUND_FAMILY, 1, &[done.last_id.into()]).await?;
        Ok(done.last_id)
    }

    /// What the token with one of these hashes stands for, revoked and expired ones included.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn identity(&self, candidates: &[Digest]) -> Result<Option<Identity>, StoreError> {
        let mut values = Binds::of(candidates.len());
        values.put_all(candidates);
        let rows = self.inner.db.fetch(&IDENTITY, candidates.len(), &values).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let mut cells = row.cells();
        let (token_id, family_id) = (cells.int()?, cells.int()?);
        let abilities = cells.list()?;
        let life = Life {
            expires_at: cells.time_or_null()?,
            revoked_at: cells.time_or_null()?,
            retires_at: cells.time_or_zero()?,
        };
        let networks = read_networks(&mut cells)?;
        let created_at = cells.time()?;
        let confirmed = cells.time_or_zero()?.is_some();
        let hash_key = cells.text()?;
        let digest = cells.digest()?;
        let terminal = match cells.int_or_null()? {
            Some(_) => Some((read_terminal(&mut cells)?, read_tenant(&mut cells)?)),
            None => None,
        };
        Ok(Some(Identity {
            token_id,
            family_id,
            terminal,
            abilities,
            life,
            networks,
            created_at,
            confirmed,
            hash_key,
            digest,
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

    /// The token with this id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    pub async fn token(&self, id: i64) -> Result<TokenRow, StoreError> {
        let rows = self.inner.db.fetch(&TOKEN, 1, &[id.into()]).await?;
        let row = rows.first().ok_or(StoreError::Missing("token"))?;
        read_token(&mut row.cells())
    }

    /// How many tokens that are not revoked hang on each pepper, by its name.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn tokens_by_pepper(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = self.inner.db.fetch(&UNKNOWN_KEYS, 1, &[]).await?;
        rows.iter()
            .map(|row| {
                let mut cells = row.cells();
                Ok((cells.text()?, cells.int()?))
            })
            .collect()
    }
}

fn networks_text(networks: &Networks) -> Result<Option<String>, StoreError> {
    let text = networks.to_string();
    fits("the networks of a token", &text, 1000)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn read_networks(cells: &mut Cells<'_>) -> Result<Networks, StoreError> {
    let text = cells.text_or_null()?.unwrap_or_default();
    text.parse()
        .map_err(|error| StoreError::Damaged(format!("networks: {error}")))
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
        family_id: cells.int()?,
        parent_id: cells.int_or_null()?,
        origin: cells.word(Origin::of)?,
        confirmed_at: cells.time_or_zero()?,
        retires_at: cells.time_or_zero()?,
        networks: cells.text_or_null()?.unwrap_or_default(),
        last_used_at: cells.time_or_zero()?,
        hash_key: cells.text()?,
    })
}
