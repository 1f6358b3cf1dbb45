//! Small JSON bodies of the requests that are not sales: read whole, strictly, into a struct.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};

use super::{App, body, deadline::Deadline, error::Error};
use crate::domain::{json, payload::FieldError};

/// Longest explanation of a field error, in characters; it may repeat what was sent.
const LONGEST_MESSAGE: usize = 120;

/// A JSON body of at most `auth.max_body_bytes`. Members that `T` does not know are ignored, as in sales.
pub(super) struct Form<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Form<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Error> {
        let limit = app.config.auth.max_body_bytes;
        body::announced(request.headers(), limit)?;
        let (mut parts, body) = request.into_parts();
        let deadline = Deadline::from_request_parts(&mut parts, app).await?;
        let bytes = deadline
            .bound(body::read(body, limit, limit), || Error::BodyLate)
            .await??;
        json::parse(&bytes, &app.bounds.json).map_err(Error::Json)?;
        if !is_object(&bytes) {
            return Err(Error::Fields(vec![FieldError {
                pointer: String::new(),
                code: "type",
                message: "must be an object".to_owned(),
            }]));
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(&mut reader)
            .map(Self)
            .map_err(|error| refused(&error))
    }
}

/// Whether a JSON text is an object. serde reads the members of a struct from an array as well, in
/// their order, which nobody means.
pub(super) fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

/// The first member that is missing or of another type.
fn refused(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let text = error.inner().to_string();
    // The place in the text says nothing to whoever built the body from values.
    let text = text.split(" at line ").next().unwrap_or_default();
    let missing = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'));
    let path: String = error.path().iter().map(|segment| format!("/{segment}")).collect();
    let (pointer, code, message) = match missing {
        Some(name) => (format!("{path}/{name}"), "required", "is required".to_owned()),
        None => (path, "type", text.chars().take(LONGEST_MESSAGE).collect()),
    };
    Error::Fields(vec![FieldError {
        pointer,
        code,
        message,
    }])
}

/// Refuses the member `name`.
pub(super) fn wrong(name: &str, message: impl Into<String>) -> Error {
    Error::Fields(vec![FieldError {
        pointer: format!("/{name}"),
        code: "format",
        message: message.into(),
    }])
}

/// Refuses a text that is empty, too long, or holds control characters.
pub(super) fn text(name: &str, value: &str, longest: usize) -> Result<(), Error> {
    let length = value.chars().count();
    if length == 0 || length > longest || value.chars().any(char::is_control) {
        return Err(wrong(
            name,
            format!("must be 1 to {longest} characters, none of them a control character"),
        ));
    }
    Ok(())
}

/// For a member where `null` is a value and its absence is another: `#[serde(default, deserialize_with)]`.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// For a whole number that a client may have written as `7.0`, which is one too in JSON:
/// `#[serde(default, deserialize_with)]`.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let text = number.to_string();
    let text = text.strip_suffix(".0").unwrap_or(&text);
    let whole = text
        .parse()
        .map_err(|_| D::Error::custom("must be a whole number within its bounds"));
    whole.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let read = |text: &str| whole(&mut serde_json::Deserializer::from_str(text)).ok();
        for (text, number) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("7e2", Some(700)),
            ("null", None),
        ] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for none in ["7.5", "-1", "4294967296", "\"7\"", "1e300"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Sample {
        name: String,
        count: Option<u32>,
    }

    fn first_error(text: &str) -> (String, &'static str) {
        let mut reader = serde_json::Deserializer::from_str(text);
        let error = serde_path_to_error::deserialize::<_, Sample>(&mut reader).unwrap_err();
        match refused(&error) {
            Error::Fields(mut errors) => {
                let error = errors.remove(0);
                assert!(error.message.chars().count() <= LONGEST_MESSAGE);
                (error.pointer, error.code)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_member_is_named() {
        assert_eq!(first_error("{}"), ("/name".to_owned(), "required"));
        assert_eq!(first_error(r#"{"name": 7}"#), ("/name".to_owned(), "type"));
        let long = format!(r#"{{"name": "a", "count": "{}"}}"#, "x".repeat(500));
        assert_eq!(first_error(&long), ("/count".to_owned(), "type"));
        assert!(text("name", "a", 1).is_ok());
        for wrong in ["", "ab", "\n"] {
            assert!(text("name", wrong, 1).is_err(), "{wrong:?}");
        }
        assert!(is_object(b" \n{}"));
        assert!(!is_object(b"[null, null]") && !is_object(b"null"));
    }
}
