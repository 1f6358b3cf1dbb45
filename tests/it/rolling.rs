//! Restarts of every role while sales come in, as `tsms bench --scenario restart` plays them: real
//! processes, sent SIGTERM one after the other.

use std::process::Command;

use serde_json::Value;

/// Sales a second that the scenario sends, and loads of so many seconds each.
const RATE: u64 = 300;
const SECONDS: u64 = 2;

fn restarts(tier: &str, loads: u64) {
    let folder = tempfile::tempdir().unwrap();
    let found = folder.path().join("found.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsms"));
    command.args(["bench", "--quick", "--tenants", "4", "--terminals", "40"]);
    command.args(["--tier", tier, "--scenario", "restart"]);
    command.args(["--seconds", &SECONDS.to_string()]);
    command.arg("--json").arg(&found).arg("--dir").arg(folder.path());
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&std::fs::read(found).unwrap()).unwrap();
    let scenario = &report["scenarios"][0];

    // Every sale was taken, and arrived, once.
    assert_eq!(scenario["accepted"], loads * SECONDS * RATE, "{scenario:#}");
    assert_eq!(scenario["forwarded"], scenario["accepted"], "{scenario:#}");
    let latencies = scenario["latencies"].as_object().unwrap();
    assert_eq!(latencies.len() as u64, 2 * loads, "{scenario:#}");
    for (name, latency) in latencies {
        assert_eq!(latency["count"], SECONDS * RATE, "{name}: {scenario:#}");
    }
    // Nothing else went wrong but what the guide tells a till to expect of an ingress that leaves.
    for what in scenario["failures"].as_object().unwrap().keys() {
        let expected = ["ingress, rolling: conn", "tsms up, in place: conn"];
        assert!(
            expected.iter().any(|start| what.starts_with(start)),
            "{what}: {scenario:#}"
        );
    }
}

#[test]
fn every_role_of_a_fleet_is_replaced_and_restarted_under_load() {
    // Alone; seven roles replaced; all but the ingress restarted in place.
    restarts("fleet", 1 + 7 + 6);
}

#[test]
fn the_one_process_of_the_embedded_tier_is_restarted_under_load() {
    restarts("embedded", 2);
}
