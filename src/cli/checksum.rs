//! `tsms checksum`: what the ingress would hash, for whoever integrates a till.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use tsms::domain::{
    checksum::Version,
    checksum_report::{Report, report},
    json::{Duplicates, Limits},
};

use super::{Exit, Failure, Setup, print};

/// Compute and check payload checksums, level by level, in every version.
#[derive(Subcommand)]
pub(super) enum ChecksumCommand {
    /// Print the canonical text and the checksum of every level of a body.
    #[command(
        after_help = "A level is the body itself and each transaction in it: compute the transactions' checksums\n\
        first, put them in, then the body's.\n\n\
        Examples:\n  tsms checksum compute sale.json\n  tsms checksum compute --version v2.1 - < sale.json"
    )]
    Compute {
        #[command(flatten)]
        body: Body,
        /// Only this version: v1, v2.0 or v2.1.
        #[arg(long, value_parser = version)]
        version: Option<Version>,
    },
    /// Tell whether the checksums of a body fit, in which version, and if not what is probably wrong.
    #[command(
        after_help = "Exit code 0 when the ingress would accept the checksums, 6 when not.\n\n\
        Example:\n  tsms checksum verify sale.json"
    )]
    Verify {
        #[command(flatten)]
        body: Body,
    },
}

#[derive(Args)]
pub(super) struct Body {
    /// The body exactly as it is posted; - reads standard input.
    file: PathBuf,
    /// The whole report as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(setup: &Setup, command: &ChecksumCommand) -> Result<(), Failure> {
    match command {
        ChecksumCommand::Compute { body, version } => compute(&body.report(setup)?, *version, body.json),
        ChecksumCommand::Verify { body } => verify(&body.report(setup)?, body.json),
    }
}

fn compute(report: &Report, only: Option<Version>, json: bool) -> Result<(), Failure> {
    if json {
        return print::json(report);
    }
    for level in &report.levels {
        print::line(name(&level.pointer))?;
        for found in &level.versions {
            if only.is_some_and(|only| only != found.version) {
                continue;
            }
            let version = found.version.name();
            print::line(format_args!("  {version:<5} {}", found.sha256))?;
            print::line(format_args!("        {}", found.canonical))?;
        }
    }
    hints(report)
}

fn verify(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        print::json(report)?;
    } else {
        for level in &report.levels {
            let fitting = level.versions.iter().filter(|found| found.matches);
            let fitting: Vec<&str> = fitting.map(|found| found.version.name()).collect();
            let verdict = match (&level.given, fitting.as_slice()) {
                (None, _) => "has no payload_checksum".to_owned(),
                (Some(_), []) => "does not fit in any version".to_owned(),
                (Some(_), fitting) => format!("fits {}", fitting.join(", ")),
            };
            print::line(format_args!("{}: {verdict}", name(&level.pointer)))?;
        }
        hints(report)?;
    }
    match report.fits {
        Some(_) if json => Ok(()),
        Some(version) => Ok(print::line(format_args!("accepted as {}", version.name()))?),
        None => Err(Failure::new(
            Exit::Failed,
            "no version fits every level of the body",
        )),
    }
}

fn hints(report: &Report) -> Result<(), Failure> {
    for hint in &report.hints {
        print::line(format_args!("hint: {hint}"))?;
    }
    Ok(())
}

fn name(pointer: &str) -> &str {
    if pointer.is_empty() { "the body" } else { pointer }
}

impl Body {
    /// Reads no more than the ingress would.
    fn report(&self, setup: &Setup) -> Result<Report, Failure> {
        let settings = setup.config()?.ingress;
        let shown = self.file.display();
        let unreadable = |error: io::Error| Failure::usage(format!("{shown}: {error}"));
        let most = u64::try_from(settings.max_body_bytes)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut body = Vec::new();
        if self.file == Path::new("-") {
            io::stdin()
                .lock()
                .take(most)
                .read_to_end(&mut body)
                .map_err(unreadable)?;
        } else {
            let file = std::fs::File::open(&self.file).map_err(unreadable)?;
            file.take(most).read_to_end(&mut body).map_err(unreadable)?;
        }
        if body.len() > settings.max_body_bytes {
            let words = format!(
                "{shown}: larger than ingress.max_body_bytes ({})",
                settings.max_body_bytes
            );
            return Err(Failure::new(Exit::Failed, words));
        }
        let limits = Limits {
            depth: settings.max_depth,
            nodes: settings.max_values,
            duplicates: Duplicates::LastWins,
        };
        report(&body, &limits).map_err(|error| Failure::new(Exit::Failed, format!("{shown}: {error}")))
    }
}

/// Reads the name of a version.
pub(super) fn version(word: &str) -> Result<Version, String> {
    let known = Version::ALL.into_iter().find(|version| version.name() == word);
    known.ok_or_else(|| "v1, v2.0 or v2.1".to_owned())
}
