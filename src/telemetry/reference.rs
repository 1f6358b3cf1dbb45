//! `docs/metrics.md`, made from the declarations.

use std::fmt::Write as _;

use super::metrics::{Kind, LABELS, Metric, PROCESS_METRICS, TABLE};

const HEAD: &str = "\
# Metrics

Made from the declarations by `tsms metrics markdown > docs/metrics.md`; a test compares the two.

Every role serves `/metrics`. A gauge marked *fleet* is about the fleet as a whole and comes from one
process only, whichever scheduler has the duty, so `sum` over all instances is true; every other metric is
about the process that shows it. *Series* is the most that one process may have, from the bounds of the
labels below; a histogram has one set of buckets for each.
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    let mut group = "";
    for metric in TABLE {
        if metric.group != group {
            group = metric.group;
            page.push_str(&format!(
                "\n## {group}\n\n| metric | kind | unit | labels | series | meaning |\n|---|---|---|---|---|---|\n"
            ));
        }
        row(&mut page, metric);
    }
    page.push_str("\n## The process, as every Prometheus client tells it\n\n| metric | kind | meaning |\n|---|---|---|\n");
    for (name, kind, help) in PROCESS_METRICS {
        writeln!(page, "| `{name}` | {kind} | {help} |").ok();
    }
    page.push_str("\n## Labels\n\n| label | at most | values |\n|---|---|---|\n");
    for label in LABELS {
        let known: Vec<String> = label.known.iter().map(|value| format!("`{value}`")).collect();
        let known = if known.is_empty() {
            String::new()
        } else {
            format!(": {}", known.join(", "))
        };
        writeln!(
            page,
            "| `{}` | {} | {}{known} |",
            label.name, label.most, label.values
        )
        .ok();
    }
    page
}

fn row(page: &mut String, metric: &Metric) {
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    let kind = match metric.kind {
        Kind::Fleet => "gauge, *fleet*",
        other => other.word(),
    };
    writeln!(
        page,
        "| `{}` | {kind} | {} | {} | {} | {} |",
        metric.name,
        metric.unit,
        labels.join(", "),
        metric.most_series(),
        metric.help
    )
    .ok();
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_docs_is_the_one_that_is_made() {
        let written = include_str!("../../docs/metrics.md");
        assert!(
            written == super::markdown(),
            "docs/metrics.md is out of date: tsms metrics markdown > docs/metrics.md"
        );
    }
}
