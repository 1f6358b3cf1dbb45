use serde_json::Value;

use crate::run::Shell;

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn bodies_of_the_field_fit_their_version() {
    let shell = Shell::new();
    for (file, version) in [
        ("env_single-v1.json", "v1"),
        ("env_batch-v1.json", "v1"),
        ("env_single-v2.1.json", "v2.1"),
    ] {
        let ended = shell.tsms(&["checksum", "verify", &fixture(file)]);
        assert_eq!(ended.code, 0, "{file}: {}{}", ended.out, ended.err);
        assert!(
            ended.out.ends_with(&format!("accepted as {version}\n")),
            "{file}: {}",
            ended.out
        );
    }
}

#[test]
fn a_changed_amount_is_found_at_its_level() {
    let shell = Shell::new();
    let body: String = std::fs::read_to_string(fixture("env_single-v1.json")).unwrap();
    let mut changed: Value = serde_json::from_str(&body).unwrap();
    changed["transaction"]["base_amount"] = 1.into();
    let file = shell.file("changed.json", &changed.to_string());
    let ended = shell.tsms(&["checksum", "verify", &file]);
    assert_eq!(ended.code, 6, "{}", ended.out);
    assert!(
        ended.out.contains("/transaction: does not fit in any version"),
        "{}",
        ended.out
    );
    let json = shell.tsms(&["checksum", "verify", "--json", &file]);
    assert_eq!(json.code, 6);
    assert_eq!(
        serde_json::from_str::<Value>(&json.out).unwrap()["fits"],
        Value::Null
    );
}

#[test]
fn compute_prints_what_is_hashed() {
    let shell = Shell::new();
    let path = fixture("env_single-v1.json");
    let json = shell.tsms(&["checksum", "compute", "--json", &path]);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    let given = report["levels"][0]["given"].as_str().unwrap().to_owned();
    let text = shell.tsms(&["checksum", "compute", "--version", "v1", &path]);
    assert_eq!(text.code, 0, "{}", text.err);
    assert!(text.out.contains(&format!("v1    {given}")), "{}", text.out);
    assert!(!text.out.contains("v2.0"), "only the version asked for");
}

#[test]
fn what_is_no_body_is_refused() {
    let shell = Shell::new();
    let broken = shell.file("broken.json", "{\"transaction\": ");
    assert_eq!(shell.tsms(&["checksum", "verify", &broken]).code, 6);
    assert_eq!(shell.tsms(&["checksum", "verify", "missing.json"]).code, 2);
    let large = shell.file("large.json", &format!("\"{}\"", "x".repeat(5000)));
    let small = shell
        .with("TSMS__INGRESS__MAX_BODY_BYTES", "4096")
        .with("TSMS__INGRESS__JOB_BODY_BYTES", "4096");
    let ended = small.tsms(&["checksum", "verify", &large]);
    assert_eq!(ended.code, 6);
    assert!(
        ended.err.contains("larger than ingress.max_body_bytes"),
        "{}",
        ended.err
    );
}
