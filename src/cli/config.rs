//! `tsms config`: are the settings sound, and where does each come from.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{Failure, Setup, print};

/// Look at the settings.
#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Tell every problem of the settings; nothing is started or connected to.
    #[command(after_help = "Exit code 0 when they are sound, 2 when not.\n\n\
        Examples:\n  tsms config check\n  tsms --config /etc/tsms.toml config check --fleet")]
    Check {
        /// Check for a fleet: roles in processes of their own (needs a queue outside of them).
        #[arg(long)]
        fleet: bool,
    },
    /// Print every setting; passwords and tokens are masked.
    #[command(after_help = "Examples:\n  tsms config show --origin\n  \
        tsms config show --json --origin | jq '.[\"queue.url\"]'")]
    Show {
        /// Tell where each value comes from: default, the file, or the environment variable.
        #[arg(long)]
        origin: bool,
        /// One JSON object, key by key.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(setup: &Setup, command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { fleet } => check(setup, *fleet),
        ConfigCommand::Show { origin, json } => show(setup, *origin, *json),
    }
}

fn check(setup: &Setup, fleet: bool) -> Result<(), Failure> {
    let config = setup.config()?;
    match config.check_fleet() {
        // With SQLite the pepper is made when it is first needed, not by looking.
        Ok(()) if fleet && !config.database.url.reveal().starts_with("sqlite:") => {
            config.keyring()?;
        }
        Ok(()) => {}
        Err(error) if fleet => return Err(error.into()),
        Err(_) => {
            print::line("note: queue.url is memory:, so only `tsms up` can run with these settings")?;
        }
    }
    print::line("the settings are sound")?;
    Ok(())
}

/// Shows even settings that are not sound: that is when one looks.
fn show(setup: &Setup, origin: bool, json: bool) -> Result<(), Failure> {
    let settings = setup.layers()?.settings();
    if json {
        let members = settings.into_iter().map(|setting| {
            let value = if origin {
                json!({ "value": setting.value, "origin": setting.origin.to_string() })
            } else {
                setting.value
            };
            (setting.key, value)
        });
        return print::json(&Value::Object(members.collect::<Map<_, _>>()));
    }
    let rows = settings
        .into_iter()
        .map(|setting| (setting.key, setting.value.to_string(), setting.origin.to_string()));
    if origin {
        let rows: Vec<_> = rows.map(|(key, value, origin)| [key, value, origin]).collect();
        print::table(["key", "value", "origin"], &rows)?;
    } else {
        let rows: Vec<_> = rows.map(|(key, value, _)| [key, value]).collect();
        print::table(["key", "value"], &rows)?;
    }
    Ok(())
}
