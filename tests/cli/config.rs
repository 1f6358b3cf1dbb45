use crate::run::Shell;

#[test]
fn the_defaults_are_sound_but_for_one_process_only() {
    let checked = Shell::new().tsms(&["config", "check"]);
    assert_eq!((checked.code, checked.err.as_str()), (0, ""));
    assert!(checked.out.contains("only `tsms up`"), "{}", checked.out);
    let fleet = Shell::new().tsms(&["config", "check", "--fleet"]);
    assert_eq!(fleet.code, 2);
    assert!(
        fleet.err.contains("queue.url: memory: is inside one process"),
        "{}",
        fleet.err
    );
    let redis = Shell::new().with("TSMS__QUEUE__URL", "redis://127.0.0.1:6379/0");
    assert_eq!(redis.tsms(&["config", "check", "--fleet"]).code, 0);
}

#[test]
fn check_tells_every_problem_of_every_layer() {
    let shell = Shell::new()
        .with("TSMS__STAGE__FORWARDIN__BATCH", "3")
        .with("TSMS__FORWARDING__TIMEOUT_MS", "soon")
        .with("TSMS__QUEUE__BLOCK_MS", "60000");
    let file = shell.file("tsms.toml", "[ingress]\nmax_bach = 3\nlisten = \"nowhere\"\n");
    let checked = shell.tsms(&["--config", &file, "config", "check"]);
    assert_eq!((checked.code, checked.out.as_str()), (2, ""));
    for (key, origin) in [
        (
            "stage.forwardin.batch: no such setting; did you mean stage.forwarding.batch?",
            "TSMS__STAGE__FORWARDIN__BATCH",
        ),
        (
            "forwarding.timeout_ms: expected a whole number",
            "TSMS__FORWARDING__TIMEOUT_MS",
        ),
        (
            "ingress.max_bach: no such setting; did you mean ingress.max_batch?",
            &file,
        ),
        ("ingress.listen:", &file),
        (
            "queue.response_timeout_ms (2000 ms) must be longer than queue.block_ms (60000 ms)",
            "",
        ),
    ] {
        let told = checked
            .err
            .lines()
            .any(|line| line.contains(key) && line.contains(origin));
        assert!(told, "{key} from {origin:?} is not in\n{}", checked.err);
    }
}

#[test]
fn the_file_may_be_named_in_the_environment() {
    let shell = Shell::new();
    let file = shell.file("tsms.toml", "[ingress]\nmax_batch = 77\n");
    let shell = shell.with("TSMS_CONFIG", &file);
    let shown = shell.tsms(&["config", "show", "--json", "--origin"]);
    let settings: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(
        settings["ingress.max_batch"],
        serde_json::json!({ "value": 77, "origin": file })
    );
    assert_eq!(settings["ingress.max_depth"]["origin"], "default");
}

#[test]
fn show_tells_origins_and_hides_secrets() {
    let shell = Shell::new()
        .with("TSMS__FORWARDING__TOKEN", "hunter2")
        .with("TSMS__DATABASE__URL", "mysql://tsms:hunter2@db.example/tsms");
    for args in [
        &["config", "show", "--origin"][..],
        &["config", "show", "--origin", "--json"],
    ] {
        let shown = shell.tsms(args);
        assert_eq!(shown.code, 0, "{}", shown.err);
        assert!(!shown.out.contains("hunter2"));
        assert!(
            shown.out.contains("mysql://tsms:***@db.example/tsms"),
            "{}",
            shown.out
        );
        assert!(shown.out.contains("TSMS__FORWARDING__TOKEN"), "{}", shown.out);
    }
}

#[test]
fn show_works_on_settings_that_are_not_sound() {
    let shell = Shell::new().with("TSMS__SWEEPER__PAGE", "0");
    let shown = shell.tsms(&["config", "show", "--json"]);
    assert_eq!(shown.code, 0);
    let settings: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(settings["sweeper.page"], 0);
    assert_eq!(shell.tsms(&["config", "check"]).code, 2);
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let ended = Shell::new().tsms(&["--config", "missing.toml", "config", "show"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("missing.toml"), "{}", ended.err);
}
