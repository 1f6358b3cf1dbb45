//! The pages under `docs/operations/`, read for the commands that they tell people to type.

use std::path::{Path, PathBuf};

/// A fenced block of a page that is marked `look` or `cure` behind its language.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// `sh` or `promql`.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// A runbook.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// The name of its file, which is that of its alert where it has one.
    pub(crate) name: String,
    /// What shows the trouble, in order.
    pub(crate) looks: Vec<Block>,
    /// What ends it, in order.
    pub(crate) cures: Vec<Block>,
}

impl Page {
    /// Reads `docs/operations/NAME.md`.
    pub(crate) fn read(name: &str) -> Self {
        let path = folder().join(format!("{name}.md"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut page = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        let mut part = "";
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(title) = line.strip_prefix("## ") {
                part = title;
            }
            let Some(info) = line.trim_start().strip_prefix("```") else {
                continue;
            };
            // A block in a list is indented as its item is.
            let indent = line.len() - line.trim_start().len();
            let body: Vec<&str> = lines
                .by_ref()
                .take_while(|line| line.trim() != "```")
                .map(|line| line.get(indent..).unwrap_or_default())
                .collect();
            let words: Vec<&str> = info.split_whitespace().collect();
            let [language, mark] = words[..] else {
                panic!("{name}: a block must say what it is for: ```{info}");
            };
            let block = Block {
                language: language.to_owned(),
                text: body.join("\n"),
            };
            assert!(
                language == "sh" || (language == "promql" && mark == "look"),
                "{name}: ```{info}"
            );
            match (mark, part) {
                ("look", "How to see it") => page.looks.push(block),
                ("cure", "What to do") => page.cures.push(block),
                _ => panic!("{name}: ```{info} in the part {part:?}"),
            }
        }
        page
    }

    /// The names of all pages, in order.
    pub(crate) fn all() -> Vec<String> {
        let files = std::fs::read_dir(folder()).unwrap();
        let mut names: Vec<String> = files
            .filter_map(|file| {
                let name = file.unwrap().file_name().into_string().unwrap();
                name.strip_suffix(".md").map(str::to_owned)
            })
            .collect();
        names.sort();
        names
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations")
}
