//! The receiver's side of the Standard Webhooks specification, written from it and not from the sender.

use std::{fmt, str::FromStr};

use axum::http::HeaderMap;
use data_encoding::BASE64;
use ring::{
    hmac,
    signature::{ED25519, UnparsedPublicKey},
};

use crate::domain::time::Timestamp;

/// How far the time of a message may be from now, in seconds.
const TOLERANCE: i64 = 300;

const MICROS: i64 = 1_000_000;

/// What a signature is checked with: `whsec_…`, a secret, or `whpk_…`, a public key.
#[derive(Clone)]
pub enum CheckKey {
    /// HMAC-SHA256, `v1`.
    Secret(hmac::Key),
    /// Ed25519, `v1a`.
    Public(Vec<u8>),
}

impl fmt::Debug for CheckKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckKey::Secret(_) => "whsec_…",
            CheckKey::Public(_) => "whpk_…",
        })
    }
}

impl FromStr for CheckKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = |text: &str| BASE64.decode(text.as_bytes()).ok();
        let key = if let Some(secret) = text.strip_prefix("whsec_") {
            bytes(secret).map(|secret| CheckKey::Secret(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
        } else {
            text.strip_prefix("whpk_")
                .and_then(bytes)
                .filter(|key| key.len() == 32)
                .map(CheckKey::Public)
        };
        key.ok_or("whsec_ or whpk_ and a key in base64")
    }
}

/// Why a message is not believed.
pub(super) fn check(keys: &[CheckKey], headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.ok_or_else(|| format!("no {name}"))
    };
    let (id, sent) = (header("webhook-id")?, header("webhook-timestamp")?);
    let now = Timestamp::now().as_micros().div_euclid(MICROS);
    let seconds: i64 = sent.parse().map_err(|_| "webhook-timestamp is no time")?;
    if now.abs_diff(seconds) > TOLERANCE.unsigned_abs() {
        return Err("webhook-timestamp is of another time".to_owned());
    }
    let message = [id.as_bytes(), b".", sent.as_bytes(), b".", body].concat();
    let good = header("webhook-signature")?.split(' ').any(|signature| {
        let Some((version, text)) = signature.split_once(',') else {
            return false;
        };
        let Ok(bytes) = BASE64.decode(text.as_bytes()) else {
            return false;
        };
        keys.iter().any(|key| match (version, key) {
            ("v1", CheckKey::Secret(key)) => hmac::verify(key, &message, &bytes).is_ok(),
            ("v1a", CheckKey::Public(key)) => UnparsedPublicKey::new(&ED25519, key)
                .verify(&message, &bytes)
                .is_ok(),
            _ => false,
        })
    });
    if good {
        Ok(())
    } else {
        Err("no signature fits".to_owned())
    }
}
