//! Delivers messages to people: by e-mail and by signed POST, each as often as it takes within bounds.

mod hook;
mod mail;

use std::time::Duration;

use hook::Hook;
use mail::Mail;

use super::{SetupError, schedule::Schedule};
use crate::{
    config::Config,
    domain::time::Timestamp,
    store::{Channel, ClaimedMessages, Message, Sent, Store, StoreError},
    telemetry::metrics,
};

/// Messages delivered in one round.
const AT_ONCE: usize = 20;
/// How much longer than all of its deliveries a claim holds.
const CLAIM_GRACE: Duration = Duration::from_secs(30);

/// The ways that are set up.
pub struct Outlet {
    mail: Option<Mail>,
    hook: Option<Hook>,
    schedule: Schedule,
    timeout: Duration,
}

impl Outlet {
    /// Sets up the ways that the settings name.
    ///
    /// # Errors
    /// An address or secret is of no use.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let settings = &config.alerts;
        Ok(Self {
            mail: Mail::new(settings)?,
            hook: Hook::new(config)?,
            schedule: Schedule {
                min: settings.retry_min_ms.duration(),
                max: settings.retry_max_ms.duration(),
                max_attempts: settings.max_attempts,
            },
            timeout: settings.timeout_ms.duration(),
        })
    }

    /// The ways that are set up.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        let mail = self.mail.as_ref().map(|_| Channel::Email);
        let hook = self.hook.as_ref().map(|_| Channel::Webhook);
        mail.into_iter().chain(hook).collect()
    }

    /// Delivers what is due, or just the messages of `ids`; gives how each ended.
    ///
    /// # Errors
    /// The record cannot be reached. What was claimed is due again when its claim ends.
    pub async fn deliver(
        &self,
        store: &Store,
        ids: Option<&[i64]>,
    ) -> Result<Vec<(Message, Sent)>, StoreError> {
        let most = u32::try_from(AT_ONCE).unwrap_or(1);
        let hold = self.timeout.saturating_mul(most) + CLAIM_GRACE;
        let claimed = store.claim_messages(ids, AT_ONCE, Timestamp::now(), hold).await?;
        let mut ended = Vec::with_capacity(claimed.messages.len());
        for message in &claimed.messages {
            let sent = self.attempt(store, &claimed, message).await?;
            ended.push((message.clone(), sent));
        }
        Ok(ended)
    }

    async fn attempt(
        &self,
        store: &Store,
        claimed: &ClaimedMessages,
        message: &Message,
    ) -> Result<Sent, StoreError> {
        let taken = match (message.channel, &self.mail, &self.hook) {
            (Channel::Email, Some(mail), _) => mail.send(message).await,
            (Channel::Webhook, _, Some(hook)) => hook.post(message).await,
            _ => Err("not_set_up"),
        };
        let now = Timestamp::now();
        let sent = match (taken, self.schedule.pause(message.attempts)) {
            (Ok(()), _) => Sent::Yes,
            (Err(code), Some(pause)) => Sent::Later(now.plus(pause), code),
            (Err(code), None) => Sent::Never(code),
        };
        let outcome = match sent {
            Sent::Yes => "sent",
            Sent::Later(..) => "retried",
            Sent::Never(code) => {
                tracing::error!(
                    channel = message.channel.word(),
                    title = message.title,
                    code,
                    "a message to people could not be delivered"
                );
                "failed"
            }
        };
        metrics::alert_message(message.channel.word(), outcome);
        store.settle_message(claimed, message.id, sent, now).await?;
        Ok(sent)
    }
}
