//! `tsms token`: bearer tokens. The text of one is shown once, when it is made; only its digest is kept.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use tsms::{
    domain::{
        time::Timestamp,
        token::{Kind, mint},
    },
    store::{Store, TokenRow},
};

use super::{
    Failure, Setup,
    directory::{Output, Page, find_terminal},
    print,
};

/// What a token may be allowed. The wildcard is for administrators alone.
const TERMINAL_ABILITIES: [&str; 4] = [
    "transaction:create",
    "transaction:read",
    "transaction:status",
    "heartbeat:send",
];
/// What a terminal's token may do unless told otherwise.
const USUAL_ABILITIES: [&str; 3] = ["transaction:create", "transaction:read", "heartbeat:send"];
const ADMIN_ABILITY: &str = "admin:*";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Tokens read at a time while looking for an administrator's.
const LOOK_UP_PAGE: usize = 500;
/// Pages read at most.
const LOOK_UP_PAGES: usize = 2000;

/// Make, list and revoke bearer tokens.
#[derive(Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it, this once.
    #[command(
        after_help = "Examples:\n  tsms token create --terminal CC-012-01 --expires-in-days 365\n  \
        tsms token create --admin --name 'night shift'"
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
        /// What it may do, one or more; the three of a till unless given.
        #[arg(long, value_parser = TERMINAL_ABILITIES, conflicts_with = "admin")]
        ability: Vec<String>,
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
    /// Revoke a token. Caches may let it through until `ingress.identity_ttl_ms` has passed.
    Revoke {
        /// Its id.
        id: i64,
    },
}

pub(super) async fn run(setup: &Setup, command: TokenCommand) -> Result<(), Failure> {
    let store = setup.store().await?;
    match command {
        TokenCommand::Create {
            terminal,
            name,
            ability,
            expires_in_days,
            output,
            ..
        } => {
            let terminal_id = match terminal {
                Some(word) => Some(find_terminal(&store, &word).await?.id),
                None => None,
            };
            let end = expires_in_days.map(|days| Timestamp::now().plus(DAY.saturating_mul(days)));
            let abilities: Vec<&str> = ability.iter().map(String::as_str).collect();
            let (id, plain) = create(&store, terminal_id, &name, &abilities, end).await?;
            if output.json {
                print::json(&json!({ "id": id, "token": plain }))
            } else {
                print::line(format_args!("token {id}, shown this once:\n{plain}"))?;
                Ok(())
            }
        }
        TokenCommand::List { terminal, page } => {
            let terminal_id = match terminal {
                Some(word) => Some(find_terminal(&store, &word).await?.id),
                None => None,
            };
            show(
                &store
                    .list_tokens(terminal_id, page.after, page.limit.into())
                    .await?,
                page.json,
            )
        }
        TokenCommand::Revoke { id } => {
            store.revoke_token(id, Timestamp::now()).await?;
            print::line(format_args!("token {id} is revoked"))?;
            Ok(())
        }
    }
}

/// Makes a token of a terminal, or of an administrator where there is none. Gives its id and text.
pub(super) async fn create(
    store: &Store,
    terminal_id: Option<i64>,
    name: &str,
    abilities: &[&str],
    end: Option<Timestamp>,
) -> Result<(i64, String), Failure> {
    let (kind, usual): (Kind, &[&str]) = match terminal_id {
        Some(_) => (Kind::Terminal, &USUAL_ABILITIES),
        None => (Kind::Admin, &[ADMIN_ABILITY]),
    };
    let abilities = if abilities.is_empty() { usual } else { abilities };
    let minted = mint(kind);
    let id = store
        .create_token(&minted.digest, terminal_id, name, abilities, end)
        .await?;
    Ok((id, minted.plain))
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

fn show(tokens: &[TokenRow], json: bool) -> Result<(), Failure> {
    if json {
        return tokens.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let state = match (token.revoked_at, token.expires_at) {
                (Some(at), _) => format!("revoked {}", at.to_rfc3339(0)),
                (None, Some(at)) => format!("until {}", at.to_rfc3339(0)),
                (None, None) => "for ever".to_owned(),
            };
            [
                token.id.to_string(),
                token
                    .terminal_id
                    .map_or_else(|| "admin".to_owned(), |id| id.to_string()),
                token.name.clone(),
                token.abilities.join(" "),
                state,
            ]
        })
        .collect();
    Ok(print::table(
        ["id", "terminal", "name", "abilities", "valid"],
        &rows,
    )?)
}
