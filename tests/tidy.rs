//! The layout and the import rules of `docs/architecture.md`, held by an ordinary test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test of the sources"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use tsms::stage::Stage;

const MOST_LINES: usize = 400;

/// A crate, and the only folders or files that may name it.
const CRATES: [(&str, &[&str]); 16] = [
    (
        "axum",
        &["src/ingress/", "src/fleet", "src/standin/", "src/bench/"],
    ),
    ("reqwest", &["workers/", "src/standin/"]),
    ("lettre", &["workers/alerts/"]),
    ("sqlx", &["src/store/", "src/bench/database.rs"]),
    ("apalis", &["src/queue/"]),
    ("apalis_core", &["src/queue/"]),
    ("redis", &["src/queue/", "src/limits/", "src/link.rs"]),
    ("clap", &["src/cli/"]),
    ("ratatui", &["src/cli/top/"]),
    ("crossterm", &["src/cli/top/"]),
    ("opentelemetry_proto", &["workers/traces/"]),
    ("prost", &["workers/traces/"]),
    ("metrics_exporter_prometheus", &["src/telemetry/metrics.rs"]),
    // The domain only says how its words look on the wire, beside where serde is told the same.
    ("utoipa", &["src/ingress/", "src/domain/"]),
    ("utoipa_axum", &["src/ingress/"]),
    ("utoipa_swagger_ui", &["src/ingress/contract/"]),
];

/// A folder or file, and the only modules of this crate that it may use.
const MODULES: [(&str, &[&str]); 8] = [
    ("src/domain/", &["domain"]),
    ("src/stage.rs", &[]),
    ("src/outcome.rs", &["queue", "stage"]),
    ("src/store/", &["config", "domain", "store", "telemetry"]),
    ("src/link.rs", &[]),
    (
        "src/queue/",
        &["config", "domain", "link", "outcome", "queue", "stage"],
    ),
    ("src/limits/", &["config", "limits", "link", "telemetry"]),
    (
        "workers/",
        &[
            "workers",
            "config",
            "domain",
            "outcome",
            "queue",
            "stage",
            "store",
            "telemetry",
        ],
    ),
];

const SQL: [&str; 6] = [
    "SELECT ",
    "INSERT INTO",
    "DELETE FROM",
    "UPDATE ",
    "CREATE TABLE",
    "REPLACE INTO",
];

/// A source file: its path from the top of the repository, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// The lines without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default())
    }

    fn names_crate(&self, name: &str) -> bool {
        let inline = format!("{name}::");
        let whole = format!("use {name};");
        self.code().any(|line| {
            line.contains(&whole)
                || line.match_indices(&inline).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                })
        })
    }

    /// The modules of this crate that the file names, in `crate::x` and in `crate::{x, y::z}`.
    fn modules(&self) -> BTreeSet<String> {
        let code: String = self.code().collect::<Vec<_>>().join(" ");
        let mut found = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            if !rest.starts_with('{') {
                found.insert(word(rest));
                continue;
            }
            let mut depth = 0;
            let mut expect = true;
            for (i, c) in rest.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => expect = true,
                    _ if expect && depth == 1 && c.is_alphabetic() => {
                        found.insert(word(&rest[i..]));
                        expect = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
        found
    }
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folders: &[&str]) -> Vec<File> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push(File {
                path: name,
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
    assert!(!found.is_empty(), "no sources in {folders:?}");
    found
}

fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn files_fit_in_a_head() {
    let long = files(&["src", "workers", "tests"])
        .into_iter()
        .filter_map(|file| {
            let lines = file.text.lines().count();
            (lines > MOST_LINES).then(|| format!("{} has {lines} lines", file.path))
        });
    none(
        "a file has at most 400 lines; split it by reason to exist",
        &long.collect::<Vec<_>>(),
    );
}

#[test]
fn crates_stay_where_they_belong() {
    let mut broken = Vec::new();
    for file in files(&["src", "workers"]) {
        for (name, places) in CRATES {
            if !file.is_in(places) && file.names_crate(name) {
                broken.push(format!("{} names {name}, which belongs in {places:?}", file.path));
            }
        }
    }
    none("imports run one way", &broken);
}

#[test]
fn modules_see_only_what_is_below_them() {
    let mut broken = Vec::new();
    for file in files(&["src", "workers"]) {
        for (place, allowed) in MODULES {
            if !file.is_in(&[place]) {
                continue;
            }
            let above = file
                .modules()
                .into_iter()
                .filter(|module| !allowed.contains(&module.as_str()));
            broken.extend(above.map(|module| format!("{} uses crate::{module}", file.path)));
        }
    }
    none("imports run one way", &broken);
}

#[test]
fn a_worker_knows_no_other_worker_and_no_queue() {
    let mut broken = Vec::new();
    for file in files(&["workers"])
        .iter()
        .filter(|file| file.path != "workers/mod.rs")
    {
        for other in Stage::ALL {
            let own = [format!("workers/{other}.rs"), format!("workers/{other}/")];
            if file.is_in(&[&own[0], &own[1]]) {
                continue;
            }
            for path in [format!("super::{other}::"), format!("workers::{other}::")] {
                if file.code().any(|line| line.contains(&path)) {
                    broken.push(format!("{} uses the worker {other}", file.path));
                }
            }
        }
        if file
            .code()
            .any(|line| line.contains("queue::Queue") || line.contains("Queue,"))
        {
            broken.push(format!("{} holds a queue", file.path));
        }
    }
    none("a worker returns what follows; the runner enqueues it", &broken);
}

#[test]
fn only_the_table_names_metrics() {
    let macros = ["counter!(", "gauge!(", "histogram!(", "describe_counter!("];
    let mut broken = Vec::new();
    for file in files(&["src", "workers"])
        .iter()
        .filter(|file| file.path != "src/telemetry/metrics.rs")
    {
        if file
            .code()
            .any(|line| macros.iter().any(|name| line.contains(name)))
        {
            broken.push(file.path.clone());
        }
    }
    none(
        "metrics are declared and recorded in src/telemetry/metrics.rs",
        &broken,
    );
}

#[test]
fn no_route_is_added_without_its_document() {
    let mut broken = Vec::new();
    for file in files(&["src/ingress"])
        .iter()
        .filter(|file| !file.path.contains("tests"))
    {
        let code = file.code().take_while(|line| !line.contains("#[cfg(test)]"));
        let bare = |line: &&str| {
            [".route(", ".route_service(", ".nest_service("]
                .iter()
                .any(|way| line.contains(way))
        };
        broken.extend(
            code.filter(bare)
                .map(|line| format!("{}: {}", file.path, line.trim())),
        );
    }
    none(
        "routes are added by OpenApiRouter::routes(routes!(…)); see docs/architecture.md, \"A new route\"",
        &broken,
    );
}

#[test]
fn only_the_store_speaks_sql() {
    let mut broken = Vec::new();
    for file in files(&["src", "workers"])
        .iter()
        .filter(|file| !file.is_in(&["src/store/", "src/bench/database.rs"]))
    {
        let spoken = |line: &str| SQL.iter().any(|verb| line.contains(&format!("\"{verb}")));
        broken.extend(
            file.code()
                .filter(|line| spoken(line))
                .map(|line| format!("{}: {}", file.path, line.trim())),
        );
    }
    none("SQL stays in src/store", &broken);
}

#[test]
fn every_source_file_is_compiled() {
    let all = files(&["src", "workers"]);
    let mut dead = Vec::new();
    for file in &all {
        let path = Path::new(&file.path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let name = match stem {
            "mod" => path.parent().unwrap().file_name().unwrap().to_str().unwrap(),
            "main" | "lib" => continue,
            _ => stem,
        };
        let declared = format!("mod {name};");
        if !all
            .iter()
            .any(|other| other.code().any(|line| line.contains(&declared)))
        {
            dead.push(file.path.clone());
        }
    }
    none("no module names these files", &dead);
}

#[test]
fn both_dialects_have_the_same_migrations() {
    let names = |dialect: &str| -> BTreeSet<String> {
        let folder = root().join("migrations").join(dialect);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let (mysql, sqlite) = (names("mysql"), names("sqlite"));
    assert!(!mysql.is_empty());
    assert_eq!(mysql, sqlite);
}

#[test]
fn the_procfile_starts_every_role() {
    let procfile = fs::read_to_string(root().join("Procfile")).unwrap();
    let lines: Vec<(&str, &str)> = procfile
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    let command = |name: &str| {
        let line = lines.iter().find(|(found, _)| *found == name);
        let (_, command) = line.unwrap_or_else(|| panic!("the Procfile has no line {name}"));
        // Without exec a runner's SIGTERM ends the shell and leaves the role behind.
        command.strip_prefix("exec ").unwrap()
    };
    assert_eq!(command("release"), "tsms migrate");
    assert!(command("ingress").starts_with("tsms ingress --listen "));
    assert!(command("scheduler").starts_with("tsms scheduler --ops-listen "));
    for stage in Stage::ALL {
        let start = format!("tsms worker {stage} --ops-listen ");
        assert!(command(stage.name()).starts_with(&start), "{stage}");
    }
    assert_eq!(lines.len(), 3 + Stage::ALL.len(), "a line for what is no role");
}

#[test]
fn every_exception_of_cargo_deny_has_its_reason() {
    let deny = fs::read_to_string(root().join(".deny.toml")).unwrap();
    let exceptions: Vec<&str> = deny
        .lines()
        .filter(|line| line.contains("id = \"RUSTSEC"))
        .collect();
    assert!(
        exceptions.iter().all(|line| line.contains("reason = \"")),
        "{exceptions:?}"
    );
}
