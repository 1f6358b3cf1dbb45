//! Secrets that must be read again, such as the bearer token of a sink: XChaCha20-Poly1305 with a key that
//! is not in the database. Who steals the database alone cannot use them.
//!
//! What a secret belongs to is sealed in with it, so that it cannot be moved to another row. Keys rotate:
//! the newest seals what is new, the older ones still open what they sealed.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Shortest key text, in bytes.
pub const SHORTEST_KEY: usize = 32;
/// Most keys at a time.
pub const MOST_KEYS: usize = 4;

/// First part of every sealed text: how it is sealed.
const FORM: &str = "x1";
/// Bytes of a nonce.
const NONCE: usize = 24;

/// The keys of the server, newest first; never printed.
#[derive(Clone)]
pub struct Seals(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// Why something cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key.
    #[error("no key is given")]
    NoKey,
    /// A key is too short to be secret.
    #[error("a key has fewer than {SHORTEST_KEY} characters")]
    Short,
    /// More keys than are tried.
    #[error("more than {MOST_KEYS} keys are given")]
    Many,
    /// It was sealed with a key that is not among them.
    #[error("it was sealed with the key {0}, which is not among those given")]
    UnknownKey(String),
    /// The sealed text was changed, or it belongs to something else.
    #[error("it was tampered with, or belongs to something else")]
    Broken,
}

impl Seals {
    /// Takes keys, newest first.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self, SealError> {
        let keys: Vec<Key> = keys.into_iter().map(Key::new).collect::<Result<_, _>>()?;
        match keys.len() {
            0 => Err(SealError::NoKey),
            1..=MOST_KEYS => Ok(Self(keys)),
            _ => Err(SealError::Many),
        }
    }

    /// Seals `plain` for `owner`, e.g. `sink/mall`; ASCII, about 1.4 times as long plus 70 characters.
    ///
    /// # Errors
    /// It is too long for the cipher (256 GB).
    pub fn seal(&self, owner: &str, plain: &str) -> Result<String, SealError> {
        let key = self.0.first().ok_or(SealError::NoKey)?;
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload {
            msg: plain.as_bytes(),
            aad: owner.as_bytes(),
        };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload);
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed.map_err(|_| SealError::Broken)?);
        Ok(format!("{FORM}.{}.{}", key.id, BASE64URL_NOPAD.encode(&bytes)))
    }

    /// Opens what was sealed for `owner`.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn open(&self, owner: &str, sealed: &str) -> Result<String, SealError> {
        let mut parts = sealed.splitn(3, '.');
        let (Some(FORM), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Broken);
        };
        let key = self.0.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
        let bytes = bytes.map_err(|_| SealError::Broken)?;
        let (nonce, msg) = bytes.split_first_chunk::<NONCE>().ok_or(SealError::Broken)?;
        let aad = owner.as_bytes();
        let plain = key.cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad });
        String::from_utf8(plain.map_err(|_| SealError::Broken)?).map_err(|_| SealError::Broken)
    }
}

impl Key {
    fn new(text: &str) -> Result<Self, SealError> {
        if text.len() < SHORTEST_KEY {
            return Err(SealError::Short);
        }
        let derive = |what: &[u8]| -> Result<[u8; 32], SealError> {
            // HMAC takes a key of any length.
            let mac = Hmac::<Sha256>::new_from_slice(text.as_bytes()).map_err(|_| SealError::Short)?;
            Ok(mac.chain_update(what).finalize().into_bytes().into())
        };
        let name = derive(b"tsms: the name of this sealing key")?;
        Ok(Self {
            id: HEXLOWER.encode(name.get(..4).unwrap_or_default()),
            cipher: XChaCha20Poly1305::new(&derive(b"tsms: seals, first form")?.into()),
        })
    }
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old key of at least thirty-two bytes";
    const NEW: &str = "a newer key of at least thirty-two bytes";

    fn seals(keys: &[&str]) -> Seals {
        Seals::new(keys.iter().copied()).unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_key_and_for_its_owner_only() {
        let before = seals(&[OLD]);
        let sealed = before.seal("sink/mall", "a token").unwrap();
        assert!(!sealed.contains("a token") && sealed.is_ascii());
        assert_eq!(before.open("sink/mall", &sealed).unwrap(), "a token");
        assert_ne!(before.seal("sink/mall", "a token").unwrap(), sealed);
        assert_eq!(before.open("sink/other", &sealed), Err(SealError::Broken));

        let after = seals(&[NEW, OLD]);
        assert_eq!(after.open("sink/mall", &sealed).unwrap(), "a token");
        let resealed = after.seal("sink/mall", "a token").unwrap();
        assert!(matches!(
            before.open("sink/mall", &resealed),
            Err(SealError::UnknownKey(_))
        ));
    }

    #[test]
    fn no_changed_text_is_opened() {
        let seals = seals(&[NEW]);
        let sealed = seals.seal("sink/mall", "a token").unwrap();
        for place in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(seals.open("sink/mall", &changed).is_err(), "{place}");
        }
        for none in ["", "x1", "x1..", "x1.00000000.", "x2.a.b", "x1.a.b.c"] {
            assert!(seals.open("sink/mall", none).is_err(), "{none:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        assert_eq!(Seals::new([]).unwrap_err(), SealError::NoKey);
        assert_eq!(Seals::new([NEW, "short"]).unwrap_err(), SealError::Short);
        assert_eq!(Seals::new([NEW; 5]).unwrap_err(), SealError::Many);
        assert!(!format!("{:?}", seals(&[NEW])).contains("thirty"));
    }
}
