//! What an expression in the language of Prometheus names: enough of a reader to hold alert rules and dashboards to the
//! declarations.

use super::metrics::{Kind, PROCESS_METRICS, TABLE};

/// The metrics that an expression names, as they are declared, each with the label names that it
/// selects by; or what it names and nobody declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Declared names.
    pub metrics: Vec<&'static str>,
    /// Names and labels that are not declared.
    pub undeclared: Vec<String>,
}

/// What `expression` names and nobody declares.
#[must_use]
pub fn undeclared(expression: &str) -> Vec<String> {
    named(expression).undeclared
}

/// What `expression` names.
#[must_use]
pub fn named(expression: &str) -> Named {
    let mut found = Named::default();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        let (_, tail) = rest.split_at(start);
        let end = tail
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        rest = after;
        if !(word.starts_with("tsms_") || word.starts_with("process_")) {
            continue;
        }
        let selector = after
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'))
            .map_or("", |(inside, _)| inside);
        judge(word, selector, &mut found);
    }
    found
}

fn judge(word: &str, selector: &str, found: &mut Named) {
    if let Some((name, ..)) = PROCESS_METRICS.iter().find(|(name, ..)| *name == word) {
        found.metrics.push(name);
        return;
    }
    let declared = TABLE.iter().find(|metric| match metric.kind {
        Kind::Histogram(_) => word
            .strip_prefix(metric.name)
            .is_some_and(|part| matches!(part, "_bucket" | "_sum" | "_count")),
        _ => metric.name == word,
    });
    let Some(metric) = declared else {
        found.undeclared.push(word.to_owned());
        return;
    };
    found.metrics.push(metric.name);
    for matcher in selector.split(',').filter(|matcher| !matcher.trim().is_empty()) {
        let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
        let known = ["le", "instance", "job"].contains(&label) || metric.labels.contains(&label);
        if !known {
            found.undeclared.push(format!("{word}{{{label}}}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_held_to_the_table() {
        let text = "sum by (le) (rate(tsms_http_request_seconds_bucket{route=~\"/a|b\"}[5m])) > 0.5 and tsms_breaker_open == 1";
        let names = named(text);
        assert_eq!(names.metrics, ["tsms_http_request_seconds", "tsms_breaker_open"]);
        assert!(names.undeclared.is_empty(), "{names:?}");
        assert_eq!(undeclared("tsms_no_such_thing > 1"), ["tsms_no_such_thing"]);
        assert_eq!(
            undeclared("tsms_http_request_seconds > 1"),
            ["tsms_http_request_seconds"],
            "a histogram has parts"
        );
        assert_eq!(
            undeclared("tsms_breaker_open{colour=\"red\"}"),
            ["tsms_breaker_open{colour}"]
        );
        assert_eq!(
            named("rate(process_cpu_seconds_total[1m])").metrics,
            ["process_cpu_seconds_total"]
        );
    }
}
