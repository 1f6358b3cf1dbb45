//! Sends a message by e-mail, over SMTP.

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message as Email, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{authentication::Credentials, extension::ClientId},
};

use super::super::{SetupError, outbound};
use crate::{config, store::Message};

pub(super) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: std::time::Duration,
}

impl Mail {
    pub(super) fn new(settings: &config::Alerts) -> Result<Option<Self>, SetupError> {
        let to: Vec<Mailbox> = (settings.receivers())
            .map(|address| mailbox("alerts.email_to", address))
            .collect::<Result<_, _>>()?;
        if to.is_empty() {
            return Ok(None);
        }
        outbound::choose_tls();
        let host = settings.smtp_host.as_str();
        let wrong = |error: lettre::transport::smtp::Error| SetupError(format!("alerts.smtp_host: {error}"));
        let builder = match settings.smtp_security.as_str() {
            "tls" => AsyncSmtpTransport::<Tokio1Executor>::relay(host).map_err(wrong)?,
            "starttls" => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host).map_err(wrong)?,
            _ => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host),
        };
        let timeout = settings.timeout_ms.duration();
        let mut builder = builder
            .port(settings.smtp_port)
            .timeout(Some(timeout))
            .hello_name(ClientId::Domain("tsms".to_owned()));
        if !settings.smtp_user.is_empty() {
            let password = settings.smtp_password.reveal().to_owned();
            builder = builder.credentials(Credentials::new(settings.smtp_user.clone(), password));
        }
        Ok(Some(Self {
            transport: builder.build(),
            from: mailbox("alerts.email_from", &settings.email_from)?,
            to,
            timeout,
        }))
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), &'static str> {
        let mut email = Email::builder()
            .from(self.from.clone())
            .subject(message.title.clone())
            // The same for every attempt, so that a copy can be told.
            .message_id(Some(format!("<{}@{}>", message.uid, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            email = email.to(to.clone());
        }
        let email = email.body(message.body.clone()).map_err(|error| {
            tracing::warn!(%error, "a message cannot be written as e-mail");
            "unwritable"
        })?;
        let sent = tokio::time::timeout(self.timeout, self.transport.send(email)).await;
        match sent {
            Err(_) => Err("timeout"),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the mail server did not take a message");
                Err(match () {
                    () if error.is_timeout() => "timeout",
                    () if error.is_permanent() => "smtp_5xx",
                    () if error.is_transient() => "smtp_4xx",
                    () if error.is_tls() => "tls",
                    () => "network",
                })
            }
        }
    }
}

fn mailbox(key: &str, address: &str) -> Result<Mailbox, SetupError> {
    address
        .parse()
        .map_err(|error| SetupError(format!("{key}: {address:?} is no e-mail address: {error}")))
}
