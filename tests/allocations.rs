//! How often the way of a sale asks for memory. The counts depend on the code alone, so a rise is a
//! change of the code: print them with `cargo test --test allocations -- --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../benches/sales/mod.rs"]
mod sales;

use allocation_counter::measure;
use tsms::domain::{
    checksum::{self, Version},
    forward::Item,
    json, payload,
    sale::Transaction,
    work::{AcceptedSubmission, AuditEvent},
};

/// Runs something and checks how many allocations it took, against the most it may take.
fn at_most(most: u64, what: &str, mut run: impl FnMut()) {
    // What is made once a thread is made here.
    run();
    let info = measure(run);
    println!(
        "{what}: {} allocations, {} bytes in all, at most {} at a time",
        info.count_total, info.bytes_total, info.bytes_max
    );
    assert!(info.count_total <= most, "{what} took {}", info.count_total);
}

#[test]
fn one_sale() {
    let body = sales::body(Version::V21, 1, 1);
    let node = json::parse(&body, &sales::BOUNDS.json).unwrap();
    at_most(17, "parse", || {
        drop(json::parse(&body, &sales::BOUNDS.json).unwrap());
    });
    at_most(2, "verify", || {
        checksum::verify(&node).unwrap();
    });
    at_most(27, "read", || {
        drop(payload::read(&body, &sales::BOUNDS).unwrap());
    });
    let submission = sales::accepted(Version::V21, 1);
    let job = submission.encode();
    at_most(2, "submission/encode", || drop(submission.encode()));
    at_most(1, "submission/decode", || {
        drop(AcceptedSubmission::decode(&job).unwrap());
    });
    let row = sales::row(Version::V21, 1);
    let job = row.encode();
    at_most(2, "transaction/encode", || drop(row.encode()));
    at_most(4, "transaction/decode", || {
        drop(Transaction::decode(&job).unwrap())
    });
    let event = AuditEvent::recorded(&row);
    let events = [event];
    let job = AuditEvent::encode(&events);
    at_most(2, "event/encode", || drop(AuditEvent::encode(&events)));
    at_most(2, "event/decode", || drop(AuditEvent::decode(&job).unwrap()));
    at_most(4, "forward item", || drop(Item::new(&row, None).unwrap()));
}

#[test]
fn a_large_batch() {
    let body = sales::body(Version::V21, sales::LARGE, 1);
    let node = json::parse(&body, &sales::BOUNDS.json).unwrap();
    at_most(1_406, "parse/100", || {
        drop(json::parse(&body, &sales::BOUNDS.json).unwrap());
    });
    at_most(3, "verify/100", || {
        checksum::verify(&node).unwrap();
    });
    at_most(1_814, "read/100", || {
        drop(payload::read(&body, &sales::BOUNDS).unwrap());
    });
}
