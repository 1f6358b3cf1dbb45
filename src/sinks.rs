//! Makes and changes sinks, for the admin API and the command line alike: checks what is wished, seals the
//! token, and stores it. The token is never given back.

use crate::{
    config::{Config, ConfigError, Secret},
    domain::{
        breaker::{self, Breaker},
        sink::{self, Change, Settings, Sink, Wrong},
        time::Timestamp,
        webhook::{self, BadSecret, Made, Scheme},
    },
    store::{NewSink, Store, StoreError},
};

/// Where to and for whom; what else is wished comes as a [`Change`] of what is usual.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its name, for good.
    pub name: String,
    /// The tenant whose sales it takes; `None`: of every tenant without a sink of its own.
    pub tenant_id: Option<i64>,
    /// The environment it belongs to; this one unless given.
    pub environment: Option<String>,
    /// Where batches are posted.
    pub endpoint: String,
}

/// A bearer token as it is given: not at all, taken away, or this text.
pub type GivenToken = Option<Option<Secret>>;

/// Why a sink is not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A member cannot be what it is.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// There is no key to seal a secret with.
    #[error(transparent)]
    Key(#[from] ConfigError),
    /// Two secrets of that scheme sign already.
    #[error("two secrets of that scheme are in use already: retire the older one first")]
    SecretsInUse,
    /// Somebody else changed it at the same time.
    #[error("somebody else changed the sink at the same time; try again")]
    ChangedMeanwhile,
    /// The system gave no random bytes.
    #[error(transparent)]
    NoSecret(#[from] BadSecret),
    /// The record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a sink.
///
/// # Errors
/// See [`SinkError`].
pub async fn create(
    store: &Store,
    config: &Config,
    wish: Wish,
    change: &Change,
    token: GivenToken,
) -> Result<Sink, SinkError> {
    sink::check_name(&wish.name)?;
    sink::check_endpoint(&wish.endpoint)?;
    change.check()?;
    let environment = wish
        .environment
        .unwrap_or_else(|| config.auth.environment.clone());
    if !crate::domain::token::is_environment(&environment) {
        return Err(SinkError::Wrong(Wrong {
            member: "environment",
            reason: "must be 1 to 12 of a-z and 0-9, and no word for a kind of token".to_owned(),
        }));
    }
    let usual = &config.forwarding;
    let mut settings = Settings::new(
        wish.endpoint,
        u32::try_from(usual.timeout_ms.duration().as_millis()).unwrap_or(u32::MAX),
        u32::try_from(usual.batch_size).unwrap_or(u32::MAX),
    );
    change.apply(&mut settings);
    settings.token = sealed(config, &wish.name, token)?.flatten();
    let new = NewSink {
        name: wish.name,
        tenant_id: wish.tenant_id,
        environment,
        settings,
    };
    let id = store.create_sink(&new, config.forwarding.most_sinks).await?;
    Ok(store.sink(id).await?)
}

/// Changes a sink; as it is now.
///
/// # Errors
/// See [`SinkError`].
pub async fn change(
    store: &Store,
    config: &Config,
    id: i64,
    mut change: Change,
    token: GivenToken,
) -> Result<Sink, SinkError> {
    change.check()?;
    if token.is_some() {
        let name = store.sink(id).await?.name;
        change.token = sealed(config, &name, token)?;
    }
    Ok(store.change_sink(id, &change).await?)
}

/// Makes a new secret that signs what is sent to a sink from now on, beside those that do already.
///
/// # Errors
/// See [`SinkError`].
pub async fn add_secret(
    store: &Store,
    config: &Config,
    id: i64,
    scheme: Scheme,
) -> Result<(Sink, Made), SinkError> {
    let sink = store.sink(id).await?;
    let made = webhook::make(scheme)?;
    let list = config.secrets_of(&sink)?;
    let list = webhook::added(&list, &made).ok_or(SinkError::SecretsInUse)?;
    Ok((sign_with(store, config, &sink, &list).await?, made))
}

/// Which of its secrets a sink keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The newest of each scheme.
    Newest,
    /// None: what is sent is not signed.
    None,
}

/// Takes secrets of a sink away.
///
/// # Errors
/// See [`SinkError`].
pub async fn retire_secrets(store: &Store, config: &Config, id: i64, keep: Keep) -> Result<Sink, SinkError> {
    let sink = store.sink(id).await?;
    let list = match keep {
        Keep::Newest => webhook::newest(&config.secrets_of(&sink)?),
        Keep::None => String::new(),
    };
    sign_with(store, config, &sink, &list).await
}

/// Seals the token and the secrets of a sink anew, with the newest key; whether it had any.
///
/// # Errors
/// See [`SinkError`].
pub async fn reseal(store: &Store, config: &Config, id: i64) -> Result<bool, SinkError> {
    let sink = store.sink(id).await?;
    let again = |owner: &str, sealed: &Option<String>| {
        let sealed = sealed.as_ref().map(|sealed| {
            let plain = config.open(owner, sealed)?;
            config.seal(owner, &plain).map(Some)
        });
        sealed.transpose()
    };
    let change = Change {
        token: again(&sink::seal_owner(&sink.name), &sink.settings.token)?,
        signing: again(&sink::signing_owner(&sink.name), &sink.settings.signing)?,
        of_version: Some(sink.version),
        ..Change::default()
    };
    let any = change.token.is_some() || change.signing.is_some();
    if any {
        unless_changed(store.change_sink(id, &change).await)?;
    }
    Ok(any)
}

async fn sign_with(store: &Store, config: &Config, sink: &Sink, list: &str) -> Result<Sink, SinkError> {
    let sealed = if list.is_empty() {
        None
    } else {
        Some(config.seal(&sink::signing_owner(&sink.name), list)?)
    };
    let change = Change {
        signing: Some(sealed),
        of_version: Some(sink.version),
        ..Change::default()
    };
    unless_changed(store.change_sink(sink.id, &change).await)
}

fn unless_changed(changed: Result<Sink, StoreError>) -> Result<Sink, SinkError> {
    changed.map_err(|error| match error {
        StoreError::Exists(_) => SinkError::ChangedMeanwhile,
        error => error.into(),
    })
}

/// The breaker of every sink, by name: also of those that never failed, and of those that are gone and did.
///
/// # Errors
/// See [`StoreError`].
pub async fn breakers(store: &Store, most: usize) -> Result<Vec<Breaker>, StoreError> {
    let rows = store.breakers(most).await?;
    Ok(breaker::with_untouched(rows, store.sink_names(most).await?))
}

/// The breaker of a sink; untouched if nothing ever happened to it.
///
/// # Errors
/// [`StoreError::Missing`] when there is no such sink and never was one that failed.
pub async fn breaker(store: &Store, name: &str) -> Result<Breaker, StoreError> {
    if let Some(breaker) = store.breaker(name).await? {
        return Ok(breaker);
    }
    if name != sink::DEFAULT {
        store.sink_named(name).await?;
    }
    Ok(Breaker::untouched(name))
}

/// Ends the order about a breaker, if there is one; the breaker as it is then.
///
/// # Errors
/// As [`breaker`].
pub async fn release_breaker(store: &Store, name: &str, now: Timestamp) -> Result<Breaker, StoreError> {
    match breaker(store, name).await? {
        ordered if ordered.force.is_some() => store.release_breaker(name, now).await,
        free => Ok(free),
    }
}

fn sealed(config: &Config, name: &str, token: GivenToken) -> Result<Option<Option<String>>, SinkError> {
    let Some(Some(token)) = token else {
        return Ok(token.map(|_| None));
    };
    sink::check_token(token.reveal())?;
    Ok(Some(Some(config.seal(&sink::seal_owner(name), token.reveal())?)))
}
