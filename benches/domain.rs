//! What the pure code of the stages costs: run with `cargo bench --bench domain [-- <filter>]`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

mod sales;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sha2::{Digest as _, Sha256};
use tsms::domain::{
    audit,
    checksum::{self, Version},
    directory::{Tenant, Terminal, TerminalStatus},
    forward::{Envelope, Item},
    json,
    money::Money,
    payload,
    rules::{self, RuleSet},
    sale::Transaction,
    token,
    work::{AcceptedSubmission, AuditEvent},
};

use self::sales::{BOUNDS, LARGE, NOW};

/// Items of the largest batch that is forwarded.
const FORWARDED: u64 = 50;

fn bytes(length: usize) -> Throughput {
    Throughput::Bytes(u64::try_from(length).unwrap())
}

/// The way of a body into the system.
fn submit(c: &mut Criterion) {
    let mut group = c.benchmark_group("submit");
    for items in [1, LARGE] {
        for version in Version::ALL {
            let name = version.name();
            let body = sales::body(version, items, 1);
            group.throughput(bytes(body.len()));
            group.bench_function(format!("parse/{name}/{items}"), |b| {
                b.iter(|| json::parse(black_box(&body), &BOUNDS.json).unwrap());
            });
            let node = json::parse(&body, &BOUNDS.json).unwrap();
            group.bench_function(format!("verify/{name}/{items}"), |b| {
                b.iter(|| checksum::verify(black_box(&node)).unwrap());
            });
            group.bench_function(format!("read/{name}/{items}"), |b| {
                b.iter(|| payload::read(black_box(&body), &BOUNDS).unwrap());
            });
            group.bench_function(format!("reread/{name}/{items}"), |b| {
                b.iter(|| payload::reread(black_box(&body), &BOUNDS).unwrap());
            });
            let text = String::from_utf8(body.to_vec()).unwrap();
            let wrong = text.replacen("\"tenant_id\":125", "\"tenant_id\":126", 1);
            let node = json::parse(wrong.as_bytes(), &BOUNDS.json).unwrap();
            group.bench_function(format!("verify-wrong/{name}/{items}"), |b| {
                b.iter(|| checksum::verify(black_box(&node)).unwrap_err());
            });
            group.bench_function(format!("floor-sha256/{name}/{items}"), |b| {
                b.iter(|| Sha256::digest(black_box(&body)));
            });
        }
    }
    group.finish();
}

/// Recognising the bearer of a request.
fn token_check(c: &mut Criterion) {
    let token = token::mint(token::Kind::Terminal).plain;
    c.bench_function("token/recognise", |b| {
        b.iter(|| token::recognise(black_box(&token)).unwrap());
    });
}

/// What the stages do with a sale and how it travels between them.
fn stages(c: &mut Criterion) {
    let mut group = c.benchmark_group("stages");
    let row = sales::row(Version::V21, 1);
    let rules = rule_set();
    assert!(rules::judge(&row.sale, NOW, &rules).is_empty());
    group.bench_function("rules/judge", |b| {
        b.iter(|| rules::judge(black_box(&row.sale), NOW, &rules));
    });

    let encoded = row.encode();
    group.throughput(bytes(encoded.len()));
    group.bench_function("transaction/encode", |b| b.iter(|| black_box(&row).encode()));
    group.bench_function("transaction/decode", |b| {
        b.iter(|| Transaction::decode(black_box(&encoded)).unwrap());
    });

    let submission = sales::accepted(Version::V21, 1);
    let encoded = submission.encode();
    group.throughput(bytes(encoded.len()));
    group.bench_function("submission/encode", |b| {
        b.iter(|| black_box(&submission).encode())
    });
    group.bench_function("submission/decode", |b| {
        b.iter(|| AcceptedSubmission::decode(black_box(&encoded)).unwrap());
    });

    let event = AuditEvent::recorded(&row);
    let events = [event.clone()];
    let encoded = AuditEvent::encode(&events);
    group.throughput(bytes(encoded.len()));
    group.bench_function("event/recorded", |b| {
        b.iter(|| AuditEvent::recorded(black_box(&row)))
    });
    group.bench_function("event/decided", |b| {
        b.iter(|| AuditEvent::decided(black_box(&row)).unwrap());
    });
    group.bench_function("event/encode", |b| {
        b.iter(|| AuditEvent::encode(black_box(&events)));
    });
    group.bench_function("event/decode", |b| {
        b.iter(|| AuditEvent::decode(black_box(&encoded)).unwrap());
    });
    group.bench_function("event/chain", |b| {
        b.iter(|| audit::link(&[7; 32], 9, black_box(&event), NOW));
    });
    group.finish();
}

/// Writing what the web application is sent.
fn forward(c: &mut Criterion) {
    let from = from();
    let rows: Vec<Transaction> = (1..=FORWARDED).map(|id| sales::row(Version::V21, id)).collect();
    let items: Vec<Item> = rows
        .iter()
        .map(|row| Item::new(row, Some(&from)).unwrap())
        .collect();
    let items: Vec<&Item> = items.iter().collect();
    let ids: Vec<String> = rows.iter().map(|row| row.submission_uuid.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    c.bench_function("forward/item", |b| {
        b.iter(|| Item::new(black_box(&rows[0]), Some(&from)).unwrap());
    });
    c.bench_function("forward/envelope-50", |b| {
        b.iter(|| Envelope::new(125, black_box(&items), &ids, NOW));
    });
}

fn rule_set() -> RuleSet {
    RuleSet {
        version: 1,
        max_amount: Money::from_minor(999_999_999),
        future_tolerance_s: 300,
        max_age_days: 30,
        vat_rate_bp: 1_200,
        vat_tolerance: Money::from_minor(2),
        sum_tolerance: Money::from_minor(5),
        net_includes_vat: true,
        discount_ceiling_bp: 3_000,
        service_charge_ceiling_bp: 1_500,
    }
}

fn from() -> (Terminal, Tenant) {
    let terminal = Terminal {
        id: 17,
        tenant_id: 125,
        serial_number: "SN-2025-000017".to_owned(),
        status: TerminalStatus::Active,
        expires_at: None,
        callback_url: None,
    };
    let tenant = Tenant {
        id: 125,
        company_id: 1,
        code: "CC-000125".to_owned(),
        name: "Corner Bakery, Level 2".to_owned(),
        timezone: "Asia/Manila".to_owned(),
        active: true,
    };
    (terminal, tenant)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000));
    targets = submit, token_check, stages, forward
}
criterion_main!(benches);
