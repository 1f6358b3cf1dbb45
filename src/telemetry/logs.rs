//! Logs: JSON lines (or text on a terminal) with the request id of the sale they are about.
//!
//! They go to standard error, one line an event, in UTC; standard output belongs to what a command
//! was asked for. A panic is an event like any other.

use std::panic::PanicHookInfo;

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config;

/// Starts logging for the process. Later calls do nothing.
pub fn start(settings: &config::Log) {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if settings.format == "json" {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    } else {
        lines.with_ansi(false).boxed()
    };
    let started = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(panicked));
    }
}

fn panicked(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let words = panic.payload_as_str().unwrap_or("no message");
    tracing::error!(place, words, "a part of the program panicked");
}
