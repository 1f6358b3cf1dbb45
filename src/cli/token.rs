//! `tsms token`: bearer tokens. The text of one is shown once, when it is made; only a keyed hash is kept.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use tsms::{
    credentials::{Credentials, Wish},
    domain::{ability, network::Networks, rotation::Standing, time::Timestamp, token},
    store::{Holder, Replaced, Store, TokenRow},
};

use super::{
    Exit, Failure, Setup,
    directory::{Output, Page, find_terminal},
    print,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Tokens read at a time while looking for an administrator's.
const LOOK_UP_PAGE: usize = 500;
/// Pages read at most.
const LOOK_UP_PAGES: usize = 2000;

/// Make, list, rotate and revoke bearer tokens.
#[derive(Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it, this once.
    #[command(
        visible_alias = "issue",
        after_help = "Examples:\n  tsms token create --terminal CC-012-01 --expires-in-days 365\n  \
        tsms token create --admin --name 'night shift' --ability admin:terminals --network 10.1.0.0/16"
    )]
    Create {
        /// Id or serial number of the terminal it is for.
        #[arg(long, required_unless_present = "admin", conflicts_with = "admin")]
        terminal: Option<String>,
        /// For an administrator instead.
        #[arg(long)]
        admin: bool,
        /// What a person calls it.
        #[arg(long, default_value = "made on the command line")]
        name: String,
        /// What it may do, one or more. Unless given: transaction:create, transaction:read and
        /// heartbeat:send for a terminal, admin:* for an administrator.
        #[arg(long)]
        ability: Vec<String>,
        /// Where it may be used from, e.g. 10.1.0.0/16 or one address; anywhere unless given.
        #[arg(long, value_name = "NETWORK")]
        network: Vec<String>,
        /// When it ends; never unless given.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_in_days: Option<u32>,
        #[command(flatten)]
        output: Output,
    },
    /// List tokens in order of id, revoked and expired ones included; never their text.
    List {
        /// Only those of this terminal (id or serial number).
        #[arg(long)]
        terminal: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Make a successor of a token and print it, this once. The old one goes on for
    /// `auth.rotation_overlap_ms`; whoever uses it after that has all of its line revoked.
    Rotate {
        /// Its id.
        id: i64,
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a token; every ingress knows within a second.
    Revoke {
        /// Its id.
        id: i64,
        /// With all that it replaced and all that replaced it.
        #[arg(long)]
        family: bool,
    },
    /// Say what a text is, without asking anybody: kind, environment, and whether its check digits are right.
    #[command(
        after_help = "Exit code 6 when it is no token. Reads the text from standard input.\n\n\
        Example:\n  tsms token inspect < token.txt"
    )]
    Inspect,
}

pub(super) async fn run(setup: &Setup, command: TokenCommand) -> Result<(), Failure> {
    if matches!(command, TokenCommand::Inspect) {
        return inspect();
    }
    let store = setup.store().await?;
    match command {
        TokenCommand::Create {
            terminal,
            name,
            ability,
            network,
            expires_in_days,
            output,
            ..
        } => {
            let terminal_id = match terminal {
                Some(word) => Some(find_terminal(&store, &word).await?.id),
                None => None,
            };
            let wish = Wish {
                terminal_id,
                name,
                abilities: known_abilities(ability, terminal_id.is_some())?,
                expires_at: expires_in_days.map(|days| Timestamp::now().plus(DAY.saturating_mul(days))),
                networks: networks(&network)?,
            };
            let (id, plain) = setup.credentials(store)?.issue(wish).await?;
            show_once(id, &plain, output.json)
        }
        TokenCommand::List { terminal, page } => {
            let terminal_id = match terminal {
                Some(word) => Some(find_terminal(&store, &word).await?.id),
                None => None,
            };
            let tokens = store
                .list_tokens(terminal_id, page.after, page.limit.into())
                .await?;
            show(&tokens, page.json)
        }
        TokenCommand::Rotate { id, output } => {
            let overlap = setup.config()?.auth.rotation_overlap_ms.duration();
            rotate(
                &setup.credentials(store.clone())?,
                &store,
                id,
                overlap,
                output.json,
            )
            .await
        }
        TokenCommand::Revoke { id, family: false } => {
            store.revoke_token(id, Timestamp::now()).await?;
            Ok(print::line(format_args!("token {id} is revoked"))?)
        }
        TokenCommand::Revoke { id, family: true } => {
            let family_id = store.token(id).await?.family_id;
            store.revoke_family(family_id, Timestamp::now(), None).await?;
            Ok(print::line(format_args!(
                "every token of the family of {id} is revoked"
            ))?)
        }
        TokenCommand::Inspect => Ok(()),
    }
}

async fn rotate(
    credentials: &Credentials,
    store: &Store,
    id: i64,
    overlap: Duration,
    json: bool,
) -> Result<(), Failure> {
    let token = store.token(id).await?;
    let holder = Holder::Person(Timestamp::now().plus(overlap));
    let (replaced, plain) = credentials.replace(id, token.terminal_id, holder).await?;
    let why = match replaced {
        Replaced::By(next, _) => return show_once(next, &plain, json),
        Replaced::Already => "has a successor that is in use; rotate that one",
        Replaced::Refused(Standing::Expired) => "is past its end; make a new one",
        Replaced::Refused(_) => "is revoked; make a new one",
    };
    Err(Failure::new(Exit::Failed, format!("token {id} {why}")))
}

fn show_once(id: i64, plain: &str, json: bool) -> Result<(), Failure> {
    if json {
        return print::json(&json!({ "id": id, "token": plain }));
    }
    Ok(print::line(format_args!(
        "token {id}, shown this once:\n{plain}"
    ))?)
}

fn known_abilities(given: Vec<String>, terminal: bool) -> Result<Vec<String>, Failure> {
    let known: &[&str] = if terminal {
        &ability::OF_TERMINALS
    } else {
        &ability::OF_ADMINS
    };
    match given.iter().find(|word| !known.contains(&word.as_str())) {
        None => Ok(given),
        Some(word) => Err(Failure::usage(format!(
            "--ability {word}: not one of {}",
            known.join(" ")
        ))),
    }
}

fn networks(given: &[String]) -> Result<Networks, Failure> {
    let parsed = given.join(",").parse();
    parsed.map_err(|error| Failure::usage(format!("--network: {error}")))
}

/// Whether any administrator's token was ever made.
pub(super) async fn has_admin(store: &Store) -> Result<bool, Failure> {
    let mut after = 0;
    for _ in 0..LOOK_UP_PAGES {
        let page = store.list_tokens(None, after, LOOK_UP_PAGE).await?;
        let Some(last) = page.last().map(|token| token.id) else {
            return Ok(false);
        };
        after = last;
        if page.iter().any(|token| token.terminal_id.is_none()) {
            return Ok(true);
        }
    }
    Ok(true)
}

fn inspect() -> Result<(), Failure> {
    let text = std::io::read_to_string(std::io::stdin().lock())?;
    let Some(known) = token::recognise(text.trim()) else {
        return Err(Failure::new(Exit::Failed, "no token: another form, or mistyped"));
    };
    Ok(print::line(format_args!(
        "kind {}, environment {}, check digits right",
        known.kind.word(),
        known.environment.unwrap_or("any (of the first version)")
    ))?)
}

fn show(tokens: &[TokenRow], json: bool) -> Result<(), Failure> {
    if json {
        return tokens.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let until = token.expires_at.into_iter().chain(token.retires_at).min();
            let state = match (token.revoked_at, until) {
                (Some(at), _) => format!("revoked {}", at.to_rfc3339(0)),
                (None, Some(at)) => format!("until {}", at.to_rfc3339(0)),
                (None, None) => "for ever".to_owned(),
            };
            let terminal = token.terminal_id;
            [
                token.id.to_string(),
                terminal.map_or_else(|| "admin".to_owned(), |id| id.to_string()),
                token.name.clone(),
                token.abilities.join(" "),
                state,
                token
                    .last_used_at
                    .map_or_else(|| "never".to_owned(), |at| at.to_rfc3339(0)),
            ]
        })
        .collect();
    Ok(print::table(
        ["id", "terminal", "name", "abilities", "valid", "used"],
        &rows,
    )?)
}
