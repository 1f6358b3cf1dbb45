//! Many dead letters brought back at a set rate, with `kill -9` of the command in the middle and two commands
//! that go on with it.

use std::{process::Command, time::Duration};

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, SqliteConnection};
use tsms::{
    domain::{checksum::Version, time::Timestamp},
    standin::sim::{Kind, make_sale},
};

use crate::{
    servers::Guarded,
    world::{DEADLINE, Tier, World},
};

/// The ids of the copies begin here: far from those that are handed out.
const FIRST: i64 = 1_000_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// The record, behind the back of the system.
enum Record {
    Sqlite(SqliteConnection),
    MariaDb(MySqlConnection),
}

impl Record {
    async fn open(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            Self::Sqlite(SqliteConnection::connect(url).await.unwrap())
        } else {
            Self::MariaDb(MySqlConnection::connect(url).await.unwrap())
        }
    }

    async fn run(&mut self, sql: &str) {
        let query = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(record) => drop(sqlx::query(query).execute(record).await.unwrap()),
            Self::MariaDb(record) => drop(sqlx::query(query).execute(record).await.unwrap()),
        }
    }

    async fn numbers(&mut self, sql: &str) -> Vec<i64> {
        let query = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(record) => sqlx::query_scalar(query).fetch_all(record).await.unwrap(),
            Self::MariaDb(record) => sqlx::query_scalar(query).fetch_all(record).await.unwrap(),
        }
    }

    async fn words(&mut self, sql: &str) -> Vec<String> {
        let query = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(record) => sqlx::query_scalar(query).fetch_all(record).await.unwrap(),
            Self::MariaDb(record) => sqlx::query_scalar(query).fetch_all(record).await.unwrap(),
        }
    }

    /// Makes `count` copies of the only sale, each with an id of its own and a delivery that was given up.
    async fn give_up(&mut self, count: i64) {
        let (columns, random) = match self {
            Self::Sqlite(_) => (
                "SELECT name FROM pragma_table_info('transactions') WHERE name NOT IN ('id', 'transaction_id')",
                "randomblob(16)",
            ),
            Self::MariaDb(_) => (
                "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_name = \
                 'transactions' AND table_schema = DATABASE() AND column_name NOT IN ('id', 'transaction_id')",
                "UNHEX(MD5(CONCAT(UUID(), RAND())))",
            ),
        };
        let columns = self.words(columns).await.join(", ");
        let copy = format!("INSERT INTO transactions (id, transaction_id, {columns})");
        self.run(&format!(
            "{copy} SELECT {FIRST}, {random}, {columns} FROM transactions"
        ))
        .await;
        let mut made = 1;
        while made < count {
            let more = made.min(count - made);
            let end = FIRST + more;
            self.run(&format!(
                "{copy} SELECT id + {made}, {random}, {columns} FROM transactions \
                 WHERE id >= {FIRST} AND id < {end}"
            ))
            .await;
            made += more;
        }
        let old = format!(
            "UPDATE transactions SET created_at = created_at - {DAY}, decided_at = decided_at - {DAY}"
        );
        self.run(&format!("{old} WHERE id >= {FIRST}")).await;
        for sql in [
            "INSERT INTO forwards (transaction_id, tenant_id, state, attempts, due_at, last_code, created_at, \
             settled_at) SELECT id, tenant_id, 'DEAD', 25, NULL, 'exhausted', created_at, decided_at \
             FROM transactions WHERE id >=",
            "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) SELECT 'forwarding', \
             id, tenant_id, 'exhausted', 'HTTP 503: at rest', decided_at FROM transactions WHERE id >=",
        ] {
            self.run(&format!("{sql} {FIRST}")).await;
        }
    }
}

fn command(world: &World, args: &[&str]) -> Guarded {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsms"));
    command.arg("--config").arg(world.config_file()).args(args);
    Guarded::start(&command)
}

async fn redrive(tier: Tier, count: i64, rate: i64, time: Duration) {
    let world = World::start(tier).await;
    let kind = Kind {
        version: Version::V21,
        items: 1,
        flawed: false,
    };
    let sale = make_sale(world.till(), kind, 1, Timestamp::now()).unwrap();
    assert_eq!(world.post(world.till(), sale.body).await.status, 202);
    world.drain().await;
    let mut record = Record::open(&world.database).await;
    record.give_up(count).await;
    let letters = record.numbers("SELECT COUNT(*) FROM dead_letters").await;
    assert_eq!(letters, [count]);

    let wanted = u64::try_from(count).unwrap();
    let rate_text = rate.to_string();
    let retry = [
        "dlq",
        "retry",
        "--where",
        "code=exhausted",
        "--rate",
        &rate_text,
        "--reason",
        "mended",
        "--yes",
    ];
    let mut first = command(&world, &retry);
    first.wait_line(|line| line == "run 1: code=exhausted");
    world
        .sink
        .wait_until(|seen| seen.distinct > wanted / 4, time)
        .await
        .unwrap();
    first.kill9();
    let moved = "SELECT moved FROM redrives WHERE state = 'RUNNING'";
    let moved = record.numbers(moved).await;
    assert!(
        moved[0] > 0 && moved[0] < count,
        "it was in the middle: {moved:?}"
    );

    let resume = ["dlq", "resume", "1", "--rate", &rate_text];
    let mut both = [command(&world, &resume), command(&world, &resume)];
    world
        .sink
        .wait_until(|seen| seen.distinct > wanted, time)
        .await
        .unwrap();
    for resumed in &mut both {
        assert_eq!(resumed.wait_exit(), 0);
        let said = resumed.said();
        assert!(
            said.contains(&format!("run 1 is done: {count} letters moved, 0 kept")),
            "{said}"
        );
    }
    world.drain_within(time).await;
    judge(&world, &mut record, count, rate).await;
    world.end().await;
}

/// Every letter is told of once, at no more than the rate, and the run says so.
async fn judge(world: &World, record: &mut Record, count: i64, rate: i64) {
    // What the web application counted: every sale once, no copy, no complaint.
    let seen = world.sink.summary();
    assert_eq!(
        (seen.distinct, seen.duplicates),
        (u64::try_from(count).unwrap() + 1, 0),
        "{seen}"
    );
    assert_eq!(
        (seen.conflicts, seen.clashes, seen.complaints),
        (0, 0, 0),
        "{seen}"
    );
    for (sql, expected) in [
        ("SELECT COUNT(*) FROM dead_letters", 0),
        ("SELECT COUNT(*) FROM settled_letters", count),
        ("SELECT COUNT(DISTINCT subject_id) FROM settled_letters", count),
        (
            "SELECT COUNT(*) FROM forwards WHERE state = 'FORWARDED' AND attempts = 2",
            count,
        ),
        (
            "SELECT COUNT(*) FROM redrives WHERE state = 'DONE' AND settled_at > 0",
            1,
        ),
        // The log has the acceptance of each; that nothing else is missing in it is what draining asks.
        (
            "SELECT COUNT(*) FROM audit_log WHERE kind = 'transaction.forwarded'",
            count + 1,
        ),
        ("SELECT COUNT(*) FROM admin_actions WHERE action = 'dlq.retry'", 1),
        ("SELECT COUNT(*) FROM admin_actions WHERE action = 'dlq.done'", 1),
    ] {
        assert_eq!(record.numbers(sql).await, [expected], "{sql}");
    }
    // The run's own ledger: no second, wherever it begins, holds more than the rate.
    let ledger = record
        .numbers("SELECT settled_at FROM settled_letters ORDER BY settled_at")
        .await;
    let window = usize::try_from(rate).unwrap();
    for (from, beyond) in ledger.iter().zip(ledger.iter().skip(window)) {
        assert!(beyond - from >= SECOND, "more than {rate} letters from {from} on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redrive_doubles_nothing_on_the_embedded_tier() {
    redrive(Tier::Embedded, 3_000, 1_000, DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redrive_doubles_nothing_on_the_fleet_tier() {
    redrive(Tier::Fleet, 3_000, 1_000, DEADLINE).await;
}

const LONG: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute each: see docs/performance.md"]
async fn a_hundred_thousand_letters_on_the_embedded_tier() {
    redrive(Tier::Embedded, 100_000, 2_000, LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute each: see docs/performance.md"]
async fn a_hundred_thousand_letters_on_the_fleet_tier() {
    redrive(Tier::Fleet, 100_000, 2_000, LONG).await;
}
