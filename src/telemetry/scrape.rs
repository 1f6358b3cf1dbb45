//! What another process tells of the queues at its `/metrics`. Queues in memory are inside one process;
//! this is how they are seen from outside.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::{
    bench::client,
    domain::time::Timestamp,
    queue::{Depth, Progress},
    stage::Stage,
};

/// `/metrics` cannot be read, or does not tell the state of the queues.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// Nobody answers there, or it is no HTTP.
    #[error("http://{0}/metrics: {1}")]
    Away(SocketAddr, std::io::Error),
    /// It is not for us.
    #[error("http://{0}/metrics answers {1}")]
    Refused(SocketAddr, u16),
    /// The process has nothing to say of them: it has not looked yet, or it is one of a fleet.
    #[error("http://{0}/metrics does not tell the state of the queues (yet)")]
    Silent(SocketAddr),
}

/// The state of each queue, and how it gets on, as the process at `address` saw it at its last look
/// (`ops.gauge_interval_ms`). Jobs ever added are those worked off and those left.
///
/// # Errors
/// See [`ScrapeError`].
pub async fn queues(address: SocketAddr) -> Result<BTreeMap<Stage, (Depth, Progress)>, ScrapeError> {
    let (status, body) = client::once(address, &client::get("/metrics", None))
        .await
        .map_err(|error| ScrapeError::Away(address, error))?;
    if status != 200 {
        return Err(ScrapeError::Refused(address, status));
    }
    let text = String::from_utf8_lossy(&body);
    let now = Timestamp::now();
    Stage::ALL
        .into_iter()
        .map(|stage| Some((stage, read(&text, stage, now)?)))
        .collect::<Option<_>>()
        .ok_or(ScrapeError::Silent(address))
}

/// What `text` tells of a queue; `None` when that is not all.
fn read(text: &str, stage: Stage, now: Timestamp) -> Option<(Depth, Progress)> {
    let jobs = |state: &str| {
        let state = format!("state=\"{state}\"");
        whole(series(text, "tsms_queue_jobs", "queue", stage).find(|(labels, _)| labels.contains(&state))?)
    };
    let (_, age) = series(text, "tsms_queue_oldest_age_seconds", "queue", stage).next()?;
    let age = Duration::try_from_secs_f64(age.parse().ok()?).ok()?;
    let depth = Depth {
        ready: jobs("ready")?,
        in_flight: jobs("in_flight")?,
        delayed: jobs("delayed")?,
        parked: jobs("parked")?,
        oldest: None,
    };
    let left = depth.ready.saturating_add(depth.in_flight);
    let worked_off: u64 = series(text, "tsms_stage_jobs_total", "stage", stage)
        .filter_map(whole)
        .sum();
    let depth = Depth {
        oldest: (left > 0).then(|| now.minus(age)),
        ..depth
    };
    let added = worked_off.saturating_add(left);
    Some((depth, Progress { left, added }))
}

/// The series of a metric about a stage: labels and value of each.
fn series<'t>(
    text: &'t str,
    metric: &'static str,
    label: &'static str,
    stage: Stage,
) -> impl Iterator<Item = (&'t str, &'t str)> {
    let wanted = format!("{label}=\"{stage}\"");
    text.lines().filter_map(move |line| {
        let (labels, value) = line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once("} ")?;
        labels.contains(&wanted).then_some((labels, value))
    })
}

fn whole((_, value): (&str, &str)) -> Option<u64> {
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# TYPE tsms_queue_jobs gauge
tsms_queue_jobs{queue=\"audit\",class=\"low\",state=\"ready\"} 7
tsms_queue_jobs{queue=\"audit\",class=\"low\",state=\"in_flight\"} 3
tsms_queue_jobs{queue=\"audit\",class=\"low\",state=\"delayed\"} 2
tsms_queue_jobs{queue=\"audit\",class=\"low\",state=\"parked\"} 1
tsms_queue_jobs{queue=\"forwarding\",class=\"standard\",state=\"ready\"} 0
tsms_queue_oldest_age_seconds{queue=\"audit\"} 1.5
tsms_queue_oldest_age_seconds{queue=\"forwarding\"} 0
tsms_stage_jobs_total{stage=\"audit\",outcome=\"done\",code=\"\"} 40
tsms_stage_jobs_total{stage=\"audit\",outcome=\"retried\",code=\"x\"} 2
tsms_stage_jobs_total{stage=\"forwarding\",outcome=\"done\",code=\"\"} 9
";

    #[test]
    fn a_queue_is_read_from_metrics() {
        let now = Timestamp::now();
        let (depth, progress) = read(TEXT, Stage::Audit, now).unwrap();
        let expected = Depth {
            ready: 7,
            in_flight: 3,
            delayed: 2,
            parked: 1,
            oldest: Some(now.minus(Duration::from_millis(1500))),
        };
        assert_eq!(depth, expected);
        assert_eq!(progress, Progress { left: 10, added: 52 });
        assert_eq!(read(TEXT, Stage::Forwarding, now), None, "not all is told");
        assert_eq!(read("", Stage::Audit, now), None);
    }
}
