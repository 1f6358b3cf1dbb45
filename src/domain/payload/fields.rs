//! Reading single members: what is missing or wrong is noted under its JSON pointer, and reading goes on,
//! so that a client sees all errors of a body at once.

use std::borrow::Cow;

use uuid::Uuid;

use super::FieldError;
use crate::domain::{
    checksum::{Digest, from_hex},
    json::Node,
    money::{Money, MoneyError},
    time::Timestamp,
};

/// Characters of a member name shown in a pointer; no name of the contract comes near.
const MAX_NAME: usize = 64;

/// Where in the body; costs nothing until an error is written.
#[derive(Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl Path<'_> {
    pub(super) fn pointer(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        match self {
            Path::Root => {}
            Path::Member(parent, name) => {
                parent.write(out);
                out.push('/');
                let shown: String = name.chars().take(MAX_NAME).collect();
                out.push_str(&shown.replace('~', "~0").replace('/', "~1"));
            }
            Path::Item(parent, index) => {
                parent.write(out);
                out.push('/');
                out.push_str(&index.to_string());
            }
        }
    }
}

/// The errors found so far, at most `max` of them, each code once a place.
pub(super) struct Errors {
    list: Vec<FieldError>,
    max: usize,
}

impl Errors {
    pub(super) fn new(max: usize) -> Self {
        Self {
            list: Vec::new(),
            max: max.max(1),
        }
    }

    pub(super) fn add(&mut self, path: &Path<'_>, code: &'static str, message: impl Into<String>) {
        if self.full() {
            return;
        }
        let pointer = path.pointer();
        if !self
            .list
            .iter()
            .any(|known| known.pointer == pointer && known.code == code)
        {
            self.list.push(FieldError {
                pointer,
                code,
                message: message.into(),
            });
        }
    }

    pub(super) fn full(&self) -> bool {
        self.list.len() >= self.max
    }

    pub(super) fn into_result(self) -> Result<(), Vec<FieldError>> {
        if self.list.is_empty() {
            Ok(())
        } else {
            Err(self.list)
        }
    }
}

/// The members of one object. `null` counts as missing: many clients send every property they know.
pub(super) struct Fields<'p, 'n, 'a> {
    pub(super) path: Path<'p>,
    members: &'n [(Cow<'a, str>, Node<'a>)],
}

impl<'p, 'n, 'a> Fields<'p, 'n, 'a> {
    pub(super) fn of(node: &'n Node<'a>, path: Path<'p>, errors: &mut Errors) -> Option<Self> {
        let Node::Object(members) = node else {
            errors.add(&path, "type", "an object is expected");
            return None;
        };
        Some(Self { path, members })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'n Node<'a>> {
        let found = self.members.iter().find(|(known, _)| known == name);
        found.map(|(_, node)| node).filter(|node| **node != Node::Null)
    }

    pub(super) fn error(&self, name: &str, code: &'static str, message: &str, errors: &mut Errors) {
        errors.add(&Path::Member(&self.path, name), code, message);
    }

    /// A member that must be there.
    pub(super) fn required(&self, name: &str, errors: &mut Errors) -> Option<&'n Node<'a>> {
        let node = self.get(name);
        if node.is_none() {
            self.error(name, "required", "is required", errors);
        }
        node
    }

    /// A string that must be there and pass `read`; `form` says what is expected.
    fn read_string<T>(
        &self,
        name: &str,
        form: &str,
        errors: &mut Errors,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Node::String(text) = self.required(name, errors)? else {
            self.error(name, "type", form, errors);
            return None;
        };
        let value = read(text);
        if value.is_none() {
            self.error(name, "format", form, errors);
        }
        value
    }

    pub(super) fn uuid(&self, name: &str, errors: &mut Errors) -> Option<Uuid> {
        self.read_string(name, "a UUID of 36 characters is expected", errors, |text| {
            (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
        })
    }

    pub(super) fn timestamp(&self, name: &str, errors: &mut Errors) -> Option<Timestamp> {
        let form = "a UTC time of the form 2025-08-19T10:00:00Z is expected";
        self.read_string(name, form, errors, |text| Timestamp::parse(text).ok())
    }

    pub(super) fn checksum(&self, name: &str, errors: &mut Errors) -> Option<Digest> {
        self.read_string(name, "64 hexadecimal digits are expected", errors, from_hex)
    }

    /// A whole number from 1 on; as a string too, as in the field.
    pub(super) fn integer(&self, name: &str, errors: &mut Errors) -> Option<i64> {
        let text = match self.required(name, errors)? {
            Node::Number(text) => text,
            Node::String(text) => &**text,
            _ => {
                self.error(name, "type", "a whole number is expected", errors);
                return None;
            }
        };
        let Some(value) = whole(text) else {
            self.error(name, "format", "a whole number is expected", errors);
            return None;
        };
        if value < 1 {
            self.error(name, "range", "must be at least 1", errors);
            return None;
        }
        Some(value)
    }

    /// An amount as number or numeric string, with the flag of [`Money::parse`].
    pub(super) fn money(&self, name: &str, errors: &mut Errors) -> Option<(Money, bool)> {
        let node = self.required(name, errors)?;
        let (Node::Number(_) | Node::String(_)) = node else {
            self.error(name, "type", "an amount is expected", errors);
            return None;
        };
        let text = match node {
            Node::Number(text) => text,
            Node::String(text) => &**text,
            _ => "",
        };
        match Money::parse(text) {
            Ok(amount) => Some(amount),
            Err(MoneyError::NotANumber) => {
                self.error(name, "format", "a decimal number is expected", errors);
                None
            }
            Err(error @ MoneyError::OutOfRange) => {
                self.error(name, "range", &error.to_string(), errors);
                None
            }
        }
    }

    /// A text for people, without blanks around it; an empty one counts as missing. Control
    /// characters are refused: the text is shown in pages, logs and exports.
    pub(super) fn text(&self, name: &str, longest: usize, errors: &mut Errors) -> Option<&'n str> {
        let text = match self.get(name)? {
            Node::String(text) => text.trim_matches(' '),
            _ => {
                self.error(name, "type", "a string is expected", errors);
                return None;
            }
        };
        // Most texts are ASCII, where a character is a byte and one test tells what cannot be shown.
        let (shown, length) = if text.is_ascii() {
            (!text.bytes().any(|byte| byte.is_ascii_control()), text.len())
        } else {
            (!text.chars().any(is_unshowable), text.chars().count())
        };
        if !shown {
            self.error(name, "format", "control characters are not allowed", errors);
            return None;
        }
        if length > longest {
            self.error(
                name,
                "too_long",
                &format!("at most {longest} characters are allowed"),
                errors,
            );
            return None;
        }
        Some(text).filter(|text| !text.is_empty())
    }

    /// As [`Fields::text`], for a member that must be there.
    pub(super) fn required_text(&self, name: &str, longest: usize, errors: &mut Errors) -> Option<&'n str> {
        match self.get(name) {
            None => {
                self.required(name, errors);
                None
            }
            Some(Node::String(text)) if text.trim_matches(' ').is_empty() => {
                self.error(name, "required", "must not be empty", errors);
                None
            }
            Some(_) => self.text(name, longest, errors),
        }
    }
}

/// A whole number however it is written: `125`, `125.0`, `1.25e2`.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| match Money::parse(text) {
        Ok((value, true)) if value.minor() % 100 == 0 => Some(value.minor() / 100),
        _ => None,
    })
}

/// Control characters, line separators, and marks that turn the direction of text.
fn is_unshowable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}
