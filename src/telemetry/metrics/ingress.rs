//! What the ingress records.

use std::time::Duration;

use super::{
    Value, count, gauge, level, seconds, size, step,
    table::{
        AUTH_FEED_LOST, COMMIT_ROWS, COMMIT_SECONDS, CONNECTIONS, CONNECTIONS_REFUSED, GATE_CLOSED,
        GATE_DECISIONS, GATE_WAIT, HTTP_REQUESTS, HTTP_SECONDS, LEFT_TO_SWEEPER, LIMITED, LIMITS_ALONE,
        LIMITS_CALL_REQUESTS, LIMITS_CALL_SECONDS, SECURITY_EVENTS, TLS_EXPIRY, TLS_LOADS,
    },
    wide,
};

/// One answer of the ingress: route pattern, status, and how long it took.
pub fn request(route: &str, method: &str, status: u16, took: Duration) {
    let route = Value::from(route.to_owned());
    let code = Value::from(status.to_string());
    count(&HTTP_REQUESTS, [route.clone(), method.to_owned().into(), code], 1);
    seconds(&HTTP_SECONDS, [route], took);
}

/// A request refused by the rate limit `limit`.
pub fn rate_limited(limit: &'static str) {
    count(&LIMITED, [limit.into()], 1);
}

/// Whether this ingress keeps the rate limits by itself because Redis is away.
pub fn limits_alone(alone: bool) {
    gauge(&LIMITS_ALONE, [], u64::from(alone));
}

/// One call to Redis that decided over `requests`, and how long it took.
pub fn limits_call(requests: usize, took: Duration) {
    size(&LIMITS_CALL_REQUESTS, [], requests);
    seconds(&LIMITS_CALL_SECONDS, [], took);
}

/// The predicted wait of a line before the gate, and whether it closes it.
pub fn gate(line: &'static str, wait: Duration, closed: bool) {
    level(&GATE_WAIT, [line.into()], wait);
    gauge(&GATE_CLOSED, [line.into()], u64::from(closed));
}

/// A submission met a closed gate.
pub fn gate_decision(refused: bool) {
    let decision = if refused { "refused" } else { "would_refuse" };
    count(&GATE_DECISIONS, [decision.into()], 1);
}

/// A connection to the HTTP listener, counted while it is open.
#[derive(Debug)]
pub struct OpenConnection(());

impl OpenConnection {
    /// It opens.
    #[must_use]
    pub fn new() -> Self {
        step(&CONNECTIONS, 1.0);
        Self(())
    }
}

impl Default for OpenConnection {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        step(&CONNECTIONS, -1.0);
    }
}

/// The listener ended a connection; `reason` is a fixed word.
pub fn connection_refused(reason: &'static str) {
    count(&CONNECTIONS_REFUSED, [reason.into()], 1);
}

/// The certificate files were read; when the certificate in use expires, in seconds since 1970.
pub fn tls_loaded(ok: bool, expires: u64) {
    count(&TLS_LOADS, [if ok { "ok" } else { "failed" }.into()], 1);
    gauge(&TLS_EXPIRY, [], expires);
}

/// Submissions in one commit of the ingress, and how long it took.
pub fn commit(rows: usize, took: Duration) {
    size(&COMMIT_ROWS, [], rows);
    seconds(&COMMIT_SECONDS, [], took);
}

/// Committed sets that could not be enqueued and are left to the sweeper.
pub fn enqueue_left_to_sweeper(jobs: usize) {
    count(&LEFT_TO_SWEEPER, [], wide(jobs));
}

/// Something that should not happen to tokens, keys and codes.
pub fn security_event(kind: &'static str) {
    count(&SECURITY_EVENTS, [kind.into()], 1);
}

/// Whether the feed of changes of access cannot be read.
pub fn auth_feed_lost(lost: bool) {
    gauge(&AUTH_FEED_LOST, [], u64::from(lost));
}
