//! `[secrets]`: the key of what must be read again, such as the tokens of sinks.

use serde::Deserialize;

use super::{Config, ConfigError, Secret, auth::parts, kept::kept};
use crate::domain::{
    seal::{SealError, Seals},
    sink::{self, Sink},
    webhook::Signer,
};

/// The file in `fleet.data_dir` that holds the key where none is set.
const KEY_FILE: &str = "secrets.key";

/// `[secrets]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Keys of sealed values, newest first, with commas between.
    pub key: Secret,
}

impl Config {
    /// The keys of sealed values. With SQLite and none set, one is made in `fleet.data_dir` at first
    /// need, readable by its owner alone.
    ///
    /// # Errors
    /// None is set although several machines share the database, or the file cannot be used.
    pub fn seals(&self) -> Result<Seals, ConfigError> {
        let set = self.secrets.key.reveal();
        if !set.is_empty() {
            return Seals::new(parts(set)).map_err(|error| unusable(&error));
        }
        if !self.database.url.reveal().starts_with("sqlite:") {
            return Err(ConfigError(vec![
                "secrets.key: the tokens of sinks are sealed with a secret of the fleet, and none is set; put the \
                 output of `openssl rand -base64 33` into TSMS__SECRETS__KEY, for the ingress, the forwarding \
                 workers and this command line alike"
                    .to_owned(),
            ]));
        }
        let path = self.fleet.data_dir.join(KEY_FILE);
        let text = kept(&path).map_err(|error| {
            ConfigError(vec![format!(
                "secrets.key: not set, and {} cannot be used: {error}",
                path.display()
            )])
        })?;
        Seals::new(parts(text.trim())).map_err(|error| unusable(&error))
    }

    /// Seals `plain` for `owner` with the newest key.
    ///
    /// # Errors
    /// As [`Config::seals`].
    pub fn seal(&self, owner: &str, plain: &str) -> Result<String, ConfigError> {
        self.seals()?.seal(owner, plain).map_err(|error| unusable(&error))
    }

    /// Opens what was sealed for `owner`.
    ///
    /// # Errors
    /// As [`Config::seals`]; also when it was sealed with another key, or for somebody else.
    pub fn open(&self, owner: &str, sealed: &str) -> Result<String, ConfigError> {
        self.seals()?
            .open(owner, sealed)
            .map_err(|error| unusable(&error))
    }
}

/// What is secret between us and a sink, ready for use.
#[derive(Clone, Debug)]
pub struct SinkKeys {
    /// Bearer token; empty for none.
    pub token: Secret,
    /// What signs; `None`: nothing is signed.
    pub signer: Option<Signer>,
}

impl Config {
    /// The keys of the sink of the settings.
    ///
    /// # Errors
    /// Its secrets are none.
    pub fn keys_of_settings(&self) -> Result<SinkKeys, ConfigError> {
        let signer = Signer::new(self.forwarding.signing_secrets.reveal());
        let wrong = |error| ConfigError(vec![format!("forwarding.signing_secrets: {error}")]);
        Ok(SinkKeys {
            token: self.forwarding.token.clone(),
            signer: signer.map_err(wrong)?,
        })
    }

    /// The keys of a sink of the table.
    ///
    /// # Errors
    /// They cannot be opened: the key that sealed them is not among those of the server.
    pub fn keys_of(&self, sink: &Sink) -> Result<SinkKeys, ConfigError> {
        let token = match &sink.settings.token {
            None => Secret::default(),
            Some(sealed) => Secret::new(self.open(&sink::seal_owner(&sink.name), sealed)?),
        };
        let signer = Signer::new(&self.secrets_of(sink)?);
        let wrong = |error| ConfigError(vec![format!("the secrets of the sink {}: {error}", sink.name)]);
        Ok(SinkKeys {
            token,
            signer: signer.map_err(wrong)?,
        })
    }

    /// The secrets of a sink that sign, with commas between, newest first.
    ///
    /// # Errors
    /// They cannot be opened.
    pub fn secrets_of(&self, sink: &Sink) -> Result<String, ConfigError> {
        match &sink.settings.signing {
            None => Ok(String::new()),
            Some(sealed) => self.open(&sink::signing_owner(&sink.name), sealed),
        }
    }
}

fn unusable(error: &SealError) -> ConfigError {
    ConfigError(vec![format!("secrets.key: {error}")])
}

/// What cannot work in the section.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let set = config.secrets.key.reveal();
    if set.is_empty() {
        return Vec::new();
    }
    match Seals::new(parts(set)) {
        Ok(_) => Vec::new(),
        Err(error) => vec![format!("secrets.key: {error}")],
    }
}
