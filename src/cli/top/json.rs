//! The frame as one JSON document. Its members are a promise to scripts: docs/operations.md lists them.

use std::time::Duration;

use serde_json::{Number, Value, json};
use tsms::domain::time::Timestamp;

use super::{
    frame::{Crew, Frame, Held, QueueRow, Record},
    pace::Rate,
};
use crate::cli::breaker;

/// The document. Figures that are not known are null.
pub(super) fn document(frame: &Frame) -> Value {
    let part = |of: fn(&Record, Timestamp) -> Value| {
        let found = frame.record.as_ref();
        found.map_or(Value::Null, |record| of(record, frame.at))
    };
    let errors = frame.faults.iter();
    let errors = errors.map(|fault| json!({ "source": fault.source.word(), "error": fault.why }));
    json!({
        "at": time(frame.at),
        "tier": if frame.embedded { "embedded" } else { "fleet" },
        "rates_over_seconds": frame.measured().map(seconds),
        "queues": frame.queues.iter().map(queue).collect::<Vec<_>>(),
        "holds": part(holds),
        "breakers": part(breakers),
        "dead_letters": part(letters),
        "sales": part(sales),
        "errors": errors.collect::<Vec<_>>(),
    })
}

fn queue(row: &QueueRow) -> Value {
    let depth = row.depth.as_ref();
    let figure = |of: fn(&tsms::queue::Depth) -> u64| depth.map(|(depth, _)| of(depth));
    let crew = |of: fn(&Crew) -> u64| row.crew.as_ref().map(of);
    let held = row.crew.map(|crew| match crew.held {
        Held::No => json!("no"),
        Held::Tenants(_) => json!("tenants"),
        Held::All => json!("all"),
    });
    json!({
        "queue": row.stage.name(),
        "class": row.stage.spec().class.name(),
        "ready": figure(|depth| depth.ready),
        "in_flight": figure(|depth| depth.in_flight),
        "delayed": figure(|depth| depth.delayed),
        "parked": figure(|depth| depth.parked),
        "oldest_age_seconds": depth.and_then(|(_, age)| *age).map(|age| age.as_secs()),
        "in_per_second": row.pace.map(|pace| rate(pace.comes())),
        "out_per_second": row.pace.map(|pace| rate(pace.goes())),
        "time_to_drain_seconds": row.pace.and_then(|pace| pace.drain()).map(|drain| drain.as_secs()),
        "width": crew(|crew| crew.width),
        "processes": crew(|crew| crew.processes),
        "sets": crew(|crew| crew.sets),
        "held": held,
    })
}

fn holds(record: &Record, _: Timestamp) -> Value {
    let holds = record.holds.iter().map(|hold| {
        json!({
            "id": hold.id, "queue": hold.queue, "tenant_id": hold.tenant_id, "owner": hold.owner,
            "reason": hold.reason, "ends_at": time(hold.ends_at),
        })
    });
    holds.collect()
}

fn breakers(record: &Record, now: Timestamp) -> Value {
    let breakers = record.breakers.iter().map(|breaker| {
        json!({
            "sink": breaker.sink,
            "state": breaker.stance(now).word(),
            "since": (breaker.changed_at.as_micros() != 0).then(|| time(breaker.changed_at)),
            "why": breaker::why(breaker, now),
        })
    });
    breakers.collect()
}

fn letters(record: &Record, _: Timestamp) -> Value {
    let causes = record.causes.iter().map(|cause| {
        json!({
            "cause": cause.cause, "stage": cause.stage, "code": cause.code, "letters": cause.letters,
            "oldest": time(cause.oldest), "newest": time(cause.newest), "example": cause.example,
        })
    });
    json!({ "total": record.letters, "all_looked_at": record.causes_whole, "causes": causes.collect::<Vec<_>>() })
}

fn sales(record: &Record, _: Timestamp) -> Value {
    json!({
        "since": time(record.since), "all_counted": record.busiest.whole,
        "tenants": record.busiest.tenants,
    })
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339(0)
}

/// Seconds with one decimal.
fn seconds(span: Duration) -> Value {
    let tenths = span.as_millis() / 100;
    rate(Rate(u64::try_from(tenths).unwrap_or(u64::MAX)))
}

/// A number with one decimal, by its digits: nothing is calculated with it.
fn rate(rate: Rate) -> Value {
    let number = rate.to_string().parse::<f64>().ok().and_then(Number::from_f64);
    number.map_or(Value::Null, Value::Number)
}
