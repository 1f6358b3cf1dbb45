//! The way out to the web application: one POST, and what came of it.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, Url,
    header::{CONTENT_TYPE, HeaderName, RETRY_AFTER},
};

use super::{
    super::{SetupError, outbound},
    answer::{self, Health, Reply, Ruling},
};
use crate::{
    config::{self, Secret},
    domain::{forward::Envelope, trace::TraceContext},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where a batch comes from, as far as its headers tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// The first request that the batch carries, or nothing.
    pub(super) request_id: &'a str,
    /// The trace it goes on with.
    pub(super) trace: Option<TraceContext>,
}

/// The client of the web application; cheap to clone.
#[derive(Clone)]
pub struct WebApp {
    client: Client,
    /// `None` where forwarding is off and no endpoint is set.
    endpoint: Option<Url>,
    token: Arc<Secret>,
    retry_after_max: Duration,
    max_answer_bytes: usize,
}

impl WebApp {
    pub(in super::super) fn new(settings: &config::Forwarding) -> Result<Self, SetupError> {
        let endpoint = outbound::web_address(&settings.endpoint);
        if settings.enabled && endpoint.is_none() {
            return Err(SetupError(
                "forwarding.endpoint is not an http or https address".to_owned(),
            ));
        }
        Ok(Self {
            client: outbound::client(
                settings.timeout_ms.duration(),
                settings.connect_timeout_ms.duration(),
            )?,
            endpoint,
            token: Arc::new(settings.token.clone()),
            retry_after_max: settings.retry_after_max_ms.duration(),
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    /// Posts a batch and judges the answer.
    pub(super) async fn post(&self, envelope: &Envelope, origin: Origin<'_>) -> Ruling {
        match self.reply(envelope, origin).await {
            Ok(reply) => answer::judge(&reply, jiff::Timestamp::now(), self.retry_after_max),
            Err(code) => Ruling::Later {
                code,
                after: None,
                health: Health::Ill,
            },
        }
    }

    async fn reply(&self, envelope: &Envelope, origin: Origin<'_>) -> Result<Reply, &'static str> {
        let endpoint = self.endpoint.clone().ok_or("no_endpoint")?;
        let mut call = self
            .client
            .post(endpoint)
            .header(CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY, &envelope.idempotency_key)
            .body(envelope.body.clone());
        if !self.token.reveal().is_empty() {
            call = call.bearer_auth(self.token.reveal());
        }
        if !origin.request_id.is_empty() {
            call = call.header(REQUEST_ID, origin.request_id);
        }
        if let Some(trace) = origin.trace {
            call = call.header(TRACEPARENT, trace.to_string());
        }
        let failed = |error: reqwest::Error| {
            let code = outbound::failure(&error);
            tracing::debug!(code, %error, batch_id = envelope.batch_id, "no answer from the web application");
            code
        };
        let mut answer = call.send().await.map_err(failed)?;
        let retry_after = (answer.headers().get(RETRY_AFTER))
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let status = answer.status().as_u16();
        // An answer that breaks off is no answer: it may have named results.
        let body = outbound::body(&mut answer, self.max_answer_bytes)
            .await
            .map_err(failed)?;
        Ok(Reply {
            status,
            retry_after,
            body,
        })
    }
}
