//! A panel: what it shows and how Grafana is told so.

pub(super) mod picked;

use serde_json::{Value, json};

use crate::telemetry::metrics::{Kind, Metric, TABLE};

/// Columns and height of a panel in Grafana's grid of 24 columns.
const WIDTH: usize = 12;
const HEIGHT: usize = 8;
/// The quantiles of a histogram, in percent.
const QUANTILES: [u8; 3] = [50, 95, 99];

/// One panel.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    title: String,
    help: String,
    unit: &'static str,
    /// Expressions, each with the legend of its lines.
    targets: Vec<(String, String)>,
}

impl Panel {
    pub(super) fn new(title: &str, help: &str, unit: &'static str) -> Self {
        Self {
            title: title.to_owned(),
            help: help.to_owned(),
            unit,
            targets: Vec::new(),
        }
    }

    pub(super) fn with(mut self, expression: impl Into<String>, legend: &str) -> Self {
        self.targets.push((expression.into(), legend.to_owned()));
        self
    }

    pub(super) fn json(&self, place: usize) -> Value {
        let targets: Vec<Value> = ('A'..='Z')
            .zip(&self.targets)
            .map(|(name, (expression, legend))| {
                json!({ "refId": name.to_string(), "expr": expression, "legendFormat": legend })
            })
            .collect();
        json!({
            "id": place + 1,
            "type": "timeseries",
            "title": self.title,
            "description": self.help,
            "datasource": { "type": "prometheus", "uid": "${source}" },
            "gridPos": { "x": place % 2 * WIDTH, "y": place / 2 * HEIGHT, "w": WIDTH, "h": HEIGHT },
            "fieldConfig": { "defaults": { "unit": self.unit, "min": 0 }, "overrides": [] },
            "options": { "legend": { "displayMode": "list", "placement": "bottom" } },
            "targets": targets,
        })
    }
}

/// The panel that a metric has by itself: rates of a counter, values of a gauge, quantiles of a
/// histogram. `filter` goes between the braces of the selector.
pub(super) fn of_metric(metric: &Metric, filter: &str) -> Panel {
    let Metric { name, labels, .. } = *metric;
    let filter = if filter.is_empty() {
        String::new()
    } else {
        format!("{{{filter}}}")
    };
    let by = labels.join(", ");
    let legend: Vec<String> = labels.iter().map(|label| format!("{{{{{label}}}}}")).collect();
    let legend = legend.join(" ");
    let (panel, unit) = (|unit| Panel::new(name, metric.help, unit), unit(metric));
    match metric.kind {
        Kind::Counter => panel(unit).with(
            format!("sum by ({by}) (rate({name}{filter}[$__rate_interval]))"),
            &legend,
        ),
        Kind::Fleet => panel(unit).with(format!("max by ({by}) ({name}{filter})"), &legend),
        Kind::Gauge => {
            let by = [labels, &["instance"]].concat().join(", ");
            let legend = format!("{legend} {{{{instance}}}}");
            panel(unit).with(format!("max by ({by}) ({name}{filter})"), legend.trim())
        }
        Kind::Histogram(_) => QUANTILES.iter().fold(panel(unit), |panel, percent| {
            let by = [labels, &["le"]].concat().join(", ");
            let expression = format!(
                "histogram_quantile(0.{percent}, sum by ({by}) (rate({name}_bucket{filter}[$__rate_interval])))"
            );
            panel.with(expression, format!("p{percent} {legend}").trim())
        }),
    }
}

/// The panels of one queue: every metric that has one of the two labels, with that value.
pub(super) fn part(queue: &str, stage: &str, value: &str) -> Vec<Panel> {
    let labelled = TABLE.iter().filter_map(|metric| {
        [queue, stage]
            .into_iter()
            .find(|label| metric.labels.contains(label))
            .zip(Some(metric))
    });
    labelled
        .map(|(label, metric)| of_metric(metric, &format!("{label}=\"{value}\"")))
        .collect()
}

/// Grafana's word for the unit.
fn unit(metric: &Metric) -> &'static str {
    match (metric.kind, metric.unit) {
        (Kind::Counter, _) => "cps",
        (_, "seconds") => "s",
        (_, "seconds since 1970") => "dateTimeFromNow",
        (_, "bytes") => "bytes",
        (_, "part of 1") => "percentunit",
        _ => "short",
    }
}
