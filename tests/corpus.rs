//! Everything that reads what strangers send, against a kept corpus and against mutations of it.
//!
//! An ordinary run replays the corpus and some thousand mutations of each target. `TSMS_FUZZ_CASES`
//! sets how many, for a longer hunt: `TSMS_FUZZ_CASES=1000000 cargo test --release --test corpus`.
//! A new finding becomes a file under `tests/fixtures/corpus/<target>/`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a failed expectation is a failed test"
)]

use std::{fs, path::PathBuf};

use bytes::Bytes;
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use tsms::domain::{
    checksum::{self, Version},
    checksum_report,
    json::{self, Duplicates, Limits},
    network::Networks,
    payload::{self, Bounds, Refusal},
    token,
    trace::{self, TraceContext},
    work::AcceptedSubmission,
};

const BOUNDS: Bounds = Bounds {
    json: Limits {
        depth: 16,
        nodes: 50_000,
        duplicates: Duplicates::Refuse,
    },
    batch: 500,
    max_errors: 50,
};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/corpus")
        .join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// What is done to an input at a place.
#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Cut(Index, usize),
    Put(Index, Vec<u8>),
    Repeat(Index, usize, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let words = select(vec![
        &b"\\ud800"[..],
        b"\\u0000",
        b"\r\n",
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"1e999",
        b"-0.005",
        b"null",
        b"\xff",
        b"\xe2\x80\xa8",
        b"/",
        b"payload_checksum",
        b"transactions",
    ]);
    let edit = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Flip(at, byte)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<Index>(), words).prop_map(|(at, word)| Edit::Put(at, word.to_vec())),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, new)| Edit::Put(at, new)),
        (any::<Index>(), 1..60_usize, 1..20_usize)
            .prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
    ];
    prop::collection::vec(edit, 0..6)
}

fn mutated(mut input: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let place = |at: &Index| at.index(input.len() + 1);
        match edit {
            Edit::Flip(at, byte) => {
                let at = place(at);
                if let Some(there) = input.get_mut(at) {
                    *there ^= byte;
                }
            }
            Edit::Cut(at, length) => {
                let at = place(at);
                let end = (at + length).min(input.len());
                input.drain(at..end);
            }
            Edit::Put(at, new) => {
                let at = place(at);
                input.splice(at..at, new.iter().copied());
            }
            Edit::Repeat(at, length, times) => {
                let at = place(at);
                let piece = input[at..(at + length).min(input.len())].repeat(*times);
                input.splice(at..at, piece);
            }
        }
    }
    input
}

/// Replays the corpus of `target`, then mutations of it. `hold` panics where a promise is broken.
fn hunt(target: &str, hold: impl Fn(&[u8])) {
    let seeds = corpus(target);
    assert!(!seeds.is_empty());
    for seed in &seeds {
        hold(seed);
    }
    // The large ones are replayed, but too slow to mutate.
    let small: Vec<Vec<u8>> = seeds.into_iter().filter(|seed| seed.len() < 4096).collect();
    let cases = std::env::var("TSMS_FUZZ_CASES").map_or(2000, |text| text.parse().unwrap());
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let inputs = (select(small), edits());
    let outcome = runner.run(&inputs, |(seed, edits)| {
        hold(&mutated(seed, &edits));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn bodies() {
    hunt("body", |body| {
        let read = payload::read(body, &BOUNDS);
        match &read {
            Ok(submission) => {
                // What was accepted reads back from the record, and from the job that carries it.
                assert!(payload::reread(body, &BOUNDS).is_ok());
                assert!(!submission.sales.is_empty() && submission.sales.len() <= BOUNDS.batch);
            }
            Err(Refusal::Fields(errors)) => assert!((1..=BOUNDS.max_errors).contains(&errors.len())),
            Err(Refusal::Json(error)) => assert!(error.offset <= body.len()),
            Err(Refusal::Checksum(levels)) => assert!(!levels.is_empty()),
            Err(Refusal::TooMany { count, limit }) => assert!(count > limit),
        }
    });
}

#[test]
fn checksums() {
    hunt("body", |body| {
        let Ok(root) = json::parse(body, &BOUNDS.json) else {
            return;
        };
        for version in [Version::V1, Version::V20, Version::V21] {
            let text = checksum::canonical(&root, version);
            assert!(!text.contains(['\n', '\r']), "{text}");
            assert_eq!(
                checksum::sha256(text.as_bytes()),
                checksum::digest(&root, version)
            );
        }
        if let Err(levels) = checksum::verify(&root) {
            assert!(!levels.is_empty());
        }
    });
}

#[test]
fn checksum_reports() {
    hunt("body", |body| {
        let parsed = json::parse(body, &BOUNDS.json);
        let report = checksum_report::report(body, &BOUNDS.json);
        assert!(report.is_ok() || parsed.is_err());
    });
}

#[test]
fn jobs() {
    hunt("body", |body| {
        if let Some(submission) = AcceptedSubmission::decode(&Bytes::copy_from_slice(body)) {
            assert_eq!(submission.encode(), body);
        }
    });
}

#[test]
fn tokens() {
    hunt("token", |text| {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        assert!(
            token::recognise(text).is_none_or(|(_, digest)| digest == checksum::sha256(text.as_bytes())),
            "{text}"
        );
    });
}

#[test]
fn traces() {
    hunt("trace", |text| {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        if let Some(context) = TraceContext::parse(text) {
            assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }
        assert!(text.starts_with(trace::request_id(text)));
    });
}

#[test]
fn networks() {
    hunt("network", |text| {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        if let Ok(list) = text.parse::<Networks>() {
            assert_eq!(list.to_string().parse::<Networks>(), Ok(list));
        }
    });
}
