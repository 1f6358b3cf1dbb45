//! A change of a sink.

use std::fmt;

use super::{BATCH_SIZE, SCHEMA_VERSIONS, Settings, TIMEOUT_MS, Wrong, check_ca, check_endpoint, wrong};
use crate::domain::compression::Compression;

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
    /// See [`Settings::compression`].
    pub compression: Option<Compression>,
    /// See [`Settings::signing`]; `Some(None)` takes them away.
    pub signing: Option<Option<String>>,
    /// Only if this is still its version.
    pub of_version: Option<i64>,
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
        set(&mut settings.compression, &self.compression);
        set(&mut settings.signing, &self.signing);
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
        parts.extend(self.compression.map(|coding| format!("compression={coding}")));
        for (name, hidden) in [
            ("token", &self.token),
            ("ca", &self.ca),
            ("signing", &self.signing),
        ] {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn member(result: Result<(), Wrong>) -> Option<&'static str> {
        result.err().map(|wrong| wrong.member)
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
        let mut settings = Settings::new(String::new(), 1000, 50);
        change.apply(&mut settings);
        assert_eq!((settings.enabled, settings.timeout_ms), (false, 1000));
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!(json["has_token"], true);
        assert!(json.get("token").is_none() && !json.to_string().contains("secret"));
    }
}
