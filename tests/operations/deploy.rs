//! The files to deploy with: as far as they can be held to the program without a cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};
use tsms::{stage::Stage, telemetry::expression};

use crate::{names, place, read};

const KUBERNETES: &str = "config/deploy/kubernetes";
const SYSTEMD: &str = "config/deploy/systemd";

/// Everything in the folder, by kind and name.
fn objects() -> BTreeMap<(String, String), Value> {
    let mut found = BTreeMap::new();
    for name in names(KUBERNETES, ".yaml") {
        let text = read(&format!("{KUBERNETES}/{name}.yaml"));
        for document in Deserializer::from_str(&text) {
            let object = Value::deserialize(document).unwrap_or_else(|error| panic!("{name}: {error}"));
            let key = (word(&object["kind"]), word(&object["metadata"]["name"]));
            assert!(found.insert(key.clone(), object).is_none(), "{key:?} twice");
        }
    }
    found
}

fn word(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value:?} is no text"))
        .to_owned()
}

fn of_kind<'a>(
    objects: &'a BTreeMap<(String, String), Value>,
    kind: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let wanted = objects.iter().filter(move |((found, _), _)| found == kind);
    wanted.map(|((_, name), object)| (name.as_str(), object))
}

fn roles() -> BTreeSet<String> {
    let stages = Stage::ALL.map(|stage| format!("tsms-{stage}"));
    let others = ["tsms-ingress", "tsms-scheduler"].map(str::to_owned);
    stages.into_iter().chain(others).collect()
}

/// Whether the program takes this command line, up to where it would begin to work.
fn assert_command(words: &[String]) {
    let mut help = Command::new(env!("CARGO_BIN_EXE_tsms"));
    let ended = help.args(words).arg("--help").output().unwrap();
    assert!(ended.status.success(), "tsms {} is no command", words.join(" "));
    let usage = String::from_utf8_lossy(&ended.stdout);
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(usage.contains(option.as_str()), "{words:?}: no option {option}");
    }
}

#[test]
fn every_role_has_a_deployment_that_is_watched_drained_and_confined() {
    let objects = objects();
    let deployments: BTreeMap<&str, &Value> = of_kind(&objects, "Deployment").collect();
    let named: BTreeSet<String> = deployments.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(named, roles());
    let routes = read("src/ingress/ops.rs") + &read("src/ingress/routes.rs");
    for (name, deployment) in deployments {
        let spec = &deployment["spec"];
        let pod = &spec["template"]["spec"];
        let labels = &spec["template"]["metadata"]["labels"];
        assert_eq!(&spec["selector"]["matchLabels"], labels, "{name}");
        let budget = &objects[&("PodDisruptionBudget".to_owned(), name.to_owned())];
        assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels, "{name}");
        assert_eq!(
            pod["securityContext"]["runAsNonRoot"],
            Value::from(true),
            "{name}"
        );
        let container = &pod["containers"][0];
        let confined = &container["securityContext"];
        assert_eq!(confined["allowPrivilegeEscalation"], Value::from(false), "{name}");
        assert_eq!(confined["readOnlyRootFilesystem"], Value::from(true), "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let get = &container[probe]["httpGet"];
            let path = word(&get["path"]);
            assert!(routes.contains(&format!("\"{path}\"")), "{name}: no route {path}");
            assert_eq!(get["port"], container["ports"][0]["name"], "{name}");
        }
        let arguments = container["args"].as_sequence().unwrap();
        let arguments: Vec<String> = arguments.iter().map(word).collect();
        assert_command(&arguments);
        let port = container["ports"][0]["containerPort"].as_u64().unwrap();
        let listens = arguments.last().unwrap();
        assert_eq!(
            listens,
            &format!("0.0.0.0:{port}"),
            "{name}: the probes would ask elsewhere"
        );
        let annotations = &spec["template"]["metadata"]["annotations"];
        assert_eq!(
            word(&annotations["prometheus.io/port"]),
            port.to_string(),
            "{name}"
        );
        for source in container["envFrom"].as_sequence().unwrap() {
            let (kind, name) = if source["secretRef"].is_mapping() {
                ("Secret", &source["secretRef"]["name"])
            } else {
                ("ConfigMap", &source["configMapRef"]["name"])
            };
            assert!(
                objects.contains_key(&(kind.to_owned(), word(name))),
                "no {kind} {name:?}"
            );
        }
    }
    let service = &objects[&("Service".to_owned(), "tsms-ingress".to_owned())];
    let ingress = &objects[&("Deployment".to_owned(), "tsms-ingress".to_owned())];
    assert_eq!(
        service["spec"]["selector"],
        ingress["spec"]["template"]["metadata"]["labels"]
    );
}

/// The settings of the cluster are settings of the program, and a pod has the time that they promise.
#[test]
fn the_settings_of_the_cluster_are_taken_and_leave_time_to_drain() {
    let objects = objects();
    let mut check = Command::new(env!("CARGO_BIN_EXE_tsms"));
    check
        .args(["config", "show", "--origin"])
        .env_remove("TSMS_CONFIG");
    for (kind, field) in [("ConfigMap", "data"), ("Secret", "stringData")] {
        for (_, object) in of_kind(&objects, kind) {
            for (key, value) in object[field].as_mapping().unwrap() {
                check.env(word(key), word(value));
            }
        }
    }
    let ended = check.output().unwrap();
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(ended.status.success(), "{said}");
    assert!(
        said.contains("drain_notice_ms") && said.contains("8000"),
        "{said}"
    );
    let drain = tsms::config::Config::load(None)
        .unwrap()
        .fleet
        .drain_ms
        .duration();
    for (name, deployment) in of_kind(&objects, "Deployment") {
        let grace = &deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        assert!(grace.as_u64().unwrap() >= drain.as_secs() + 10, "{name}");
    }
}

#[test]
fn every_queue_is_scaled_by_metrics_that_exist() {
    let objects = objects();
    let scaled: BTreeSet<String> = of_kind(&objects, "ScaledObject")
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut wanted = roles();
    wanted.remove("tsms-scheduler");
    assert_eq!(scaled, wanted);
    for (name, object) in of_kind(&objects, "ScaledObject") {
        let target = word(&object["spec"]["scaleTargetRef"]["name"]);
        assert!(
            objects.contains_key(&("Deployment".to_owned(), target.clone())),
            "{target}"
        );
        let mut asked = 0;
        for trigger in object["spec"]["triggers"].as_sequence().unwrap() {
            let Some(query) = trigger["metadata"]["query"].as_str() else {
                continue;
            };
            let named = expression::named(query);
            assert!(named.undeclared.is_empty(), "{name}: {:?}", named.undeclared);
            assert_eq!(named.metrics.len(), 1, "{name}: {query}");
            asked += 1;
            if target != "tsms-ingress" {
                let queue = target.trim_start_matches("tsms-");
                assert!(
                    query.contains(&format!("queue=\"{queue}\"")),
                    "{name} asks about another queue"
                );
            }
        }
        assert_eq!(asked, 1, "{name}");
    }
}

#[test]
fn the_units_are_taken_by_systemd_and_start_commands_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_tsms");
    let mut units = Vec::new();
    for name in names(SYSTEMD, ".service") {
        let text = read(&format!("{SYSTEMD}/{name}.service"));
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/tsms "));
        let line = line.unwrap_or_else(|| panic!("{name} starts something else"));
        let words = line.split(' ').map(|word| {
            word.replace("%i", Stage::Audit.name())
                .replace("${TSMS_OPS_LISTEN}", "127.0.0.1:0")
        });
        assert_command(&words.collect::<Vec<_>>());
        // A role tells when it is ready and that it lives; the migration is done when it has ended.
        let told = ["Type=notify", "NotifyAccess=main", "WatchdogSec=30"];
        let has = |wanted: &&str| text.lines().any(|line| line == *wanted);
        let expected = if name == "tsms-migrate" { 0 } else { told.len() };
        assert_eq!(told.iter().filter(|line| has(line)).count(), expected, "{name}");
        // The program of this build stands where the package would put it.
        let file = name.replace('@', "@audit") + ".service";
        let file = folder.path().join(file);
        std::fs::write(&file, text.replace("/usr/bin/tsms", program)).unwrap();
        units.push(file);
    }
    let ended = Command::new("systemd-analyze")
        .arg("verify")
        .args(&units)
        .output()
        .expect("systemd-analyze comes with Debian's package systemd");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("tsms")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert!(place(SYSTEMD).join("tsms-worker@.service").exists());
}
