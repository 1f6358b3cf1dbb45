use serde_json::Value;

use crate::run::{Ended, Shell};

fn json(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap()
}

fn migrated() -> Shell {
    let shell = Shell::new();
    std::fs::create_dir(shell.folder.path().join("data")).unwrap();
    let ended = shell.tsms(&["migrate"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    shell
}

#[test]
fn a_terminal_gets_its_token_and_loses_it() {
    let shell = migrated();
    let create = [
        "tenant",
        "create",
        "--code",
        "CC-012",
        "--name",
        "Coffee Corner",
        "--company",
        "CC",
        "--json",
    ];
    let tenant = json(&shell.tsms(&create));
    assert_eq!(tenant["code"], "CC-012");
    assert_eq!(shell.tsms(&create).code, 5, "a code is used once");

    let create = [
        "terminal",
        "create",
        "--tenant",
        "CC-012",
        "--serial",
        "CC-012-01",
        "--json",
    ];
    let terminal = json(&shell.tsms(&create));
    assert_eq!(terminal["tenant_id"], tenant["id"]);
    assert_eq!(terminal["status"], "active");
    assert_eq!(shell.tsms(&create).code, 5, "a serial number is used once");

    let token = json(&shell.tsms(&["token", "create", "--terminal", "CC-012-01", "--json"]));
    let plain = token["token"].as_str().unwrap();
    assert!(plain.starts_with("tsms_"));
    let list = ["token", "list", "--terminal", "CC-012-01", "--json"];
    let listed = shell.tsms(&list);
    assert!(!listed.out.contains(plain), "a token is shown once");
    let listed = json(&listed);
    assert_eq!(listed["id"], token["id"]);
    assert_eq!(listed["revoked_at"], Value::Null);

    let id = token["id"].to_string();
    assert_eq!(shell.tsms(&["token", "revoke", &id]).code, 0);
    assert_ne!(json(&shell.tsms(&list))["revoked_at"], Value::Null);
}

#[test]
fn states_change_and_a_revoked_terminal_stays_revoked() {
    let shell = migrated();
    shell.tsms(&["tenant", "create", "--code", "A", "--name", "A", "--company", "A"]);
    shell.tsms(&["terminal", "create", "--tenant", "A", "--serial", "A-1"]);
    assert_eq!(shell.tsms(&["tenant", "disable", "A"]).code, 0);
    assert_eq!(json(&shell.tsms(&["tenant", "list", "--json"]))["active"], false);
    assert_eq!(shell.tsms(&["tenant", "enable", "1"]).code, 0);
    assert_eq!(json(&shell.tsms(&["tenant", "list", "--json"]))["active"], true);

    let status = || json(&shell.tsms(&["terminal", "list", "--json"]))["status"].clone();
    assert_eq!(shell.tsms(&["terminal", "deactivate", "A-1"]).code, 0);
    assert_eq!(status(), "inactive");
    assert_eq!(shell.tsms(&["terminal", "activate", "A-1"]).code, 0);
    assert_eq!(status(), "active");
    assert_eq!(shell.tsms(&["terminal", "revoke", "A-1"]).code, 0);
    assert_eq!(shell.tsms(&["terminal", "activate", "A-1"]).code, 5);
    assert_eq!(status(), "revoked");
}

#[test]
fn what_is_not_there_is_5_and_named() {
    let shell = migrated();
    for args in [
        &["tenant", "disable", "NOBODY"][..],
        &["terminal", "create", "--tenant", "NOBODY", "--serial", "X"],
        &["terminal", "revoke", "NOBODY"],
        &["token", "create", "--terminal", "NOBODY"],
    ] {
        let ended = shell.tsms(args);
        assert_eq!(ended.code, 5, "{args:?}: {}", ended.err);
        assert!(ended.err.contains("\"NOBODY\""), "{args:?}: {}", ended.err);
    }
    assert_eq!(shell.tsms(&["token", "revoke", "999"]).code, 5);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let shell = Shell::new();
    let mut child = shell
        .command(&["config", "show"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
