//! What is read from outside every few seconds: queues, record, connections, machine.

use std::time::Duration;

use super::{
    count, counted, gauge, level, ratio, seconds,
    table::{
        ADMIN_ACTIONS, ALERT_MESSAGES, ALERTS_OPEN, CACHE_LOOKUPS, DATABASE_CONNECTIONS, DATABASE_MOST,
        DATABASE_TRIP, DATABASE_UP, DATABASE_WAITING, DEAD_LETTERS, DISK_FREE, DISK_SIZE, GAUGE_ERRORS,
        HOST_CPU, HOST_MEMORY, QUEUE_DRAIN, QUEUE_JOBS, QUEUE_OLDEST_AGE, QUEUE_PAUSED, QUEUE_TRIP, QUEUE_UP,
        QUEUE_WIDTH, QUEUE_WORKERS, REDIS_MEMORY, RUNTIME_QUEUE, RUNTIME_TASKS, STORE_SECONDS,
        STORE_STATEMENTS, WIDTH_WANTED,
    },
};
use crate::{domain::time::Timestamp, queue::Depth, stage::Stage};

/// The state of a queue as last read. An empty queue reads 0; it does not vanish.
pub fn queue_depth(stage: Stage, depth: &Depth) {
    let spec = stage.spec();
    for (state, jobs) in [
        ("ready", depth.ready),
        ("in_flight", depth.in_flight),
        ("delayed", depth.delayed),
        ("parked", depth.parked),
    ] {
        gauge(
            &QUEUE_JOBS,
            [spec.name.into(), spec.class.name().into(), state.into()],
            jobs,
        );
    }
    let age = depth
        .oldest
        .map_or(Duration::ZERO, |oldest| Timestamp::now().since(oldest));
    level(&QUEUE_OLDEST_AGE, [spec.name.into()], age);
}

/// Statements sent by the store so far, by name.
pub fn statements(counts: &[(&'static str, u64)]) {
    for (statement, sent) in counts {
        counted(&STORE_STATEMENTS, [(*statement).into()], *sent);
    }
}

/// Dead letters in the record.
pub fn dead_letters(count: u64) {
    gauge(&DEAD_LETTERS, [], count);
}

/// The queue or the record (`source`) could not be read for its gauges.
pub fn gauge_error(source: &'static str) {
    count(&GAUGE_ERRORS, [source.into()], 1);
}

/// Alerts to people that go on.
pub fn alerts_open(alerts: u64) {
    gauge(&ALERTS_OPEN, [], alerts);
}

/// A delivery of a message to people by a way (`channel`); `outcome` is `sent`, `retried` or `failed`.
pub fn alert_message(channel: &'static str, outcome: &'static str) {
    count(&ALERT_MESSAGES, [channel.into(), outcome.into()], 1);
}

/// Changes made by people so far.
pub fn admin_actions(count: u64) {
    gauge(&ADMIN_ACTIONS, [], count);
}

/// How long a queue takes to become empty at the present rate.
pub fn time_to_drain(stage: Stage, time: Duration) {
    level(&QUEUE_DRAIN, [stage.name().into()], time);
}

/// Worker processes of a queue that are alive, the sets they work on at a time, and the orders of
/// people that hold it.
pub fn queue_staff(stage: Stage, processes: u64, concurrency: u64, orders: u64) {
    gauge(&QUEUE_WORKERS, [stage.name().into()], processes);
    gauge(&QUEUE_WIDTH, [stage.name().into()], concurrency);
    gauge(&QUEUE_PAUSED, [stage.name().into()], orders);
}

/// Sets at a time in one process that the autoscaler wants for a queue.
pub fn width_wanted(stage: Stage, sets: u64) {
    gauge(&WIDTH_WANTED, [stage.name().into()], sets);
}

/// Memory that Redis uses and may use.
pub fn redis_memory(used: u64, limit: u64) {
    gauge(&REDIS_MEMORY, ["used".into()], used);
    gauge(&REDIS_MEMORY, ["limit".into()], limit);
}

/// The pool of database connections of this process.
pub fn connections(in_use: usize, idle: usize, limit: usize, waiting: usize) {
    let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
    gauge(&DATABASE_CONNECTIONS, ["in_use".into()], wide(in_use));
    gauge(&DATABASE_CONNECTIONS, ["idle".into()], wide(idle));
    gauge(&DATABASE_MOST, [], wide(limit));
    gauge(&DATABASE_WAITING, [], wide(waiting));
}

/// A look at the database: how long its answer took, or that there was none.
pub fn database_trip(answered: Option<Duration>) {
    gauge(&DATABASE_UP, [], u64::from(answered.is_some()));
    if let Some(took) = answered {
        seconds(&DATABASE_TRIP, [], took);
    }
}

/// A look at the queue server: how long its answer took, or that there was none.
pub fn queue_trip(answered: Option<Duration>) {
    gauge(&QUEUE_UP, [], u64::from(answered.is_some()));
    if let Some(took) = answered {
        seconds(&QUEUE_TRIP, [], took);
    }
}

/// One statement (`read`, `write`) or `commit`, the wait for a connection included.
pub fn store_operation(operation: &'static str, took: Duration) {
    seconds(&STORE_SECONDS, [operation.into()], took);
}

/// One look-up in a cache.
pub fn cache_lookup(cache: &'static str, hit: bool) {
    let result = if hit { "hit" } else { "miss" };
    count(&CACHE_LOOKUPS, [cache.into(), result.into()], 1);
}

/// Tasks of the runtime, and those that wait for one of its threads.
pub fn runtime(tasks: usize, waiting: usize) {
    let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
    gauge(&RUNTIME_TASKS, [], wide(tasks));
    gauge(&RUNTIME_QUEUE, [], wide(waiting));
}

/// Processor time used out of all there was.
pub fn host_cpu(busy: u64, all: u64) {
    ratio(&HOST_CPU, [], busy, all);
}

/// Memory used out of all there is, in bytes.
pub fn host_memory(used: u64, all: u64) {
    ratio(&HOST_MEMORY, [], used, all);
}

/// Space of the file system of the data folder, in bytes.
pub fn disk(free: u64, size: u64) {
    gauge(&DISK_FREE, [], free);
    gauge(&DISK_SIZE, [], size);
}
