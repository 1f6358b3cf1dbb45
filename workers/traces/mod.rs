//! Sends the spans of this process to a collector: OTLP over HTTP, in batches, one POST at a time, each tried
//! once. A collector that is away or slow costs spans, which are counted, and nothing else.

mod wire;

use std::time::Duration;

use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{SetupError, outbound};
use crate::{
    config::Config,
    domain::egress::Policy,
    telemetry::{
        metrics::{self, SpanLoss},
        traces::Span,
    },
};
use wire::Source;

/// Most bytes read of an answer; it says how many spans were refused.
const ANSWER_BYTES: usize = 65_536;

/// The way to the collector.
pub struct Exporter {
    client: outbound::Outside,
    url: Url,
    headers: HeaderMap,
    source: Source,
    batch: usize,
    interval: Duration,
    flush: Duration,
    /// Whether the last POST failed: only a change is worth a line in the log.
    failing: bool,
}

impl Exporter {
    /// The exporter of a process that has `role`; `None` where traces are off.
    ///
    /// # Errors
    /// The address of the collector is none, or may not be called.
    pub fn new(config: &Config, role: &str) -> Result<Option<Self>, SetupError> {
        let settings = &config.traces;
        if !settings.is_on() {
            return Ok(None);
        }
        let wrong = |what: &str| SetupError(format!("traces.endpoint: {what}"));
        let url =
            outbound::web_address(&settings.endpoint).ok_or_else(|| wrong("not an http or https address"))?;
        let timeout = settings.timeout_ms.duration();
        // Who runs the fleet names it: it may be within the house.
        let policy = Policy {
            allow: config.egress.allow.clone(),
            private: true,
        };
        let client = outbound::Door::new(timeout, timeout, policy).client()?;
        drop(client.post(url.clone()).map_err(wrong)?);
        let headers = settings
            .header_map()
            .map_err(|error| SetupError(format!("traces.headers: {error}")))?;
        Ok(Some(Self {
            client,
            url,
            headers,
            source: Source::new(role),
            batch: settings.batch_spans,
            interval: settings.interval_ms.duration(),
            flush: settings.flush_ms.duration(),
            failing: false,
        }))
    }

    /// Sends what comes in the line until `stop`, then what is left in it, for at most `traces.flush_ms`.
    pub async fn run(mut self, mut line: mpsc::Receiver<Span>, stop: CancellationToken) {
        let flush = self.flush;
        let late = {
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                tokio::time::sleep(flush).await;
            }
        };
        let mut batch = Vec::with_capacity(self.batch);
        tokio::select! {
            () = self.pump(&mut line, &mut batch, &stop) => {}
            () = late => {}
        }
        line.close();
        let left = batch.len() + line.len();
        if left > 0 {
            metrics::spans_lost(SpanLoss::Shutdown, left);
            tracing::warn!(spans = left, "stopped before all spans were sent");
        }
    }

    async fn pump(
        &mut self,
        line: &mut mpsc::Receiver<Span>,
        batch: &mut Vec<Span>,
        stop: &CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = gather(line, batch, self.batch, self.interval) => {}
                () = stop.cancelled() => {
                    // Nobody is waited for any more.
                    while batch.len() < self.batch && let Ok(span) = line.try_recv() {
                        batch.push(span);
                    }
                    if batch.is_empty() {
                        return;
                    }
                }
            }
            self.send(batch).await;
            batch.clear();
        }
    }

    async fn send(&mut self, spans: &[Span]) {
        match self.post(self.source.request(spans)).await {
            Ok(refused) => {
                let refused = refused.min(spans.len());
                metrics::spans_exported(spans.len() - refused);
                if refused > 0 {
                    metrics::spans_lost(SpanLoss::Refused, refused);
                    tracing::warn!(spans = refused, "the collector refused spans");
                }
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(code) => {
                metrics::spans_lost(SpanLoss::ExportFailed, spans.len());
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(
                        code,
                        spans = spans.len(),
                        "the collector takes no spans; they are dropped"
                    );
                }
            }
        }
    }

    /// Posts a batch; gives how many of its spans the collector refused.
    async fn post(&self, body: Vec<u8>) -> Result<usize, &'static str> {
        let call = self
            .client
            .post(self.url.clone())?
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, wire::CONTENT)
            .body(body);
        let mut answer = call.send().await.map_err(|error| outbound::failure(&error))?;
        let status = answer.status().as_u16();
        let body = outbound::body(&mut answer, ANSWER_BYTES)
            .await
            .map_err(|error| outbound::failure(&error))?;
        match status {
            200..=299 => Ok(wire::refused(&body.bytes)),
            400..=499 => Err("http_4xx"),
            500.. => Err("http_5xx"),
            _ => Err("http_other"),
        }
    }
}

/// Waits for a span, then for as many as fill the batch, but not longer than `interval`. Dropped on the way, it
/// loses nothing: what was taken is in the batch.
async fn gather(line: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>, most: usize, interval: Duration) {
    if batch.is_empty() && line.recv_many(batch, most).await == 0 {
        // Every tracer is gone: nothing comes any more until the process stops.
        std::future::pending::<()>().await;
    }
    let end = Instant::now() + interval;
    while batch.len() < most {
        let room = most - batch.len();
        match tokio::time::timeout_at(end, line.recv_many(batch, room)).await {
            Ok(taken) if taken > 0 => {}
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn exporter(endpoint: &str) -> Result<Option<Exporter>, SetupError> {
        let mut config = Layers::read(None, Vec::new()).unwrap().config().unwrap();
        config.traces.endpoint = endpoint.to_owned();
        Exporter::new(&config, "all")
    }

    #[test]
    fn an_address_that_may_not_be_called_is_told_at_start() {
        assert!(exporter("").unwrap().is_none(), "off");
        for good in [
            "http://127.0.0.1:4318/v1/traces",
            "https://collector.example/v1/traces",
        ] {
            assert!(exporter(good).unwrap().is_some(), "{good}");
        }
        for bad in [
            "http://169.254.169.254/v1/traces",
            "http://",
            "ftp://collector.example/",
        ] {
            let error = exporter(bad).err().unwrap().to_string();
            assert!(error.contains("traces.endpoint"), "{bad}: {error}");
        }
    }

    #[tokio::test]
    async fn the_end_of_every_tracer_is_not_the_end_of_the_exporter() {
        let (tracer, line) = mpsc::channel(1);
        drop(tracer);
        let stop = CancellationToken::new();
        let sending = exporter("http://127.0.0.1:1/")
            .unwrap()
            .unwrap()
            .run(line, stop.clone());
        tokio::pin!(sending);
        assert!(futures::poll!(&mut sending).is_pending());
        stop.cancel();
        sending.await;
    }
}
