//! The way out to a web application: one POST, and what came of it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Url,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER},
};

use super::{
    super::{SetupError, outbound},
    answer::{self, Health, Reply, Ruling},
    coding::{self, Coding},
    lane::{Fit, Lane},
};
use crate::{
    config::{Config, SinkKeys},
    domain::{
        compression::Compression,
        egress::Policy,
        forward::Envelope,
        sink::{self, Sink},
        time::Timestamp,
        trace::TraceContext,
    },
    stage::Stage,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The status that says that a batch is too large.
const TOO_LARGE: u16 = 413;

/// What came of a POST.
pub(super) struct Answered {
    pub(super) ruling: Ruling,
    /// The batch was too large as such.
    pub(super) too_large: bool,
}

/// How much of the time of a set one call may take at most.
const LONGEST_CALL: (u32, u32) = (5, 6);

/// Where a batch comes from, as far as its headers tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// The first request that the batch carries, or nothing.
    pub(super) request_id: &'a str,
    /// The trace it goes on with.
    pub(super) trace: Option<TraceContext>,
}

/// A sink: the client of one web application.
pub(super) struct WebApp {
    name: String,
    /// The row it was made from, by id and version; `None` for the sink of the settings.
    row: Option<(i64, i64)>,
    enabled: bool,
    /// `None` where it is no address: nothing is sent.
    endpoint: Option<Url>,
    /// `None` where they cannot be opened: nothing is sent.
    keys: Option<SinkKeys>,
    coding: Coding,
    batch_size: usize,
    /// What this process keeps for the sink whatever its settings.
    pub(super) lane: Arc<Lane>,
    pub(super) timeout: Duration,
    client: OnceLock<Option<outbound::Outside>>,
    door: outbound::Door,
    retry_after_max: Duration,
    max_answer_bytes: usize,
}

fn policy(config: &Config, private: bool) -> Policy {
    Policy {
        allow: config.egress.allow.clone(),
        private,
    }
}

impl WebApp {
    /// The sink of the settings, if they have an endpoint.
    pub(super) fn of_settings(config: &Config) -> Result<Option<Self>, SetupError> {
        let settings = &config.forwarding;
        if settings.endpoint.is_empty() {
            return Ok(None);
        }
        let endpoint = outbound::web_address(&settings.endpoint)
            .ok_or_else(|| SetupError("forwarding.endpoint is not an http or https address".to_owned()))?;
        let timeout = settings.timeout_ms.duration();
        let door = outbound::Door::new(
            timeout,
            settings.connect_timeout_ms.duration(),
            policy(config, settings.allow_private),
        );
        let client = door.client()?;
        let keys = config
            .keys_of_settings()
            .map_err(|error| SetupError(error.to_string()))?;
        Ok(Some(Self {
            name: sink::DEFAULT.to_owned(),
            row: None,
            enabled: true,
            endpoint: Some(endpoint),
            keys: Some(keys),
            coding: Coding::new(settings.compression),
            batch_size: settings.batch_size,
            lane: Arc::new(Lane::new(settings)),
            timeout,
            client: OnceLock::from(Some(client)),
            door,
            retry_after_max: settings.retry_after_max_ms.duration(),
            max_answer_bytes: settings.max_answer_bytes,
        }))
    }

    /// The sink of a row, in the lane of what it was before.
    pub(super) fn of_row(
        row: &Sink,
        keys: Option<SinkKeys>,
        config: &Config,
        before: Option<&Arc<WebApp>>,
    ) -> Self {
        let (settings, kept) = (&config.forwarding, &row.settings);
        // A call that outlasts its set would never be judged.
        let longest = config.pool(Stage::Forwarding).timeout_ms.duration() * LONGEST_CALL.0 / LONGEST_CALL.1;
        let timeout = Duration::from_millis(kept.timeout_ms.into()).min(longest);
        Self {
            name: row.name.clone(),
            row: Some((row.id, row.version)),
            enabled: kept.enabled,
            endpoint: outbound::web_address(&kept.endpoint),
            keys,
            coding: Coding::new(kept.compression),
            batch_size: usize::try_from(kept.batch_size).unwrap_or(1),
            lane: before.map_or_else(
                || Arc::new(Lane::new(settings)),
                |before| Arc::clone(&before.lane),
            ),
            timeout,
            client: OnceLock::new(),
            door: outbound::Door {
                verify: kept.verify_ssl,
                ca: kept.ca.clone(),
                ..outbound::Door::new(
                    timeout,
                    settings.connect_timeout_ms.duration(),
                    policy(config, kept.allow_private),
                )
            },
            retry_after_max: settings.retry_after_max_ms.duration(),
            max_answer_bytes: settings.max_answer_bytes,
        }
    }

    /// Most sales in the next batch.
    pub(super) fn batch_size(&self) -> usize {
        self.lane.batch_size(self.batch_size)
    }

    /// Learns from how a batch of `sales` went. What says nothing about its size teaches nothing.
    pub(super) fn learn(&self, sales: usize, took: Duration, ruling: &Ruling, too_large: bool) {
        let fit = match ruling {
            _ if too_large => Fit::Large,
            Ruling::Accepted | Ruling::Named(_) => Fit::Well,
            Ruling::Later { code: "timeout", .. } => Fit::Large,
            Ruling::Later { .. } | Ruling::Refused { .. } => return,
        };
        self.lane.learn(sales, self.batch_size, took, fit);
    }

    /// Its name, which no other sink has.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was made from this row as it is.
    pub(super) fn is(&self, row: &Sink) -> bool {
        self.row == Some((row.id, row.version))
    }

    /// Whether something can be sent, or the word for why not.
    pub(super) fn ready(&self) -> Result<(), &'static str> {
        if !self.enabled {
            return Err("sink_disabled");
        }
        self.parts().map(|_| ())
    }

    /// What a call needs.
    fn parts(&self) -> Result<(&outbound::Outside, &Url, &SinkKeys), &'static str> {
        match (self.client(), &self.endpoint, &self.keys) {
            (Some(client), Some(endpoint), Some(keys)) => Ok((client, endpoint, keys)),
            _ => Err("sink_unusable"),
        }
    }

    /// The client, made when it is first needed: that reads every root certificate of the machine.
    fn client(&self) -> Option<&outbound::Outside> {
        let made = self.client.get_or_init(|| {
            let made = self.door.client();
            made.map_err(|error| tracing::error!(sink = self.name, %error, "a sink cannot be used"))
                .ok()
        });
        made.as_ref()
    }

    /// Posts a batch and judges the answer.
    pub(super) async fn post(&self, envelope: &Envelope, origin: Origin<'_>) -> Answered {
        let coding = self.coding.now();
        let reply = self.reply(envelope, origin, coding).await;
        if let Ok(reply) = &reply
            && self.coding.blames(coding, reply.status)
        {
            tracing::warn!(
                sink = self.name,
                status = reply.status,
                coding = coding.word(),
                "the first compressed batch was refused: batches are sent as they are until the sink is changed"
            );
            return Answered {
                ruling: Ruling::Later {
                    code: "coding_refused",
                    after: None,
                    health: Health::Busy,
                },
                too_large: false,
            };
        }
        let too_large = reply.as_ref().is_ok_and(|reply| reply.status == TOO_LARGE);
        let ruling = match reply {
            Ok(reply) => answer::judge(&reply, jiff::Timestamp::now(), self.retry_after_max),
            Err(code) => Ruling::Later {
                code,
                after: None,
                // Nobody was asked: the settings are wrong, or a name leads where it must not.
                health: if code == outbound::REFUSED {
                    Health::Busy
                } else {
                    Health::Ill
                },
            },
        };
        Answered { ruling, too_large }
    }

    async fn reply(
        &self,
        envelope: &Envelope,
        origin: Origin<'_>,
        coding: Compression,
    ) -> Result<Reply, &'static str> {
        let (client, endpoint, keys) = self.parts()?;
        let mut call = client
            .post(endpoint.clone())?
            .header(CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY, &envelope.idempotency_key)
            .body(coding::compressed(coding, &envelope.body).await?);
        if let Some(word) = coding.coding() {
            call = call.header(CONTENT_ENCODING, word);
        }
        if !keys.token.reveal().is_empty() {
            call = call.bearer_auth(keys.token.reveal());
        }
        if let Some(signer) = &keys.signer {
            let signature = signer.sign(&envelope.idempotency_key, Timestamp::now(), &envelope.body);
            call = outbound::signed(call, signature);
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
