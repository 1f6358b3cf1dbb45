use std::{collections::BTreeMap, process::Command};

use serde_yaml_ng::Value;
use tsms::telemetry::expression;

use crate::{names, place, read};

struct Rule {
    name: String,
    yaml: Value,
}

fn rules() -> Vec<Rule> {
    let file: Value = serde_yaml_ng::from_str(&read("config/prometheus/rules.yml")).unwrap();
    let groups = file["groups"].as_sequence().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_sequence().unwrap());
    let rules: Vec<Rule> = rules
        .map(|yaml| Rule {
            name: yaml["alert"].as_str().unwrap().to_owned(),
            yaml: yaml.clone(),
        })
        .collect();
    assert!(rules.len() > 20, "{} rules", rules.len());
    rules
}

/// How often each alert is expected to fire, and not to, in the test cases.
fn cases() -> BTreeMap<String, (usize, usize)> {
    let mut cases: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for name in names("config/prometheus/tests", ".yml") {
        let file: Value =
            serde_yaml_ng::from_str(&read(&format!("config/prometheus/tests/{name}.yml"))).unwrap();
        for test in file["tests"].as_sequence().unwrap() {
            for case in test["alert_rule_test"].as_sequence().unwrap() {
                let alert = case["alertname"].as_str().unwrap().to_owned();
                let fires = case["exp_alerts"]
                    .as_sequence()
                    .is_some_and(|alerts| !alerts.is_empty());
                let counts = cases.entry(alert).or_default();
                if fires { counts.0 += 1 } else { counts.1 += 1 }
            }
        }
    }
    cases
}

fn promtool(args: &[&str]) {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(place("config/prometheus"));
    let ended = command
        .output()
        .expect("promtool comes with Debian's package prometheus");
    assert!(
        ended.status.success(),
        "promtool {args:?}\n{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
}

#[test]
fn prometheus_takes_the_configuration_and_the_rules() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "rules.yml"]);
}

#[test]
fn every_rule_fires_when_it_should_and_only_then() {
    let files: Vec<String> = names("config/prometheus/tests", ".yml")
        .iter()
        .map(|name| format!("tests/{name}.yml"))
        .collect();
    let mut args = vec!["test", "rules"];
    args.extend(files.iter().map(String::as_str));
    promtool(&args);
    let cases = cases();
    for Rule { name, .. } in rules() {
        let (fires, quiet) = cases.get(&name).copied().unwrap_or_default();
        assert!(fires > 0, "{name} has no case where it fires");
        assert!(quiet > 0, "{name} has no case where it must not fire");
    }
}

#[test]
fn a_rule_names_only_what_is_declared() {
    for Rule { name, yaml } in rules() {
        let text = yaml["expr"].as_str().unwrap();
        let named = expression::named(text);
        assert!(named.undeclared.is_empty(), "{name}: {:?}", named.undeclared);
        assert!(
            !named.metrics.is_empty() || text.contains("up{"),
            "{name} names no metric"
        );
    }
}

#[test]
fn a_rule_tells_how_bad_it_is_and_what_to_do() {
    for Rule { name, yaml } in rules() {
        let severity = yaml["labels"]["severity"].as_str().unwrap_or_default();
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}: {severity:?}"
        );
        for part in ["summary", "description"] {
            let text = yaml["annotations"][part].as_str().unwrap_or_default();
            assert!(text.len() > 10, "{name} has no {part}");
        }
        let page = yaml["annotations"]["runbook_url"].as_str().unwrap_or_default();
        let text = read(page);
        assert!(
            text.starts_with(&format!("# {name}\n")),
            "{page} is not about {name}"
        );
    }
}

#[test]
fn every_role_of_the_procfile_is_scraped() {
    let config: Value = serde_yaml_ng::from_str(&read("config/prometheus/prometheus.yml")).unwrap();
    let jobs: BTreeMap<&str, &str> = config["scrape_configs"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|job| {
            let target = job["static_configs"][0]["targets"][0].as_str().unwrap();
            (job["job_name"].as_str().unwrap(), target)
        })
        .collect();
    let procfile = read("Procfile");
    let roles: Vec<&str> = procfile
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    let mut scraped = 0;
    for (place, role) in (0..).zip(roles).filter(|(_, role)| *role != "release") {
        // The port that a runner gives to the line.
        let target = format!("127.0.0.1:{}", 5000 + place * 100);
        assert_eq!(
            jobs.get(format!("tsms-{role}").as_str()).copied(),
            Some(target.as_str()),
            "{role}"
        );
        scraped += 1;
    }
    assert_eq!(jobs.len(), scraped, "a job for no role");
}
