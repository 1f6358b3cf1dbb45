//! `[traces]`: which requests are traced, and where their spans are sent.

use std::fmt;

use serde::Deserialize;

use super::{Config, Millis, Secret};

/// All requests, in millionths.
pub const ALL: u32 = 1_000_000;
/// A process that stops waits no longer for what must still be written.
const LONGEST_FLUSH: Millis = Millis::new(5000);

/// `[traces]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Where spans are posted, as OTLP over HTTP; empty: there are none.
    pub endpoint: String,
    /// Headers sent along: `name=value` with commas between.
    pub headers: Secret,
    /// Of a million requests that bring no trace, how many are traced.
    pub sample_per_million: u32,
    /// Requests a second that one process traces because their client asks for it.
    pub client_per_s: u32,
    /// Spans that wait to be sent; more are dropped.
    pub queue_spans: usize,
    /// Most spans in one POST.
    pub batch_spans: usize,
    /// How long the first span of a POST waits for others.
    pub interval_ms: Millis,
    /// How long one POST may take, answer included.
    pub timeout_ms: Millis,
    /// How long a process that stops goes on sending.
    pub flush_ms: Millis,
}

/// Headers that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub struct BadHeaders;

impl fmt::Display for BadHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not name=value with commas between, each of the characters that HTTP allows")
    }
}

impl Traces {
    /// Whether there are traces at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// The headers that are sent along.
    ///
    /// # Errors
    /// See [`BadHeaders`].
    pub fn header_map(&self) -> Result<http::HeaderMap, BadHeaders> {
        let texts = self.headers.reveal().split(',').map(str::trim);
        texts
            .filter(|text| !text.is_empty())
            .map(|text| {
                let (name, value) = text.split_once('=').ok_or(BadHeaders)?;
                let name: http::HeaderName = name.trim().parse().map_err(|_| BadHeaders)?;
                let mut value: http::HeaderValue = value.trim().parse().map_err(|_| BadHeaders)?;
                value.set_sensitive(true);
                Ok((name, value))
            })
            .collect()
    }
}

/// What contradicts in the section.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let traces = &config.traces;
    let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    let found = [
        (
            traces.is_on() && !web(&traces.endpoint),
            "traces.endpoint: must start with http:// or https://",
        ),
        (
            traces.endpoint.contains('@'),
            "traces.endpoint: holds a login, which logs would show; use traces.headers",
        ),
        (
            traces.sample_per_million > ALL,
            "traces.sample_per_million: must be at most 1000000, which is every request",
        ),
        (
            traces.batch_spans > traces.queue_spans,
            "traces.batch_spans is above traces.queue_spans: a POST could never be full",
        ),
        (
            traces.flush_ms >= LONGEST_FLUSH,
            "traces.flush_ms: must be below 5000, for a process that stops waits no longer",
        ),
    ];
    let mut found: Vec<String> = (found.into_iter())
        .filter(|(wrong, _)| *wrong)
        .map(|(_, sentence)| sentence.to_owned())
        .collect();
    if let Err(error) = traces.header_map() {
        found.push(format!("traces.headers: {error}"));
    }
    found
}
