//! `tsms sinks`: where the sales of each tenant are forwarded to.

mod secrets;

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use tsms::{
    config::Secret,
    domain::{
        compression::Compression,
        sink::{Change, LONGEST_CA, LONGEST_TOKEN, Sink},
        webhook::Scheme,
    },
    sinks::{self, GivenToken, SinkError, Wish},
    store::Store,
};

use super::{
    Exit, Failure, Setup,
    directory::{Output, Page, find_tenant},
    print,
};

/// Say where the sales of a tenant, or of all tenants without a sink of their own, are forwarded to.
#[derive(Subcommand)]
pub(super) enum SinksCommand {
    /// Add a sink for one tenant, or for every tenant without one of its own.
    #[command(
        after_help = "Where no sink fits, sales go to the one of [forwarding] in the settings, which is called webapp.\n\
        Every worker knows a change within forwarding.sinks_refresh_ms.\n\n\
        Example:\n  tsms sinks add mall-cc --tenant CC-012 --endpoint https://mall.example/api/transactions/bulk \\\n    \
        --token-file token.txt"
    )]
    Add {
        /// Its name, for good: a-z, 0-9, '.', '_', '-'.
        name: String,
        /// Where batches are posted.
        #[arg(long, value_name = "URL")]
        endpoint: String,
        /// Id or code of the tenant whose sales it takes; every tenant without a sink of its own unless given.
        #[arg(long)]
        tenant: Option<String>,
        /// The environment it belongs to; `auth.environment` unless given.
        #[arg(long)]
        environment: Option<String>,
        #[command(flatten)]
        settings: SettingArgs,
        #[command(flatten)]
        output: Output,
    },
    /// List sinks in order of id.
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show a sink. Its token is never shown.
    Show {
        /// Its name or id.
        sink: String,
        #[command(flatten)]
        output: Output,
    },
    /// Change what is named of a sink; the rest stays.
    #[command(after_help = "Example:\n  tsms sinks set mall-cc --batch-size 20 --timeout-ms 10000")]
    Set {
        /// Its name or id.
        sink: String,
        /// Where batches are posted.
        #[arg(long, value_name = "URL")]
        endpoint: Option<String>,
        #[command(flatten)]
        settings: SettingArgs,
        /// Take its token away.
        #[arg(long, conflicts_with = "token_file")]
        no_token: bool,
        /// Take its certificates away.
        #[arg(long, conflicts_with = "ca_file")]
        no_ca: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Make a secret that signs batches from now on; it is shown this once. Earlier ones go on signing too.
    #[command(
        after_help = "To replace a secret: sign, give the new one to the receiver, then retire.\n\n\
        Example:\n  tsms sinks sign mall-cc\n  tsms sinks retire mall-cc"
    )]
    Sign {
        /// Its name or id.
        sink: String,
        /// hmac: both sides know the secret. ed25519: the receiver gets a public key.
        #[arg(long, default_value = "hmac")]
        scheme: Scheme,
        #[command(flatten)]
        output: Output,
    },
    /// Take secrets away: all but the newest of each scheme.
    Retire {
        /// Its name or id.
        sink: String,
        /// Every one: batches are not signed any more.
        #[arg(long)]
        all: bool,
    },
    /// Seal the tokens and secrets of all sinks anew with the newest of `secrets.key`, so that the others can go.
    Reseal,
    /// Send to a sink again.
    Enable {
        /// Its name or id.
        sink: String,
    },
    /// Send nothing to a sink: its sales wait in the record, and go to no other.
    Disable {
        /// Its name or id.
        sink: String,
    },
    /// Remove a sink: its sales, those that wait too, go where those of tenants without a sink go.
    Remove {
        /// Its name or id.
        sink: String,
    },
}

#[derive(Args)]
pub(super) struct SettingArgs {
    /// File with the bearer token; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How long one POST may take, answer included.
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u32>,
    /// Most sales in one POST.
    #[arg(long, value_name = "N")]
    batch_size: Option<u32>,
    /// Whether its certificate is verified.
    #[arg(long, value_name = "BOOL")]
    verify_ssl: Option<bool>,
    /// The form of a batch.
    #[arg(long, value_name = "VERSION")]
    schema_version: Option<String>,
    /// File with certificates in PEM that are trusted besides the usual ones.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Whether it may have an address of a private network or of the worker's own machine.
    #[arg(long, value_name = "BOOL")]
    allow_private: Option<bool>,
    /// How batches are compressed: none, gzip or zstd.
    #[arg(long, value_name = "CODING")]
    compression: Option<Compression>,
}

impl SettingArgs {
    fn read(self) -> Result<(Change, GivenToken), Failure> {
        let token = self.token_file.as_deref().map(|path| read(path, LONGEST_TOKEN));
        let ca = self.ca_file.as_deref().map(|path| read(path, LONGEST_CA));
        let change = Change {
            timeout_ms: self.timeout_ms,
            batch_size: self.batch_size,
            verify_ssl: self.verify_ssl,
            schema_version: self.schema_version,
            ca: ca.transpose()?.map(Some),
            allow_private: self.allow_private,
            compression: self.compression,
            ..Change::default()
        };
        let token = token.transpose()?;
        Ok((change, token.map(|text| Some(Secret::new(text.trim())))))
    }
}

pub(super) async fn run(setup: &Setup, command: SinksCommand) -> Result<(), Failure> {
    let (store, config) = (setup.store().await?, setup.config()?);
    let flip = async |word: &str, enabled| {
        let sink = find(&store, word).await?;
        let enabled = Some(enabled);
        let change = Change {
            enabled,
            ..Change::default()
        };
        Ok::<_, Failure>(store.change_sink(sink.id, &change).await?)
    };
    match command {
        SinksCommand::Add {
            name,
            endpoint,
            tenant,
            environment,
            settings,
            output,
        } => {
            let tenant_id = match tenant {
                Some(word) => Some(find_tenant(&store, &word).await?.id),
                None => None,
            };
            let (change, token) = settings.read()?;
            let wish = Wish {
                name,
                tenant_id,
                environment,
                endpoint,
            };
            let sink = sinks::create(&store, &config, wish, &change, token).await?;
            tell(&sink, "added", output.json)
        }
        SinksCommand::List { page } => {
            let sinks = store.list_sinks(page.after, page.limit.into()).await?;
            list(&sinks, page.json)
        }
        SinksCommand::Show { sink, output } => show(&find(&store, &sink).await?, output.json),
        SinksCommand::Set {
            sink,
            endpoint,
            settings,
            no_token,
            no_ca,
            output,
        } => {
            let (change, token) = settings.read()?;
            let change = Change {
                endpoint,
                ca: if no_ca { Some(None) } else { change.ca.clone() },
                ..change
            };
            let token = if no_token { Some(None) } else { token };
            if change == Change::default() && token.is_none() {
                return Err(Failure::usage("name what changes, e.g. --batch-size 20"));
            }
            let id = find(&store, &sink).await?.id;
            let sink = sinks::change(&store, &config, id, change, token).await?;
            tell(&sink, "changed", output.json)
        }
        SinksCommand::Sign { sink, scheme, output } => {
            let id = find(&store, &sink).await?.id;
            secrets::sign(&store, &config, id, scheme, output.json).await
        }
        SinksCommand::Retire { sink, all } => {
            let id = find(&store, &sink).await?.id;
            secrets::retire(&store, &config, id, all).await
        }
        SinksCommand::Reseal => secrets::reseal(&store, &config).await,
        SinksCommand::Enable { sink } => tell(&flip(&sink, true).await?, "enabled", false),
        SinksCommand::Disable { sink } => tell(&flip(&sink, false).await?, "disabled", false),
        SinksCommand::Remove { sink } => {
            let sink = find(&store, &sink).await?;
            store.remove_sink(sink.id).await?;
            tell(&sink, "removed", false)
        }
    }
}

/// A small text file, or standard input.
fn read(path: &Path, most: usize) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let mut text = String::new();
    // A little more than is taken, so that what is too long is refused and not cut.
    if path == Path::new("-") {
        std::io::stdin().take(most + 16).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(cannot)?;
        file.take(most + 16).read_to_string(&mut text)
    }
    .map_err(cannot)?;
    Ok(text)
}

/// The sink with this name or id.
async fn find(store: &Store, word: &str) -> Result<Sink, Failure> {
    match store.sink_named(word).await {
        Err(tsms::store::StoreError::Missing(_)) => {}
        found => return Ok(found?),
    }
    match word.parse::<i64>() {
        Ok(id) => Ok(store.sink(id).await?),
        Err(_) => Err(tsms::store::StoreError::Missing("sink").into()),
    }
}

fn tell(sink: &Sink, word: &str, json: bool) -> Result<(), Failure> {
    if json {
        return print::json(sink);
    }
    Ok(print::line(format_args!(
        "sink {} ({}) is {word}",
        sink.id, sink.name
    ))?)
}

fn whose(sink: &Sink) -> String {
    sink.tenant_id
        .map_or("all others".to_owned(), |id| id.to_string())
}

const fn state(sink: &Sink) -> &'static str {
    if sink.settings.enabled {
        "enabled"
    } else {
        "disabled"
    }
}

fn list(sinks: &[Sink], json: bool) -> Result<(), Failure> {
    if json {
        return sinks.iter().try_for_each(print::json);
    }
    let rows: Vec<_> = sinks
        .iter()
        .map(|sink| {
            [
                sink.id.to_string(),
                sink.name.clone(),
                whose(sink),
                sink.environment.clone(),
                state(sink).to_owned(),
                sink.settings.endpoint.clone(),
            ]
        })
        .collect();
    let header = ["id", "name", "tenant", "environment", "state", "endpoint"];
    Ok(print::table(header, &rows)?)
}

fn show(sink: &Sink, json: bool) -> Result<(), Failure> {
    if json {
        return print::json(sink);
    }
    let settings = &sink.settings;
    let whether = |set: bool| if set { "set" } else { "none" }.to_owned();
    let rows = [
        ("id", sink.id.to_string()),
        ("name", sink.name.clone()),
        ("tenant", whose(sink)),
        ("environment", sink.environment.clone()),
        ("state", state(sink).to_owned()),
        ("endpoint", settings.endpoint.clone()),
        ("token", whether(settings.token.is_some())),
        ("timeout_ms", settings.timeout_ms.to_string()),
        ("batch_size", settings.batch_size.to_string()),
        ("verify_ssl", settings.verify_ssl.to_string()),
        ("schema_version", settings.schema_version.clone()),
        ("ca", whether(settings.ca.is_some())),
        ("allow_private", settings.allow_private.to_string()),
        ("compression", settings.compression.to_string()),
        ("signing", whether(settings.signing.is_some())),
        ("version", sink.version.to_string()),
        ("created_at", sink.created_at.to_rfc3339(0)),
        ("changed_at", sink.changed_at.to_rfc3339(0)),
    ];
    let rows: Vec<_> = rows.map(|(name, value)| [name.to_owned(), value]).into();
    Ok(print::table(["setting", "value"], &rows)?)
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Wrong(member) => Failure::usage(member.to_string()),
            SinkError::Key(error) => error.into(),
            SinkError::SecretsInUse => Failure::usage(error.to_string()),
            SinkError::ChangedMeanwhile | SinkError::NoSecret(_) => {
                Failure::new(Exit::Missing, error.to_string())
            }
            SinkError::Store(error) => error.into(),
        }
    }
}
