//! `tsms sinks`: every change by name, and no token on the screen or in the record.

use crate::{directory::migrated, run::Shell};

const URL: &str = "https://mall.example/in";

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn tenant(shell: &Shell) {
    let made = shell.tsms(&[
        "tenant",
        "create",
        "--code",
        "T",
        "--name",
        "Shop",
        "--company",
        "C",
    ]);
    assert_eq!(made.code, 0, "{}", made.err);
}

#[test]
fn a_sink_is_added_changed_and_removed_and_its_token_never_shown() {
    let shell = migrated();
    tenant(&shell);
    let token = shell.file("token.txt", "secret-of-the-mall\n");
    let add = [
        "sinks",
        "add",
        "mall",
        "--endpoint",
        URL,
        "--tenant",
        "T",
        "--token-file",
        &token,
        "--json",
    ];
    let added = shell.tsms(&add);
    assert_eq!(added.code, 0, "{}", added.err);
    let sink = json(&added.out);
    assert_eq!(
        (&sink["has_token"], &sink["batch_size"]),
        (&true.into(), &50.into())
    );
    assert_eq!(shell.tsms(&add).code, 5, "it exists");

    let set = shell.tsms(&[
        "sinks",
        "set",
        "mall",
        "--batch-size",
        "20",
        "--no-token",
        "--json",
    ]);
    let sink = json(&set.out);
    assert_eq!(
        (&sink["has_token"], &sink["batch_size"]),
        (&false.into(), &20.into())
    );
    assert_eq!(sink["version"], 2);
    let off = shell.tsms(&["sinks", "disable", "1"]);
    assert_eq!(
        (off.code, off.out.as_str()),
        (0, "sink 1 (mall) is disabled\n"),
        "{}",
        off.err
    );
    let listed = shell.tsms(&["sinks", "list"]);
    assert!(listed.out.contains("disabled"), "{}", listed.out);
    assert_eq!(shell.tsms(&["sinks", "enable", "mall"]).code, 0);
    let shown = shell.tsms(&["sinks", "show", "mall"]);
    assert!(
        shown.out.contains(URL) && shown.out.contains("enabled"),
        "{}",
        shown.out
    );
    assert_eq!(shell.tsms(&["sinks", "remove", "mall"]).code, 0);
    assert_eq!(shell.tsms(&["sinks", "show", "mall"]).code, 5);
    for out in [added.out, set.out, listed.out, shown.out] {
        assert!(!out.contains("secret-of"), "{out}");
    }
    let record = std::fs::read(shell.folder.path().join("data/tsms.db")).unwrap();
    let log = std::fs::read(shell.folder.path().join("data/tsms.db-wal")).unwrap_or_default();
    let held = |bytes: &[u8]| bytes.windows(9).any(|window| window == b"secret-of");
    assert!(
        !held(&record) && !held(&log),
        "the token is in the record as it is"
    );
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    let shell = migrated();
    let refused = |args: &[&str], word: &str| {
        let ended = shell.tsms(&[&["sinks"], args].concat());
        assert!(
            ended.code == 2 && ended.err.contains(word),
            "{args:?}: {}",
            ended.err
        );
    };
    refused(&["add", "webapp", "--endpoint", URL], "[forwarding]");
    refused(&["add", "Mall", "--endpoint", URL], "a-z");
    refused(&["add", "mall", "--endpoint", "ftp://mall.example/"], "http");
    refused(
        &["add", "mall", "--endpoint", "https://a:b@mall.example/"],
        "login",
    );
    refused(
        &["add", "mall", "--endpoint", URL, "--timeout-ms", "5"],
        "100 to 120000",
    );
    let long = shell.file("long.txt", &"x".repeat(2000));
    refused(
        &["add", "mall", "--endpoint", URL, "--token-file", &long],
        "token",
    );
    refused(&["add", "mall", "--endpoint", URL, "--ca-file", &long], "PEM");
    assert_eq!(shell.tsms(&["sinks", "add", "mall", "--endpoint", URL]).code, 0);
    refused(&["set", "mall"], "name what changes");
    refused(&["set", "mall", "--schema-version", "1.0"], "2.0");
}

#[test]
fn a_secret_is_shown_once_and_follows_the_key_of_the_server() {
    const OLD: &str = "an old key of at least thirty-two bytes";
    const NEW: &str = "a newer key of at least thirty-two bytes";
    let keyed = |shell: Shell, keys: &str| shell.with("TSMS__SECRETS__KEY", keys);
    let shell = keyed(migrated(), OLD);
    let token = shell.file("token.txt", "secret-of-the-mall\n");
    let add = ["sinks", "add", "mall", "--endpoint", URL, "--token-file", &token];
    assert_eq!(shell.tsms(&add).code, 0);
    let signed = shell.tsms(&["sinks", "sign", "mall", "--json"]);
    let secret = json(&signed.out)["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{}{}", signed.out, signed.err);
    let public = shell.tsms(&["sinks", "sign", "mall", "--scheme", "ed25519"]);
    assert!(
        public.out.contains("public_key: whpk_"),
        "{}{}",
        public.out,
        public.err
    );
    assert_eq!(shell.tsms(&["sinks", "sign", "mall"]).code, 0);
    let third = shell.tsms(&["sinks", "sign", "mall"]);
    assert!(third.code == 2 && third.err.contains("retire"), "{}", third.err);

    let shell = keyed(shell, NEW);
    let alone = shell.tsms(&["sinks", "retire", "mall"]);
    assert!(
        alone.code != 0 && alone.err.contains("not among those given"),
        "{}",
        alone.err
    );
    let shell = keyed(shell, &format!("{NEW},{OLD}"));
    let resealed = shell.tsms(&["sinks", "reseal"]);
    assert_eq!(
        (resealed.code, resealed.out.as_str()),
        (0, "1 sinks are sealed with the newest key\n"),
        "{}",
        resealed.err
    );
    let shell = keyed(shell, NEW);
    let retired = shell.tsms(&["sinks", "retire", "mall"]);
    assert_eq!(retired.code, 0, "{}", retired.err);
    assert_eq!(shell.tsms(&["sinks", "sign", "mall"]).code, 0);
    let shown = shell.tsms(&["sinks", "show", "mall", "--json"]);
    assert_eq!(json(&shown.out)["signed"], true);
    assert!(
        !shown.out.contains("whs") && !shown.out.contains(&secret),
        "{}",
        shown.out
    );
    assert_eq!(shell.tsms(&["sinks", "retire", "mall", "--all"]).code, 0);
    let shown = shell.tsms(&["sinks", "show", "mall", "--json"]);
    assert_eq!(json(&shown.out)["signed"], false);
}
