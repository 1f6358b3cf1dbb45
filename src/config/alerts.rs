//! `[alerts]`: who is told when something is wrong, and from when on it is.

use serde::Deserialize;

use super::{Config, Millis, Secret};
use crate::domain::{alert::Kinds, webhook::Signer};

/// Longest window over which failures are counted: what is read at a start.
const MOST_WINDOW: Millis = Millis::new(86_400_000);

/// `[alerts]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// How often the record is looked at.
    pub interval_ms: Millis,
    /// Kinds of alerts that are not wanted.
    pub off: String,
    /// How long an alert that was told is not told again.
    pub cool_down_ms: Millis,
    /// Most messages an hour, of each way.
    pub per_hour: usize,
    /// Most alerts of a kind that are open at a time.
    pub most_open: usize,
    /// Most alerts named in one message.
    pub most_lines: usize,
    /// Over how long failures are counted.
    pub window_ms: Millis,
    /// How long a sale may take until it is decided, before it counts as one that did not fail.
    pub settle_ms: Millis,
    /// Ids of sales read in one statement.
    pub page: i64,
    /// Statements in one round.
    pub pages_per_round: usize,
    /// Invalid sales of a terminal within the window.
    pub failures: u64,
    /// And their share of all of its sales, in percent.
    pub failure_percent: u64,
    /// Invalid sales of one batch.
    pub batch_failures: u64,
    /// Age of the oldest job of a queue.
    pub backlog_age_ms: Millis,
    /// Security events of a kind and subject within an hour.
    pub security_events: i64,
    /// How long a terminal may be silent.
    pub silent_ms: Millis,
    /// Addresses, with commas between; none: no e-mail.
    pub email_to: String,
    /// Who it is from.
    pub email_from: String,
    /// The mail server.
    pub smtp_host: String,
    /// Its port.
    pub smtp_port: u16,
    /// `starttls`, `tls`, or `none` within this machine.
    pub smtp_security: String,
    /// Name to log in with; empty: without.
    pub smtp_user: String,
    /// Its password.
    pub smtp_password: Secret,
    /// Where alerts are posted; empty: nowhere.
    pub webhook_url: Secret,
    /// Secrets that sign it, newest first.
    pub webhook_secret: Secret,
    /// How long one delivery may take.
    pub timeout_ms: Millis,
    /// Pause after the first failed delivery.
    pub retry_min_ms: Millis,
    /// Longest pause.
    pub retry_max_ms: Millis,
    /// Deliveries that are tried.
    pub max_attempts: u32,
}

impl Alerts {
    /// The addresses that get e-mail.
    pub fn receivers(&self) -> impl Iterator<Item = &str> {
        self.email_to
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
    }

    /// The kinds that are not wanted. Loading refuses what cannot be read.
    #[must_use]
    pub fn unwanted(&self) -> Kinds {
        self.off.parse().unwrap_or_default()
    }
}

/// What contradicts in the section.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let alerts = &config.alerts;
    let mut found = Vec::new();
    let mut when = |wrong: bool, sentence: String| {
        if wrong {
            found.push(sentence);
        }
    };
    if let Err(error) = alerts.off.parse::<Kinds>() {
        when(true, format!("alerts.off: {error}"));
    }
    let mails = alerts.receivers().next().is_some();
    when(
        mails && (alerts.email_from.is_empty() || alerts.smtp_host.is_empty()),
        "alerts.email_to without alerts.email_from and alerts.smtp_host: there is no way to send e-mail"
            .to_owned(),
    );
    let known = ["starttls", "tls", "none"].contains(&alerts.smtp_security.as_str());
    when(
        !known,
        format!(
            "alerts.smtp_security: starttls, tls or none, got {:?}",
            alerts.smtp_security
        ),
    );
    let login = !alerts.smtp_user.is_empty();
    when(
        login && alerts.smtp_security == "none",
        "alerts.smtp_user with alerts.smtp_security none: the password would travel in clear text".to_owned(),
    );
    let hook = alerts.webhook_url.reveal();
    when(
        !hook.is_empty() && !hook.starts_with("https://") && !hook.starts_with("http://"),
        "alerts.webhook_url: must start with http:// or https://".to_owned(),
    );
    match Signer::new(alerts.webhook_secret.reveal()) {
        Err(error) => when(true, format!("alerts.webhook_secret: {error}")),
        Ok(signer) => when(
            !hook.is_empty() && signer.is_none(),
            "alerts.webhook_url without alerts.webhook_secret: its receiver could not tell who posts"
                .to_owned(),
        ),
    }
    when(
        alerts.window_ms > MOST_WINDOW,
        "alerts.window_ms: must be at most a day; it is read at every start".to_owned(),
    );
    when(
        alerts.failure_percent > 100,
        "alerts.failure_percent: must be at most 100".to_owned(),
    );
    when(
        alerts.retry_min_ms > alerts.retry_max_ms,
        "alerts.retry_min_ms is above alerts.retry_max_ms".to_owned(),
    );
    found
}
