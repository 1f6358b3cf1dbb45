//! Opaque bearer tokens and other credentials: how they look and how they are made.
//!
//! `tsms_<environment>_<kind>_<43 characters of base64url secret><8 hex digits of CRC-32>`: the prefix
//! and the check digits let a scanner recognise one in a log or a repository, and let the ingress
//! refuse garbage, and the token of another environment, without a look-up. The check digits cover
//! all that stands before them. Tokens of the first version have no environment and go on working.
//! What is stored of a credential is said in [`super::keyring`].

use data_encoding::BASE64URL_NOPAD;
use rand::{
    rand_core::{Rng, UnwrapErr},
    rngs::SysRng,
};

/// Random bytes of a token.
const SECRET_BYTES: usize = 32;
/// Characters of the secret.
const SECRET_CHARS: usize = 43;
/// Check digits at the end of a token.
const CHECK_DIGITS: usize = 8;
/// Longest name of an environment.
const LONGEST_ENVIRONMENT: usize = 12;

/// What a credential is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bearer token of a point-of-sale terminal.
    Terminal,
    /// The bearer token of an administrator.
    Admin,
    /// A code that lets one till register itself, once.
    Enrolment,
    /// The key with which a till logs in to get a token.
    Key,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Terminal, Kind::Admin, Kind::Enrolment, Kind::Key];

    /// The word for it in a credential.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Terminal => "pos",
            Kind::Admin => "admin",
            Kind::Enrolment => "enrol",
            Kind::Key => "key",
        }
    }

    /// Whether it is sent as `Authorization: Bearer`.
    #[must_use]
    pub const fn is_bearer(self) -> bool {
        matches!(self, Kind::Terminal | Kind::Admin)
    }
}

/// A well-formed credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised<'a> {
    /// What it is for.
    pub kind: Kind,
    /// Where it is of use, e.g. `live`; none in a token of the first version.
    pub environment: Option<&'a str>,
}

impl Recognised<'_> {
    /// Whether it is of use in `environment`.
    #[must_use]
    pub fn belongs_to(&self, environment: &str) -> bool {
        self.environment.is_none_or(|own| own == environment)
    }
}

/// Whether `name` can stand in a token as its environment: 1 to 12 lower-case letters and digits, and
/// no word that stands for a kind.
#[must_use]
pub fn is_environment(name: &str) -> bool {
    (1..=LONGEST_ENVIRONMENT).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && Kind::ALL.iter().all(|kind| kind.word() != name)
}

/// Makes a credential from 32 bytes of the system's random source. It is shown once and never stored.
///
/// # Panics
/// The system has no random source; nothing secret can be made then.
#[must_use]
pub fn mint(kind: Kind, environment: &str) -> String {
    let mut plain = format!("tsms_{environment}_{}_", kind.word());
    BASE64URL_NOPAD.encode_append(&random_bytes(), &mut plain);
    plain.push_str(&check_digits(&plain));
    plain
}

/// 32 bytes of the system's random source.
///
/// # Panics
/// The system has no random source.
#[must_use]
pub fn random_bytes() -> [u8; SECRET_BYTES] {
    let mut secret = [0; SECRET_BYTES];
    UnwrapErr(SysRng).fill_bytes(&mut secret);
    secret
}

/// What a presented credential says it is, or `None` when its form or check digits are wrong.
/// Nothing here depends on any stored one, so that its duration tells nothing about one.
#[must_use]
pub fn recognise(plain: &str) -> Option<Recognised<'_>> {
    let (body, check) = plain.split_at_checked(plain.len().checked_sub(CHECK_DIGITS)?)?;
    let (prefix, secret) = body.split_at_checked(body.len().checked_sub(SECRET_CHARS)?)?;
    let words = prefix.strip_prefix("tsms_")?.strip_suffix('_')?;
    let (environment, word) = match words.split_once('_') {
        Some((environment, word)) => (Some(environment), word),
        None => (None, words),
    };
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
    let known_form = match environment {
        Some(name) => is_environment(name),
        None => kind.is_bearer(),
    };
    let sound =
        known_form && check == check_digits(body) && BASE64URL_NOPAD.decode(secret.as_bytes()).is_ok();
    sound.then_some(Recognised { kind, environment })
}

fn check_digits(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_check(body: &str) -> String {
        format!("{body}{}", check_digits(body))
    }

    #[test]
    fn a_minted_one_is_recognised_and_no_two_are_alike() {
        for kind in Kind::ALL {
            let (one, two) = (mint(kind, "live"), mint(kind, "live"));
            let known = recognise(&one).unwrap();
            assert_eq!((known.kind, known.environment), (kind, Some("live")));
            assert!(known.belongs_to("live") && !known.belongs_to("test"));
            assert_ne!(one, two);
        }
    }

    #[test]
    fn tokens_of_the_first_version_are_good_everywhere() {
        for (word, kind) in [("pos", Kind::Terminal), ("admin", Kind::Admin)] {
            let token = with_check(&format!("tsms_{word}_{}", "A".repeat(43)));
            let known = recognise(&token).unwrap();
            assert_eq!((known.kind, known.environment), (kind, None));
            assert!(known.belongs_to("live") && known.belongs_to("test"));
        }
        // What is new always names its environment.
        let code = with_check(&format!("tsms_enrol_{}", "A".repeat(43)));
        assert_eq!(recognise(&code), None);
    }

    #[test]
    fn the_form_is_fixed() {
        let body = format!("tsms_live_admin_{}", "A".repeat(43));
        let token = with_check(&body);
        assert!(recognise(&token).is_some());
        for other in [
            String::new(),
            body.clone(),
            token.to_uppercase(),
            format!("{token} "),
            format!(" {token}"),
            token.replace("admin", "pos"),
            token.replace("live", "test"),
            format!("Bearer {token}"),
        ] {
            assert_eq!(recognise(&other), None, "{other}");
        }
        // Right check digits over a secret that is no base64url or of another length, or a prefix that is none.
        for body in [
            format!("tsms_live_admin_{}", "+".repeat(43)),
            format!("tsms_live_admin_{}", "A".repeat(42)),
            format!("tsms_live_admin_{}", "A".repeat(44)),
            format!("tsms_live_admin_{}", "B".repeat(43)),
            format!("tsms_Live_admin_{}", "A".repeat(43)),
            format!("tsms__admin_{}", "A".repeat(43)),
            format!("tsms_live_root_{}", "A".repeat(43)),
            format!("tsms_pos_pos_{}", "A".repeat(43)),
            format!("other_live_pos_{}", "A".repeat(43)),
        ] {
            assert_eq!(recognise(&with_check(&body)), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(at in any::<prop::sample::Index>(), to in "[ -~é]") {
            let token = mint(Kind::Terminal, "live");
            let mut characters: Vec<char> = token.chars().collect();
            characters[at.index(token.len())] = to.chars().next().unwrap();
            let changed: String = characters.into_iter().collect();
            prop_assert_eq!(recognise(&changed).is_some(), changed == token);
        }

        #[test]
        fn any_dropped_or_doubled_character_is_noticed(at in any::<prop::sample::Index>(), double in any::<bool>()) {
            let token = mint(Kind::Terminal, "live");
            let mut changed = token.clone();
            let at = at.index(token.len());
            if double { changed.insert(at, char::from(token.as_bytes()[at])) } else { changed.remove(at); }
            prop_assert_eq!(recognise(&changed), None);
        }

        #[test]
        fn never_panics_on_any_text(text in "\\PC*|tsms_(pos|admin|live_key)_\\PC{0,60}") {
            prop_assert_eq!(recognise(&text), None);
        }
    }
}
