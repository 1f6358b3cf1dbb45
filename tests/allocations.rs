//! How often the way of a sale asks for memory. The counts depend on the code alone, so a rise is a
//! change of the code: print them with `cargo test --test allocations -- --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../benches/sales/mod.rs"]
mod sales;

use allocation_counter::measure;
use tsms::domain::{
    checksum::{self, Version},
    json, payload,
    sale::Transaction,
    work::AcceptedSubmission,
};

fn count(what: &str, run: impl FnMut()) -> u64 {
    let mut run = run;
    // The first run fills what is made once a thread.
    run();
    let info = measure(run);
    println!(
        "{what}: {} allocations, {} bytes",
        info.count_total, info.bytes_total
    );
    info.count_total
}

#[test]
fn the_submit_path() {
    for items in [1, 100] {
        let body = sales::body(Version::V21, items, 1);
        let node = json::parse(&body, &sales::BOUNDS.json).unwrap();
        count(&format!("parse/{items}"), || {
            drop(json::parse(&body, &sales::BOUNDS.json).unwrap());
        });
        count(&format!("verify/{items}"), || {
            checksum::verify(&node).unwrap();
        });
        count(&format!("read/{items}"), || {
            drop(payload::read(&body, &sales::BOUNDS).unwrap());
        });
    }
    let submission = sales::accepted(Version::V21, 1);
    let job = submission.encode();
    count("submission/encode", || drop(submission.encode()));
    count("submission/decode", || {
        drop(AcceptedSubmission::decode(&job).unwrap())
    });
    let row = sales::row(Version::V21, 1);
    let job = row.encode();
    count("transaction/encode", || drop(row.encode()));
    count("transaction/decode", || drop(Transaction::decode(&job).unwrap()));
}
