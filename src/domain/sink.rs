//! Sinks: the web applications that sales are forwarded to, one a tenant or one for all.

mod change;

use serde::{Serialize, Serializer};
use url::{Host, Url};
use x509_cert::Certificate;

use super::{compression::Compression, time::Timestamp};

pub use change::Change;

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
    /// How bodies are compressed.
    pub compression: Compression,
    /// The secrets that sign, with commas between and newest first, sealed; told as whether there are any.
    #[serde(rename = "signed", serialize_with = "whether")]
    pub signing: Option<String>,
}

impl Settings {
    /// A sink that takes batches at `endpoint`, with nothing beyond what is usual: certificates verified, no
    /// token, plain and unsigned bodies, public addresses only.
    #[must_use]
    pub fn new(endpoint: String, timeout_ms: u32, batch_size: u32) -> Self {
        Self {
            endpoint,
            token: None,
            timeout_ms,
            batch_size,
            verify_ssl: true,
            enabled: true,
            schema_version: SCHEMA_VERSIONS[0].to_owned(),
            ca: None,
            allow_private: false,
            compression: Compression::None,
            signing: None,
        }
    }
}

fn whether<S: Serializer>(token: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(token.is_some())
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

/// The same of the secrets that sign.
#[must_use]
pub fn signing_owner(name: &str) -> String {
    format!("sink/{name}/signing")
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
}
