//! What this machine does without TSMS, in the same run and under the same load: figures of other
//! machines and other days are compared as ratios to these.

use std::{
    fs::File,
    io::Write as _,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Bench, BenchError, client, database,
    load::{Closed, closed},
    process::Process,
    report::{micros, per_second, share},
    servers::{LOOK, START, spare_address},
    tier::Kind,
};
use crate::standin::sim::Latency;

/// Connections to the bare handler.
const CONNECTIONS: usize = 64;

/// Signed sales that are sent to the bare handler again and again.
const SALES: usize = 2000;

/// Rows in one statement.
const ROWS: [usize; 3] = [1, 50, 500];

/// Writers to MariaDB; SQLite has one.
const WRITERS: usize = 8;

/// What is appended before a flush to disk.
const APPENDED: [u8; 512] = [b'x'; 512];

impl Bench {
    /// Measures the machine, before the tier has anything to do.
    pub(super) async fn yardsticks(&mut self) -> Result<(), BenchError> {
        self.say("yardsticks");
        let time = Duration::from_secs(self.options.yardstick_seconds);
        self.flushes(time)?;
        self.bare_handler(time).await?;
        for rows in ROWS {
            let found = match self.tier.kind {
                Kind::Fleet => database::insert_mysql(&self.tier.database_url, WRITERS, rows, time).await?,
                Kind::Embedded => database::insert_sqlite(self.tier.folder(), rows, time).await?,
            };
            self.yardstick(&format!("inserted_rows_per_s_{rows}_a_statement"), found);
        }
        Ok(())
    }

    fn yardstick(&mut self, name: &str, value: u64) {
        self.report.yardsticks.insert(name.to_owned(), value);
    }

    /// Small appends, each flushed to disk.
    fn flushes(&mut self, time: Duration) -> Result<(), BenchError> {
        let path = self.tier.folder().join("flushes");
        let mut file = File::create(&path)?;
        let (latency, start) = (Latency::default(), Instant::now());
        while start.elapsed() < time {
            let before = Instant::now();
            file.write_all(&APPENDED)?;
            file.sync_data()?;
            latency.record(before.elapsed());
        }
        self.yardstick(
            "flushed_appends_per_s",
            per_second(latency.count(), start.elapsed()),
        );
        self.yardstick("flushed_append_p50_us", micros(latency.quantile(500)));
        std::fs::remove_file(path)?;
        Ok(())
    }

    /// The bare handler, in a process of its own.
    async fn bare_handler(&mut self, time: Duration) -> Result<(), BenchError> {
        let address = spare_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "--bare", &address.to_string()]);
        let mut process = Process::start("bare", false, &command, self.tier.folder())?;
        let deadline = Instant::now() + START;
        while client::once(address, &client::get("/", None)).await.is_err() {
            process.check()?;
            if Instant::now() > deadline {
                return Err(BenchError::NotReady("the bare handler".to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
        let before = process.usage();
        let load = Closed {
            address,
            connections: CONNECTIONS,
            requests: Arc::new(self.sign(SALES, 1)?),
            repeat: true,
            limit: time,
            expect: 202,
        };
        let tally = closed(load).await?;
        let cpu = process.usage().cpu_ms.saturating_sub(before.cpu_ms);
        process.stop().await?;
        self.yardstick("bare_handler_answers_per_s", per_second(tally.good, tally.took));
        self.yardstick("bare_handler_cpu_ms_per_10000", share(cpu, 10_000, tally.good));
        self.yardstick("bare_handler_p99_us", micros(tally.latency.quantile(990)));
        self.yardstick(
            "generator_cpu_ms_per_10000",
            share(micros(tally.cpu), 10, tally.good),
        );
        Ok(())
    }
}
