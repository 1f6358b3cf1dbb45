//! Makes credentials: mints the text, stores its hash, and hands the text to whoever asked, this once.

use std::time::Duration;

use crate::{
    config::{Config, ConfigError},
    domain::{
        ability,
        directory::Terminal,
        keyring::{Hashed, Keyring},
        network::Networks,
        time::Timestamp,
        token::{Kind, mint},
    },
    store::{Holder, NewToken, Origin, Replaced, Store, StoreError},
};

/// A maker of credentials for one record and one environment.
#[derive(Clone)]
pub struct Credentials {
    store: Store,
    keyring: Keyring,
    environment: String,
}

/// A token as a person wants it.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The terminal it is for; `None` for an administrator's.
    pub terminal_id: Option<i64>,
    /// What a person calls it.
    pub name: String,
    /// What it may do; the usual for its kind when empty.
    pub abilities: Vec<String>,
    /// When it ends; never when `None`.
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from; anywhere when empty.
    pub networks: Networks,
}

impl Credentials {
    /// A maker for `store`.
    #[must_use]
    pub fn new(store: Store, keyring: Keyring, environment: &str) -> Self {
        Self {
            store,
            keyring,
            environment: environment.to_owned(),
        }
    }

    /// A maker for `store` by the settings.
    ///
    /// # Errors
    /// There is no pepper.
    pub fn of(config: &Config, store: Store) -> Result<Self, ConfigError> {
        Ok(Self::new(store, config.keyring()?, &config.auth.environment))
    }

    /// A text of `kind` and its hash, not stored yet.
    #[must_use]
    pub fn make(&self, kind: Kind) -> (String, Hashed) {
        let plain = mint(kind, &self.environment);
        let hashed = self.keyring.hash(&plain);
        (plain, hashed)
    }

    /// Makes a token. Gives its row id and its text.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the terminal is unknown.
    pub async fn issue(&self, wish: Wish) -> Result<(i64, String), StoreError> {
        let (kind, usual): (Kind, &[&str]) = match wish.terminal_id {
            Some(_) => (Kind::Terminal, &ability::USUAL),
            None => (Kind::Admin, &[ability::ADMIN_ALL]),
        };
        let abilities = if wish.abilities.is_empty() {
            usual.iter().map(|word| (*word).to_owned()).collect()
        } else {
            wish.abilities
        };
        let (plain, hashed) = self.make(kind);
        let new = NewToken {
            hashed,
            terminal_id: wish.terminal_id,
            name: wish.name,
            abilities,
            expires_at: wish.expires_at,
            networks: wish.networks,
            origin: Origin::Issued,
        };
        Ok((self.store.create_token(&new).await?, plain))
    }

    /// Gives a token a successor, for `holder`. The text comes with [`Replaced::By`] only.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such token.
    pub async fn replace(
        &self,
        id: i64,
        terminal_id: Option<i64>,
        holder: Holder,
    ) -> Result<(Replaced, String), StoreError> {
        let kind = match terminal_id {
            Some(_) => Kind::Terminal,
            None => Kind::Admin,
        };
        let (plain, hashed) = self.make(kind);
        let replaced = self
            .store
            .replace_token(id, &hashed, holder, Timestamp::now())
            .await?;
        Ok((replaced, plain))
    }

    /// Makes an enrolment code for one till. Gives its text and when it ends.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the tenant is unknown.
    pub async fn enrol(
        &self,
        tenant_id: i64,
        serial_number: &str,
        lasts: Duration,
    ) -> Result<(String, Timestamp), StoreError> {
        let (plain, hashed) = self.make(Kind::Enrolment);
        let end = Timestamp::now().plus(lasts);
        self.store
            .create_enrolment(&hashed, tenant_id, serial_number, end)
            .await?;
        Ok((plain, end))
    }

    /// Sets the key with which a terminal logs in: `given`, or a new one. Gives its text.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such terminal.
    pub async fn set_key(&self, terminal: &Terminal, given: Option<String>) -> Result<String, StoreError> {
        let plain = given.unwrap_or_else(|| mint(Kind::Key, &self.environment));
        let hashed = self.keyring.hash_key(&terminal.serial_number, &plain);
        self.store.set_terminal_key(terminal.id, Some(&hashed)).await?;
        Ok(plain)
    }
}
