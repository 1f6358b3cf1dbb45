//! The doctor finds what is really broken: each setting is broken on a server of the test's own.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;
use tempfile::TempDir;
use tsms::{
    domain::time::Timestamp,
    store::{self, Beat, Load},
};

use crate::{
    mariadb::MariaDb,
    servers::Redis,
    world::{PEPPER, config_text},
};

/// A set-up to look at.
struct Patient {
    folder: TempDir,
    file: String,
}

impl Patient {
    fn new(database: &str, queue: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tsms.toml");
        let text = config_text(database, queue, "127.0.0.1:1".parse().unwrap(), more);
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        Self { folder, file }
    }

    /// The exit code, and the verdict and remedy of each check.
    fn examine(&self, args: &[&str]) -> (i32, BTreeMap<String, (String, String)>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tsms"));
        command.args(["doctor", "--json"]).args(args);
        command
            .env("TSMS_CONFIG", &self.file)
            .env("TSMS__AUTH__PEPPER", PEPPER);
        let ended = command.current_dir(self.folder.path()).output().unwrap();
        let findings = String::from_utf8(ended.stdout).unwrap();
        let findings = findings.lines().map(|line| {
            let finding: Value = serde_json::from_str(line).unwrap();
            let word = |member: &str| finding[member].as_str().unwrap().to_owned();
            (word("check"), (word("verdict"), word("remedy")))
        });
        (ended.status.code().unwrap(), findings.collect())
    }

    /// The verdict of one check, which has a remedy exactly when it is not well.
    fn verdict(&self, check: &str) -> String {
        let (_, findings) = self.examine(&[]);
        let (verdict, remedy) = findings
            .get(check)
            .unwrap_or_else(|| panic!("no {check} in {findings:?}"));
        assert_eq!(
            verdict == "ok",
            remedy.is_empty(),
            "{check}: {verdict} {remedy:?}"
        );
        verdict.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broken_setting_of_the_servers_is_found() {
    let mariadb = MariaDb::alone();
    let database = mariadb.database().await;
    let mut redis = Redis::start();
    let patient = Patient::new(&database, &redis.url(), "");
    assert_eq!(
        patient.verdict("database.schema"),
        "fail",
        "nothing is migrated yet"
    );
    let config = tsms::config::Config::load(Some(patient.file.as_ref())).unwrap();
    let record = store::open(&config.database).await.unwrap();
    record.migrate().await.unwrap();
    // A worker process that may open as many connections as this one.
    let worker = Beat {
        process: "worker",
        queue: "audit",
        concurrency: 1,
        connections: config.database.max_connections.into(),
        load: Load::default(),
    };

    assert_eq!(redis.command("CONFIG SET appendonly yes"), "+OK");
    let (code, findings) = patient.examine(&[]);
    // The disk is that of the machine of the test, which may be full.
    let failing: Vec<&String> = (findings.iter())
        .filter(|(_, (verdict, _))| verdict == "fail")
        .map(|(check, _)| check)
        .filter(|check| *check != "disk")
        .collect();
    assert!(failing.is_empty(), "{findings:?}");
    assert_eq!(code == 0, findings["disk"].0 != "fail", "{findings:?}");

    for (setting, broken, whole, check, verdict) in [
        (
            "innodb_flush_log_at_trx_commit",
            "2",
            "1",
            "database.flush",
            "fail",
        ),
        (
            "sql_mode",
            "''",
            "'STRICT_ALL_TABLES'",
            "database.sql_mode",
            "warn",
        ),
        ("max_connections", "10", "300", "database.connections", "fail"),
    ] {
        mariadb.set_global(setting, broken).await;
        record.worker_beat(&worker, Timestamp::now()).await.unwrap();
        assert_eq!(patient.verdict(check), verdict, "{setting} = {broken}");
        mariadb.set_global(setting, whole).await;
        assert_eq!(patient.verdict(check), "ok", "{setting} = {whole}");
    }

    for (broken, whole, check, verdict) in [
        (
            "maxmemory-policy allkeys-lru",
            "maxmemory-policy noeviction",
            "redis.policy",
            "fail",
        ),
        ("maxmemory 1", "maxmemory 0", "redis.memory", "warn"),
        ("appendonly no", "appendonly yes", "redis.persistence", "warn"),
    ] {
        assert_eq!(redis.command(&format!("CONFIG SET {broken}")), "+OK");
        redis.command("CONFIG SET save \"\"");
        assert_eq!(patient.verdict(check), verdict, "{broken}");
        let (code, _) = patient.examine(&["--strict"]);
        assert_eq!(code, 6, "{broken}");
        assert_eq!(redis.command(&format!("CONFIG SET {whole}")), "+OK");
        assert_eq!(patient.verdict(check), "ok", "{whole}");
    }
    redis.kill9();
    assert_eq!(patient.verdict("redis"), "fail");
    assert_eq!(patient.examine(&[]).0, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_and_a_certificate_at_its_end_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tsms.db");
    let database = format!("sqlite:{}", file.display());
    let whole = Patient::new(&database, "memory:", "");
    let config = tsms::config::Config::load(Some(whole.file.as_ref())).unwrap();
    let opened = store::open(&config.database).await.unwrap();
    opened.migrate().await.unwrap();
    drop(opened);
    assert_eq!(whole.verdict("database.integrity"), "ok");
    assert_eq!(whole.verdict("database.flush"), "ok");
    assert_eq!(whole.verdict("tls"), "ok");

    let (own, key) = certificate(folder.path());
    let tls = format!("[ingress]\nlisten = \"127.0.0.1:0\"\ntls_certificate = {own:?}\ntls_key = {key:?}");
    let text = std::fs::read_to_string(&whole.file).unwrap();
    std::fs::write(
        &whole.file,
        text.replace("[ingress]\nlisten = \"127.0.0.1:0\"", &tls),
    )
    .unwrap();
    assert_eq!(whole.verdict("tls"), "warn", "it ends within three days");
    std::fs::write(&key, "no key").unwrap();
    assert_eq!(whole.verdict("tls"), "fail");

    // The pages behind the first: the header is whole, the tables are not.
    let mut bytes = std::fs::read(&file).unwrap();
    let page = 4096;
    assert!(bytes.len() > 4 * page);
    bytes[page..4 * page].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let (code, findings) = whole.examine(&[]);
    assert_eq!(code, 6);
    let damaged = ["database", "database.integrity", "database.schema"];
    let told = damaged.iter().filter_map(|check| findings.get(*check));
    assert!(
        told.into_iter().any(|(verdict, _)| verdict == "fail"),
        "{findings:?}"
    );
}

/// A certificate that ends within three days, and its key.
fn certificate(folder: &std::path::Path) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wish = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let now = Timestamp::now().plus(std::time::Duration::from_secs(3 * 86_400));
    let day = now.to_rfc3339(0);
    let part = |place: usize| day.split(['-', 'T']).nth(place).unwrap().parse::<u16>().unwrap();
    let (month, number) = (u8::try_from(part(1)).unwrap(), u8::try_from(part(2)).unwrap());
    wish.not_after = rcgen::date_time_ymd(part(0).into(), month, number);
    let made = wish.self_signed(&key).unwrap();
    let (own, secret) = (folder.join("own.pem"), folder.join("key.pem"));
    std::fs::write(&own, made.pem()).unwrap();
    std::fs::write(&secret, key.serialize_pem()).unwrap();
    (own.display().to_string(), secret.display().to_string())
}
