//! Bodies made by hand where the simulated till has no reason to make them.

use serde_json::Value;
use tsms::{
    domain::{
        checksum::{self, Version},
        json::{self, Duplicates, Limits},
        time::Timestamp,
    },
    standin::sim::{Kind, SignedBody, SimTerminal, make_sale},
};

const LIMITS: Limits = Limits {
    depth: 64,
    nodes: 100_000,
    duplicates: Duplicates::Refuse,
};

/// A valid sale of a version; `seed` makes it unlike the others.
pub(crate) fn sale(till: &SimTerminal, version: Version, seed: u64) -> SignedBody {
    make_sale(
        till,
        Kind {
            version,
            items: 1,
            flawed: false,
        },
        seed,
        Timestamp::now(),
    )
    .unwrap()
}

pub(crate) fn batch(till: &SimTerminal, version: Version, items: usize, seed: u64) -> SignedBody {
    make_sale(
        till,
        Kind {
            version,
            items,
            flawed: false,
        },
        seed,
        Timestamp::now(),
    )
    .unwrap()
}

pub(crate) fn flawed(till: &SimTerminal, version: Version, seed: u64) -> SignedBody {
    make_sale(
        till,
        Kind {
            version,
            items: 1,
            flawed: true,
        },
        seed,
        Timestamp::now(),
    )
    .unwrap()
}

/// A batch of which no sale is valid: none adds up.
pub(crate) fn flawed_batch(till: &SimTerminal, items: usize, seed: u64) -> String {
    let mut body = value(&batch(till, Version::V21, items, seed));
    for sale in body["transactions"].as_array_mut().unwrap() {
        sale["gross_sales"] = "0.01".into();
    }
    sign(body, Version::V21)
}

pub(crate) fn value(body: &SignedBody) -> Value {
    serde_json::from_slice(&body.body).unwrap()
}

/// Signs a changed body again, both levels, and gives its bytes.
pub(crate) fn sign(mut body: Value, version: Version) -> String {
    if let Some(transaction) = body.get_mut("transaction") {
        sign_level(transaction, version);
    }
    for transaction in body
        .get_mut("transactions")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        sign_level(transaction, version);
    }
    sign_level(&mut body, version);
    body.to_string()
}

fn sign_level(level: &mut Value, version: Version) {
    let text = level.to_string();
    let node = json::parse(text.as_bytes(), &LIMITS).unwrap();
    let digest = checksum::digest(&node, version);
    level["payload_checksum"] = data_encoding::HEXLOWER.encode(&digest).into();
}
