//! Forms that the wire types share.

use utoipa::openapi::{
    ArrayBuilder, Object, ObjectBuilder, RefOr, Schema, Type,
    schema::{KnownFormat, SchemaFormat, SchemaType},
};

use crate::{domain::ability, ingress::admin::MOST_ABILITIES};

fn text(kind: SchemaType, form: Option<KnownFormat>, pattern: &str, what: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(kind)
        .format(form.map(SchemaFormat::KnownFormat))
        .pattern(Some(pattern))
        .description(Some(what))
        .build()
}

fn or_null(kind: Type) -> SchemaType {
    SchemaType::from_iter([kind, Type::Null])
}

const INSTANT: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$";
const INSTANT_TEXT: &str = "UTC, to the microsecond, e.g. `2026-11-22T10:00:00.123456Z`.";

/// A point in time as TSMS writes it.
pub(in crate::ingress) fn instant() -> RefOr<Schema> {
    text(
        Type::String.into(),
        Some(KnownFormat::DateTime),
        INSTANT,
        INSTANT_TEXT,
    )
    .into()
}

/// A point in time that may not have come.
pub(in crate::ingress) fn instant_or_null() -> RefOr<Schema> {
    text(
        or_null(Type::String),
        Some(KnownFormat::DateTime),
        INSTANT,
        INSTANT_TEXT,
    )
    .into()
}

/// What a token to be made may do.
pub(in crate::ingress) fn abilities() -> RefOr<Schema> {
    let words = ability::OF_TERMINALS.into_iter().chain(ability::OF_ADMINS);
    let word = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build();
    ArrayBuilder::new()
        .items(word)
        .max_items(Some(MOST_ABILITIES))
        .description(Some(
            "What it may do: of the words for terminals if it is for one, else of the `admin:` words. The usual \
             for a terminal unless given, and required for an administrator.",
        ))
        .build()
        .into()
}

/// An exact amount as TSMS writes it, or `null` where the sale has none.
pub(in crate::ingress) fn money_or_null() -> RefOr<Schema> {
    text(
        or_null(Type::String),
        None,
        r"^-?[0-9]{1,10}\.[0-9]{2}$",
        "Exact, with two decimals.",
    )
    .into()
}

/// An exact amount as TSMS writes it.
pub(in crate::ingress) fn money() -> RefOr<Schema> {
    text(
        Type::String.into(),
        None,
        r"^-?[0-9]{1,10}\.[0-9]{2}$",
        "Exact, with two decimals.",
    )
    .into()
}

/// A row id as text, so that no reader makes a float of it.
pub(in crate::ingress) fn row_id() -> RefOr<Schema> {
    text(
        Type::String.into(),
        None,
        "^[1-9][0-9]{0,18}$",
        "A whole number as text.",
    )
    .into()
}

/// Where a sale is looked up.
pub(in crate::ingress) fn status_url() -> RefOr<Schema> {
    let pattern = "^/api/v1/transactions/[0-9a-f-]{36}/status$";
    text(
        Type::String.into(),
        None,
        pattern,
        "Where to ask what became of the sale.",
    )
    .into()
}

/// Where a submission is looked up.
pub(in crate::ingress) fn submission_url() -> RefOr<Schema> {
    let pattern = "^/api/v1/submissions/[0-9a-f-]{36}$";
    text(
        Type::String.into(),
        None,
        pattern,
        "Where to ask what became of the submission.",
    )
    .into()
}
