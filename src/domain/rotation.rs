//! How a token is replaced by its successor, so that neither a lost answer locks a till out nor a
//! stolen token lives on unseen.
//!
//! Tokens that replace one another are a *family*. In it each token has at most one successor, and
//! both may be good for a while:
//!
//! ```text
//!              refresh                     the successor is used
//!  current ───────────────▶ pending ──────────────────────────────▶ overlapping ──▶ retired
//!     ▲                     │  ▲                                    (rotation_overlap_ms)
//!     └── (it has none)     └──┘ refresh again: the successor
//!                                is made anew, the lost one is void
//! ```
//!
//! - *pending*: a successor was sent, and nobody has used it. The answer may be lost, so the token
//!   stays good for as long as that lasts. Plain tokens are not kept, so a repeated refresh cannot
//!   repeat the answer: it gives the one successor a new secret, and the lost secret is unknown from
//!   then on.
//! - *overlapping*: the first use of the successor confirms that it arrived. From then on the old one
//!   has `auth.rotation_overlap_ms` left, for requests under way. It cannot be refreshed any more: its
//!   successor is in somebody's hands, and a second one would be a second holder.
//! - *retired*: whoever uses it now has kept it although its successor was taken into use: a thief, or
//!   a till that was robbed of its successor. Which of them is not known, so the whole family is
//!   revoked, and the till has to be enrolled again by a person.
//!
//! An administrator who rotates a token has the successor in his hands, so it is confirmed from the
//! start. A token past its own end proves nothing about the present: it is refused and no more.

use super::time::Timestamp;

/// The facts of a token that decide whether it is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When its overlap with a confirmed successor ends, if it has one.
    pub retires_at: Option<Timestamp>,
}

/// What a presented token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is good.
    Good,
    /// It was revoked.
    Revoked,
    /// It is past its end.
    Expired,
    /// It was replaced, and its overlap is over: the family must be revoked.
    Reused,
}

/// What is known of the successor of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {
    /// There is none.
    None,
    /// There is one that nobody has used.
    Unconfirmed,
    /// There is one that was used, or that a person was given.
    Confirmed,
}

/// How a token is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// By a new token.
    Mint,
    /// By the successor it has, with a new secret.
    Remint,
    /// Not again: its successor is in use.
    Refuse,
}

impl Life {
    /// What the token is worth at `now`.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        let past = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
        if self.revoked_at.is_some() {
            Standing::Revoked
        } else if past(self.expires_at) {
            Standing::Expired
        } else if past(self.retires_at) {
            Standing::Reused
        } else {
            Standing::Good
        }
    }
}

impl Successor {
    /// How the token may be replaced.
    #[must_use]
    pub const fn replacement(self) -> Replacement {
        match self {
            Successor::None => Replacement::Mint,
            Successor::Unconfirmed => Replacement::Remint,
            Successor::Confirmed => Replacement::Refuse,
        }
    }
}

#[cfg(test)]
mod tests;
