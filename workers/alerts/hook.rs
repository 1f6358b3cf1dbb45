//! Posts a message, signed by the Standard Webhooks specification.

use reqwest::{Url, header::CONTENT_TYPE};

use super::super::{SetupError, outbound};
use crate::{
    config::Config,
    domain::{egress::Policy, time::Timestamp, webhook::Signer},
    store::Message,
};

/// Most bytes of an answer that are read; nothing in it matters.
const ANSWER_BYTES: usize = 4096;

pub(super) struct Hook {
    client: outbound::Outside,
    url: Url,
    signer: Signer,
}

impl Hook {
    pub(super) fn new(config: &Config) -> Result<Option<Self>, SetupError> {
        let settings = &config.alerts;
        let url = settings.webhook_url.reveal();
        if url.is_empty() {
            return Ok(None);
        }
        let wrong = |what: &str| SetupError(format!("alerts.webhook: {what}"));
        let url = outbound::web_address(url).ok_or_else(|| wrong("not an http or https address"))?;
        let signer = Signer::new(settings.webhook_secret.reveal())
            .map_err(|error| wrong(&error.to_string()))?
            .ok_or_else(|| wrong("there is no secret to sign with"))?;
        let timeout = settings.timeout_ms.duration();
        // Who runs the fleet names it: it may be within the house.
        let policy = Policy {
            allow: config.egress.allow.clone(),
            private: true,
        };
        Ok(Some(Self {
            client: outbound::Door::new(timeout, timeout, policy).client()?,
            url,
            signer,
        }))
    }

    pub(super) async fn post(&self, message: &Message) -> Result<(), &'static str> {
        let id = format!("msg_{}", message.uid);
        let signed = self.signer.sign(&id, Timestamp::now(), message.body.as_bytes());
        let call = outbound::signed(self.client.post(self.url.clone())?, signed)
            .header(CONTENT_TYPE, "application/json")
            .body(message.body.clone());
        let mut answer = call.send().await.map_err(|error| outbound::failure(&error))?;
        let status = answer.status().as_u16();
        if let Err(error) = outbound::body(&mut answer, ANSWER_BYTES).await {
            tracing::debug!(%error, "the answer to a message broke off");
        }
        match status {
            200..=299 => Ok(()),
            400..=499 => Err("http_4xx"),
            500.. => Err("http_5xx"),
            _ => Err("http_other"),
        }
    }
}
