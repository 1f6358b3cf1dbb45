//! Opaque bearer tokens: how they look, how they are made, what of them is stored.
//!
//! `tsms_<kind>_<43 characters of base64url secret><8 hex digits of CRC-32>`: the prefix and the
//! check digits let a scanner recognise one and let the ingress refuse garbage without a look-up.
//! The check digits cover all that stands before them. Only the SHA-256 of the whole text is stored.

use data_encoding::BASE64URL_NOPAD;
use rand::{
    rand_core::{Rng, UnwrapErr},
    rngs::SysRng,
};

use super::checksum::{Digest, sha256};

/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// Check digits at the end of a token.
const CHECK_DIGITS: usize = 8;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A point-of-sale terminal.
    Terminal,
    /// An administrator.
    Admin,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Terminal, Kind::Admin];

    /// How a token of this kind starts.
    const fn prefix(self) -> &'static str {
        match self {
            Kind::Terminal => "tsms_pos_",
            Kind::Admin => "tsms_admin_",
        }
    }
}

/// A new token: the plain text is shown once and never stored.
pub struct Minted {
    /// What the holder sends.
    pub plain: String,
    /// What is stored.
    pub digest: Digest,
}

/// Makes a token from 32 bytes of the system's random source.
///
/// # Panics
/// The system has no random source; nothing secret can be made then.
#[must_use]
pub fn mint(kind: Kind) -> Minted {
    let mut secret = [0; SECRET_BYTES];
    UnwrapErr(SysRng).fill_bytes(&mut secret);
    let mut plain = String::from(kind.prefix());
    BASE64URL_NOPAD.encode_append(&secret, &mut plain);
    plain.push_str(&check_digits(&plain));
    let digest = sha256(plain.as_bytes());
    Minted { plain, digest }
}

/// The digest to look a presented token up by, or `None` when its form or check digits are wrong.
/// Nothing here depends on any stored token, so that its duration tells nothing about one.
#[must_use]
pub fn recognise(plain: &str) -> Option<(Kind, Digest)> {
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| plain.starts_with(kind.prefix()))?;
    let secret_length = BASE64URL_NOPAD.encode_len(SECRET_BYTES);
    let (body, check) = plain.split_at_checked(kind.prefix().len() + secret_length)?;
    let secret = body.strip_prefix(kind.prefix())?;
    let sound = check.len() == CHECK_DIGITS
        && check == check_digits(body)
        && BASE64URL_NOPAD.decode(secret.as_bytes()).is_ok();
    sound.then(|| (kind, sha256(plain.as_bytes())))
}

fn check_digits(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minted_token_is_recognised_and_no_two_are_alike() {
        for kind in Kind::ALL {
            let (one, two) = (mint(kind), mint(kind));
            assert_eq!(recognise(&one.plain), Some((kind, one.digest)));
            assert_ne!(one.plain, two.plain);
            assert_ne!(one.digest, two.digest);
            assert_eq!(one.plain.len(), kind.prefix().len() + 43 + 8);
        }
    }

    #[test]
    fn the_form_is_fixed() {
        let body = format!("tsms_admin_{}", "A".repeat(43));
        let token = format!("{body}{:08x}", crc32fast::hash(body.as_bytes()));
        assert_eq!(recognise(&token), Some((Kind::Admin, sha256(token.as_bytes()))));
        for other in [
            String::new(),
            body.clone(),
            token.to_uppercase(),
            format!("{token} "),
            format!(" {token}"),
            token.replace("admin", "pos"),
            format!("Bearer {token}"),
        ] {
            assert_eq!(recognise(&other), None, "{other}");
        }
        // Right check digits over a secret that is no base64url, or of the wrong length.
        for secret in ["+".repeat(43), "A".repeat(42), "A".repeat(44), "B".repeat(43)] {
            let body = format!("tsms_admin_{secret}");
            let token = format!("{body}{:08x}", crc32fast::hash(body.as_bytes()));
            assert_eq!(recognise(&token), None, "{secret}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(at in any::<prop::sample::Index>(), to in "[ -~é]") {
            let token = mint(Kind::Terminal).plain;
            let mut characters: Vec<char> = token.chars().collect();
            characters[at.index(token.len())] = to.chars().next().unwrap();
            let changed: String = characters.into_iter().collect();
            prop_assert_eq!(recognise(&changed).is_some(), changed == token);
        }

        #[test]
        fn any_dropped_or_doubled_character_is_noticed(at in any::<prop::sample::Index>(), double in any::<bool>()) {
            let token = mint(Kind::Terminal).plain;
            let mut changed = token.clone();
            let at = at.index(token.len());
            if double { changed.insert(at, char::from(token.as_bytes()[at])) } else { changed.remove(at); }
            prop_assert_eq!(recognise(&changed), None);
        }

        #[test]
        fn never_panics_on_any_text(text in "\\PC*|tsms_(pos|admin)_\\PC{0,60}") {
            prop_assert_eq!(recognise(&text), None);
        }
    }
}
