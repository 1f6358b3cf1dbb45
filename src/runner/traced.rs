//! A set of jobs as steps of the traces that its jobs are a part of.
//!
//! Only of sampled traces, one step a trace however many of its jobs are in the set, told when the set has
//! ended. Jobs that follow from the set carry its step, so that each stage stands below the one before it. A
//! job that is made again from its row carries what the row has: the step of the request.

use std::collections::HashMap;

use crate::{
    domain::{
        time::Timestamp,
        trace::{self, TraceContext},
    },
    outcome::Verdict,
    queue::Job,
    stage::Stage,
    telemetry::traces::{Span, SpanKind, Tracer},
};

/// A set under way.
pub(super) struct Traced {
    tracer: Tracer,
    stage: Stage,
    began: Timestamp,
    steps: Vec<Step>,
    /// Of each job, which step it is in.
    places: Vec<Option<usize>>,
}

/// The jobs of one trace.
struct Step {
    parent: TraceContext,
    own: TraceContext,
    /// The longest any of them waited.
    enqueued_at: Timestamp,
    /// The most often any of them came back.
    attempt: u32,
    jobs: usize,
    first: i64,
    tenant_id: i64,
    worst: Option<Verdict>,
}

impl Traced {
    /// Begins a step of each sampled trace in the set, and makes it what their jobs carry on. `None`, and
    /// nothing done, where there is no such trace.
    pub(super) fn begin(tracer: &Tracer, stage: Stage, jobs: &mut [Job]) -> Option<Self> {
        let mut steps: Vec<Step> = Vec::new();
        let mut known: HashMap<TraceContext, usize> = HashMap::new();
        let mut places = vec![None; jobs.len()];
        for (job, place) in jobs.iter_mut().zip(&mut places) {
            let Some(parent) = trace::context(&job.request_id).filter(|parent| parent.is_sampled()) else {
                continue;
            };
            let at = *known.entry(parent).or_insert_with(|| {
                steps.push(Step::new(parent, job));
                steps.len() - 1
            });
            let Some(step) = steps.get_mut(at) else { continue };
            step.add(job);
            job.request_id = trace::carried(trace::request_id(&job.request_id), Some(step.own));
            *place = Some(at);
        }
        (!steps.is_empty()).then(|| Self {
            tracer: tracer.clone(),
            stage,
            began: Timestamp::now(),
            steps,
            places,
        })
    }

    /// Tells of each step; `verdicts` are in the order of the jobs.
    pub(super) fn end(mut self, verdicts: &[Verdict]) {
        for (place, verdict) in self.places.iter().zip(verdicts) {
            if let Some(step) = place.and_then(|at| self.steps.get_mut(at)) {
                step.judge(verdict);
            }
        }
        let ended = Timestamp::now();
        for step in self.steps {
            self.tracer.record(step.span(self.stage, self.began, ended));
        }
    }
}

impl Step {
    fn new(parent: TraceContext, job: &Job) -> Self {
        Self {
            parent,
            own: parent.child(),
            enqueued_at: job.enqueued_at,
            attempt: 0,
            jobs: 0,
            first: job.key,
            tenant_id: job.tenant_id,
            worst: None,
        }
    }

    fn add(&mut self, job: &Job) {
        self.jobs += 1;
        self.attempt = self.attempt.max(job.attempt);
        self.enqueued_at = self.enqueued_at.min(job.enqueued_at);
    }

    fn judge(&mut self, verdict: &Verdict) {
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| rank(verdict) > rank(worst))
        {
            self.worst = Some(verdict.clone());
        }
    }

    fn span(self, stage: Stage, began: Timestamp, ended: Timestamp) -> Span {
        let waited = began.since(self.enqueued_at).as_millis();
        let mut facts = vec![
            ("messaging.system", "tsms".into()),
            ("messaging.destination.name", stage.name().into()),
            ("messaging.operation.type", "process".into()),
            ("messaging.batch.message_count", self.jobs.into()),
            ("tsms.tenant_id", self.tenant_id.into()),
            ("tsms.key", self.first.into()),
            ("tsms.attempt", i64::from(self.attempt).into()),
            (
                "tsms.queue.wait_ms",
                i64::try_from(waited).unwrap_or(i64::MAX).into(),
            ),
        ];
        let mut failed = None;
        if let Some(worst) = &self.worst {
            facts.push(("tsms.outcome", worst.outcome().into()));
            if !worst.code().is_empty() {
                facts.push(("tsms.code", worst.code().into()));
            }
            // A refusal is a result.
            failed = matches!(worst, Verdict::Retry { .. } | Verdict::Dead { .. }).then(|| worst.code());
        }
        Span {
            step: self.own,
            parent: Some(self.parent),
            link: None,
            name: stage.name().to_owned(),
            kind: SpanKind::Consumer,
            began,
            ended,
            facts,
            failed,
        }
    }
}

/// The worse, the higher.
const fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Done => 0,
        Verdict::Reject { .. } => 1,
        Verdict::Retry { .. } => 2,
        Verdict::Dead { .. } => 3,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{config::Layers, telemetry::traces::Fact};

    fn job(key: i64, trace: Option<TraceContext>) -> Job {
        Job {
            key,
            tenant_id: 7,
            attempt: 0,
            enqueued_at: Timestamp::from_micros(0),
            request_id: trace::carried(&format!("r-{key}"), trace),
            body: Bytes::new(),
        }
    }

    #[test]
    fn each_sampled_trace_of_a_set_has_one_step_and_the_others_none() {
        let settings = Layers::read(None, Vec::new()).unwrap().config().unwrap().traces;
        let (tracer, mut line) = Tracer::new(&settings);
        let (one, other) = (TraceContext::root(), TraceContext::root());
        let quiet = TraceContext::root().unsampled();
        let mut jobs = [
            job(1, Some(one)),
            job(2, None),
            job(3, Some(other)),
            job(4, Some(quiet)),
            job(5, Some(one)),
        ];
        let before = jobs.clone();
        let traced = Traced::begin(&tracer, Stage::Validation, &mut jobs).unwrap();
        for untouched in [1, 3] {
            assert_eq!(jobs[untouched], before[untouched]);
        }
        let carried = |at: usize| trace::context(&jobs[at].request_id).unwrap();
        assert_eq!(trace::request_id(&jobs[4].request_id), "r-5");
        assert_eq!(carried(0), carried(4));
        let dead = Verdict::Dead { code: "poison" };
        traced.end(&[dead, Verdict::Done, Verdict::Done, Verdict::Done, Verdict::Done]);
        let spans: Vec<Span> = std::iter::from_fn(|| line.try_recv().ok()).collect();
        let told: Vec<_> = spans
            .iter()
            .map(|span| (span.parent, span.step, span.failed))
            .collect();
        assert_eq!(
            told,
            [
                (Some(one), carried(0), Some("poison")),
                (Some(other), carried(2), None)
            ]
        );
        let count = ("messaging.batch.message_count", Fact::Number(2));
        assert!(spans[0].facts.contains(&count), "{:?}", spans[0].facts);
        assert!(
            Traced::begin(
                &tracer,
                Stage::Validation,
                &mut [job(1, Some(quiet)), job(2, None)]
            )
            .is_none()
        );
    }
}
