//! A strict JSON reader over raw bytes, for bodies whose exact text matters (the checksum).
//!
//! It keeps number texts as sent, refuses duplicate members, and bounds depth and member counts.

mod reader;
mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub(super) use self::scan::unescaped_length;

/// A JSON value that borrows from the body it was read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, its text exactly as sent.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Node<'a>>),
    /// An object, members in the order sent.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Bounds on a body, all named in config under `[ingress]`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting of arrays and objects; never more than [`MAX_DEPTH`].
    pub depth: usize,
    /// Most values (scalars, arrays, objects) in one body.
    pub nodes: usize,
    /// What to do with a member name that comes twice in one object.
    pub duplicates: Duplicates,
}

/// What to do with a repeated member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// Refuse the body (the ingress).
    Refuse,
    /// The last one wins (what the system in the field hashes; the checksum debugger only).
    LastWins,
}

/// Why a body is not acceptable JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {offset}")]
pub struct JsonError {
    /// Which problem.
    pub problem: Problem,
    /// Where in the body, in bytes from the start.
    pub offset: usize,
}

/// The kinds of [`JsonError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not JSON (RFC 8259), or not UTF-8.
    #[error("malformed JSON: {0}")]
    Malformed(&'static str),
    /// A member name comes twice in one object.
    #[error("duplicate member {name:?}")]
    Duplicate {
        /// The name that comes twice, cut if it is long.
        name: String,
    },
    /// Nested deeper than the limit.
    #[error("nested too deeply")]
    TooDeep,
    /// More values than the limit.
    #[error("too many values")]
    TooMany,
}

/// Deepest nesting whatever [`Limits::depth`] says: reading, hashing and dropping a tree recurse.
pub const MAX_DEPTH: usize = 128;

/// Reads one JSON document that fills the whole body.
///
/// # Errors
/// Anything RFC 8259 does not allow, a duplicate member under [`Duplicates::Refuse`], or a limit passed.
pub fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<Node<'a>, JsonError> {
    let text = std::str::from_utf8(body).map_err(|error| JsonError {
        problem: Problem::Malformed("not UTF-8"),
        offset: error.valid_up_to(),
    })?;
    reader::Reader::new(text, limits).document()
}

impl<'a> Node<'a> {
    /// The member `name` of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node<'a>> {
        match self {
            Node::Object(members) => members
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}
