use std::{collections::BTreeSet, process::Command};

use crate::{names, read};

/// The parts that every runbook has, so that one woken at night knows where to look.
const PARTS: [&str; 4] = [
    "## What it means",
    "## How to see it",
    "## What to do",
    "## When it is over",
];

#[test]
fn every_runbook_has_its_four_parts_and_stands_in_the_index() {
    let index = read("docs/operations.md");
    for name in names("docs/operations", ".md") {
        let text = read(&format!("docs/operations/{name}.md"));
        for part in PARTS {
            assert!(text.contains(part), "{name} has no part {part:?}");
        }
        assert!(
            index.contains(&format!("operations/{name}.md")),
            "{name} is not in docs/operations.md"
        );
    }
}

/// Commands of the program that a page names in code: the words after `tsms` up to the first that is no
/// plain word.
fn commands(text: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("tsms ") {
        let (before, after) = text.split_at(at);
        if !before.ends_with(['`', '\n']) {
            continue;
        }
        let end = after.find(['`', '\n']).unwrap_or(after.len());
        let (line, _) = after.split_at(end);
        let plain = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
        let words: Vec<String> = line
            .split(' ')
            .skip(1)
            .take_while(plain)
            .take(2)
            .map(str::to_owned)
            .collect();
        if !words.is_empty() {
            found.insert(words);
        }
    }
    found
}

#[test]
fn the_pages_name_only_commands_that_exist() {
    let mut pages = vec!["docs/operations.md".to_owned()];
    pages.extend(
        names("docs/operations", ".md")
            .iter()
            .map(|name| format!("docs/operations/{name}.md")),
    );
    let mut named = BTreeSet::new();
    for page in pages {
        named.extend(commands(&read(&page)));
    }
    assert!(named.len() > 5, "{named:?}");
    for words in named {
        let mut help = Command::new(env!("CARGO_BIN_EXE_tsms"));
        // A second word may be an argument, as in `tsms worker audit`.
        let ended = help.args(&words).arg("--help").output().unwrap();
        assert!(
            ended.status.success(),
            "no such command: tsms {}",
            words.join(" ")
        );
        let usage = String::from_utf8_lossy(&ended.stdout);
        let usage = usage
            .lines()
            .find(|line| line.starts_with("Usage:"))
            .unwrap_or_default();
        let takes_words = usage.contains("<STAGE>") || usage.contains("[STAGE]") || usage.contains("<QUEUE>");
        assert!(
            takes_words || words.iter().all(|word| usage.contains(word.as_str())),
            "no such command: tsms {} ({usage})",
            words.join(" ")
        );
    }
}
