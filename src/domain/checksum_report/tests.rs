use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

const LIMITS: Limits = Limits {
    depth: 16,
    nodes: 50_000,
    duplicates: Duplicates::Refuse,
};

fn fixture(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn of(body: &str) -> Report {
    report(body.as_bytes(), &LIMITS).unwrap()
}

/// The hints for a void whose checksum is that of `hashed`.
fn hints_for(members: &Value, hashed: &str) -> Vec<String> {
    let mut body = members.clone();
    let sum = data_encoding::HEXLOWER.encode(&sha256(hashed.as_bytes()));
    body.as_object_mut()
        .unwrap()
        .insert("payload_checksum".to_owned(), json!(sum));
    let report = of(&body.to_string());
    assert_eq!(report.fits, None);
    report.hints
}

#[test]
fn a_right_body_fits_and_needs_no_hint() {
    let report = of(&fixture("env_batch-v1.json"));
    assert_eq!(report.fits, Some(Version::V1));
    assert!(report.hints.is_empty());
    let pointers: Vec<&str> = report.levels.iter().map(|level| level.pointer.as_str()).collect();
    assert_eq!(pointers, ["/transactions/0", "/transactions/1", ""]);
    for level in &report.levels {
        assert!(level.matches(Version::V1) && level.versions.len() == 3);
        let right = level.versions.iter().find(|version| version.matches).unwrap();
        assert_eq!(Some(&right.sha256), level.given.as_ref());
        assert!(right.canonical.starts_with(r#"{"#) && !right.canonical.contains(": "));
    }
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.starts_with(r#"{"fits":"v1","levels":[{"pointer":"/transactions/0","given":"1b87"#));
}

#[test]
fn a_bare_object_is_one_level() {
    let void = r#"{"transaction_id":"550e8400-e29b-41d4-a716-446655440000","void_reason":"Customer requested cancellation"}"#;
    let report = of(void);
    assert_eq!(report.levels.len(), 1);
    let sum = "d72c898d9debaa8e7730a9710625f4e9b0d73ee7bc97dfb7a87ebecd7f6d2656";
    assert!(
        report.levels[0]
            .versions
            .iter()
            .all(|version| version.sha256 == sum)
    );
    assert_eq!(report.hints, ["the body has no payload_checksum"]);
}

#[test]
fn each_flaw_is_named() {
    let body = json!({ "b": "ñ/x", "amount": "5.50", "a": 1 });
    for (hashed, expected) in [
        (r#"{"a":1,"amount":"5.50","b":"\u00f1/x"}"#, "\\u escapes"),
        (r#"{"a":1,"amount":"5.50","b":"ñ\/x"}"#, "slashes"),
        (r#"{"a": 1, "amount": "5.50", "b": "ñ/x"}"#, "blanks"),
        (
            r#"{"a":1,"amount":"5.50","b":"ñ/x","payload_checksum":""}"#,
            "empty string",
        ),
        (
            r#"{"a":1,"amount":"5.50","b":"ñ/x","payload_checksum":null}"#,
            "null",
        ),
        ("{\"a\":1,\"amount\":\"5.50\",\"b\":\"ñ/x\"}\n", "line end"),
    ] {
        let hints = hints_for(&body, hashed);
        assert!(
            hints.len() == 1 && hints[0].contains(expected) && hints[0].contains("v2.1"),
            "{hints:?}"
        );
    }
    let both = hints_for(&body, r#"{"a": 1, "amount": "5.50", "b": "\u00f1/x"}"#);
    assert!(
        both[0].contains("blanks") && both[0].contains("\\u escapes"),
        "{both:?}"
    );
    assert!(hints_for(&body, "something else").is_empty());

    let raw = r#"{"z":1.50,"a":100.00}"#;
    let sum = data_encoding::HEXLOWER.encode(&sha256(raw.as_bytes()));
    let report = of(&format!(r#"{{"z":1.50,"a":100.00,"payload_checksum":"{sum}"}}"#));
    assert!(report.hints[0].contains("order sent") && report.hints[0].contains("as written"));
}

#[test]
fn an_envelope_hashed_without_the_inner_checksums_is_told() {
    let envelope: Value = serde_json::from_str(&fixture("env_single-v2.1.json")).unwrap();
    let mut stripped = envelope.clone();
    stripped["transaction"]
        .as_object_mut()
        .unwrap()
        .remove("payload_checksum");
    let wrong = of(&stripped.to_string()).levels.pop().unwrap().versions[0]
        .sha256
        .clone();
    let mut body = envelope;
    body["payload_checksum"] = json!(wrong);
    let report = of(&body.to_string());
    assert!(report.hints[0].contains("hashed last"));
    assert!(
        report.hints[1].contains("taken out of the transactions"),
        "{:?}",
        report.hints
    );
}

#[test]
fn mixed_versions_and_refused_bodies_are_told() {
    let item = r#"{"amount":1.5,"payload_checksum":"ITEM"}"#;
    let sum = |body: &str, version: usize| of(body).levels.pop().unwrap().versions[version].sha256.clone();
    let item = item.replace("ITEM", &sum(item, 0));
    let envelope = format!(r#"{{"transaction":{item},"payload_checksum":"OUTER"}}"#);
    let body = envelope.replace("OUTER", &sum(&envelope, 1));
    let report = of(&body);
    assert_eq!(report.fits, None);
    assert!(report.hints[0].contains("not all the same"), "{:?}", report.hints);

    let twice = of(r#"{"a":1,"a":2}"#);
    assert!(twice.hints[0].contains("duplicate member"));
    assert_eq!(twice.levels[0].versions[0].canonical, r#"{"a":2}"#);
    let both = of(r#"{"transaction":{},"transactions":[]}"#);
    assert!(both.hints[0].contains("both"));
    let short = of(r#"{"payload_checksum":"abc"}"#);
    assert!(short.hints[0].contains("64 hexadecimal digits"));
    assert!(super::report(b"{", &LIMITS).is_err());
}
