//! The Grafana dashboards, made from the declarations of the metrics: `config/grafana/*.json`. A panel of a
//! group is made from each metric of it; the overview is picked by hand from the same constants.

mod panels;

use serde_json::{Value, json};

use super::metrics::TABLE;
use panels::{Panel, of_metric, part, picked};

/// A file of `config/grafana/`.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// Its name, without `.json`.
    pub name: &'static str,
    /// What Grafana reads.
    pub json: Value,
}

/// Every dashboard.
#[must_use]
pub fn all() -> Vec<Dashboard> {
    vec![
        dashboard("overview", "TSMS: overview", picked::overview()),
        dashboard("queues", "TSMS: queues", group(&["Queues"])),
        dashboard(
            "forwarding",
            "TSMS: forwarding",
            [
                group(&["Forwarding"]),
                part("queue", "stage", "forwarding"),
                picked::letters(),
            ]
            .concat(),
        ),
        dashboard("tenants", "TSMS: tenants", picked::tenants()),
        dashboard("ingress", "TSMS: ingress", group(&["Ingress"])),
        dashboard(
            "audit",
            "TSMS: audit",
            [part("queue", "stage", "audit"), picked::people()].concat(),
        ),
        dashboard(
            "system",
            "TSMS: database, Redis, machines",
            [
                group(&["Database and Redis", "Process and machine", "Traces"]),
                picked::processes(),
            ]
            .concat(),
        ),
    ]
}

/// A panel for each metric of these groups.
fn group(groups: &[&str]) -> Vec<Panel> {
    let metrics = TABLE.iter().filter(|metric| groups.contains(&metric.group));
    metrics.map(|metric| of_metric(metric, "")).collect()
}

fn dashboard(name: &'static str, title: &str, panels: Vec<Panel>) -> Dashboard {
    let panels: Vec<Value> = (0..)
        .zip(panels)
        .map(|(place, panel)| panel.json(place))
        .collect();
    Dashboard {
        name,
        json: json!({
            "uid": format!("tsms-{name}"),
            "title": title,
            "tags": ["tsms"],
            "timezone": "browser",
            "schemaVersion": 39,
            "version": 1,
            "editable": true,
            "refresh": "30s",
            "time": { "from": "now-3h", "to": "now" },
            "templating": { "list": [{
                "name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus",
            }]},
            "panels": panels,
        }),
    }
}

/// The expressions of a dashboard's panels.
#[must_use]
pub fn expressions(dashboard: &Dashboard) -> Vec<String> {
    let panels = dashboard.json["panels"].as_array().into_iter().flatten();
    panels
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .filter_map(|target| target["expr"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::expression, *};

    #[test]
    fn no_panel_names_a_series_that_is_not_declared() {
        for dashboard in all() {
            let expressions = expressions(&dashboard);
            assert!(!expressions.is_empty(), "{} is empty", dashboard.name);
            for text in expressions {
                let unknown = expression::undeclared(&text);
                assert!(unknown.is_empty(), "{}: {unknown:?} in {text}", dashboard.name);
            }
        }
    }

    #[test]
    fn every_metric_is_on_a_dashboard() {
        let shown: Vec<String> = all().iter().flat_map(expressions).collect();
        let missing: Vec<&str> = TABLE
            .iter()
            .map(|metric| metric.name)
            .filter(|name| !shown.iter().any(|text| text.contains(name)))
            .collect();
        assert!(missing.is_empty(), "on no dashboard: {missing:?}");
    }
}
