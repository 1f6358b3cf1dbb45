//! Makes secrets that sign, and replaces one by another.

use std::{fmt, str::FromStr};

use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};

use super::{BadSecret, PREFIX, PRIVATE, PUBLIC, parts};

/// A secret that is made here, in bytes.
const MADE_BYTES: usize = 32;
/// Secrets of one scheme at a time: one that is being replaced, and its successor.
const OVERLAP: usize = 2;

/// How a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HMAC-SHA256: both sides know the secret.
    Hmac,
    /// Ed25519: the receiver has a public key, with which nothing can be forged.
    Ed25519,
}

impl Scheme {
    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Scheme::Hmac => "hmac",
            Scheme::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Scheme {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Scheme::Hmac, Scheme::Ed25519]
            .into_iter()
            .find(|scheme| scheme.word() == text)
            .ok_or("one of hmac, ed25519")
    }
}

/// A new secret.
#[derive(Clone)]
pub struct Made {
    /// What signs; stays here.
    pub private: String,
    /// What the receiver checks with: the secret itself, or the public key.
    pub given: String,
}

/// Makes a secret.
///
/// # Errors
/// [`BadSecret::NoRandomness`].
pub fn make(scheme: Scheme) -> Result<Made, BadSecret> {
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; MADE_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| BadSecret::NoRandomness)?;
    Ok(match scheme {
        Scheme::Hmac => {
            let text = format!("{PREFIX}{}", BASE64.encode(&bytes));
            Made {
                private: text.clone(),
                given: text,
            }
        }
        Scheme::Ed25519 => {
            let pair = Ed25519KeyPair::from_seed_unchecked(&bytes).map_err(|_| BadSecret::Form)?;
            let public = pair.public_key().as_ref();
            Made {
                private: format!("{PRIVATE}{}", BASE64.encode(&[&bytes[..], public].concat())),
                given: format!("{PUBLIC}{}", BASE64.encode(public)),
            }
        }
    })
}

/// The schemes of secrets with commas between, in their order; empty for what is no secret.
#[must_use]
pub fn schemes(list: &str) -> Vec<Scheme> {
    parts(list)
        .filter_map(|text| {
            if text.starts_with(PREFIX) {
                Some(Scheme::Hmac)
            } else {
                text.starts_with(PRIVATE).then_some(Scheme::Ed25519)
            }
        })
        .collect()
}

/// Puts a new secret before the others. Of one scheme there are two at most: one that is being replaced,
/// and its successor.
#[must_use]
pub fn added(list: &str, made: &Made) -> Option<String> {
    let scheme = schemes(&made.private);
    let same = schemes(list).into_iter().filter(|other| scheme.contains(other));
    if same.count() >= OVERLAP {
        return None;
    }
    let all = [made.private.as_str()].into_iter().chain(parts(list));
    Some(all.collect::<Vec<_>>().join(","))
}

/// The newest secret of each scheme.
#[must_use]
pub fn newest(list: &str) -> String {
    let mut seen = Vec::new();
    let kept = parts(list).filter(|text| {
        let scheme = schemes(text);
        let new = !seen.contains(&scheme);
        seen.push(scheme);
        new
    });
    kept.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{super::Signer, *};
    use crate::domain::time::Timestamp;

    #[test]
    fn a_secret_is_replaced_with_an_overlap() {
        let made = || make(Scheme::Hmac).unwrap();
        let (first, second, key) = (made(), made(), make(Scheme::Ed25519).unwrap());
        assert_ne!(first.private, second.private);
        let list = added(&added("", &first).unwrap(), &key).unwrap();
        let list = added(&list, &second).unwrap();
        assert_eq!(schemes(&list), [Scheme::Hmac, Scheme::Ed25519, Scheme::Hmac]);
        assert!(
            added(&list, &made()).is_none(),
            "the receiver may know no other than the oldest"
        );
        let at = Timestamp::from_micros(0);
        let signed = Signer::new(&list).unwrap().unwrap().sign("m", at, b"x").signature;
        assert_eq!(signed.split(' ').count(), 3);
        let list = newest(&list);
        assert_eq!(list, format!("{},{}", second.private, key.private));
        assert!(added(&list, &made()).is_some());
    }
}
