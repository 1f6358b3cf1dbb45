use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Layers::read(None, variables(pairs)).and_then(|layers| layers.config())
}

fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    load(pairs).err().map(|error| error.0).unwrap_or_default()
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tsms.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn the_defaults_are_sound_and_cover_every_stage() {
    let config = load(&[]).unwrap();
    for stage in Stage::ALL {
        assert!(config.pool(stage).concurrency >= 1);
    }
    assert_eq!(
        config.stage.len(),
        Stage::ALL.len(),
        "a section for what is no stage"
    );
}

#[test]
fn environment_goes_over_file_goes_over_defaults() {
    let (_dir, path) = file("[ingress]\nmax_batch = 10\nmax_depth = 9\n");
    let layers = Layers::read(
        Some(&path),
        variables(&[
            ("TSMS__INGRESS__MAX_DEPTH", "12"),
            ("TSMS__STAGE__FORWARDING__CONCURRENCY", "7"),
        ]),
    )
    .unwrap();
    let config = layers.config().unwrap();
    assert_eq!((config.ingress.max_batch, config.ingress.max_depth), (10, 12));
    assert_eq!(config.pool(Stage::Forwarding).concurrency, 7);
    assert_eq!(layers.origin("ingress.max_batch"), Some(&Origin::File(path)));
    assert_eq!(
        layers.origin("stage.forwarding.concurrency"),
        Some(&Origin::Environment(
            "TSMS__STAGE__FORWARDING__CONCURRENCY".to_owned()
        ))
    );
    assert_eq!(layers.origin("ingress.max_errors"), Some(&Origin::Default));
}

#[test]
fn a_token_of_digits_stays_what_it_was() {
    for token in ["0123", "1e5", "true", "12345678901234567890"] {
        let config = load(&[("TSMS__FORWARDING__TOKEN", token)]).unwrap();
        assert_eq!(config.forwarding.token.reveal(), token);
    }
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    let (_dir, path) = file("[ingres]\nlisten = \"127.0.0.1:1\"\n[stage.valdation]\nbatch = 3\n");
    let layers = Layers::read(Some(&path), variables(&[("TSMS__QUEUE__URI", "memory:")])).unwrap();
    let found = layers.config().unwrap_err().0;
    let told = format!("(from {})", path.display());
    for wanted in [
        format!("ingres.listen: no such setting; did you mean ingress.listen? {told}"),
        format!("stage.valdation.batch: no such setting; did you mean stage.validation.batch? {told}"),
        "queue.uri: no such setting; did you mean queue.url? (from TSMS__QUEUE__URI)".to_owned(),
    ] {
        assert!(found.contains(&wanted), "{wanted} is not in {found:#?}");
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn a_section_is_not_a_value_and_a_stray_key_names_its_section() {
    assert!(problems(&[("TSMS__INGRESS", "1")])[0].contains("ingress: is a section"));
    assert!(problems(&[("TSMS__MEMORY_CAPACITY", "1")])[0].contains("did you mean queue.memory_capacity?"));
}

#[test]
fn wrong_kinds_name_key_origin_and_every_one_of_them() {
    let (_dir, path) = file("[ingress]\nmax_batch = 2.5\nmax_depth = \"8\"\nlisten = 8080\n");
    let layers = Layers::read(
        Some(&path),
        variables(&[
            ("TSMS__FORWARDING__ENABLED", "maybe"),
            ("TSMS__INGRESS__COMMIT_ROWS", "-3"),
            ("TSMS__OPS__LISTEN", "localhost"),
            ("TSMS__RULES__MAX_AMOUNT", "12.345"),
        ]),
    )
    .unwrap();
    let found = layers.config().unwrap_err().0;
    for (key, origin) in [
        ("ingress.max_batch", path.to_str().unwrap()),
        ("ingress.max_depth", path.to_str().unwrap()),
        ("ingress.listen", path.to_str().unwrap()),
        ("forwarding.enabled", "TSMS__FORWARDING__ENABLED"),
        ("ingress.commit_rows", "TSMS__INGRESS__COMMIT_ROWS"),
        ("ops.listen", "TSMS__OPS__LISTEN"),
        ("rules.max_amount", "TSMS__RULES__MAX_AMOUNT"),
    ] {
        let named = |line: &&String| line.starts_with(&format!("{key}: ")) && line.contains(origin);
        assert_eq!(found.iter().filter(named).count(), 1, "{key} in {found:#?}");
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn settings_of_traces_that_cannot_work_are_told() {
    let found = problems(&[
        ("TSMS__TRACES__ENDPOINT", "grpc://someone@collector:4317"),
        ("TSMS__TRACES__HEADERS", "authorization"),
        ("TSMS__TRACES__SAMPLE_PER_MILLION", "1000001"),
        ("TSMS__TRACES__QUEUE_SPANS", "10"),
        ("TSMS__TRACES__FLUSH_MS", "5000"),
    ]);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(
        found.iter().all(|sentence| sentence.starts_with("traces.")),
        "{found:#?}"
    );
    let config = load(&[
        ("TSMS__TRACES__ENDPOINT", "https://collector/v1/traces"),
        (
            "TSMS__TRACES__HEADERS",
            "authorization=Bearer a=b, x-team = tills",
        ),
        ("TSMS__TRACES__SAMPLE_PER_MILLION", "0"),
        ("TSMS__TRACES__CLIENT_PER_S", "0"),
    ])
    .unwrap();
    let headers = config.traces.header_map().unwrap();
    assert_eq!(
        (headers.len(), headers["authorization"].as_bytes()),
        (2, &b"Bearer a=b"[..])
    );
    assert!(headers["x-team"] == "tills" && headers["x-team"].is_sensitive());
    assert!(config.traces.is_on() && !load(&[]).unwrap().traces.is_on());
}

#[test]
fn every_contradiction_is_told_at_once() {
    let found = problems(&[
        ("TSMS__QUEUE__RESPONSE_TIMEOUT_MS", "1000"),
        ("TSMS__FORWARDING__CLAIM_MS", "999"),
        ("TSMS__STAGE__FORWARDING__TIMEOUT_MS", "30000"),
        ("TSMS__NOTIFICATION__CLAIM_MS", "10000"),
        ("TSMS__STAGE__AUDIT__RETRY_MIN_MS", "99999"),
        ("TSMS__FORWARDING__ENDPOINT", "ftp://mall.example/"),
        ("TSMS__SWEEPER__MARK_LAG_MS", "40000"),
        ("TSMS__INGRESS__MAX_BODY_BYTES", "100"),
        ("TSMS__INGRESS__BODY_BUDGET_BYTES", "99"),
        ("TSMS__DATABASE__STATEMENT_ROWS", "100"),
        ("TSMS__FORWARDING__BATCH_SIZE", "501"),
        ("TSMS__SWEEPER__PAGE", "0"),
        ("TSMS__LOG__FORMAT", "xml"),
        ("TSMS__DATABASE__URL", "postgres://x"),
    ]);
    for word in [
        "queue.response_timeout_ms",
        "forwarding.claim_ms",
        "stage.forwarding.timeout_ms",
        "notification.claim_ms",
        "stage.audit.retry_min_ms",
        "forwarding.endpoint",
        "sweeper.mark_lag_ms",
        "ingress.max_body_bytes",
        "ingress.body_budget_bytes",
        "database.statement_rows",
        "forwarding.batch_size",
        "sweeper.page: must be at least 1",
        "log.format",
        "database.url",
    ] {
        assert!(
            found.iter().any(|line| line.contains(word)),
            "{word} is not in {found:#?}"
        );
    }
}

#[test]
fn memory_queues_are_for_one_process() {
    assert!(load(&[]).unwrap().check_fleet().is_err());
    let redis = load(&[("TSMS__QUEUE__URL", "redis://127.0.0.1:6379/0")]).unwrap();
    assert!(redis.check_fleet().is_ok());
}

#[test]
fn a_fleet_without_a_pepper_is_told_how_to_make_one() {
    let fleet = load(&[("TSMS__DATABASE__URL", "mysql://tsms@db.example/tsms")]).unwrap();
    let told = fleet.keyring().unwrap_err().to_string();
    assert!(
        told.contains("TSMS__AUTH__PEPPER") && told.contains("openssl rand"),
        "{told}"
    );
    let peppers = "a new pepper of 32 characters or more,  an old pepper of 32 characters or more";
    let fleet = load(&[
        ("TSMS__DATABASE__URL", "mysql://tsms@db.example/tsms"),
        ("TSMS__AUTH__PEPPER", peppers),
    ]);
    let keyring = fleet.unwrap().keyring().unwrap();
    let alone = |pepper: &str| crate::domain::keyring::Keyring::new([pepper]).unwrap();
    let (new, old) = peppers.split_once(',').unwrap();
    assert_eq!(keyring.newest(), alone(new).newest());
    assert!(keyring.knows(alone(old.trim()).newest()));
    let short = problems(&[("TSMS__AUTH__PEPPER", "short")]);
    assert!(short[0].starts_with("auth.pepper: "), "{short:?}");
}

#[test]
fn settings_of_access_that_cannot_work_are_told() {
    let found = problems(&[
        ("TSMS__AUTH__ENVIRONMENT", "Live"),
        ("TSMS__AUTH__WATCH_INTERVAL_MS", "2000"),
        ("TSMS__ADMIN__ALLOW", ""),
    ]);
    for word in ["auth.environment", "auth.watch_patience_ms", "admin.allow"] {
        assert!(
            found.iter().any(|line| line.contains(word)),
            "{word} is not in {found:#?}"
        );
    }
}

#[test]
fn nothing_secret_is_shown() {
    let layers = Layers::read(
        None,
        variables(&[
            (
                "TSMS__DATABASE__URL",
                "mysql://tsms:hun@ter2@db.example:3306/tsms?ssl-key=hunter2",
            ),
            ("TSMS__QUEUE__URL", "redis://:hunter2@queue.example/0"),
            ("TSMS__FORWARDING__TOKEN", "hunter2"),
            ("TSMS__FORWARDING__SIGNING_SECRETS", "hunter2"),
            ("TSMS__TRACES__HEADERS", "authorization=hunter2"),
            ("TSMS__AUTH__PEPPER", "hunter2 hunter2 hunter2 hunter2 hunter2"),
            ("TSMS__SECRETS__KEY", "hunter2 hunter2 hunter2 hunter2 hunter2"),
            ("TSMS__FORWARDING__ENDPOINT", "https://u:hunter2@web.example/in"),
        ]),
    )
    .unwrap();
    let shown: BTreeMap<String, String> = layers
        .settings()
        .into_iter()
        .map(|row| (row.key, row.value.to_string()))
        .collect();
    assert!(shown.values().all(|value| !value.contains("ter2")), "{shown:#?}");
    assert_eq!(
        shown["database.url"],
        "\"mysql://tsms:***@db.example:3306/tsms?ssl-key=***\""
    );
    assert_eq!(shown["queue.url"], "\"redis://:***@queue.example/0\"");
    let refused = layers.config().unwrap_err().to_string();
    assert!(
        refused.contains("forwarding.endpoint: holds a login") && !refused.contains("ter2"),
        "{refused}"
    );
    let config = load(&[
        ("TSMS__DATABASE__URL", "mysql://tsms:hunter2@db.example/tsms"),
        ("TSMS__FORWARDING__TOKEN", "hunter2"),
    ])
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let (_dir, path) = file("[ingress\n");
    let broken = Layers::read(Some(&path), Vec::new()).unwrap_err().to_string();
    assert!(broken.contains(path.to_str().unwrap()), "{broken}");
    let missing = path.with_file_name("missing.toml");
    let error = Layers::read(Some(&missing), Vec::new()).unwrap_err().to_string();
    assert!(error.contains("missing.toml"), "{error}");
}

#[test]
fn two_spellings_of_one_key_are_refused() {
    let found = problems(&[("TSMS__LOG__LEVEL", "info"), ("TSMS__Log__Level", "debug")]);
    assert!(found[0].contains("log.level is set twice"), "{found:#?}");
}

#[test]
fn a_list_of_networks_is_read_and_a_slip_in_it_named() {
    let config = load(&[("TSMS__INGRESS__TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")]).unwrap();
    assert!(config.ingress.trusted_proxies.hold([10, 1, 2, 3].into()));
    assert!(load(&[]).unwrap().ingress.trusted_proxies.is_empty());
    let told = problems(&[("TSMS__INGRESS__TRUSTED_PROXIES", "10.0.0.1/8")]).join("\n");
    assert!(
        told.contains("ingress.trusted_proxies") && told.contains("10.0.0.0/8"),
        "{told}"
    );
    let told = problems(&[("TSMS__INGRESS__PROXY_HEADER", "via")]).join("\n");
    assert!(told.contains("ingress.proxy_header"), "{told}");
}
