//! `tsms metrics`: what `/metrics` tells, and what is made from its declarations.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use tsms::telemetry::{dashboards, metrics::TABLE, reference};

use super::{Failure, print};

/// See every metric there is; make the reference page and the Grafana dashboards from the declarations.
#[derive(Subcommand)]
pub(super) enum MetricsCommand {
    /// Every metric with its kind, unit, labels and meaning.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Print docs/metrics.md.
    Markdown,
    /// Write the Grafana dashboards.
    #[command(after_help = "Example:\n  tsms metrics dashboards --out config/grafana")]
    Dashboards {
        /// The folder to write to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

pub(super) fn run(command: &MetricsCommand) -> Result<(), Failure> {
    match command {
        MetricsCommand::List { json } => list(*json),
        MetricsCommand::Markdown => Ok(print::line(reference::markdown().trim_end())?),
        MetricsCommand::Dashboards { out } => write(out),
    }
}

fn list(json: bool) -> Result<(), Failure> {
    if json {
        return TABLE.iter().try_for_each(|metric| {
            print::json(&json!({
                "name": metric.name, "kind": metric.kind.word(), "unit": metric.unit,
                "labels": metric.labels, "series": metric.most_series(), "help": metric.help,
            }))
        });
    }
    let rows: Vec<_> = TABLE
        .iter()
        .map(|metric| {
            [
                metric.name.to_owned(),
                metric.kind.word().to_owned(),
                metric.unit.to_owned(),
                metric.labels.join(","),
                metric.help.to_owned(),
            ]
        })
        .collect();
    Ok(print::table(
        ["metric", "kind", "unit", "labels", "meaning"],
        &rows,
    )?)
}

fn write(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    for dashboard in dashboards::all() {
        let file = folder.join(format!("{}.json", dashboard.name));
        std::fs::write(&file, format!("{:#}\n", dashboard.json))?;
        print::line(file.display())?;
    }
    Ok(())
}
