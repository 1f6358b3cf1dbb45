mod agreement;

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::json::{Duplicates, Limits, parse};

const LIMITS: Limits = Limits {
    depth: 64,
    nodes: 100_000,
    duplicates: Duplicates::LastWins,
};

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

fn vectors() -> Value {
    serde_json::from_slice(&fixture("checksum-vectors.json")).unwrap()
}

fn hex(digest: Digest) -> String {
    data_encoding::HEXLOWER.encode(&digest)
}

fn text_of(text: &str, version: Version) -> String {
    canonical(&parse(text.as_bytes(), &LIMITS).unwrap(), version)
}

#[test]
fn every_vector_in_every_version() {
    let all = vectors();
    let cases = all["vectors"].as_array().unwrap();
    assert_eq!(cases.len(), 25);
    for case in cases {
        let input = case["input"].as_str().unwrap();
        let node = parse(input.as_bytes(), &LIMITS).unwrap();
        for version in Version::ALL {
            let expected = &case[version.name()];
            assert_eq!(
                canonical(&node, version),
                expected["canonical"].as_str().unwrap(),
                "{}",
                case["name"]
            );
            assert_eq!(
                hex(digest(&node, version)),
                expected["sha256"].as_str().unwrap(),
                "{}",
                case["name"]
            );
        }
    }
}

#[test]
fn random_documents_hash_as_in_the_field() {
    let all: Value = serde_json::from_slice(&fixture("checksum-random.json")).unwrap();
    let documents = all["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 250);
    for document in documents {
        let input = document["input"].as_str().unwrap();
        let node = parse(input.as_bytes(), &LIMITS).unwrap();
        for version in Version::ALL {
            assert_eq!(
                hex(digest(&node, version)),
                document[version.name()].as_str().unwrap(),
                "{input}"
            );
        }
    }
}

#[test]
fn the_worked_example_of_the_docs_is_right() {
    let page = include_str!("../../../docs/checksum-examples.md");
    let block = |info: &str| {
        let (_, rest) = page.split_once(&format!("```{info}\n")).unwrap();
        rest.split("```").next().unwrap().trim_end().to_owned()
    };
    let sample = block("json");
    for version in [Version::V1, Version::V21] {
        let shown = format!(
            "{}\n{}",
            text_of(&sample, version),
            hex(digest(&parse(sample.as_bytes(), &LIMITS).unwrap(), version))
        );
        assert_eq!(shown, block(&format!("text {}", version.name())));
    }
}

#[test]
fn every_envelope_fits_its_version_and_no_other() {
    let all = vectors();
    let envelopes = all["envelopes"].as_object().unwrap();
    assert_eq!(envelopes.len(), 6);
    for (name, envelope) in envelopes {
        // Printed with other spaces and member order than sent: neither matters.
        let text = serde_json::to_string_pretty(envelope).unwrap();
        let node = parse(text.as_bytes(), &LIMITS).unwrap();
        let version = verify(&node).unwrap();
        assert!(name.ends_with(version.name()), "{name} fits {version:?}");
        for level in levels(&node) {
            assert_eq!(
                Some(&*hex(digest(level.node, version))),
                level.given(),
                "{name}{}",
                level.pointer()
            );
        }
    }
    for (file, version) in [
        ("env_single-v1.json", Version::V1),
        ("env_batch-v1.json", Version::V1),
        ("env_single-v2.1.json", Version::V21),
    ] {
        assert_eq!(
            verify(&parse(&fixture(file), &LIMITS).unwrap()),
            Ok(version),
            "{file}"
        );
    }
}

#[test]
fn the_forwarding_checksums() {
    let all = vectors();
    let item = &all["forward_v1_item"];
    let input = item["input"].as_str().unwrap();
    assert_eq!(text_of(input, Version::V1), item["canonical"].as_str().unwrap());
    let node = parse(input.as_bytes(), &LIMITS).unwrap();
    assert_eq!(hex(digest(&node, Version::V1)), item["sha256"].as_str().unwrap());
    let batch = &all["forward_v2_batch_checksum"];
    let sum = sha256(batch["string"].as_str().unwrap().as_bytes());
    assert_eq!(hex(sum), batch["sha256"].as_str().unwrap());
}

#[test]
fn a_wrong_level_is_named_and_the_right_hash_is_not() {
    let body = String::from_utf8(fixture("env_batch-v1.json")).unwrap();
    let pointers = |text: &str| -> Vec<String> {
        let node = parse(text.as_bytes(), &LIMITS).unwrap();
        verify(&node)
            .unwrap_err()
            .into_iter()
            .map(|mismatch| mismatch.pointer)
            .collect()
    };
    let second = body.replacen("1234.5", "1234.6", 1);
    assert_eq!(
        pointers(&second),
        ["/transactions/1/payload_checksum", "/payload_checksum"]
    );
    let outer = body.replacen("\"tenant_id\": 125", "\"tenant_id\": 126", 1);
    assert_eq!(pointers(&outer), ["/payload_checksum"]);
    let short = body.replacen("7314d6", "7314d", 1);
    assert_eq!(pointers(&short), ["/payload_checksum"]);
    assert_eq!(pointers("{}"), ["/payload_checksum"]);
    assert_eq!(pointers("[]"), ["/payload_checksum"]);
    let upper = body.replacen("7314d6496ce2", "7314D6496CE2", 1);
    assert_eq!(
        verify(&parse(upper.as_bytes(), &LIMITS).unwrap()),
        Ok(Version::V1)
    );
}

#[test]
fn versions_are_never_mixed() {
    let inner = r#"{"amount":1.5}"#;
    let node = parse(inner.as_bytes(), &LIMITS).unwrap();
    let item = hex(digest(&node, Version::V20));
    let bare = format!(r#"{{"transaction":{{"amount":1.5,"payload_checksum":"{item}"}}}}"#);
    let envelope = parse(bare.as_bytes(), &LIMITS).unwrap();
    for (version, fits) in [(Version::V20, true), (Version::V21, false)] {
        let outer = hex(digest(&envelope, version));
        let whole = bare.replacen('{', &format!(r#"{{"payload_checksum":"{outer}","#), 1);
        let whole = parse(whole.as_bytes(), &LIMITS).unwrap();
        assert_eq!(verify(&whole).is_ok(), fits);
    }
}

#[test]
fn casts_of_odd_values_under_v1() {
    for (value, expected) in [
        ("null", "0"),
        ("true", "1"),
        ("false", "0"),
        ("[]", "0"),
        ("{}", "0"),
        ("[0]", "1"),
        (r#"{"a":0}"#, "1"),
        (r#""""#, "0"),
        (r#""abc""#, "0"),
        (r#""1,000.00""#, "1"),
        (r#""1e5x""#, "100000"),
        (r#""1e""#, "1"),
        (r#""0x1A""#, "0"),
        (r#"" \t\n5 ""#, "5"),
        (r#""\u000b1""#, "1"),
        (r#""-0""#, "-0"),
        ("-0", "0"),
        ("-0.0", "-0"),
        (r#""-abc""#, "0"),
        (r#""+.5""#, "0.5"),
        (r#""5.""#, "5"),
        ("9007199254740993", "9007199254740992"),
        (r#""1e999""#, "INF"),
        ("1e-400", "0"),
        ("1154390344037963.2", "1154390344037963.2"),
        ("1154390344037963.25", "1154390344037963.2"),
        ("-1e-400", "-0"),
    ] {
        let text = text_of(&format!(r#"{{"amount":{value}}}"#), Version::V1);
        assert_eq!(text, format!(r#"{{"amount":{expected}}}"#), "{value}");
    }
}

#[test]
fn two_decimals_under_v21() {
    for (value, expected) in [
        ("0.285", "0.29"),
        ("1.115", "1.12"),
        ("10.235", "10.24"),
        ("-0.001", "0.00"),
        ("-0.005", "-0.01"),
        ("1e15", "1000000000000000.00"),
        ("123456789012345.67", "123456789012345.67"),
        ("99999999999.995", "100000000000.00"),
        ("1e22", "10000000000000000000000.00"),
        ("9007199254740993", "9007199254740992.00"),
        ("0.00499999999999999999", "0.01"),
        ("1.00499999999999999999", "1.01"),
        ("-0", "0.00"),
        ("1e999", "inf"),
    ] {
        for value in [value.to_owned(), format!("\"{value}\"")] {
            let text = text_of(&format!(r#"{{"amount":{value}}}"#), Version::V21);
            assert_eq!(text, format!(r#"{{"amount":"{expected}"}}"#), "{value}");
        }
    }
    let odd = r#"{"amount":[{"amount":1}],"gross_sales":true,"net_sales":"1e"}"#;
    let expected = r#"{"amount":[{"amount":"1.00"}],"gross_sales":true,"net_sales":"1e"}"#;
    assert_eq!(text_of(odd, Version::V21), expected);
}

#[test]
fn names_that_look_like_numbers() {
    for (input, expected) in [
        (
            r#"{"5x":1,"10":2,"9":3,"é":4,"~":5}"#,
            r#"{"10":2,"5x":1,"9":3,"~":5,"é":4}"#,
        ),
        (
            r#"{"9.5":1,"10":2,"1e1":3,"a":4," 5":5,"007":6,"-5":7,"-0":8,"1.0":9}"#,
            r#"{"-5":7,"-0":8,"1.0":9," 5":5,"007":6,"9.5":1,"10":2,"1e1":3,"a":4}"#,
        ),
        (
            r#"{"":1,"0":2,"-":3,"-1":4," ":5,"!":6,":":7}"#,
            r#"{"":1," ":5,"!":6,"-":3,"-1":4,"0":2,":":7}"#,
        ),
        (r#"{"00":1}"#, r#"{"00":1}"#),
        (r#"{"0":{"payload_checksum":1}}"#, r#"[{"payload_checksum":1}]"#),
        (r#"{"1":0,"payload_checksum":"x","0":1}"#, "[1,0]"),
        (r#"{"payload_checksum":"x"}"#, "[]"),
        (r#"{"1":0}"#, r#"{"1":0}"#),
    ] {
        if input.starts_with("{\"5x") {
            // No consistent order exists; only that it does not depend on the order sent.
            let turned = r#"{"9":3,"~":5,"10":2,"é":4,"5x":1}"#;
            assert_eq!(text_of(input, Version::V1), text_of(turned, Version::V1));
        } else {
            assert_eq!(text_of(input, Version::V1), expected);
        }
    }
}

proptest! {
    #[test]
    fn member_order_and_blanks_never_matter(
        names in proptest::collection::btree_set("[a-zA-Z_0-9é.-]{0,3}", 0..24), seed in any::<u64>(),
    ) {
        let members: Vec<String> = names.iter().enumerate().map(|(n, name)| format!("\"{name}\":{n}")).collect();
        let mut turned = members.clone();
        let places = u64::try_from(turned.len().max(1)).unwrap();
        turned.rotate_left(usize::try_from(seed % places).unwrap());
        if seed % 2 == 0 { turned.reverse(); }
        let (one, two) = (format!("{{{}}}", members.join(",")), format!("{{ {} }}", turned.join(" ,\n")));
        for version in Version::ALL {
            prop_assert_eq!(text_of(&one, version), text_of(&two, version));
        }
    }

    #[test]
    fn the_short_way_prints_what_the_double_prints(
        digits in 0_u64..1_000_000_000_000_000, exponent in -40_i32..40, negative in any::<bool>(),
    ) {
        let text = format!("{}{digits}e{exponent}", if negative { "-" } else { "" });
        let mut short = String::new();
        number::write_cast_number(&mut short, &text);
        // Padded beyond 15 digits the same number takes the way through the double.
        prop_assert_eq!(short.parse::<f64>().unwrap(), text.parse::<f64>().unwrap());
        let shortest = format!("{:e}", text.parse::<f64>().unwrap());
        let count = |text: &str| {
            let mantissa = text.split('e').next().unwrap_or_default();
            let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').len()
        };
        prop_assert_eq!(count(&short), count(&shortest));
    }

    #[test]
    fn every_document_has_a_text_that_is_json(body in "\\PC{0,40}") {
        let quoted = serde_json::to_string(&body).unwrap();
        let text = text_of(&format!("{{{quoted}:{quoted},\"amount\":{quoted}}}"), Version::V20);
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        prop_assert!(text.contains("INF") || value.is_object());
    }
}
