//! What every operation may answer besides its success, and the headers of every answer.
//!
//! A handler lists the codes that are its own (`x-problems`). What follows from having a token, a
//! body or an id in the path is added here, so that no handler can forget it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::ingress::error::{Again, Code};

/// Where a handler lists its own codes; not part of the document.
const OWN: &str = "x-problems";

/// Of every operation: before it is known which one is asked for, and after.
const ALWAYS: [Code; 5] = [
    Code::MalformedRequest,
    Code::HeadersTimeout,
    Code::UriTooLong,
    Code::HeadersTooLarge,
    Code::Internal,
];
/// Of one that asks for a token.
const WITH_TOKEN: [Code; 4] = [
    Code::Unauthenticated,
    Code::NetworkRefused,
    Code::StoreUnavailable,
    Code::AnswerLate,
];
/// Of one that asks for an ability.
const WITH_ABILITY: [Code; 1] = [Code::AbilityMissing];
/// Of one whose ability is a terminal's.
const WITH_TERMINAL: [Code; 4] = [
    Code::TerminalRequired,
    Code::TerminalInactive,
    Code::RateLimited,
    Code::Blocked,
];
/// Of one with an id in its path.
const WITH_ID: [Code; 1] = [Code::NotFound];
/// Of one that takes JSON.
const WITH_BODY: [Code; 10] = [
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::UnsupportedContentEncoding,
    Code::BodyIncomplete,
    Code::BodyTimeout,
    Code::MalformedJson,
    Code::DuplicateMember,
    Code::JsonTooDeep,
    Code::JsonTooManyValues,
    Code::AnswerLate,
];

/// Completes every operation of `paths`.
pub(super) fn complete(paths: &mut Value) {
    let items = paths.as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in items.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(operation) = operation.as_object_mut() {
            let codes = codes(operation);
            operation.remove(OWN);
            if let Some(body) = operation.get_mut("requestBody").and_then(Value::as_object_mut) {
                let schema = &body["content"]["application/json"]["schema"];
                let may_be_left_out = array(schema.get("oneOf")).any(|one| one["type"] == "null");
                body.insert("required".to_owned(), (!may_be_left_out).into());
            }
            note_abilities(operation);
            let answers = operation.entry("responses").or_insert_with(|| json!({}));
            if let Some(answers) = answers.as_object_mut() {
                add(answers, &codes);
            }
        }
    }
}

/// Every code that the operation may answer.
///
/// # Panics
/// A handler lists a word that is no code. The document is made in tests before it is made anywhere
/// else.
#[expect(
    clippy::panic,
    reason = "a wrong annotation is a defect that the first test finds"
)]
fn codes(operation: &Map<String, Value>) -> Vec<Code> {
    let abilities = abilities(operation);
    let has_id = array(operation.get("parameters")).any(|parameter| parameter["in"] == "path");
    let of_terminal = |ability: &&str| !ability.starts_with("admin:");
    let mut codes = ALWAYS.to_vec();
    if let Some(abilities) = &abilities {
        codes.extend(WITH_TOKEN);
        if !abilities.is_empty() {
            codes.extend(WITH_ABILITY);
        }
        if abilities.iter().any(of_terminal) {
            codes.extend(WITH_TERMINAL);
        }
    }
    if has_id {
        codes.extend(WITH_ID);
    }
    if operation.contains_key("requestBody") {
        codes.extend(WITH_BODY);
    }
    for word in array(operation.get(OWN)) {
        let word = word.as_str().unwrap_or_default();
        codes.push(Code::of(word).unwrap_or_else(|| panic!("{word} is no error code")));
    }
    codes
}

/// The abilities that the operation asks for; `None` when it asks for no token.
fn abilities(operation: &Map<String, Value>) -> Option<Vec<&str>> {
    let required = array(operation.get("security")).find_map(|way| way.get(super::BEARER))?;
    Some(array(Some(required)).filter_map(Value::as_str).collect())
}

/// Tells a reader what the machine reads in `security`.
fn note_abilities(operation: &mut Map<String, Value>) {
    let Some(abilities) = abilities(operation) else {
        return;
    };
    let note = if abilities.is_empty() {
        "Any good token will do.".to_owned()
    } else {
        format!("Needs the ability `{}`.", abilities.join("` and `"))
    };
    let text = operation
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let text = format!("{text}\n\n{note}");
    operation.insert("description".to_owned(), text.trim().into());
}

fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Adds one answer a status, and the common headers to every answer.
fn add(answers: &mut Map<String, Value>, codes: &[Code]) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL.iter().filter(|code| codes.contains(code)) {
        by_status
            .entry(code.row().status.as_u16())
            .or_default()
            .push(*code);
    }
    for (status, codes) in by_status {
        let answer = answers.entry(status.to_string()).or_insert_with(|| json!({}));
        problem(answer, status, &codes);
    }
    for answer in answers.values_mut() {
        common_headers(answer);
    }
}

/// The problem documents of one status. An answer that the handler describes itself keeps its own form
/// beside it.
fn problem(answer: &mut Value, status: u16, codes: &[Code]) {
    let words: Vec<&str> = codes.iter().map(|code| code.row().word).collect();
    let lines = codes
        .iter()
        .map(|code| format!("* `{}`: {}", code.row().word, code.row().meaning));
    let lines: Vec<String> = lines.collect();
    let own = answer["description"].as_str().unwrap_or_default().to_owned();
    answer["description"] = format!("{own}\n{}", lines.join("\n")).trim().into();
    answer["content"]["application/problem+json"] = json!({
        "schema": {
            "allOf": [
                { "$ref": "#/components/schemas/Problem" },
                { "type": "object", "properties": { "status": { "const": status }, "code": { "enum": words } } },
            ],
        },
    });
    let waits = codes
        .iter()
        .filter(|code| code.row().again == Again::AfterWait)
        .count();
    if waits == codes.len() {
        answer["headers"]["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
    } else if waits > 0 {
        answer["headers"]["Retry-After"] = json!({ "$ref": "#/components/headers/MayRetryAfter" });
    }
    if codes.contains(&Code::Unauthenticated) {
        answer["headers"]["WWW-Authenticate"] = json!({ "$ref": "#/components/headers/Challenge" });
    }
}

fn common_headers(answer: &mut Value) {
    answer["headers"]["X-Request-Id"] = json!({ "$ref": "#/components/headers/RequestId" });
}

/// The headers that answers share.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The client's own `X-Request-Id` if it was 1 to 64 of `A-Z a-z 0-9 . _ -`, else a new one.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
        },
        "RetryAfter": {
            "description": "Seconds to wait; the same figure as `retry_after` in the body.",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 },
        },
        "MayRetryAfter": {
            "description": "Seconds to wait, where waiting helps; the same figure as `retry_after` in the body.",
            "required": false,
            "schema": { "type": "integer", "minimum": 1 },
        },
        "Challenge": {
            "description": "How to authenticate.",
            "required": true,
            "schema": { "type": "string", "const": "Bearer" },
        },
    })
}
