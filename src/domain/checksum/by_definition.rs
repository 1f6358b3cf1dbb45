//! The checksum rule as it is defined, without any short cut: what the tests hold [`super::verify`] and
//! [`super::canonical`] against. Every text is written anew, every number goes the exact way, every
//! object through the sort of the field.

use super::{
    super::{decimal::Decimal, json::Node},
    Mismatch, Version,
    canonical::{CHECKSUM_MEMBER, Member, is_money, push_code},
    levels, number,
    order::sorted,
    sha256,
};

pub(super) fn canonical(node: &Node<'_>, version: Version) -> String {
    match node {
        Node::Object(members) => {
            let others = members.iter().filter(|(name, _)| name != CHECKSUM_MEMBER);
            object(others.collect(), version)
        }
        other => value(other, version),
    }
}

pub(super) fn verify(envelope: &Node<'_>) -> Result<Version, Vec<Mismatch>> {
    let levels = levels(envelope);
    let failing = |version| -> Vec<Mismatch> {
        let wrong = levels.iter().filter(|level| {
            let right = data_encoding::HEXLOWER.encode(&sha256(canonical(level.node, version).as_bytes()));
            level.given().map(str::to_ascii_lowercase) != Some(right)
        });
        let mismatches = wrong.map(|level| Mismatch {
            pointer: format!("{}/{CHECKSUM_MEMBER}", level.pointer()),
        });
        mismatches.collect()
    };
    let order = super::order(&levels);
    let fits = order.into_iter().find(|version| failing(*version).is_empty());
    fits.ok_or_else(|| order.into_iter().map(failing).min_by_key(Vec::len).unwrap())
}

fn value(node: &Node<'_>, version: Version) -> String {
    let mut out = String::new();
    match node {
        Node::Null => out.push_str("null"),
        Node::Bool(truth) => out.push_str(&truth.to_string()),
        Node::Number(text) => number::write_number(&mut out, text),
        Node::String(text) => out = string(text),
        Node::Array(items) => return list(items.iter(), version),
        Node::Object(members) => return object(members.iter().collect(), version),
    }
    out
}

fn list<'n, 'a: 'n>(items: impl Iterator<Item = &'n Node<'a>>, version: Version) -> String {
    let items: Vec<String> = items.map(|item| value(item, version)).collect();
    format!("[{}]", items.join(","))
}

fn object(members: Vec<&Member<'_>>, version: Version) -> String {
    let members = sorted(members);
    if (0..members.len()).all(|position| members[position].0 == position.to_string()) {
        return list(members.into_iter().map(|(_, value)| value), version);
    }
    let written = members.into_iter().map(|(name, value)| {
        let value = member(name, value, version);
        format!("{}:{value}", string(name))
    });
    format!("{{{}}}", written.collect::<Vec<_>>().join(","))
}

fn member(name: &str, node: &Node<'_>, version: Version) -> String {
    let mut out = String::new();
    if !is_money(name, version) {
        return value(node, version);
    }
    match (version, node) {
        (Version::V21, Node::Number(text)) if Decimal::parse(text).is_some() => {
            number::write_hundredths(&mut out, text);
            format!("\"{out}\"")
        }
        (Version::V21, Node::String(text)) if Decimal::parse(text).is_some() => {
            number::write_hundredths(&mut out, text);
            format!("\"{out}\"")
        }
        (Version::V21, other) => value(other, version),
        (_, Node::Number(text)) => {
            number::write_cast_number(&mut out, text);
            out
        }
        (_, Node::String(text)) => {
            number::write_cast_text(&mut out, text);
            out
        }
        (_, Node::Null | Node::Bool(false)) => "0".to_owned(),
        (_, Node::Bool(true)) => "1".to_owned(),
        (_, Node::Array(items)) => u8::from(!items.is_empty()).to_string(),
        (_, Node::Object(members)) => u8::from(!members.is_empty()).to_string(),
    }
}

fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => push_code(&mut out, u32::from(c)),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
