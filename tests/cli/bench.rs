//! A very small bench of the embedded tier.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::run::Shell;

const SMALL: [&str; 6] = ["bench", "--quick", "--tenants", "2", "--terminals", "20"];

fn number(value: &Value, pointer: &str) -> u64 {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no number at {pointer} in {value:#}"))
}

#[test]
fn what_is_accepted_is_forwarded_and_measured() {
    let shell = Shell::new();
    let folder = shell.folder.path().join("data");
    let mut args = SMALL.to_vec();
    args.extend([
        "--scenario",
        "idle,saturation",
        "--seconds",
        "1",
        "--json",
        "found.json",
    ]);
    args.extend(["--dir", folder.to_str().unwrap()]);
    let ended = shell.tsms(&args);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);

    let text = std::fs::read_to_string(shell.folder.path().join("found.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["tier"], "embedded");
    assert_eq!(number(&report, "/terminals"), 20);
    let scenarios = report["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), 3, "{report:#}");
    for scenario in scenarios {
        let accepted = number(scenario, "/accepted");
        assert!(accepted > 0, "{scenario:#}");
        assert_eq!(accepted, number(scenario, "/forwarded"), "{scenario:#}");
        assert_eq!(scenario["failures"].as_object().unwrap().len(), 0, "{scenario:#}");
        assert_eq!(number(scenario, "/latencies/submit/count"), accepted);
        assert!(number(scenario, "/latencies/submit/p50_us") > 0);
        assert!(number(scenario, "/statements_per_thousand_sales/submissions.insert") > 0);
        let processes = scenario["processes"].as_array().unwrap();
        let up = processes
            .iter()
            .find(|process| process["name"] == "tsms up")
            .unwrap();
        assert!(
            number(up, "/cpu_ms") > 0 && number(up, "/peak_kib") > 0,
            "{scenario:#}"
        );
    }
    assert_eq!(number(&scenarios[0], "/latencies/end to end/count"), 20);
    assert!(number(&scenarios[1], "/figures/completed_per_s") > 0);
    // A person reads the same on standard output.
    assert!(
        ended.out.contains("saturation with 256 connections"),
        "{}",
        ended.out
    );
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        0,
        "the data is removed"
    );
}

#[test]
fn an_interrupted_bench_leaves_nothing_behind() {
    let shell = Shell::new();
    let folder = shell.folder.path().join("data");
    let mut args = SMALL.to_vec();
    args.extend(["--dir", folder.to_str().unwrap()]);
    let mut bench = shell
        .command(&args)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(bench.stderr.take().unwrap()).lines();
    let started = lines
        .find_map(|line| Some(line.unwrap().strip_prefix("processes: ")?.to_owned()))
        .unwrap();
    let processes: Vec<&str> = started
        .split(", ")
        .map(|process| process.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(processes.len(), 2, "{started}");
    let runs = |process: &&str| Path::new("/proc").join(process).exists();
    assert!(processes.iter().all(runs));

    kill(Pid::from_raw(bench.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    lines.for_each(drop);
    assert_eq!(bench.wait().unwrap().code(), Some(1));
    assert!(!processes.iter().any(runs), "{started}");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}
