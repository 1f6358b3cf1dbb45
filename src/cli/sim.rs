//! `tsms sim`: simulated terminals, the file that tells who they are, and single signed sales.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Subcommand;
use tokio_util::sync::CancellationToken;
use tsms::{
    domain::{checksum::Version, time::Timestamp},
    fleet::stop_on_signal,
    standin::sim::{
        self, Counters, Kind, MOST_ITEMS, SignedBody, SimError, SimOptions, SimTerminal, make_sale,
    },
    store::Store,
};

use super::{
    Exit, Failure, Setup,
    checksum::version,
    directory::{ensure_tenant, ensure_terminal},
    print, token,
};

/// Tokens of simulated terminals have this name, and go when new ones are made.
const TOKEN_NAME: &str = "simulated terminal";
/// Tokens of one terminal looked at when old ones are revoked.
const OLD_TOKENS: usize = 1000;

/// Simulated terminals that post correctly signed sales of every era.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Needs terminals that exist and their tokens: `tsms up --demo` writes them to\n\
    data/demo/terminals.json, `tsms sim enrol` registers any number in the database.\n\n\
    Examples:\n  tsms sim --rate 50 --seconds 60\n  tsms sim enrol --tenants 10 --terminals 20\n  \
    tsms sim sale > sale.json\n\nExit code 6 when a sale was refused, stayed without an answer, or was answered\n\
    otherwise when it was sent again."
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<SimCommand>,
    #[command(flatten)]
    play: PlayArgs,
}

#[derive(clap::Args)]
struct PlayArgs {
    /// Where the ingress is; http:// and ingress.listen unless given.
    #[arg(long, value_name = "URL")]
    ingress: Option<String>,
    #[command(flatten)]
    terminals: TerminalsFile,
    /// Submissions started in a second, whatever the ingress does.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Submissions in all.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Most seconds to start submissions for.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Decides every random choice: the same seed makes the same sales. Random unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Of a thousand accepted submissions, how many have their first sale voided right away.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    void_share: u32,
    /// Append what became of each submission to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// The report as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct TerminalsFile {
    /// Terminals and their tokens; demo/terminals.json in `fleet.data_dir` unless given.
    #[arg(long, value_name = "FILE")]
    terminals: Option<PathBuf>,
}

#[derive(Subcommand)]
enum SimCommand {
    /// Register simulated tenants and terminals in the database and write their file. Run again, it
    /// reuses them and replaces their tokens.
    Enrol {
        /// Tenants.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
        tenants: u16,
        /// Terminals of each tenant.
        #[arg(long = "per-tenant", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
        per_tenant: u16,
        #[command(flatten)]
        terminals: TerminalsFile,
    },
    /// Print one signed sale, ready to be posted.
    #[command(after_help = "Example:\n  tsms sim sale --version v1 > sale.json")]
    Sale {
        #[command(flatten)]
        terminals: TerminalsFile,
        /// Serial number of the terminal that makes it; the first one of the file unless given.
        #[arg(long)]
        serial: Option<String>,
        /// Era of the payload and its checksum: v1, v2.0 or v2.1.
        #[arg(long, default_value = "v2.1", value_parser = version)]
        version: Version,
        /// Sales in it.
        #[arg(long, default_value_t = 1)]
        items: usize,
        /// Break a business rule: it will be accepted and then judged INVALID.
        #[arg(long)]
        flawed: bool,
    },
}

pub(super) async fn run(setup: &Setup, args: Args) -> Result<(), Failure> {
    match args.command {
        None => play(setup, args.play).await,
        Some(SimCommand::Enrol {
            tenants,
            per_tenant,
            terminals,
        }) => {
            let store = setup.store().await?;
            let path = terminals.path(setup)?;
            let enrolled = enrol(&store, tenants, per_tenant).await?;
            write_private(&path, &serde_json::to_vec_pretty(&enrolled)?)?;
            Ok(print::line(format_args!(
                "{} terminals in {}",
                enrolled.len(),
                path.display()
            ))?)
        }
        Some(SimCommand::Sale {
            terminals,
            serial,
            version,
            items,
            flawed,
        }) => {
            if !(1..=MOST_ITEMS).contains(&items) {
                return Err(Failure::usage(format!("--items is from 1 to {MOST_ITEMS}")));
            }
            let all = terminals.read(setup)?;
            let named = |terminal: &&SimTerminal| {
                serial
                    .as_ref()
                    .is_none_or(|serial| *serial == terminal.serial_number)
            };
            let terminal = all
                .iter()
                .find(named)
                .ok_or_else(|| Failure::new(Exit::Missing, "no such terminal in the file"))?;
            let signed = new_sale(
                terminal,
                Kind {
                    version,
                    items,
                    flawed,
                },
            )?;
            Ok(print::line(String::from_utf8_lossy(&signed.body))?)
        }
    }
}

async fn play(setup: &Setup, args: PlayArgs) -> Result<(), Failure> {
    let ingress = match args.ingress {
        Some(url) => url,
        None => format!("http://{}", setup.config()?.ingress.listen),
    };
    let terminals = args.terminals.read(setup)?;
    let seed = args.seed.unwrap_or_else(rand::random);
    let options = SimOptions {
        rate: args.rate,
        count: args.count,
        duration: Duration::from_secs(args.seconds),
        ledger_file: args.ledger,
        void_share: args.void_share,
        ..SimOptions::new(ingress, terminals, seed)
    };
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let report = sim::run(options, Arc::new(Counters::default()), stop).await?;
    if args.json {
        print::json(&report)?;
    } else {
        print::line(format_args!("seed {seed}\n{report}"))?;
    }
    if report.refused.is_empty() && report.unknown == 0 && report.replays_differ == 0 {
        Ok(())
    } else {
        Err(Failure::new(
            Exit::Failed,
            "not every sale was accepted, and answered alike when it was sent again",
        ))
    }
}

/// Simulated tenants `SIM-001`… of one company, each with terminals `SIM-001-01`…, all with new
/// tokens. Those that exist are used again.
pub(super) async fn enrol(store: &Store, tenants: u16, per_tenant: u16) -> Result<Vec<SimTerminal>, Failure> {
    let company = store.ensure_company("SIM", "Simulated Stores").await?;
    let mut enrolled = Vec::new();
    for number in 1..=tenants {
        let code = format!("SIM-{number:03}");
        let tenant = ensure_tenant(store, company, &code, &format!("Simulated Store {number}")).await?;
        for till in 1..=per_tenant {
            let terminal = ensure_terminal(store, tenant.id, &format!("{code}-{till:02}")).await?;
            for old in store.list_tokens(Some(terminal.id), 0, OLD_TOKENS).await? {
                if old.name == TOKEN_NAME && old.revoked_at.is_none() {
                    store.revoke_token(old.id, Timestamp::now()).await?;
                }
            }
            let (_, plain) = token::create(store, Some(terminal.id), TOKEN_NAME, &[], None).await?;
            enrolled.push(SimTerminal {
                terminal_id: terminal.id,
                tenant_id: tenant.id,
                serial_number: terminal.serial_number,
                customer_code: code.clone(),
                token: plain,
            });
        }
    }
    Ok(enrolled)
}

/// A sale of `terminal` made now, unlike any other.
pub(super) fn new_sale(terminal: &SimTerminal, kind: Kind) -> Result<SignedBody, Failure> {
    make_sale(terminal, kind, rand::random(), Timestamp::now())
        .map_err(|error| Failure::new(Exit::Unexpected, error.to_string()))
}

/// Writes a file that holds tokens: nobody else may read it.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(content)?)
}

/// Makes a folder that only its owner may enter, where there is none.
pub(super) fn private_folder(folder: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::usage(format!("cannot make the folder {}: {error}", folder.display())))
}

impl TerminalsFile {
    fn path(&self, setup: &Setup) -> Result<PathBuf, Failure> {
        match &self.terminals {
            Some(path) => Ok(path.clone()),
            None => Ok(demo_folder(&setup.config()?).join("terminals.json")),
        }
    }

    fn read(&self, setup: &Setup) -> Result<Vec<SimTerminal>, Failure> {
        let path = self.path(setup)?;
        let unusable = |why: String| {
            Failure::usage(format!(
                "{}: {why}; `tsms up --demo` or `tsms sim enrol` writes it",
                path.display()
            ))
        };
        let text = fs::read(&path).map_err(|error| unusable(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))
    }
}

/// Where the demo keeps its files.
pub(super) fn demo_folder(config: &tsms::config::Config) -> PathBuf {
    config.fleet.data_dir.join("demo")
}

impl From<SimError> for Failure {
    fn from(error: SimError) -> Self {
        let exit = match &error {
            SimError::Options(_) => Exit::Usage,
            _ => Exit::Unexpected,
        };
        Failure::new(exit, error.to_string())
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        Failure::new(Exit::Unexpected, error.to_string())
    }
}
