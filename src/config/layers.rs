//! The layers of the settings, and where each value comes from.
//!
//! `default.toml` is also the schema: a key that it does not have is unknown, and a value must be of
//! the kind that the default has. So a token of digits stays text, and `2.5` is not a count.

use std::{collections::BTreeMap, fmt, path::Path, path::PathBuf};

use config::{Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::{Config, ConfigError, checks};

const DEFAULTS: &str = include_str!("../../config/default.toml");
const PREFIX: &str = "TSMS__";

/// Keys whose values are never shown.
const SECRETS: [&str; 9] = [
    "forwarding.token",
    "forwarding.signing_secrets",
    "auth.pepper",
    "secrets.key",
    "alerts.smtp_password",
    "alerts.webhook_secret",
    "traces.headers",
    // The address of a hook is often the secret itself.
    "alerts.webhook_url",
    "notification.signing_keys",
];
/// Keys whose values are URLs; their passwords are never shown.
const URLS: [&str; 3] = ["database.url", "queue.url", "forwarding.endpoint"];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `config/default.toml`, compiled in.
    Default,
    /// The file given.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment(name) => f.write_str(name),
        }
    }
}

/// One setting as it may be shown.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its full name, e.g. `stage.forwarding.batch`.
    pub key: String,
    /// Its value; secrets are masked.
    pub value: serde_json::Value,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Every setting with its origin, before it becomes a [`Config`].
#[derive(Clone, Debug)]
pub struct Layers {
    leaves: BTreeMap<String, (Value, Origin)>,
    problems: Vec<String>,
}

impl Layers {
    /// The variables of this process's environment that are settings.
    ///
    /// # Errors
    /// One of them is not text.
    pub fn environment() -> Result<Vec<(String, String)>, ConfigError> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .map(|(name, value)| match value.into_string() {
                Ok(value) => Ok((name, value)),
                Err(_) => Err(ConfigError(vec![format!("{name}: the value is not text")])),
            })
            .collect()
    }

    /// Reads the layers. Problems of single values are kept and told by [`Layers::config`].
    ///
    /// # Errors
    /// The file cannot be read or is not TOML.
    pub fn read(file: Option<&Path>, environment: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let defaults = collect(&File::from_str(DEFAULTS, FileFormat::Toml))?;
        let leaves = flatten(defaults)
            .into_iter()
            .map(|(key, value)| (key, (value, Origin::Default)))
            .collect();
        let mut layers = Self {
            leaves,
            problems: Vec::new(),
        };
        if let Some(path) = file {
            let source = File::from(path).format(FileFormat::Toml).required(true);
            let table = collect(&source)
                .map_err(|error| ConfigError(vec![format!("{}: {error}", path.display())]))?;
            for (key, value) in flatten(table) {
                layers.set(&key, value, Origin::File(path.to_owned()));
            }
        }
        layers.add_environment(environment)?;
        Ok(layers)
    }

    fn add_environment(&mut self, variables: Vec<(String, String)>) -> Result<(), ConfigError> {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for (name, _) in &variables {
            let key = key_of(name);
            if let Some(other) = names.insert(key.clone(), name.clone()) {
                self.problems
                    .push(format!("{key} is set twice: by {other} and by {name}"));
            }
        }
        let source = Environment::with_prefix("TSMS")
            .separator("__")
            .source(Some(variables.into_iter().collect()));
        let values: BTreeMap<String, Value> = collect(&source)?.into_iter().collect();
        for (key, value) in values {
            let name = names.remove(&key).unwrap_or_default();
            self.set(&key, value, Origin::Environment(name));
        }
        Ok(())
    }

    /// Puts a value over the layers below, if the key is known and the kind is right.
    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let Some((default, _)) = self.leaves.get(key) else {
            self.problems
                .push(format!("{}{}", unknown(key, self.leaves.keys()), told(&origin)));
            return;
        };
        match convert(value.kind, &default.kind, &origin) {
            Ok(kind) => {
                let value = Value::new(Some(&origin.to_string()), kind);
                self.leaves.insert(key.to_owned(), (value, origin));
            }
            Err(why) => self.problems.push(format!("{key}: {why}{}", told(&origin))),
        }
    }

    /// Where the value of `key` comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.leaves.get(key).map(|(_, origin)| origin)
    }

    /// Every setting in order of its name, secrets masked.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        self.leaves
            .iter()
            .map(|(key, (value, origin))| Setting {
                key: key.clone(),
                value: shown(key, &value.kind),
                origin: origin.clone(),
            })
            .collect()
    }

    /// The settings, checked.
    ///
    /// # Errors
    /// See [`ConfigError`]; every problem is named.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut problems = self.problems.clone();
        problems.extend(checks::bounds(
            self.leaves
                .iter()
                .map(|(key, (value, origin))| (key.as_str(), &value.kind, told(origin))),
        ));
        let config = self.deserialize(&mut problems)?;
        problems.extend(checks::contradictions(&config));
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }

    /// Reads the leaves into the struct. A value that does not fit is noted and replaced by its
    /// default, so that the next one is found too; each turn repairs one key, which bounds it.
    fn deserialize(&self, problems: &mut Vec<String>) -> Result<Config, ConfigError> {
        let mut leaves = self.leaves.clone();
        for _ in 0..=self.leaves.len() {
            let values = leaves
                .iter()
                .map(|(key, (value, _))| (key.clone(), value.clone()));
            let built = config::Config::builder()
                .add_source(Checked(values.collect()))
                .build()
                .map_err(unreadable)?;
            let error = match built.try_deserialize::<Config>() {
                Ok(config) => return Ok(config),
                Err(error) => error,
            };
            let culprit = key_in(&error).filter(|key| {
                leaves
                    .get(key)
                    .is_some_and(|(_, origin)| *origin != Origin::Default)
            });
            let Some(key) = culprit else {
                problems.push(error.to_string());
                break;
            };
            let default = flatten(collect(&File::from_str(DEFAULTS, FileFormat::Toml))?).remove(&key);
            if let (Some(default), Some((_, origin))) = (default, leaves.remove(&key)) {
                problems.push(format!("{key}: {}{}", reason(&error), told(&origin)));
                leaves.insert(key, (default, Origin::Default));
            }
        }
        Err(ConfigError(std::mem::take(problems)))
    }
}

/// Values that were checked one by one, as a source of the `config` crate.
#[derive(Clone, Debug)]
struct Checked(Map<String, Value>);

impl Source for Checked {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

fn collect(source: &impl Source) -> Result<Map<String, Value>, ConfigError> {
    source.collect().map_err(unreadable)
}

#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn unreadable(error: config::ConfigError) -> ConfigError {
    ConfigError(vec![error.to_string()])
}

/// Nested tables as `section.key` paths. An empty table gives nothing.
fn flatten(table: Map<String, Value>) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    let mut waiting: Vec<(String, Value)> = table.into_iter().collect();
    while let Some((path, value)) = waiting.pop() {
        match value.kind {
            ValueKind::Table(inner) => {
                waiting.extend(
                    inner
                        .into_iter()
                        .map(|(key, value)| (format!("{path}.{key}"), value)),
                );
            }
            _ => {
                leaves.insert(path, value);
            }
        }
    }
    leaves
}

/// `TSMS__STAGE__AUDIT__BATCH` is `stage.audit.batch`.
fn key_of(variable: &str) -> String {
    let bare = variable.strip_prefix(PREFIX).unwrap_or(variable);
    bare.to_lowercase().replace("__", ".")
}

/// The value as the kind that the default has. Only the environment, which knows nothing but text,
/// is read as something else.
fn convert(given: ValueKind, wanted: &ValueKind, origin: &Origin) -> Result<ValueKind, String> {
    let environment = matches!(origin, Origin::Environment(_));
    match (wanted, given) {
        (ValueKind::String(_), ValueKind::String(text)) => Ok(ValueKind::String(text)),
        (ValueKind::Boolean(_), ValueKind::Boolean(flag)) => Ok(ValueKind::Boolean(flag)),
        (ValueKind::I64(_), ValueKind::I64(number)) => Ok(ValueKind::I64(number)),
        (ValueKind::I64(_), ValueKind::String(text)) if environment => text
            .parse()
            .map(ValueKind::I64)
            .map_err(|_| format!("expected a whole number, got {text:?}")),
        (ValueKind::Boolean(_), ValueKind::String(text)) if environment => text
            .parse()
            .map(ValueKind::Boolean)
            .map_err(|_| format!("expected true or false, got {text:?}")),
        (wanted, given) => Err(format!(
            "expected {}, got {}",
            kind_name(wanted),
            kind_name(&given)
        )),
    }
}

fn kind_name(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
        ValueKind::Float(_) => "a fraction",
        ValueKind::String(_) => "text in quotes",
        ValueKind::Table(_) => "a section",
        ValueKind::Array(_) => "a list",
    }
}

fn told(origin: &Origin) -> String {
    match origin {
        Origin::Default => String::new(),
        _ => format!(" (from {origin})"),
    }
}

fn key_in(error: &config::ConfigError) -> Option<String> {
    match error {
        config::ConfigError::Type { key, .. } | config::ConfigError::At { key, .. } => key.clone(),
        _ => None,
    }
}

fn reason(error: &config::ConfigError) -> String {
    match error {
        config::ConfigError::Type {
            unexpected, expected, ..
        } => {
            format!("expected {expected}, got {unexpected}")
        }
        config::ConfigError::At { error, .. } => reason(error),
        other => other.to_string(),
    }
}

fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&String> = known.collect();
    let section = format!("{key}.");
    if known.iter().any(|other| other.starts_with(&section)) {
        return format!("{key}: is a section, not a value");
    }
    let last = key.rsplit('.').next().unwrap_or(key);
    let near = known
        .iter()
        .map(|other| (distance(key, other), other))
        .min()
        .filter(|(distance, other)| *distance <= 1 + other.len() / 5);
    let elsewhere = || known.iter().find(|other| other.rsplit('.').next() == Some(last));
    match near.map(|(_, other)| other).or_else(elsewhere) {
        Some(other) => format!("{key}: no such setting; did you mean {other}?"),
        None => format!("{key}: no such setting; `tsms config show` lists all"),
    }
}

/// Edits (one character put in, taken out or exchanged) between two words.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((b, left_above), above) in to.chars().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or_default();
            next.push((left_above + usize::from(a != b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn shown(key: &str, kind: &ValueKind) -> serde_json::Value {
    match kind {
        ValueKind::String(text) if text.is_empty() => "".into(),
        ValueKind::String(_) if SECRETS.contains(&key) => "***".into(),
        ValueKind::String(text) if URLS.contains(&key) => masked_url(text).into(),
        ValueKind::Boolean(flag) => (*flag).into(),
        ValueKind::I64(number) => (*number).into(),
        other => other.to_string().into(),
    }
}

/// The URL without its password and without the values of its query, which may hold one.
pub(crate) fn masked_url(url: &str) -> String {
    let (bare, query) = url
        .split_once('?')
        .map_or((url, None), |(bare, query)| (bare, Some(query)));
    let hidden = match bare.split_once("://") {
        None => bare.to_owned(),
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            None => bare.to_owned(),
            Some((login, place)) => {
                let user = login.split_once(':').map_or(login, |(user, _)| user);
                let password = if login.contains(':') { ":***" } else { "" };
                format!("{scheme}://{user}{password}@{place}")
            }
        },
    };
    let Some(query) = query else { return hidden };
    let names = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}=***"),
        None => pair.to_owned(),
    });
    format!("{hidden}?{}", names.collect::<Vec<_>>().join("&"))
}
