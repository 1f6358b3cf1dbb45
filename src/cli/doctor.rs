//! `tsms doctor`: is what TSMS stands on as it should be?

use tsms::doctor::{self, Finding, Verdict};

use super::{Failure, Setup, fail::Exit, print};

/// Look at the settings, the database, Redis, the clocks, the disk and the certificate; change nothing.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 when nothing is wrong (warnings aside, unless --strict), 2 when the settings are not\n\
    sound, 6 when a check failed.\n\nExamples:\n  tsms doctor\n  tsms doctor --json --strict"
)]
pub(super) struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Let a warning fail it too.
    #[arg(long)]
    strict: bool,
}

pub(super) async fn run(setup: &Setup, args: &Args) -> Result<(), Failure> {
    let findings = doctor::examine(&setup.config()?).await;
    if args.json {
        findings.iter().try_for_each(print::json)?;
    } else {
        show(&findings)?;
    }
    let bound = if args.strict { Verdict::Warn } else { Verdict::Fail };
    let bad = findings.iter().filter(|finding| finding.verdict >= bound).count();
    match bad {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, "one check failed")),
        _ => Err(Failure::new(Exit::Failed, format!("{bad} checks failed"))),
    }
}

fn show(findings: &[Finding]) -> Result<(), Failure> {
    for finding in findings {
        let (word, check, found) = (finding.verdict.word(), finding.check, &finding.found);
        print::line(format_args!("{word:4}  {check:22}  {found}"))?;
        if !finding.remedy.is_empty() {
            print::line(format_args!("{:4}  {:22}  → {}", "", "", finding.remedy))?;
        }
    }
    Ok(())
}
