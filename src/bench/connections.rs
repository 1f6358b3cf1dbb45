//! What connections cost that are open and silent, as those of tills between two sales are.

use std::{io, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Bench, BenchError,
    client::{self, Connection},
    report::Scenario,
    tier::Kind,
};

/// Files of this process that are not such connections, generously.
const OTHER_FILES: u64 = 1000;

/// A silent connection is parked within two seconds, and freed memory is given back within ten.
const QUIET: Duration = Duration::from_secs(15);

/// Connections being opened at the same time.
const PARALLEL: usize = 64;

impl Bench {
    /// Memory of the ingress before and with the connections.
    pub(super) async fn connections(&mut self) -> Result<(), BenchError> {
        let count = file_limit()?
            .saturating_sub(OTHER_FILES)
            .min(self.options.idle_connections);
        let mut scenario = Scenario::named(format!("{count} idle connections"));
        self.say(&scenario.name);
        let before = self.ingress_kib();
        let address = self.tier.ingress;
        let opened = (0..count).map(async |_| {
            let mut connection = Connection::open(address).await?;
            connection.call(&client::get("/livez", None)).await?;
            Ok::<_, io::Error>(connection)
        });
        let open: Vec<Connection> = stream::iter(opened)
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        let after = self.ingress_kib();
        // They leave hyper when they are silent, and the allocator gives back what that frees.
        tokio::time::sleep(QUIET).await;
        let quiet = self.ingress_kib();
        scenario.figure("connections", u64::try_from(open.len()).unwrap_or(u64::MAX));
        scenario.figure("resident_kib_before", before);
        scenario.figure("resident_kib_with_them", after);
        scenario.figure("resident_kib_once_they_are_silent", quiet);
        scenario.figure(
            "bytes_per_connection",
            after.saturating_sub(before) * 1024 / count.max(1),
        );
        scenario.figure(
            "bytes_per_silent_connection",
            quiet.saturating_sub(before) * 1024 / count.max(1),
        );
        drop(open);
        self.done(scenario).await
    }

    fn ingress_kib(&self) -> u64 {
        let name = match self.tier.kind {
            Kind::Embedded => super::roles::ALL,
            Kind::Fleet => "ingress",
        };
        let process = self.tier.processes.iter().find(|process| process.name == name);
        process.map_or(0, |process| process.usage().resident_kib)
    }
}

/// Files that this process, and those it starts, may have open.
fn file_limit() -> io::Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    // "unlimited" is more than enough.
    Ok(soft.map_or(0, |soft| soft.parse().unwrap_or(u64::MAX)))
}
