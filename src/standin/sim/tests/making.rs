//! The sales themselves.

use std::collections::HashSet;

use serde_json::Value;

use super::*;
use crate::domain::{
    checksum,
    json::{self, Duplicates, Limits},
    money::Money,
    payload::{self, Bounds, Submission},
    rules::{self, RuleSet},
    sale::Severity,
};

const KINDS: [Kind; 3] = [
    kind(Version::V1, 1, false),
    kind(Version::V20, 3, true),
    kind(Version::V21, 10, false),
];

const fn kind(version: Version, items: usize, flawed: bool) -> Kind {
    Kind {
        version,
        items,
        flawed,
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-20T04:00:00.25Z").unwrap()
}

/// The rules in force where nobody changed them.
fn default_rules() -> RuleSet {
    let text = include_str!("../../../../config/default.toml");
    let source = ::config::File::from_str(text, ::config::FileFormat::Toml);
    let settings = ::config::Config::builder().add_source(source).build().unwrap();
    settings.get("rules").unwrap()
}

/// As the ingress reads it.
fn read(made: &SignedBody) -> Submission {
    let bounds = Bounds {
        json: Limits {
            depth: 16,
            nodes: 50_000,
            duplicates: Duplicates::Refuse,
        },
        batch: MOST_ITEMS,
        max_errors: 10,
    };
    payload::read(&made.body, &bounds).unwrap()
}

fn parsed(body: &[u8]) -> json::Node<'_> {
    let limits = Limits {
        depth: 16,
        nodes: 50_000,
        duplicates: Duplicates::Refuse,
    };
    json::parse(body, &limits).unwrap()
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    for kind in KINDS {
        let make = |seed| make_sale(&terminal(1), kind, seed, now()).unwrap();
        assert_eq!(make(5).body, make(5).body);
        assert_eq!(make(5).digest, make(5).digest);
        assert_ne!(make(5).submission_uuid, make(6).submission_uuid);
    }
}

#[test]
fn every_body_is_signed_under_its_own_version() {
    for seed in 0..50 {
        for kind in KINDS {
            let made = make_sale(&terminal(1), kind, seed, now()).unwrap();
            assert_eq!(
                checksum::verify(&parsed(&made.body)),
                Ok(kind.version),
                "{made:?}"
            );
        }
    }
}

#[test]
fn sales_are_judged_as_they_are_meant() {
    let rules = default_rules();
    let mut flaws = HashSet::new();
    for seed in 0..120 {
        for version in Version::ALL {
            let made = make_sale(&terminal(1), kind(version, 2, seed % 2 == 0), seed, now()).unwrap();
            let submission = read(&made);
            assert_eq!(submission.version, version);
            assert_eq!(submission.submission_uuid, made.submission_uuid);
            assert_eq!((submission.tenant_id, submission.terminal_id), (125, 1));
            for (sale, meant) in submission.sales.iter().zip(&made.sales) {
                assert_eq!(
                    (sale.transaction_id, sale.amount()),
                    (meant.transaction_id, meant.amount)
                );
                let findings = rules::judge(sale, now(), &rules);
                let broken = findings.iter().any(|finding| finding.severity == Severity::Error);
                assert_eq!(broken, !meant.valid, "{findings:?} {sale:?}");
                assert!(meant.valid || findings.len() <= 2, "one flaw: {findings:?}");
                flaws.extend(findings.into_iter().map(|finding| finding.code));
            }
        }
    }
    assert_eq!(
        flaws,
        HashSet::from(["vat.rate", "net.sum", "gross.sum"].map(str::to_owned))
    );
}

#[test]
fn each_era_writes_as_it_does_in_the_field() {
    let body = |version, items| make_sale(&terminal(3), kind(version, items, false), 1, now()).unwrap();
    let text = |made: &SignedBody| String::from_utf8(made.body.to_vec()).unwrap();

    let seed_era = body(Version::V1, 1);
    let amount = seed_era.sales[0].amount;
    assert!(text(&seed_era).contains(&format!(r#""base_amount":{amount},"gross_sales":{amount},"#)));
    assert!(!text(&seed_era).contains("net_sales") && !text(&seed_era).contains("receipt_no"));
    assert!(text(&seed_era).contains(r#""submission_timestamp":"2026-11-20T04:00:00Z""#));
    assert!(text(&seed_era).contains(r#""transaction":{"#));

    let later = body(Version::V21, 2);
    let (first, second) = (later.sales[0].amount, later.sales[1].amount);
    for amount in [first, second] {
        assert!(text(&later).contains(&format!(r#""gross_sales":"{amount}","#)));
    }
    assert!(text(&later).contains(r#""hardware_id":"SN-0003","receipt_no":"R"#));
    assert!(text(&later).contains(r#""transaction_count":2"#));
    assert!(text(&later).contains(r#""transactions":[{"#) && !text(&later).contains(r#""transaction":"#));

    let between = body(Version::V20, 1);
    let amount = between.sales[0].amount;
    assert!(text(&between).contains(&format!(r#""gross_sales":{amount},"net_sales":"#)));
}

#[test]
fn ids_and_receipts_never_repeat() {
    let mut seen = HashSet::new();
    for seed in 0..200 {
        let made = make_sale(&terminal(1), kind(Version::V21, 5, false), seed, now()).unwrap();
        let body: Value = serde_json::from_slice(&made.body).unwrap();
        assert!(seen.insert(made.submission_uuid.to_string()));
        for transaction in body["transactions"].as_array().unwrap() {
            assert!(seen.insert(transaction["transaction_id"].as_str().unwrap().to_owned()));
            assert!(seen.insert(transaction["receipt_no"].as_str().unwrap().to_owned()));
        }
    }
}

#[test]
fn flawed_bodies_have_one_flawed_sale_and_real_amounts() {
    let made = make_sale(&terminal(1), kind(Version::V20, 4, true), 9, now()).unwrap();
    let valid: Vec<bool> = made.sales.iter().map(|sale| sale.valid).collect();
    assert_eq!(valid, [false, true, true, true]);
    assert!(made.sales.iter().all(|sale| sale.amount > Money::ZERO));
}

#[test]
fn a_body_holds_at_least_one_and_not_too_many_sales() {
    for items in [0, MOST_ITEMS + 1] {
        let refused = make_sale(&terminal(1), kind(Version::V1, items, false), 1, now());
        assert!(matches!(refused, Err(MakeError::Items(found)) if found == items));
    }
    assert!(make_sale(&terminal(1), kind(Version::V1, MOST_ITEMS, false), 1, now()).is_ok());
}
