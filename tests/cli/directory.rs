use serde_json::Value;

use crate::run::{Ended, Shell};

fn json(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap()
}

pub(crate) fn migrated() -> Shell {
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
fn a_token_rotates_once_and_only_known_abilities_are_given() {
    let shell = migrated();
    let token = json(&shell.tsms(&["token", "create", "--admin", "--json"]));
    assert!(token["token"].as_str().unwrap().starts_with("tsms_live_admin_"));
    let id = token["id"].to_string();
    let next = json(&shell.tsms(&["token", "rotate", &id, "--json"]));
    assert_ne!(next["token"], token["token"]);
    let again = shell.tsms(&["token", "rotate", &id]);
    assert_eq!(again.code, 6, "{}", again.err);
    assert!(again.err.contains("has a successor"), "{}", again.err);
    assert_eq!(shell.tsms(&["token", "revoke", &id, "--family"]).code, 0);
    let rows = shell.tsms(&["token", "list", "--json"]).out;
    assert!(
        rows.lines().count() == 2 && !rows.contains("\"revoked_at\":null"),
        "{rows}"
    );
    for (args, word) in [
        (["--ability", "transaction:create"], "transaction:create"),
        (["--network", "10.0.0.1/8"], "10.0.0.0/8"),
    ] {
        let refused = shell.tsms(&["token", "create", "--admin", args[0], args[1]]);
        assert_eq!(refused.code, 2);
        assert!(refused.err.contains(word), "{}", refused.err);
    }
}

#[test]
fn a_code_and_a_key_are_shown_once_and_kept_as_hashes() {
    let shell = migrated();
    shell.tsms(&["tenant", "create", "--code", "A", "--name", "A", "--company", "A"]);
    let enrol = ["terminal", "enrol", "--tenant", "A", "--serial", "A-1", "--json"];
    let code = json(&shell.tsms(&enrol))["enrolment_code"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(code.starts_with("tsms_live_enrol_"));
    shell.tsms(&["terminal", "create", "--tenant", "A", "--serial", "A-2"]);
    let key = json(&shell.tsms(&["terminal", "key", "A-2", "--json"]));
    let key = key["api_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("tsms_live_key_"));
    for file in ["tsms.db", "tsms.db-wal"] {
        let bytes = std::fs::read(shell.folder.path().join("data").join(file)).unwrap_or_default();
        for secret in [&code, &key] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{file} holds a secret");
        }
    }
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
