//! Sinks: the web applications that sales are forwarded to, one a tenant or one for all.

use std::fmt;

use serde::{Serialize, Serializer};
use url::{Host, Url};
use x509_cert::Certificate;

use super::time::Timestamp;

/// The sink of `[forwarding]`, which takes the sales that no other does. Never a row.
pub use super::breaker::DEFAULT_SINK as DEFAULT;
/// Forms of the batch that can be asked for.
pub const SCHEMA_VERSIONS: [&str; 1] = ["2.0"];

/// Longest name, in characters.
pub const LONGEST_NAME: usize = 40;
/// Longest address, in characters.
pub const LONGEST_ENDPOINT: usize = 1000;
/// Longest bearer token, in characters.
pub const LONGEST_TOKEN: usize = 1000;
/// Longest text of certificates, in characters.
pub const LONGEST_CA: usize = 6000;
/// Shortest and longest time for one POST, in milliseconds.
pub const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=120_000;
/// Fewest and most sales in one POST.
pub const BATCH_SIZE: std::ops::RangeInclusive<u32> = 1..=500;

/// A sink as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sink {
    /// Row id.
    pub id: i64,
    /// Unique, never changes.
    pub name: String,
    /// The tenant whose sales it takes; `None`: of every tenant without a sink of its own.
    pub tenant_id: Option<i64>,
    /// The environment it belongs to; others do not send to it.
    pub environment: String,
    /// What can be set.
    #[serde(flatten)]
    pub settings: Settings,
    /// How often it was changed; 1 at first.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// What of a sink can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Where batches are posted.
    pub endpoint: String,
    /// Bearer token, sealed ([`super::seal`]); told as whether there is one.
    #[serde(rename = "has_token", serialize_with = "whether")]
    pub token: Option<String>,
    /// How long one POST may take, answer included.
    pub timeout_ms: u32,
    /// Most sales in one POST.
    pub batch_size: u32,
    /// Whether its certificate is verified.
    pub verify_ssl: bool,
    /// Whether sales are sent; off, those that are its own wait in the record.
    pub enabled: bool,
    /// The form of a batch.
    pub schema_version: String,
    /// Certificates in PEM that are trusted besides the usual ones.
    pub ca: Option<String>,
    /// Whether it may have an address of a private network or of this machine.
    pub allow_private: bool,
}

fn whether<S: Serializer>(token: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(token.is_some())
}

/// What of a sink changes; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// See [`Settings::endpoint`].
    pub endpoint: Option<String>,
    /// See [`Settings::token`]; `Some(None)` takes it away.
    pub token: Option<Option<String>>,
    /// See [`Settings::timeout_ms`].
    pub timeout_ms: Option<u32>,
    /// See [`Settings::batch_size`].
    pub batch_size: Option<u32>,
    /// See [`Settings::verify_ssl`].
    pub verify_ssl: Option<bool>,
    /// See [`Settings::enabled`].
    pub enabled: Option<bool>,
    /// See [`Settings::schema_version`].
    pub schema_version: Option<String>,
    /// See [`Settings::ca`]; `Some(None)` takes them away.
    pub ca: Option<Option<String>>,
    /// See [`Settings::allow_private`].
    pub allow_private: Option<bool>,
}

/// A member that cannot be what it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member} {reason}")]
pub struct Wrong {
    /// Its name.
    pub member: &'static str,
    /// Why, as the rest of a sentence.
    pub reason: String,
}

fn wrong(member: &'static str, reason: impl Into<String>) -> Wrong {
    let reason = reason.into();
    Wrong { member, reason }
}

impl Change {
    /// Whether each member can be what it says. The token is looked at before it is sealed, by
    /// [`check_token`].
    ///
    /// # Errors
    /// See [`Wrong`]; the first one is named.
    pub fn check(&self) -> Result<(), Wrong> {
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint)?;
        }
        for (member, value, range) in [
            ("timeout_ms", self.timeout_ms, TIMEOUT_MS),
            ("batch_size", self.batch_size, BATCH_SIZE),
        ] {
            if value.is_some_and(|value| !range.contains(&value)) {
                let (least, most) = range.into_inner();
                return Err(wrong(member, format!("must be {least} to {most}")));
            }
        }
        if let Some(version) = &self.schema_version
            && !SCHEMA_VERSIONS.contains(&version.as_str())
        {
            let known = SCHEMA_VERSIONS.join(", ");
            return Err(wrong("schema_version", format!("must be one of {known}")));
        }
        match &self.ca {
            Some(Some(ca)) => check_ca(ca),
            _ => Ok(()),
        }
    }

    /// Makes the change.
    pub fn apply(&self, settings: &mut Settings) {
        fn set<T: Clone>(place: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                place.clone_from(value);
            }
        }
        set(&mut settings.endpoint, &self.endpoint);
        set(&mut settings.token, &self.token);
        set(&mut settings.timeout_ms, &self.timeout_ms);
        set(&mut settings.batch_size, &self.batch_size);
        set(&mut settings.verify_ssl, &self.verify_ssl);
        set(&mut settings.enabled, &self.enabled);
        set(&mut settings.schema_version, &self.schema_version);
        set(&mut settings.ca, &self.ca);
        set(&mut settings.allow_private, &self.allow_private);
    }
}

/// What changes, for the record of who changed what: of secrets only that they do.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let texts = [
            ("endpoint", &self.endpoint),
            ("schema_version", &self.schema_version),
        ];
        parts.extend(
            texts
                .into_iter()
                .filter_map(|(name, text)| Some(format!("{name}={}", text.as_ref()?))),
        );
        let numbers = [("timeout_ms", self.timeout_ms), ("batch_size", self.batch_size)];
        parts.extend(
            numbers
                .into_iter()
                .filter_map(|(name, number)| Some(format!("{name}={}", number?))),
        );
        let flags = [
            ("verify_ssl", self.verify_ssl),
            ("enabled", self.enabled),
            ("allow_private", self.allow_private),
        ];
        parts.extend(
            flags
                .into_iter()
                .filter_map(|(name, flag)| Some(format!("{name}={}", flag?))),
        );
        for (name, hidden) in [("token", &self.token), ("ca", &self.ca)] {
            let word = match hidden {
                None => continue,
                Some(None) => "removed",
                Some(Some(_)) => "set",
            };
            parts.push(format!("{name} {word}"));
        }
        f.write_str(&parts.join(", "))
    }
}

/// Whether `name` can name a sink: a word of lower-case letters, digits and `.`, `_`, `-`.
///
/// # Errors
/// See [`Wrong`].
pub fn check_name(name: &str) -> Result<(), Wrong> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if !begins || name.len() > LONGEST_NAME || !name.chars().all(plain) {
        return Err(wrong(
            "name",
            format!(
                "must be 1 to {LONGEST_NAME} of a-z, 0-9, '.', '_' and '-', beginning with one of the first two"
            ),
        ));
    }
    if name == DEFAULT {
        return Err(wrong(
            "name",
            "is the name of the sink in [forwarding] of the settings",
        ));
    }
    Ok(())
}

/// What the token of a sink is sealed for, so that it opens nowhere else.
#[must_use]
pub fn seal_owner(name: &str) -> String {
    format!("sink/{name}")
}

/// Whether a bearer token can be sent in a header.
///
/// # Errors
/// See [`Wrong`].
pub fn check_token(token: &str) -> Result<(), Wrong> {
    if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong(
            "token",
            format!("must be 1 to {LONGEST_TOKEN} ASCII characters without blanks"),
        ));
    }
    Ok(())
}

/// Whether batches can be posted to an address: `http` or `https`, with a host, without a login.
///
/// # Errors
/// See [`Wrong`].
pub fn check_endpoint(endpoint: &str) -> Result<(), Wrong> {
    let no = |reason: &str| Err(wrong("endpoint", reason));
    if endpoint.chars().count() > LONGEST_ENDPOINT || endpoint.chars().any(char::is_control) {
        return no("is too long, or has control characters");
    }
    let Ok(url) = Url::parse(endpoint) else {
        return no("is no URL");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return no("must begin with http:// or https://");
    }
    if !matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))) && url.host_str().is_none_or(str::is_empty)
    {
        return no("names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return no("holds a login, which logs would show; use the token");
    }
    if url.fragment().is_some() {
        return no("has a fragment (#…), which is never sent");
    }
    Ok(())
}

fn check_ca(ca: &str) -> Result<(), Wrong> {
    if ca.len() > LONGEST_CA || !ca.is_ascii() {
        return Err(wrong(
            "ca",
            format!("must be at most {LONGEST_CA} ASCII characters"),
        ));
    }
    match Certificate::load_pem_chain(ca.as_bytes()) {
        Ok(chain) if !chain.is_empty() => Ok(()),
        _ => Err(wrong("ca", "is no list of certificates in PEM")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(result: Result<(), Wrong>) -> Option<&'static str> {
        result.err().map(|wrong| wrong.member)
    }

    #[test]
    fn a_name_is_a_word_and_not_that_of_the_settings() {
        for good in ["mall", "0", "mall-2.eu_west", &"a".repeat(LONGEST_NAME)] {
            assert_eq!(member(check_name(good)), None, "{good}");
        }
        for bad in [
            "",
            "-a",
            "Mall",
            "a b",
            "ñ",
            DEFAULT,
            &"a".repeat(LONGEST_NAME + 1),
        ] {
            assert_eq!(member(check_name(bad)), Some("name"), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_a_web_address_without_a_login() {
        for good in [
            "http://127.0.0.1:8090/x",
            "https://mall.example/a?b=c",
            "http://[::1]/",
        ] {
            assert_eq!(member(check_endpoint(good)), None, "{good}");
        }
        for bad in [
            "",
            "mall.example",
            "ftp://mall.example/",
            "file:///etc/passwd",
            "http://",
            "https://ana:secret@mall.example/",
            "https://mall.example/#x",
            "https://mall.example/\n",
        ] {
            assert_eq!(member(check_endpoint(bad)), Some("endpoint"), "{bad}");
        }
    }

    #[test]
    fn a_change_is_checked_member_by_member() {
        let change = |edit: fn(&mut Change)| {
            let mut change = Change::default();
            edit(&mut change);
            member(change.check())
        };
        assert_eq!(change(|_| ()), None);
        assert_eq!(change(|change| change.timeout_ms = Some(99)), Some("timeout_ms"));
        assert_eq!(change(|change| change.batch_size = Some(501)), Some("batch_size"));
        let version = |change: &mut Change| change.schema_version = Some("3.0".to_owned());
        assert_eq!(change(version), Some("schema_version"));
        assert_eq!(
            change(|change| change.ca = Some(Some("no PEM".to_owned()))),
            Some("ca")
        );
        assert_eq!(change(|change| change.ca = Some(None)), None);
        let key = rcgen::generate_simple_self_signed(["mall.example".to_owned()]).unwrap();
        let change = Change {
            ca: Some(Some(key.cert.pem())),
            ..Change::default()
        };
        assert_eq!(member(change.check()), None);
    }

    #[test]
    fn what_is_secret_is_not_told() {
        let change = Change {
            endpoint: Some("https://mall.example/".to_owned()),
            token: Some(Some("x1.a.secret".to_owned())),
            enabled: Some(false),
            ca: Some(None),
            ..Change::default()
        };
        let told = "endpoint=https://mall.example/, enabled=false, token set, ca removed";
        assert_eq!(change.to_string(), told);
        let mut settings = Settings {
            endpoint: String::new(),
            token: None,
            timeout_ms: 1000,
            batch_size: 50,
            verify_ssl: true,
            enabled: true,
            schema_version: "2.0".to_owned(),
            ca: None,
            allow_private: false,
        };
        change.apply(&mut settings);
        assert_eq!((settings.enabled, settings.timeout_ms), (false, 1000));
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!(json["has_token"], true);
        assert!(json.get("token").is_none() && !json.to_string().contains("secret"));
    }
}
