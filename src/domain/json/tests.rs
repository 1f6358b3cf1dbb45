use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    depth: 64,
    nodes: 10_000,
    duplicates: Duplicates::Refuse,
};

fn read(text: &str) -> Result<Node<'_>, JsonError> {
    parse(text.as_bytes(), &LIMITS)
}

fn problem(text: &str) -> Problem {
    read(text).unwrap_err().problem
}

/// The same document by the library that everybody uses.
fn same(node: &Node<'_>, value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (node, value) {
        (Node::Null, Value::Null) => true,
        (Node::Bool(a), Value::Bool(b)) => a == b,
        (Node::Number(a), Value::Number(b)) => {
            serde_json::from_str::<serde_json::Number>(a).is_ok_and(|a| a == *b)
        }
        (Node::String(a), Value::String(b)) => a == b,
        (Node::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Node::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, a)| b.get(&**name).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

#[test]
fn number_texts_stay_as_sent() {
    let node = read(" [1.50, -0, 1E+2, 9223372036854775808, 0.10] ").unwrap();
    let texts = ["1.50", "-0", "1E+2", "9223372036854775808", "0.10"];
    assert_eq!(node, Node::Array(texts.into_iter().map(Node::Number).collect()));
}

#[test]
fn strings_borrow_unless_escaped() {
    let node = read(r#"["plain é","\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u2028"]"#).unwrap();
    let Node::Array(items) = node else {
        panic!("not an array")
    };
    assert!(matches!(&items[0], Node::String(Cow::Borrowed("plain é"))));
    let expected = "\"\\/\u{8}\u{c}\n\r\té😀\u{2028}";
    assert!(matches!(&items[1], Node::String(Cow::Owned(text)) if text == expected));
}

#[test]
fn refuses_what_is_not_json() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "01",
        "-",
        "+1",
        ".5",
        "5.",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        "NaN",
        "Infinity",
        "nul",
        "True",
        "1 2",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\u{0}\"",
        "[1]]",
        "{}{}",
        "// c\n1",
        "\u{feff}1",
        "\u{a0}1",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800x\"",
        "\"\\ud83d\\ud83d\"",
    ] {
        assert!(matches!(problem(text), Problem::Malformed(_)), "{text:?}");
    }
}

#[test]
fn refuses_what_is_not_utf8_and_says_where() {
    let error = parse(b"{\"a\":\"\xff\"}", &LIMITS).unwrap_err();
    assert_eq!(error.offset, 6);
    for body in [&b"\"\xc0\x80\""[..], b"\"\xed\xa0\x80\"", b"\xff\xfe1\0"] {
        assert!(parse(body, &LIMITS).is_err());
    }
}

#[test]
fn refuses_duplicates_however_they_are_spelled() {
    let error = read(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap_err();
    assert_eq!(error.problem, Problem::Duplicate { name: "a".to_owned() });
    assert_eq!(error.offset, 13);
    assert!(read(r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).is_ok());
}

#[test]
fn finds_duplicates_in_large_objects() {
    for twice in [0, 15, 16, 17, 998] {
        let names = (0..999).chain([twice]);
        let members: Vec<String> = names
            .enumerate()
            .map(|(n, name)| format!("\"k{name}\":{n}"))
            .collect();
        let text = format!("{{{}}}", members.join(","));
        assert_eq!(
            problem(&text),
            Problem::Duplicate {
                name: format!("k{twice}")
            }
        );
        let lenient = Limits {
            duplicates: Duplicates::LastWins,
            ..LIMITS
        };
        let node = parse(text.as_bytes(), &lenient).unwrap();
        assert_eq!(node.get(&format!("k{twice}")), Some(&Node::Number("999")));
        let Node::Object(members) = node else {
            panic!("not an object")
        };
        assert_eq!(members.len(), 999);
    }
}

#[test]
fn bounds_depth_and_count() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(64)).is_ok());
    assert_eq!(problem(&nested(65)), Problem::TooDeep);
    assert_eq!(problem(&"[".repeat(1_000_000)), Problem::TooDeep);
    assert_eq!(problem(&"{\"a\":".repeat(100)), Problem::TooDeep);
    let unlimited = Limits {
        depth: usize::MAX,
        nodes: usize::MAX,
        ..LIMITS
    };
    assert!(parse(nested(MAX_DEPTH).as_bytes(), &unlimited).is_ok());
    let error = parse(nested(MAX_DEPTH + 1).as_bytes(), &unlimited).unwrap_err();
    assert_eq!(error.problem, Problem::TooDeep);

    let few = Limits { nodes: 4, ..LIMITS };
    assert!(parse(b"[1,2,3]", &few).is_ok());
    assert_eq!(parse(b"[1,2,3,4]", &few).unwrap_err().problem, Problem::TooMany);
    assert!(
        read("[[],[],{\"a\":[]}]").is_ok(),
        "siblings do not add up to depth"
    );
}

/// Any JSON text whose member names differ, with escapes, blanks and odd numbers.
fn document() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        "[a-zé日😀/]{0,6}",
        Just("\\u0041\\n\\ud83d\\ude00\\/".to_owned()),
        Just("\\\"\\\\\\b\\f\\r\\t".to_owned()),
    ];
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just(" false\n".to_owned()),
        number,
        string.prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[ {}\t]", items.join(","))),
            proptest::collection::vec(inner, 0..6).prop_map(|items| {
                let members = items
                    .iter()
                    .enumerate()
                    .map(|(n, item)| format!("\"{n}é\" :{item}"));
                format!("{{{} }}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_on_valid_documents(text in document()) {
        let node = read(&text).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert!(same(&node, &value), "{}", text);
    }

    #[test]
    fn agrees_on_damaged_documents(
        text in document(), at in any::<prop::sample::Index>(), with in "[\\[\\]{},:\"\\\\0-9eE+. -]{0,2}", cut in 0_usize..3,
    ) {
        let mut bytes = text.into_bytes();
        let start = at.index(bytes.len());
        let end = (start + cut).min(bytes.len());
        bytes.splice(start..end, with.into_bytes());
        let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
        match parse(&bytes, &LIMITS) {
            Ok(node) => match theirs {
                Ok(value) => prop_assert!(same(&node, &value)),
                // The library refuses numbers that no double holds; here the text is kept.
                Err(error) => prop_assert!(error.to_string().contains("number out of range")),
            },
            Err(JsonError { problem: Problem::Duplicate { .. }, .. }) => {}
            Err(_) => prop_assert!(theirs.is_err()),
        }
    }

    #[test]
    fn never_panics_on_any_bytes(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let ours = parse(&body, &LIMITS).is_ok();
        let theirs = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        prop_assert_eq!(ours, theirs);
    }
}
