use crate::run::Shell;

#[test]
fn every_command_explains_itself() {
    let shell = Shell::new();
    for command in [
        &["--help"][..],
        &["up", "--help"],
        &["ingress", "--help"],
        &["worker", "--help"],
        &["scheduler", "--help"],
        &["migrate", "--help"],
        &["tenant", "create", "--help"],
        &["terminal", "create", "--help"],
        &["token", "create", "--help"],
        &["queue", "rebuild", "--help"],
        &["dlq", "retry", "--help"],
        &["limits", "block", "--help"],
        &["queue", "pause", "--help"],
        &["scale", "set", "--help"],
        &["doctor", "--help"],
        &["top", "--help"],
        &["metrics", "dashboards", "--help"],
        &["config", "check", "--help"],
        &["checksum", "compute", "--help"],
        &["checksum", "verify", "--help"],
        &["contract", "openapi", "--help"],
        &["contract", "errors", "--help"],
        &["sink", "--help"],
        &["sinks", "add", "--help"],
        &["sim", "--help"],
        &["sim", "sale", "--help"],
        &["bench", "--help"],
    ] {
        let help = shell.tsms(command);
        assert_eq!(help.code, 0, "{command:?}: {}", help.err);
        assert!(help.out.contains("Usage: tsms"), "{command:?}");
    }
    let top = shell.tsms(&["--help"]).out;
    assert!(
        top.contains("Exit codes:") && top.contains("tsms up --demo"),
        "{top}"
    );
}

#[test]
fn wrong_usage_is_2_and_says_what_is_right() {
    let shell = Shell::new();
    for (args, words) in [
        (&[][..], "Usage: tsms"),
        (&["worker"], "<STAGE>"),
        (
            &["worker", "validatoin"],
            "the stages are validation, processing, forwarding, audit, notification",
        ),
        (&["worker", "audit", "--concurrency", "0"], "--concurrency"),
        (&["up", "--rate", "5"], "--demo"),
        (&["token", "create"], "--terminal"),
        (
            &["dlq", "list", "--where", "colour=red"],
            "stage, tenant, code or cause",
        ),
        (&["dlq", "discard"], "--reason"),
        (&["sink", "--mode", "sulk"], "modes are ok, status:"),
        (&["sink", "--listen", "0.0.0.0:0"], "loopback"),
        (&["sim", "sale", "--version", "v9"], "v1, v2.0 or v2.1"),
        (&["sim", "--rate", "1"], "tsms sim enrol"),
    ] {
        let ended = shell.tsms(args);
        assert_eq!(ended.code, 2, "{args:?}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(words), "{args:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{args:?}");
    }
}

#[test]
fn roles_of_a_fleet_refuse_a_queue_in_memory() {
    let shell = Shell::new();
    for args in [
        &["ingress"][..],
        &["worker", "audit"],
        &["scheduler"],
        &["queue", "depth"],
        &["queue", "rebuild"],
    ] {
        let ended = shell.tsms(args);
        assert_eq!(ended.code, 2, "{args:?}");
        assert!(ended.err.contains("queue.url"), "{args:?}: {}", ended.err);
    }
}

#[test]
fn servers_that_are_away_have_codes_of_their_own() {
    let shell = Shell::new()
        .with("TSMS__DATABASE__URL", "mysql://nobody@127.0.0.1:1/nothing")
        .with("TSMS__DATABASE__ACQUIRE_TIMEOUT_MS", "300")
        .with("TSMS__AUTH__PEPPER", "a pepper of at least 32 characters")
        .with("TSMS__QUEUE__URL", "redis://127.0.0.1:1/0")
        .with("TSMS__QUEUE__RESPONSE_TIMEOUT_MS", "300")
        .with("TSMS__QUEUE__BLOCK_MS", "100");
    for args in [&["migrate"][..], &["tenant", "list"], &["ingress"]] {
        let ended = shell.tsms(args);
        assert_eq!(ended.code, 3, "{args:?}: {}{}", ended.out, ended.err);
    }
    let ended = shell.tsms(&["queue", "depth"]);
    assert_eq!(ended.code, 4, "{}{}", ended.out, ended.err);
}

#[test]
fn an_ingress_of_a_fleet_does_not_start_without_a_pepper() {
    let shell = Shell::new()
        .with("TSMS__DATABASE__URL", "mysql://nobody@127.0.0.1:1/nothing")
        .with("TSMS__QUEUE__URL", "redis://127.0.0.1:1/0");
    for args in [&["ingress"][..], &["config", "check", "--fleet"]] {
        let ended = shell.tsms(args);
        assert_eq!(ended.code, 2, "{args:?}: {}{}", ended.out, ended.err);
        assert!(
            ended.err.contains("TSMS__AUTH__PEPPER"),
            "{args:?}: {}",
            ended.err
        );
    }
}
