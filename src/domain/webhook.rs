//! Signatures of what is posted to others, by the Standard Webhooks specification: HMAC-SHA256 or Ed25519 over
//! `id.timestamp.body`, with several secrets at a time while one is replaced by another.

mod secrets;

use std::sync::Arc;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::signature::Ed25519KeyPair;
use sha2::Sha256;

use super::time::Timestamp;

pub use secrets::{Made, Scheme, added, make, newest, schemes};

/// First part of the text of a secret that both sides know.
const PREFIX: &str = "whsec_";
/// The same of a private key, and of the public key that goes with it.
const PRIVATE: &str = "whsk_";
const PUBLIC: &str = "whpk_";
/// Shortest and longest secret, in bytes, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of an Ed25519 seed; a private key may be this alone, or this and its public key.
const SEED_BYTES: usize = 32;
/// Shortest key that secrets are derived from, in bytes.
const SHORTEST_MASTER: usize = 32;
/// Most secrets at a time: each is a signature in every request.
const MOST_SECRETS: usize = 4;

const MICROS: i64 = 1_000_000;

/// The secrets that sign, newest first; never printed.
#[derive(Clone)]
pub struct Signer(Vec<Key>);

#[derive(Clone)]
enum Key {
    Hmac(Hmac<Sha256>),
    Ed25519(Arc<Ed25519KeyPair>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// The three headers of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `webhook-id`: the same for every attempt to deliver the same message.
    pub id: String,
    /// `webhook-timestamp`: seconds since 1970, of this attempt.
    pub timestamp: String,
    /// `webhook-signature`: one signature a secret.
    pub signature: String,
}

/// A secret that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Not of the form of the specification.
    #[error(
        "a secret is {PREFIX} and 24 to 64 bytes in base64, or {PRIVATE} and an Ed25519 private key of 32 or 64 \
         bytes in base64: printf 'whsec_%s' \"$(openssl rand -base64 32)\""
    )]
    Form,
    /// A key to derive secrets from that can be guessed.
    #[error("a key has fewer than {SHORTEST_MASTER} characters")]
    Short,
    /// More than are used.
    #[error("more than {MOST_SECRETS} are given")]
    Many,
    /// The machine has no randomness to give.
    #[error("the system gave no random bytes")]
    NoRandomness,
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn mac(secret: &[u8]) -> Result<Hmac<Sha256>, BadSecret> {
    // HMAC takes a key of any length.
    Hmac::<Sha256>::new_from_slice(secret).map_err(|_| BadSecret::Form)
}

impl Key {
    fn read(text: &str) -> Result<Self, BadSecret> {
        let bytes = |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| BadSecret::Form);
        if let Some(text) = text.strip_prefix(PREFIX) {
            let secret = bytes(text)?;
            return if SECRET_BYTES.contains(&secret.len()) {
                Ok(Key::Hmac(mac(&secret)?))
            } else {
                Err(BadSecret::Form)
            };
        }
        let key = bytes(text.strip_prefix(PRIVATE).ok_or(BadSecret::Form)?)?;
        let (seed, public) = key.split_at_checked(SEED_BYTES).ok_or(BadSecret::Form)?;
        let pair = if public.is_empty() {
            Ed25519KeyPair::from_seed_unchecked(seed)
        } else {
            Ed25519KeyPair::from_seed_and_public_key(seed, public)
        };
        Ok(Key::Ed25519(Arc::new(pair.map_err(|_| BadSecret::Form)?)))
    }

    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        match self {
            Key::Hmac(mac) => {
                let mut mac = mac.clone();
                for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                    mac.update(part);
                }
                format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
            }
            Key::Ed25519(pair) => {
                let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
                format!("v1a,{}", BASE64.encode(pair.sign(&message).as_ref()))
            }
        }
    }
}

impl Signer {
    /// Takes secrets as texts with commas between, newest first; `None` where there is none.
    ///
    /// # Errors
    /// See [`BadSecret`].
    pub fn new(list: &str) -> Result<Option<Self>, BadSecret> {
        Self::of(parts(list).map(Key::read).collect::<Result<_, _>>()?)
    }

    /// Secrets of one receiver, made from keys with commas between, newest first: so each receiver has
    /// secrets of its own and none is kept. `None` where there is no key.
    ///
    /// # Errors
    /// See [`BadSecret`].
    pub fn derived(keys: &str, receiver: &str) -> Result<Option<Self>, BadSecret> {
        let mut secrets = Vec::new();
        for key in parts(keys) {
            secrets.push(Key::Hmac(mac(&derive(key, receiver)?)?));
        }
        Self::of(secrets)
    }

    fn of(secrets: Vec<Key>) -> Result<Option<Self>, BadSecret> {
        if secrets.len() > MOST_SECRETS {
            return Err(BadSecret::Many);
        }
        Ok((!secrets.is_empty()).then_some(Self(secrets)))
    }

    /// Signs `body` as the message `id`, sent at `at`.
    #[must_use]
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> Signature {
        let timestamp = at.as_micros().div_euclid(MICROS).to_string();
        let signatures = self.0.iter().map(|key| key.sign(id, &timestamp, body));
        Signature {
            id: id.to_owned(),
            signature: signatures.collect::<Vec<_>>().join(" "),
            timestamp,
        }
    }
}

fn derive(key: &str, receiver: &str) -> Result<[u8; 32], BadSecret> {
    if key.len() < SHORTEST_MASTER {
        return Err(BadSecret::Short);
    }
    let mac = mac(key.as_bytes())?
        .chain_update(b"tsms: the secret of callbacks to ")
        .chain_update(receiver);
    Ok(mac.finalize().into_bytes().into())
}

/// The text of the newest secret of a receiver, to be handed to it; `None` where there is no key.
///
/// # Errors
/// See [`BadSecret`].
pub fn secret_of(keys: &str, receiver: &str) -> Result<Option<String>, BadSecret> {
    let Some(key) = parts(keys).next() else {
        return Ok(None);
    };
    Ok(Some(format!(
        "{PREFIX}{}",
        BASE64.encode(&derive(key, receiver)?)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "a key of thirty-two characters..";

    #[test]
    fn the_example_of_the_specification() {
        // Of the reference libraries of standardwebhooks.com.
        let signer = Signer::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .unwrap()
            .unwrap();
        let at = Timestamp::from_micros(1_614_265_330 * MICROS);
        let signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert_eq!(
            signed.signature,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(signed.timestamp, "1614265330");
    }

    #[test]
    fn old_and_new_secrets_sign_together() {
        let (one, other) = (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx",
        );
        let sign = |list: &str| {
            let signer = Signer::new(list).unwrap().unwrap();
            signer.sign("m", Timestamp::from_micros(0), b"x").signature
        };
        assert_eq!(
            sign(&format!("{one}, {other}")),
            format!("{} {}", sign(one), sign(other))
        );
    }

    #[test]
    fn ed25519_signs_as_rfc_8032_has_it() {
        // Section 7.1, test 1, whose message is empty; and any message by the public key that was given.
        let seed = data_encoding::HEXLOWER
            .decode(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap();
        let Key::Ed25519(pair) = Key::read(&format!("{PRIVATE}{}", BASE64.encode(&seed))).unwrap() else {
            panic!("no key pair");
        };
        let signature = data_encoding::HEXLOWER.encode(pair.sign(b"").as_ref());
        assert!(
            signature.starts_with("e5564300c360ac729086e2cc806e828a"),
            "{signature}"
        );

        let made = make(Scheme::Ed25519).unwrap();
        let signed =
            Signer::new(&made.private)
                .unwrap()
                .unwrap()
                .sign("m", Timestamp::from_micros(5 * MICROS), b"x");
        let text = signed.signature.strip_prefix("v1a,").unwrap();
        let public = BASE64
            .decode(made.given.strip_prefix(PUBLIC).unwrap().as_bytes())
            .unwrap();
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public)
            .verify(b"m.5.x", &BASE64.decode(text.as_bytes()).unwrap())
            .unwrap();
    }

    #[test]
    fn every_receiver_has_its_own_secret() {
        let first = secret_of(KEYS, "terminal:1").unwrap().unwrap();
        assert_ne!(first, secret_of(KEYS, "terminal:2").unwrap().unwrap());
        let derived = Signer::derived(KEYS, "terminal:1").unwrap().unwrap();
        let given = Signer::new(&first).unwrap().unwrap();
        let at = Timestamp::from_micros(5);
        assert_eq!(derived.sign("m", at, b"x"), given.sign("m", at, b"x"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        assert!(Signer::new(" ").unwrap().is_none());
        assert!(Signer::derived("", "terminal:1").unwrap().is_none());
        for bad in [
            "secret",
            "whsec_",
            "whsec_AAAA",
            "whsec_!!!!",
            "whsk_AAAA",
            "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert_eq!(Signer::new(bad).err(), Some(BadSecret::Form), "{bad}");
        }
        assert_eq!(Signer::derived("short", "x").err(), Some(BadSecret::Short));
        assert_eq!(
            Signer::derived(&[KEYS; 5].join(","), "x").err(),
            Some(BadSecret::Many)
        );
    }
}
