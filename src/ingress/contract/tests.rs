use std::collections::HashSet;

use super::*;

fn parsed() -> Value {
    serde_json::from_str(&openapi()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let mut found = Vec::new();
    for (path, item) in paths {
        for method in ["get", "put", "post", "delete", "patch"] {
            if let Some(operation) = item.get(method) {
                found.push((format!("{method} {path}"), operation));
            }
        }
    }
    found
}

/// Every value under a key, anywhere.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                if name == key {
                    found.push(inner);
                }
                all(inner, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| all(item, key, found)),
        _ => {}
    }
}

#[test]
fn the_files_in_docs_are_what_the_code_says() {
    for (file, made, command) in [
        ("docs/openapi.json", openapi(), "openapi"),
        ("docs/errors.md", errors_page(), "errors"),
    ] {
        let kept = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR")));
        assert!(
            kept.unwrap_or_default() == made,
            "{file} is not what the code says; look at the difference and keep it with\n  \
             cargo run -- contract {command} > {file}"
        );
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = parsed();
    let mut references = Vec::new();
    all(&document, "$ref", &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_operation_says_what_it_is_and_what_it_answers() {
    let document = parsed();
    let mut names = HashSet::new();
    let tags: HashSet<&str> = TAGS.iter().map(|(name, _)| *name).collect();
    for (operation, about) in operations(&document) {
        assert!(
            about["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{operation} has no summary"
        );
        let name = about["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} is used twice");
        let tag = about["tags"][0].as_str().unwrap();
        assert!(
            tags.contains(tag),
            "{operation} has a tag that nobody explains: {tag}"
        );
        assert!(about.get("x-problems").is_none(), "{operation}");
        let answers = about["responses"].as_object().unwrap();
        assert!(
            answers.keys().any(|status| status.starts_with('2')),
            "{operation} has no success"
        );
        assert!(answers.contains_key("500"), "{operation}");
        for (status, answer) in answers {
            let place = format!("{status} of {operation}");
            assert!(
                answer["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{place} says nothing"
            );
            assert!(
                answer["headers"]["X-Request-Id"].is_object(),
                "{place} has no request id"
            );
        }
    }
    assert!(!names.is_empty());
}

#[test]
fn what_asks_for_a_token_says_what_a_bad_one_gets() {
    let document = parsed();
    let guarded: Vec<_> = operations(&document)
        .into_iter()
        .filter(|(_, about)| about["security"].is_array())
        .collect();
    assert!(guarded.len() >= 3);
    for (operation, about) in guarded {
        let answer = &about["responses"]["401"];
        assert!(answer.to_string().contains("unauthenticated"), "{operation}");
        assert!(answer["headers"]["WWW-Authenticate"].is_object(), "{operation}");
        assert!(
            about["description"].as_str().unwrap().contains("token")
                || about["description"].as_str().unwrap().contains("ability"),
            "{operation}"
        );
    }
}

#[test]
fn whoever_is_told_to_wait_finds_the_header_in_the_document() {
    let document = parsed();
    for (operation, about) in operations(&document) {
        for (status, answer) in about["responses"].as_object().unwrap() {
            let words = answer["content"]["application/problem+json"].to_string();
            if ["429", "503"].contains(&status.as_str())
                && words.contains("enum")
                && answer["content"].as_object().unwrap().len() == 1
            {
                assert!(
                    answer["headers"]["Retry-After"].is_object(),
                    "{status} of {operation}"
                );
            }
        }
    }
}

#[test]
fn the_page_names_no_other_host() {
    for text in [include_str!("docs.html"), include_str!("docs.js")] {
        assert!(!text.contains("://") && !text.contains("\"//"), "{text}");
    }
}
