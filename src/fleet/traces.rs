//! Starts what sends the spans of a process.

use tokio_util::sync::CancellationToken;

use super::{FleetError, Roles};
use crate::{config::Config, stage::Stage, telemetry::traces::Tracer, workers::Exporter};

/// The tracer of a process that has `roles`, and what sends its spans until `gone`; `None` where traces are off.
pub(super) fn start(
    config: &Config,
    roles: &Roles,
    gone: CancellationToken,
) -> Result<Option<(Tracer, impl Future<Output = ()> + use<>)>, FleetError> {
    let Some(exporter) = Exporter::new(config, &name(roles))? else {
        return Ok(None);
    };
    let (tracer, line) = Tracer::new(&config.traces);
    tracing::info!(endpoint = config.traces.endpoint, "sampled requests are traced");
    Ok(Some((tracer, exporter.run(line, gone))))
}

/// What a process does, in a word or a few.
fn name(roles: &Roles) -> String {
    let stages = roles.stages.iter().map(|stage| stage.name());
    if roles.ingress && roles.scheduler && roles.stages.len() == Stage::ALL.len() {
        return "all".to_owned();
    }
    let named = roles.ingress.then_some("ingress").into_iter();
    let named = named.chain(stages).chain(roles.scheduler.then_some("scheduler"));
    named.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_what_it_does() {
        assert_eq!(name(&Roles::all()), "all");
        let one = Roles {
            stages: vec![Stage::Forwarding],
            ..Roles::default()
        };
        assert_eq!(name(&one), "forwarding");
        let two = Roles {
            ingress: true,
            scheduler: true,
            ..Roles::default()
        };
        assert_eq!(name(&two), "ingress,scheduler");
    }
}
