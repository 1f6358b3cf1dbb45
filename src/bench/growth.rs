//! Whether a sale costs more when there are many already: a burst after another, until the tables have
//! grown as far as asked.

use std::{fs, io, path::Path};

use super::{
    Bench, BenchError,
    backlog::{CONNECTIONS, LIMIT},
    report::{Scenario, share},
};

/// Bursts into which the growth is cut.
const PARTS: usize = 10;

impl Bench {
    /// Posts as many sales as the tables should grow by, a tenth at a time.
    pub(super) async fn growth(&mut self) -> Result<(), BenchError> {
        let part = (self.options.growth / PARTS).max(1);
        let mut first = None;
        let before = kept(self.tier.folder())?;
        let mut sales = 0;
        for number in 1..=PARTS {
            let mut scenario = Scenario::named(format!("growth by {part}, part {number} of {PARTS}"));
            self.say(&scenario.name);
            let requests = self.sign(part, 1)?;
            self.flood(&mut scenario, requests, CONNECTIONS, LIMIT).await?;
            let rate = scenario.figures.get("completed_per_s").copied().unwrap_or(0);
            let first = *first.get_or_insert(rate);
            scenario.figure("completed_percent_of_first_part", share(rate, 100, first));
            sales += scenario.forwarded;
            let grown = kept(self.tier.folder())?.saturating_sub(before);
            scenario.figure("table_bytes_per_sale_so_far", grown / sales.max(1));
            self.done(scenario).await?;
        }
        Ok(())
    }
}

/// Bytes of the files of tables and indexes under `folder`: those of MariaDB, or the one of SQLite with its
/// log.
fn kept(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name());
            let name = name.to_string_lossy();
            if kind.is_dir() {
                open.push(entry.path());
            } else if name.ends_with(".ibd") || name.starts_with("tsms.db") {
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok(bytes)
}
