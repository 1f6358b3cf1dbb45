//! The short ways and the definition give the same text, hash and verdict.

use proptest::{prelude::*, sample::select};

use super::*;
use crate::domain::checksum::by_definition;

/// Documents tried by each test.
const CASES: u32 = 4_000;

/// Numbers as JSON may have them, most of them at an edge: digits kept by a double, places before and
/// after the point, exponents, signs, zeros.
fn number() -> impl Strategy<Value = String> {
    let edge = select(vec![
        "0",
        "-0",
        "0.0",
        "-0.0",
        "0.00",
        "-0.00",
        "0.0001",
        "0.00001",
        "0.1000",
        "0.10000",
        "10.50",
        "100",
        "99999999999",
        "99999999999.9999",
        "100000000000",
        "100000000000.5",
        "123456789012345",
        "1234567890123456",
        "12345678901234567",
        "123456789012.345",
        "1234567890123.45",
        "0.285",
        "1.005",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551616",
        "1e3",
        "1E+3",
        "1.50e2",
        "1e-7",
        "1e17",
        "1e18",
        "1e22",
        "1e400",
        "1e-400",
        "4.35",
        "-4.35",
        "-100.00",
        "0.005",
        "-0.005",
        "0.004",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        edge,
        "(0|[1-9][0-9]{0,18})(\\.[0-9]{1,8})?",
        "-?(0|[1-9][0-9]{0,3})\\.[0-9]{1,6}",
        "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?",
    ]
}

/// Texts: amounts, numeric texts that only PHP takes, escapes, separators, other scripts.
fn text() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "",
        " 1.50",
        "1.50 ",
        "+1.5",
        "007",
        "00.50",
        ".5",
        "5.",
        "1,000.00",
        "1.5x",
        "0x1A",
        "abc",
        "-",
        "\\n",
        "\u{2028}",
        "a\u{2029}b",
        "₱ 100",
        "\"q\"",
        "C:\\x",
        "/",
        "\u{1}",
        "\u{7f}",
        "é",
        "😀",
        "1e5",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        odd,
        number(),
        "\\PC{0,20}",
        "[a-z\"\\\\\n\u{2026}-\u{202a}]{0,24}"
    ]
}

fn name() -> impl Strategy<Value = String> {
    let known = select(vec![
        "amount",
        "gross_sales",
        "net_sales",
        "base_amount",
        "payload_checksum",
        "taxes",
        "tax_type",
        "transaction",
        "transactions",
        "0",
        "1",
        "2",
        "10",
        "1.0",
        "-1",
        " 1",
        "",
    ])
    .prop_map(str::to_owned);
    prop_oneof![4 => known, 1 => "[a-z_0-9]{0,5}", 1 => "\\PC{0,3}"]
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A JSON text of some depth. A name may come twice; the reader keeps the last.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => number(),
        3 => text().prop_map(|text| quoted(&text)),
        1 => select(vec!["null", "true", "false", "{}", "[]"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 60, 40, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            3 => object(inner, 0..9),
        ]
    })
}

fn object(
    value: impl Strategy<Value = String>,
    size: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    proptest::collection::vec((name(), value), size).prop_map(|members| {
        let members: Vec<String> = (members.iter())
            .map(|(name, value)| format!("{}:{value}", quoted(name)))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn read(text: &str) -> Node<'_> {
    parse(text.as_bytes(), &LIMITS).unwrap()
}

/// Signs the transactions and then the envelope under `version`, but for the levels that `skip` says.
fn signed<'a>(mut root: Node<'a>, version: Version, skip: u8) -> Node<'a> {
    let sign = |node: &mut Node<'a>, skipped: bool| {
        let right = hex(digest(node, version));
        if let Node::Object(members) = node
            && !skipped
        {
            members.retain(|(name, _)| name != "payload_checksum");
            let place = members.len() / 2;
            members.insert(place, ("payload_checksum".into(), Node::String(right.into())));
        }
    };
    if let Node::Object(members) = &mut root {
        for (name, value) in members.iter_mut() {
            match value {
                Node::Array(items) if name == "transactions" => {
                    for (position, item) in items.iter_mut().enumerate() {
                        sign(item, skip >> (position % 4) & 1 == 1);
                    }
                }
                item if name == "transaction" => sign(item, skip >> 4 & 1 == 1),
                _ => {}
            }
        }
    }
    sign(&mut root, skip >> 5 & 1 == 1);
    root
}

fn body() -> impl Strategy<Value = String> {
    let sale = || prop_oneof![9 => object(document(), 0..8), 1 => document()];
    let single = sale().prop_map(|sale| format!("\"transaction\":{sale}"));
    let batch = proptest::collection::vec(sale(), 0..4)
        .prop_map(|sales| format!("\"transactions\":[{}]", sales.join(",")));
    let carried =
        prop_oneof![4 => single.boxed(), 4 => batch.boxed(), 1 => Just("\"x\":1".to_owned()).boxed()];
    (carried, object(document(), 0..4), any::<bool>()).prop_map(|(carried, rest, first)| {
        let rest = rest
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap();
        match (rest.is_empty(), first) {
            (true, _) => format!("{{{carried}}}"),
            (false, true) => format!("{{{carried},{rest}}}"),
            (false, false) => format!("{{{rest},{carried}}}"),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn every_number_under_every_name(number in number(), written in text()) {
        for value in [number.clone(), quoted(&number), quoted(&written)] {
            for name in ["amount", "gross_sales", "base_amount", "count"] {
                let document = format!("{{\"{name}\":{value}}}");
                for version in Version::ALL {
                    let node = read(&document);
                    prop_assert_eq!(canonical(&node, version), by_definition::canonical(&node, version));
                }
            }
        }
    }

    #[test]
    fn every_document(document in document()) {
        let node = read(&document);
        for version in Version::ALL {
            prop_assert_eq!(canonical(&node, version), by_definition::canonical(&node, version));
        }
    }

    #[test]
    fn every_verdict(body in body(), version in select(Version::ALL.to_vec()), skip in prop_oneof![Just(0), any::<u8>()]) {
        let node = signed(read(&body), version, skip);
        let verdict = verify(&node);
        prop_assert_eq!(&verdict, &by_definition::verify(&node));
    }

    #[test]
    fn wide_objects(names in proptest::collection::vec("[a-z]{1,3}", 28..40)) {
        let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
        let document = format!("{{{}}}", members.join(","));
        let node = read(&document);
        prop_assert_eq!(canonical(&node, Version::V21), by_definition::canonical(&node, Version::V21));
    }
}

#[test]
fn signed_bodies_of_every_shape_fit() {
    for body in [
        r#"{"transaction":{"amount":1.50}}"#,
        r#"{"a":1,"transaction":{"amount":1.50},"z":2}"#,
        r#"{"transactions":[{"amount":1.50},{"amount":"2"}],"z":2}"#,
        r#"{"transactions":[],"transaction":{"amount":"7"}}"#,
        r#"{"transactions":[{"0":1},{},{"1":1}],"transaction":{"amount":"7"}}"#,
        r#"{"0":{},"transaction":{"amount":"7"}}"#,
        r#"{"0":1}"#,
        "{}",
    ] {
        for version in Version::ALL {
            let node = signed(read(body), version, 0);
            assert!(verify(&node).is_ok(), "{body} {version:?}");
            assert_eq!(verify(&node), by_definition::verify(&node));
        }
    }
}
