//! What is stored of a credential: a hash keyed with a secret of the server, its *pepper*.
//!
//! Credentials are 32 random bytes (or, for a terminal's key of the old system, whatever it had), so
//! one fast keyed hash is right: a slow one would cost the hot path and buy nothing. Who steals the
//! database without the pepper can neither use nor test what is in it.
//!
//! Peppers rotate: the newest hashes what is new, the older ones still find what they hashed, and a
//! token found under an older one is hashed again with the newest. Rows of the first version hold a
//! plain SHA-256, under the name [`PLAIN`].

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::checksum::{Digest, sha256};

/// The name of the unkeyed hash of the first version.
pub const PLAIN: &str = "sha256";
/// Shortest pepper, in bytes.
pub const SHORTEST_PEPPER: usize = 32;
/// Most peppers at a time: each costs a look-up key when a token is not cached.
pub const MOST_PEPPERS: usize = 4;

/// The peppers of the server, newest first; never printed.
#[derive(Clone)]
pub struct Keyring(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: String,
    mac: Hmac<Sha256>,
}

/// Why peppers cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is none.
    #[error("no pepper is given")]
    Empty,
    /// One is too short to be secret.
    #[error("a pepper has fewer than {SHORTEST_PEPPER} characters")]
    Short,
    /// More than are tried.
    #[error("more than {MOST_PEPPERS} peppers are given")]
    Many,
}

/// A hash as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The hash.
    pub digest: Digest,
    /// The name of the pepper that keyed it.
    pub key: String,
}

impl Keyring {
    /// Takes peppers, newest first.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn new<'a>(peppers: impl IntoIterator<Item = &'a str>) -> Result<Self, KeyringError> {
        let mut keys = Vec::new();
        for pepper in peppers {
            if pepper.len() < SHORTEST_PEPPER {
                return Err(KeyringError::Short);
            }
            // HMAC takes a key of any length.
            let mac = Hmac::<Sha256>::new_from_slice(pepper.as_bytes()).map_err(|_| KeyringError::Short)?;
            let name = mac
                .clone()
                .chain_update(b"tsms: the name of this pepper")
                .finalize()
                .into_bytes();
            let id = HEXLOWER.encode(name.get(..4).unwrap_or_default());
            keys.push(Key { id, mac });
        }
        match keys.len() {
            0 => Err(KeyringError::Empty),
            1..=MOST_PEPPERS => Ok(Self(keys)),
            _ => Err(KeyringError::Many),
        }
    }

    /// The hash of a token or code under the newest pepper; the one hash of the hot path.
    #[must_use]
    pub fn digest(&self, secret: &str) -> Digest {
        self.0
            .first()
            .map_or_else(|| sha256(secret.as_bytes()), |key| key.of(&[secret.as_bytes()]))
    }

    /// The hash to store of a token or code.
    #[must_use]
    pub fn hash(&self, secret: &str) -> Hashed {
        Hashed {
            digest: self.digest(secret),
            key: self.newest().to_owned(),
        }
    }

    /// Every hash that a stored token or code may have, the newest first and the plain one last.
    #[must_use]
    pub fn candidates(&self, secret: &str) -> Vec<Digest> {
        let keyed = self.0.iter().map(|key| key.of(&[secret.as_bytes()]));
        keyed.chain([sha256(secret.as_bytes())]).collect()
    }

    /// The hash to store of a terminal's key. The serial number is part of it, so that two tills
    /// with one key do not show it.
    #[must_use]
    pub fn hash_key(&self, serial_number: &str, secret: &str) -> Hashed {
        let digest = self
            .0
            .first()
            .map_or([0; 32], |key| key.of_key(serial_number, secret));
        Hashed {
            digest,
            key: self.newest().to_owned(),
        }
    }

    /// Whether `secret` is the key stored for a terminal. `stored` may be missing: the same work is
    /// done then, and the answer is no.
    #[must_use]
    pub fn is_key(&self, serial_number: &str, secret: &str, stored: Option<&Hashed>) -> bool {
        let named = stored.and_then(|stored| self.0.iter().find(|key| key.id == stored.key));
        let Some(key) = named.or(self.0.first()) else {
            return false;
        };
        let given = key.of_key(serial_number, secret);
        let wanted = stored.map_or([0; 32], |stored| stored.digest);
        bool::from(given.ct_eq(&wanted)) && named.is_some()
    }

    /// The name of the newest pepper.
    #[must_use]
    pub fn newest(&self) -> &str {
        self.0.first().map_or(PLAIN, |key| &key.id)
    }

    /// Whether a hash under `key` can be found again.
    #[must_use]
    pub fn knows(&self, key: &str) -> bool {
        key == PLAIN || self.0.iter().any(|known| known.id == key)
    }
}

impl Key {
    fn of(&self, parts: &[&[u8]]) -> Digest {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The length keeps serial number and key apart.
    fn of_key(&self, serial_number: &str, secret: &str) -> Digest {
        let length = u64::try_from(serial_number.len())
            .unwrap_or(u64::MAX)
            .to_be_bytes();
        self.of(&[
            b"terminal key",
            &length,
            serial_number.as_bytes(),
            secret.as_bytes(),
        ])
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old pepper of at least 32 bytes";
    const NEW: &str = "a newer pepper of at least 32 bytes";

    fn ring(peppers: &[&str]) -> Keyring {
        Keyring::new(peppers.iter().copied()).unwrap()
    }

    #[test]
    fn an_older_pepper_finds_what_it_hashed_and_the_newest_hashes_what_is_new() {
        let (before, after) = (ring(&[OLD]), ring(&[NEW, OLD]));
        let stored = before.hash("a token");
        assert!(after.candidates("a token").contains(&stored.digest));
        assert!(after.knows(&stored.key) && after.knows(PLAIN));
        assert_ne!(after.hash("a token"), stored);
        assert_eq!(after.candidates("a token")[0], after.digest("a token"));
        assert!(!ring(&[NEW]).candidates("a token").contains(&stored.digest));
        assert!(!ring(&[NEW]).knows(&stored.key));
    }

    #[test]
    fn a_plain_digest_of_the_first_version_is_found() {
        assert_eq!(
            ring(&[NEW]).candidates("a token").last(),
            Some(&sha256(b"a token"))
        );
        assert_ne!(ring(&[NEW]).digest("a token"), sha256(b"a token"));
    }

    #[test]
    fn a_key_fits_its_own_terminal_only() {
        let (before, after) = (ring(&[OLD]), ring(&[NEW, OLD]));
        let stored = before.hash_key("SN-1", "secret");
        assert!(before.is_key("SN-1", "secret", Some(&stored)));
        assert!(after.is_key("SN-1", "secret", Some(&stored)));
        assert!(!after.is_key("SN-1", "other", Some(&stored)));
        assert!(!after.is_key("SN-2", "secret", Some(&stored)));
        assert!(!after.is_key("SN-", "1secret", Some(&stored)));
        assert!(!ring(&[NEW]).is_key("SN-1", "secret", Some(&stored)));
        assert!(!after.is_key("SN-1", "secret", None));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        assert_eq!(Keyring::new([]).unwrap_err(), KeyringError::Empty);
        assert_eq!(Keyring::new([NEW, "short"]).unwrap_err(), KeyringError::Short);
        assert_eq!(Keyring::new([NEW; 5]).unwrap_err(), KeyringError::Many);
        assert!(!format!("{:?}", ring(&[NEW])).contains("pepper"));
    }

    /// The vector of RFC 4231, test case 2, with its key padded as HMAC does by itself.
    #[test]
    fn it_is_hmac_sha_256() {
        let mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        let key = Key {
            id: String::new(),
            mac,
        };
        assert_eq!(
            HEXLOWER.encode(&key.of(&[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
