//! Where the text that a client hashed parts from the right one.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::checksum::Version;

/// Characters shown of each text from the place where they part.
const SHOWN: usize = 40;
/// Characters shown of what both have before it.
const BEFORE: usize = 20;

/// The first place where two texts differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Difference {
    /// The version that the client's text comes closest to.
    pub version: Version,
    /// JSON pointer of the value where they part, from the object that is hashed.
    #[schema(pattern = "^(/.*)?$")]
    pub path: String,
    /// Bytes that both begin with.
    pub offset: usize,
    /// The right text from a little before that place.
    pub right: String,
    /// The client's text from there.
    pub hashed: String,
}

/// Compares the text that was hashed with the right ones and tells the difference from the one it comes
/// closest to; `None` when it is one of them.
pub(super) fn difference<'t>(
    hashed: &str,
    right: impl Iterator<Item = (Version, &'t str)>,
) -> Option<Difference> {
    let shared = |text: &str| {
        let pairs = text.bytes().zip(hashed.bytes());
        pairs.take_while(|(ours, theirs)| ours == theirs).count()
    };
    let compared = right.map(|(version, text)| (shared(text), version, text));
    // The first of equals, for the newest version comes first.
    let closest = compared.reduce(|best, next| {
        if next.0 > best.0 || next.2 == hashed {
            next
        } else {
            best
        }
    });
    let (offset, version, text) = closest.filter(|(_, _, text)| *text != hashed)?;
    Some(Difference {
        version,
        path: path_at(text, offset),
        offset,
        right: excerpt(text, offset),
        hashed: excerpt(hashed, offset),
    })
}

fn excerpt(text: &str, offset: usize) -> String {
    let before = text.get(..floor(text, offset)).unwrap_or_default();
    let start = before
        .char_indices()
        .rev()
        .nth(BEFORE - 1)
        .map_or(0, |(at, _)| at);
    text.get(start..)
        .unwrap_or_default()
        .chars()
        .take(BEFORE + SHOWN)
        .collect()
}

/// The last place at or before `offset` where a character begins.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// An object or array that is open at some place of a text.
enum Open {
    Object(String),
    Array(usize),
}

/// The JSON pointer of the value that byte `offset` of a canonical text belongs to. Canonical texts
/// have no white space, so that a string before a colon is a name.
fn path_at(text: &str, offset: usize) -> String {
    let mut open: Vec<Open> = Vec::new();
    let mut bytes = text.bytes().enumerate().peekable();
    let mut string = None;
    let mut escaped = false;
    // What stands at the place itself ends or begins nothing yet: where one text ends a value and the
    // other goes on with it, they part within the value.
    while let Some((at, byte)) = bytes.next_if(|(at, _)| *at < offset) {
        if let Some(start) = string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    string = None;
                    let name = bytes.peek().is_some_and(|(_, next)| *next == b':');
                    if let (true, Some(Open::Object(known))) = (name, open.last_mut()) {
                        *known = text.get(start..at).unwrap_or_default().to_owned();
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => string = Some(at + 1),
            b'{' => open.push(Open::Object(String::new())),
            b'[' => open.push(Open::Array(0)),
            b'}' | b']' => drop(open.pop()),
            b',' => match open.last_mut() {
                Some(Open::Object(name)) => name.clear(),
                Some(Open::Array(index)) => *index += 1,
                None => {}
            },
            _ => {}
        }
    }
    let mut path = String::new();
    for place in open {
        match place {
            Open::Object(name) if name.is_empty() => {}
            Open::Object(name) => {
                path.push('/');
                path.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Open::Array(index) => {
                path.push('/');
                path.push_str(&index.to_string());
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_path_of_its_value() {
        let text = r#"{"a/b":[1,{"c":"x,\"}"},22],"d":null}"#;
        for (part, path) in [
            ("1,{", "/a~1b/0"),
            ("\"x", "/a~1b/1/c"),
            ("}\"}", "/a~1b/1/c"),
            ("22", "/a~1b/2"),
            ("null", "/d"),
        ] {
            assert_eq!(path_at(text, text.find(part).unwrap()), path, "{part}");
        }
        assert_eq!(path_at(text, 0), "");
        assert_eq!(path_at(text, text.len() + 9), "");
    }

    #[test]
    fn the_closest_text_is_compared() {
        let right = [
            (Version::V21, r#"{"amount":"5.50"}"#),
            (Version::V20, r#"{"amount":5.5}"#),
        ];
        let found = difference(r#"{"amount":5.50}"#, right.into_iter()).unwrap();
        assert_eq!(found.version, Version::V20);
        assert_eq!((found.path.as_str(), found.offset), ("/amount", 13));
        assert_eq!(
            (found.right.as_str(), found.hashed.as_str()),
            (right[1].1, r#"{"amount":5.50}"#)
        );
        assert_eq!(difference(right[1].1, right.into_iter()), None);
        assert_eq!(difference("", right.into_iter()).unwrap().version, Version::V21);
    }

    #[test]
    fn excerpts_are_short_and_cut_between_characters() {
        let long = format!("{}é{}", "ñ".repeat(100), "x".repeat(100));
        let other = format!("{}è{}", "ñ".repeat(100), "x".repeat(100));
        let found = difference(&other, [(Version::V21, long.as_str())].into_iter()).unwrap();
        assert_eq!(found.right.chars().count(), BEFORE + SHOWN);
        assert!(found.right.contains('é') && found.hashed.contains('è'));
    }
}
