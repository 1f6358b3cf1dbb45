//! `[auth]` and `[admin]`, and where the pepper comes from.

use serde::Deserialize;

use super::{Config, ConfigError, Millis, Secret, kept::kept};
use crate::domain::{
    keyring::{Keyring, KeyringError},
    network::Networks,
    token,
};

/// The file in `fleet.data_dir` that holds the pepper where none is set.
const PEPPER_FILE: &str = "pepper";

/// `[auth]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Second part of every token made here; one of another environment is refused unread.
    pub environment: String,
    /// Keys of the stored hashes, newest first, with commas between.
    pub pepper: Secret,
    /// How long a replaced token goes on once its successor was used.
    pub rotation_overlap_ms: Millis,
    /// How long the token lives that a till gets by enrolment or login.
    pub token_ttl_ms: Millis,
    /// How long an enrolment code can be redeemed.
    pub enrolment_ttl_ms: Millis,
    /// How long a till may repeat its registration.
    pub enrolment_repeat_ms: Millis,
    /// Pause between two looks for changes of access.
    pub watch_interval_ms: Millis,
    /// Most changes read in one look.
    pub watch_page: usize,
    /// How long the feed of changes may be unreadable before what is remembered counts as old.
    pub watch_patience_ms: Millis,
    /// How long an identity is trusted while the feed cannot be read.
    pub blind_ttl_ms: Millis,
    /// Pause between two writings of what was used and of security events.
    pub write_behind_ms: Millis,
    /// A token in use is written down again after this long.
    pub sighting_ms: Millis,
    /// Most tokens and terminals that wait to be written down.
    pub sighting_capacity: usize,
    /// Most subjects of security events that wait to be written down; others count as `other`.
    pub event_capacity: usize,
    /// Largest body of a request to register, log in or refresh, in bytes.
    pub max_body_bytes: usize,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Networks from which `/api/v1/admin` may be used.
    pub allow: Networks,
    /// Most rows in one page.
    pub page_rows: usize,
}

/// A list with commas between.
pub(super) fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

impl Config {
    /// The keys of the stored hashes. With SQLite and none set, one is made in `fleet.data_dir` at
    /// first need, readable by its owner alone.
    ///
    /// # Errors
    /// None is set although several machines share the database, or the file cannot be used.
    pub fn keyring(&self) -> Result<Keyring, ConfigError> {
        let set = self.auth.pepper.reveal();
        if !set.is_empty() {
            return Keyring::new(parts(set)).map_err(|error| unusable(&error));
        }
        if !self.database.url.reveal().starts_with("sqlite:") {
            return Err(ConfigError(vec![
                "auth.pepper: every process of a fleet hashes tokens with the same secret, and none is set; \
                 put the output of `openssl rand -base64 33` into TSMS__AUTH__PEPPER, for the ingress and for \
                 this command line alike"
                    .to_owned(),
            ]));
        }
        let path = self.fleet.data_dir.join(PEPPER_FILE);
        let text = kept(&path).map_err(|error| {
            ConfigError(vec![format!(
                "auth.pepper: not set, and {} cannot be used: {error}",
                path.display()
            )])
        })?;
        Keyring::new(parts(text.trim())).map_err(|error| unusable(&error))
    }
}

fn unusable(error: &KeyringError) -> ConfigError {
    ConfigError(vec![format!("auth.pepper: {error}")])
}

/// What contradicts in the two sections.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let auth = &config.auth;
    let mut found = Vec::new();
    if !token::is_environment(&auth.environment) {
        found.push(format!(
            "auth.environment ({}): 1 to 12 of a-z and 0-9, and no word for a kind of token",
            auth.environment
        ));
    }
    if !auth.pepper.reveal().is_empty()
        && let Err(error) = Keyring::new(parts(auth.pepper.reveal()))
    {
        found.push(format!("auth.pepper: {error}"));
    }
    if auth.watch_patience_ms <= auth.watch_interval_ms {
        found.push(
            "auth.watch_patience_ms must be longer than auth.watch_interval_ms, or the feed always looks lost"
                .to_owned(),
        );
    }
    if config.admin.allow.is_empty() {
        found.push(
            "admin.allow: is empty; name the addresses of administrators, or 127.0.0.0/8 for this machine alone"
                .to_owned(),
        );
    }
    found
}
