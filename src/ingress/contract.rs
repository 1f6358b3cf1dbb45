//! The contract: the OpenAPI document, made of the annotations at the handlers and the table of
//! errors, and the pages that show it. `docs/openapi.json` and `docs/errors.md` are what is made here.

mod answers;
mod errors;
mod pages;
mod reversal;
pub(super) mod schema;
mod submission;

use serde_json::{Value, json};
use utoipa::{PartialSchema, openapi::OpenApi};

pub use self::errors::errors_page;
pub(super) use self::pages::api as pages;
use super::problem;

/// What a client must know before it reads a single operation.
const ABOUT: &str = "\
Takes sales from point-of-sale terminals, keeps them, and says what became of them. The guide for \
vendors is `docs/integration.md`; every error code is explained at the `type` of its problem document \
and in `docs/errors.md`.

* A `2xx` to a `POST` means that it took effect and is on disk.
* The same request again gets the same status and the same body, for as long as the record is kept. \
Where an operation differs it says so.
* Every refusal is a problem document (RFC 9457): go by its `code`, never by its texts.
* Every answer carries `X-Request-Id`; name it when you ask for help.
* A path that is not in this document is a 404 `not_found`; a method that is not, a 405 \
`method_not_allowed` with `Allow`.
* Answers may gain members: ignore those you do not know.";

/// The name of the one security scheme. The roles of an operation are the abilities that its token
/// must carry.
const BEARER: &str = "bearer";

const TAGS: [(&str, &str); 6] = [
    ("sales", "What a terminal sends, and what became of it."),
    ("tokens", "How a terminal gets, keeps and looks at its token."),
    ("checksum", "Help with the payload checksum."),
    (
        "administration",
        "From the networks of `admin.allow` only. Every change is recorded with who made it.",
    ),
    ("contract", "This document, its page, and the error codes."),
    (
        "operations",
        "For monitoring. Also on the port of every role that is no ingress.",
    ),
];

/// The document as it is served and as it lies in `docs/openapi.json`.
#[must_use]
pub fn openapi() -> String {
    let mut text = serde_json::to_string_pretty(&document(super::routes::documented())).unwrap_or_default();
    text.push('\n');
    text
}

/// Adds to what the handlers say what is the same for all of them.
fn document(handlers: OpenApi) -> Value {
    let mut paths = serde_json::to_value(handlers.paths).unwrap_or_default();
    let mut schemas =
        serde_json::to_value(handlers.components.unwrap_or_default().schemas).unwrap_or_default();
    if let Some(schemas) = schemas.as_object_mut() {
        let problem = serde_json::to_value(problem::Document::schema()).unwrap_or_default();
        schemas.insert("Problem".to_owned(), problem);
        schemas.extend(submission::schemas());
        schemas.extend(reversal::schemas());
    }
    answers::complete(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "TSMS",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache License 2.0", "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "tags": TAGS.map(|(name, text)| json!({ "name": name, "description": text })),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": answers::headers(),
            "securitySchemes": {
                BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An opaque token, `tsms_…`. The names that an operation lists with it are \
                                    the abilities that the token must carry.",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests;
