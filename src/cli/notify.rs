//! `tsms notify`: whether people are reached, what they were told, and what goes on.

use clap::Subcommand;
use tsms::{
    domain::{time::Timestamp, webhook::secret_of},
    store::{NewMessage, Sent, Store},
    workers::{Outlet, callback_receiver},
};

use super::{
    Exit, Failure, Setup,
    directory::{Page, find_terminal},
    print,
};

/// See what people are told when something is wrong, and try whether it arrives.
#[derive(Subcommand)]
pub(super) enum NotifyCommand {
    /// Send a test message by every way that is set up, and say whether it was taken.
    #[command(
        after_help = "Ways are set up in [alerts]: email_to with email_from and smtp_host, webhook_url with\n\
        webhook_secret. Exit code 6 when a message was not taken at once; it is then tried again."
    )]
    Test,
    /// Messages in order of id, with how their delivery ended.
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Callbacks to terminals in order of id: attempts, last answer, next attempt.
    Callbacks {
        /// Id or serial number of one terminal.
        #[arg(long)]
        terminal: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// The secret with which the callbacks of a terminal are signed, to be given to its vendor.
    Secret {
        /// Id or serial number of the terminal.
        terminal: String,
    },
    /// Alerts that go on; --all also those that are over, in order of id.
    Alerts {
        /// Those that are over too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: Page,
    },
}

pub(super) async fn run(setup: &Setup, command: NotifyCommand) -> Result<(), Failure> {
    match command {
        NotifyCommand::Test => test(setup).await,
        NotifyCommand::List { page } => list(&setup.store().await?, &page).await,
        NotifyCommand::Callbacks { terminal, page } => {
            callbacks(&setup.store().await?, terminal.as_deref(), &page).await
        }
        NotifyCommand::Secret { terminal } => secret(setup, &terminal).await,
        NotifyCommand::Alerts { all, page } => alerts(&setup.store().await?, all, &page).await,
    }
}

async fn test(setup: &Setup) -> Result<(), Failure> {
    let config = setup.config()?;
    let outlet = Outlet::new(&config).map_err(|error| Failure::usage(error.to_string()))?;
    let channels = outlet.channels();
    if channels.is_empty() {
        return Err(Failure::usage(
            "no way to reach people is set up: alerts.email_to or alerts.webhook_url",
        ));
    }
    let store = setup.store().await?;
    let mut ids = Vec::with_capacity(channels.len());
    for channel in channels {
        let message = NewMessage::test(channel, &config.auth.environment, Timestamp::now());
        ids.push(store.post_message(&message).await?);
    }
    let mut failed = 0;
    for (message, sent) in outlet.deliver(&store, Some(&ids)).await? {
        let word = match sent {
            Sent::Yes => "taken".to_owned(),
            Sent::Later(_, code) | Sent::Never(code) => {
                failed += 1;
                format!("not taken ({code})")
            }
        };
        print::line(format_args!("{}: {word}", message.channel.word()))?;
    }
    if failed == 0 {
        Ok(())
    } else {
        let words = format!("{failed} test messages were not taken; is [alerts] right?");
        Err(Failure::new(Exit::Failed, words))
    }
}

async fn list(store: &Store, page: &Page) -> Result<(), Failure> {
    let messages = store.messages(page.after, page.limit.into()).await?;
    if page.json {
        return messages.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = messages
        .into_iter()
        .map(|one| {
            [
                one.id.to_string(),
                one.created_at.to_rfc3339(0),
                one.channel.word().to_owned(),
                one.state.to_lowercase(),
                one.attempts.to_string(),
                one.last_code.unwrap_or_default(),
                one.title,
            ]
        })
        .collect();
    let header = ["id", "made", "way", "state", "attempts", "why", "title"];
    Ok(print::table(header, &rows)?)
}

async fn callbacks(store: &Store, terminal: Option<&str>, page: &Page) -> Result<(), Failure> {
    let terminal_id = match terminal {
        Some(name) => Some(find_terminal(store, name).await?.id),
        None => None,
    };
    let limit = page.limit.into();
    let callbacks = store.callbacks(terminal_id, page.after, limit).await?;
    if page.json {
        return callbacks.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = callbacks
        .into_iter()
        .map(|one| {
            [
                one.id.to_string(),
                one.created_at.to_rfc3339(0),
                one.terminal_id.to_string(),
                one.kind,
                one.transaction_id.to_string(),
                one.state.to_lowercase(),
                one.attempts.to_string(),
                one.last_status
                    .map(|status| status.to_string())
                    .unwrap_or_default(),
                one.last_code.unwrap_or_default(),
                one.due_at.map(|at| at.to_rfc3339(0)).unwrap_or_default(),
                one.url,
            ]
        })
        .collect();
    let header = [
        "id", "made", "terminal", "kind", "sale", "state", "attempts", "answer", "why", "next", "url",
    ];
    Ok(print::table(header, &rows)?)
}

async fn secret(setup: &Setup, terminal: &str) -> Result<(), Failure> {
    let config = setup.config()?;
    let store = setup.store().await?;
    let terminal = find_terminal(&store, terminal).await?;
    let keys = config.notification.signing_keys.reveal();
    let secret = secret_of(keys, &callback_receiver(terminal.id))
        .map_err(|error| Failure::usage(error.to_string()))?
        .ok_or_else(|| Failure::usage("callbacks are not signed: notification.signing_keys is not set"))?;
    Ok(print::line(secret)?)
}

async fn alerts(store: &Store, all: bool, page: &Page) -> Result<(), Failure> {
    let limit = page.limit.into();
    let alerts = if all {
        store.alerts(page.after, limit).await?
    } else {
        store.open_alerts(limit).await?
    };
    if page.json {
        return alerts.iter().try_for_each(print::json);
    }
    let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339(0));
    let rows: Vec<_> = alerts
        .into_iter()
        .map(|one| {
            [
                one.id.to_string(),
                one.kind.word().to_owned(),
                one.subject,
                one.opened_at.to_rfc3339(0),
                time(one.closed_at),
                time(one.told_at),
                one.summary,
            ]
        })
        .collect();
    let header = ["id", "kind", "subject", "since", "over", "told", "summary"];
    Ok(print::table(header, &rows)?)
}
