//! What is wrong with the content of a body, in the words of the table.

use super::Error;
use crate::domain::{
    json,
    payload::{FieldError, Refusal},
};

/// Longest piece of a client's own text that is repeated in an answer, in characters.
const ECHO_CHARS: usize = 64;

impl Error {
    /// The refusal of a body, with at most `most` errors named.
    pub(in crate::ingress) fn refused(refusal: Refusal, most: usize) -> Self {
        match refusal {
            Refusal::Json(error) => Error::Json(error),
            Refusal::TooMany { count, limit } => Error::TooManyTransactions { count, limit },
            Refusal::Fields(mut errors) => {
                errors.truncate(most);
                Error::Fields(errors)
            }
            Refusal::Checksum(levels) => Error::Checksum(
                levels
                    .into_iter()
                    .take(most)
                    .map(|level| FieldError {
                        pointer: level.pointer,
                        code: "mismatch",
                        message: "does not match the content under any version of the checksum rule"
                            .to_owned(),
                    })
                    .collect(),
            ),
        }
    }
}

pub(super) fn json_detail(error: &json::JsonError) -> String {
    let offset = error.offset;
    match &error.problem {
        json::Problem::Malformed(what) => format!("Malformed JSON at byte {offset}: {what}."),
        json::Problem::Duplicate { name } => {
            let name: String = name.chars().take(ECHO_CHARS).collect();
            format!("The member {name:?} comes a second time in one object, at byte {offset}.")
        }
        json::Problem::TooDeep => format!("Arrays and objects are nested too deeply at byte {offset}."),
        json::Problem::TooMany => {
            format!("The body holds too many values; the limit is passed at byte {offset}.")
        }
    }
}
