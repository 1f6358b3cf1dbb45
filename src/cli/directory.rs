//! `tsms tenant` and `tsms terminal`: who may submit.

use clap::{Args, Subcommand};
use tsms::{
    domain::{
        directory::{Tenant, Terminal, TerminalStatus},
        time::Timestamp,
    },
    store::{NewTerminal, Store, StoreError},
};

use super::{Exit, Failure, Setup, enrolment, print};

/// Rows read at a time while looking for one by its code or serial number.
const LOOK_UP_PAGE: usize = 500;
/// Pages read at most: a million rows.
const LOOK_UP_PAGES: usize = 2000;

/// Register shops and switch them on and off.
#[derive(Subcommand)]
pub(super) enum TenantCommand {
    /// Register a tenant (and its company, if the code is new).
    #[command(
        after_help = "Example:\n  tsms tenant create --code CC-012 --name 'Coffee Corner' --company CC \\\n    \
        --company-name 'Coffee Corner Inc.'"
    )]
    Create {
        /// Its customer code, unique.
        #[arg(long)]
        code: String,
        /// Trade name.
        #[arg(long)]
        name: String,
        /// Code of the company it belongs to.
        #[arg(long)]
        company: String,
        /// Name of the company, used if its code is new; else its code is its name.
        #[arg(long)]
        company_name: Option<String>,
        /// IANA time zone of its business day.
        #[arg(long, default_value = "Asia/Manila", value_parser = timezone)]
        timezone: String,
        #[command(flatten)]
        output: Output,
    },
    /// List tenants in order of id.
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Let a tenant submit again.
    Enable {
        /// Its id or code.
        tenant: String,
    },
    /// Stop a tenant from submitting; every ingress knows within a second.
    Disable {
        /// Its id or code.
        tenant: String,
    },
}

/// Register tills and switch them on and off.
#[derive(Subcommand)]
pub(super) enum TerminalCommand {
    /// Register a terminal of a tenant. Give it a token with `tsms token create --terminal`, or let the
    /// till register itself with `tsms terminal enrol`.
    #[command(
        after_help = "Example:\n  tsms terminal create --tenant CC-012 --serial CC-012-01 \\\n    \
        --callback https://pos.example/tsms"
    )]
    Create {
        /// Id or code of the tenant it stands in.
        #[arg(long)]
        tenant: String,
        /// Its serial number, unique; the `hardware_id` of its sales.
        #[arg(long)]
        serial: String,
        /// Where the results of its sales are posted.
        #[arg(long, value_name = "URL")]
        callback: Option<String>,
        /// When it stops being accepted, UTC, e.g. 2027-01-01T00:00:00Z.
        #[arg(long, value_name = "TIME", value_parser = time)]
        expires: Option<Timestamp>,
        #[command(flatten)]
        output: Output,
    },
    /// List terminals in order of id.
    List {
        /// Only those of this tenant (id or code).
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Make a code with which one till registers itself and gets its token, and print it, this once.
    #[command(after_help = "Example:\n  tsms terminal enrol --tenant CC-012 --serial CC-012-01")]
    Enrol {
        /// Id or code of the tenant it stands in.
        #[arg(long)]
        tenant: String,
        /// The serial number of the till; the terminal is made if there is none.
        #[arg(long)]
        serial: String,
        /// How long the code is good; `auth.enrolment_ttl_ms` unless given.
        #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=8784))]
        expires_in_hours: Option<u32>,
        #[command(flatten)]
        output: Output,
    },
    /// Set the key with which a till of the old kind logs in (`POST /api/v1/auth/terminal`).
    #[command(
        after_help = "Examples:\n  tsms terminal key CC-012-01\n  tsms terminal key CC-012-01 --stdin < key.txt"
    )]
    Key {
        /// Its id or serial number.
        terminal: String,
        /// Take the key from standard input instead of making one; at least 16 characters.
        #[arg(long)]
        stdin: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Let a terminal submit again.
    Activate {
        /// Its id or serial number.
        terminal: String,
    },
    /// Switch a terminal off for now.
    Deactivate {
        /// Its id or serial number.
        terminal: String,
    },
    /// Switch a terminal off for ever.
    Revoke {
        /// Its id or serial number.
        terminal: String,
    },
}

/// How a result is printed.
#[derive(Args)]
pub(super) struct Output {
    /// One JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// Which part of a list is shown.
#[derive(Args)]
pub(super) struct Page {
    /// Most rows.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) limit: u16,
    /// Only rows with a greater id: the last one of the page before.
    #[arg(long, default_value_t = 0, value_name = "ID")]
    pub(super) after: i64,
    /// One JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn tenant(setup: &Setup, command: TenantCommand) -> Result<(), Failure> {
    let store = setup.store().await?;
    match command {
        TenantCommand::Create {
            code,
            name,
            company,
            company_name,
            timezone,
            output,
        } => {
            let company_id = store
                .ensure_company(&company, company_name.as_ref().unwrap_or(&company))
                .await?;
            let tenant = store.create_tenant(company_id, &code, &name, &timezone).await?;
            show_tenants(&[tenant], output.json)
        }
        TenantCommand::List { page } => show_tenants(
            &store.list_tenants(page.after, page.limit.into()).await?,
            page.json,
        ),
        TenantCommand::Enable { tenant } => set_active(&store, &tenant, true).await,
        TenantCommand::Disable { tenant } => set_active(&store, &tenant, false).await,
    }
}

async fn set_active(store: &Store, word: &str, active: bool) -> Result<(), Failure> {
    let tenant = find_tenant(store, word).await?;
    store.set_tenant_active(tenant.id, active).await?;
    let now = if active {
        "may submit"
    } else {
        "may not submit any more"
    };
    Ok(print::line(format_args!(
        "tenant {} ({}) {now}",
        tenant.id, tenant.code
    ))?)
}

pub(super) async fn terminal(setup: &Setup, command: TerminalCommand) -> Result<(), Failure> {
    let store = setup.store().await?;
    match command {
        TerminalCommand::Enrol {
            tenant,
            serial,
            expires_in_hours,
            output,
        } => enrolment::enrol(setup, &tenant, &serial, expires_in_hours, output.json).await,
        TerminalCommand::Key {
            terminal,
            stdin,
            output,
        } => enrolment::key(setup, &terminal, stdin, output.json).await,
        TerminalCommand::Create {
            tenant,
            serial,
            callback,
            expires,
            output,
        } => {
            let new = NewTerminal {
                tenant_id: find_tenant(&store, &tenant).await?.id,
                serial_number: serial,
                callback_url: callback,
                expires_at: expires,
            };
            show_terminals(&[store.create_terminal(&new).await?], output.json)
        }
        TerminalCommand::List { tenant, page } => {
            let tenant_id = match tenant {
                Some(word) => Some(find_tenant(&store, &word).await?.id),
                None => None,
            };
            let rows = store
                .list_terminals(tenant_id, page.after, page.limit.into())
                .await?;
            show_terminals(&rows, page.json)
        }
        TerminalCommand::Activate { terminal } => set_status(&store, &terminal, TerminalStatus::Active).await,
        TerminalCommand::Deactivate { terminal } => {
            set_status(&store, &terminal, TerminalStatus::Inactive).await
        }
        TerminalCommand::Revoke { terminal } => set_status(&store, &terminal, TerminalStatus::Revoked).await,
    }
}

async fn set_status(store: &Store, word: &str, status: TerminalStatus) -> Result<(), Failure> {
    let terminal = find_terminal(store, word).await?;
    store.set_terminal_status(terminal.id, status).await?;
    let now = status_word(status);
    Ok(print::line(format_args!(
        "terminal {} ({}) is {now}",
        terminal.id, terminal.serial_number
    ))?)
}

/// The tenant with this id or code.
pub(super) async fn find_tenant(store: &Store, word: &str) -> Result<Tenant, Failure> {
    let id = word.parse::<i64>().ok();
    let mut after = 0;
    for _ in 0..LOOK_UP_PAGES {
        let page = store.list_tenants(after, LOOK_UP_PAGE).await?;
        let Some(last) = page.last().map(|tenant| tenant.id) else {
            break;
        };
        after = last;
        if let Some(found) = page
            .into_iter()
            .find(|tenant| tenant.code == word || Some(tenant.id) == id)
        {
            return Ok(found);
        }
    }
    Err(missing("tenant", word))
}

/// The terminal with this id or serial number.
pub(super) async fn find_terminal(store: &Store, word: &str) -> Result<Terminal, Failure> {
    if let Ok(id) = word.parse::<i64>()
        && let Some((terminal, _)) = store.terminals(&[id]).await?.pop()
    {
        return Ok(terminal);
    }
    if let Some(known) = store.terminal_by_serial(word).await? {
        return Ok(known.terminal);
    }
    Err(missing("terminal", word))
}

/// The tenant with this code, made if there is none.
pub(super) async fn ensure_tenant(
    store: &Store,
    company_id: i64,
    code: &str,
    name: &str,
) -> Result<Tenant, Failure> {
    match store.create_tenant(company_id, code, name, "Asia/Manila").await {
        Err(StoreError::Exists(_)) => find_tenant(store, code).await,
        made => Ok(made?),
    }
}

/// The terminal with this serial number, made if there is none.
pub(super) async fn ensure_terminal(
    store: &Store,
    tenant_id: i64,
    serial: &str,
) -> Result<Terminal, Failure> {
    let new = NewTerminal {
        tenant_id,
        serial_number: serial.to_owned(),
        callback_url: None,
        expires_at: None,
    };
    match store.create_terminal(&new).await {
        Err(StoreError::Exists(_)) => find_terminal(store, serial).await,
        made => Ok(made?),
    }
}

fn missing(what: &str, word: &str) -> Failure {
    Failure::new(Exit::Missing, format!("no {what} is called {word:?}"))
}

fn show_tenants(tenants: &[Tenant], json: bool) -> Result<(), Failure> {
    if json {
        return tenants.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = tenants
        .iter()
        .map(|tenant| {
            let state = if tenant.active { "active" } else { "disabled" };
            [
                tenant.id.to_string(),
                tenant.code.clone(),
                tenant.name.clone(),
                tenant.timezone.clone(),
                state.to_owned(),
            ]
        })
        .collect();
    Ok(print::table(["id", "code", "name", "time zone", "state"], &rows)?)
}

fn show_terminals(terminals: &[Terminal], json: bool) -> Result<(), Failure> {
    if json {
        return terminals.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = terminals
        .iter()
        .map(|terminal| {
            [
                terminal.id.to_string(),
                terminal.tenant_id.to_string(),
                terminal.serial_number.clone(),
                status_word(terminal.status).to_owned(),
                terminal
                    .expires_at
                    .map_or_else(|| "never".to_owned(), |at| at.to_rfc3339(0)),
                terminal.callback_url.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    Ok(print::table(
        ["id", "tenant", "serial number", "state", "expires", "callback"],
        &rows,
    )?)
}

const fn status_word(status: TerminalStatus) -> &'static str {
    match status {
        TerminalStatus::Active => "active",
        TerminalStatus::Inactive => "inactive",
        TerminalStatus::Revoked => "revoked",
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|error| error.to_string())
}

/// `UTC` or `Area/City`; the zone itself is looked up where the business day is computed.
fn timezone(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    let known_form = text == "UTC" || (text.contains('/') && text.chars().all(plain));
    if known_form {
        Ok(text.to_owned())
    } else {
        Err("an IANA name such as Asia/Manila, or UTC".to_owned())
    }
}
