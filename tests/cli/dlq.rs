//! `tsms dlq`: counts before it changes anything, and goes on after a kill.

use std::process::Stdio;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::{directory::migrated, run::Shell};

const LETTERS: i64 = 1000;

/// A refund that was given up, `LETTERS` times.
const SEED: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
     INSERT INTO reversals (id, tenant_id, terminal_id, transaction_id, sale_id, kind, reference, amount, \
     reason, content, made_at, state, attempts, last_code, settled_at) SELECT i, 7, 1, randomblob(16), i, \
     'REFUND', 'r', 1, '', zeroblob(32), 1, 'DEAD', 25, 'exhausted', 2 FROM n";
const SEED_LETTERS: &str = "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) \
     SELECT 'reversal', id, tenant_id, last_code, 'timeout of attempt ' || id, 2 FROM reversals";

async fn open(shell: &Shell) -> SqliteConnection {
    let file = shell.folder.path().join("data/tsms.db");
    SqliteConnection::connect(&format!("sqlite:{}", file.display()))
        .await
        .unwrap()
}

async fn number(record: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(record)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_killed_redrive_goes_on_where_it_stood() {
    let shell = migrated();
    let mut record = open(&shell).await;
    for sql in [SEED, SEED_LETTERS] {
        sqlx::query(sql).execute(&mut record).await.unwrap();
    }
    let causes = shell.tsms(&["dlq", "list", "--json"]);
    let cause: serde_json::Value = serde_json::from_str(&causes.out).unwrap();
    assert_eq!(cause["letters"], LETTERS);
    let which = format!("cause={}", cause["cause"].as_str().unwrap());
    let shown = shell.tsms(&["dlq", "show", "--where", &which, "--limit", "3", "--json"]);
    assert_eq!(shown.out.lines().count(), 3);

    let dry = shell.tsms(&["dlq", "retry", "--where", &which]);
    assert!(
        dry.out.starts_with("1000 letters match"),
        "{}{}",
        dry.out,
        dry.err
    );
    assert_eq!(number(&mut record, "SELECT COUNT(*) FROM redrives").await, 0);

    let retry = ["dlq", "retry", "--where", &which, "--rate", "100", "--yes"];
    let mut running = shell
        .command(&retry)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Looked at until the first letters are moved; the run ends by itself if they never are.
    while number(&mut record, "SELECT COUNT(*) FROM settled_letters").await == 0 {
        assert!(
            running.try_wait().unwrap().is_none(),
            "it ended and moved nothing"
        );
    }
    running.kill().unwrap(); // SIGKILL
    running.wait().unwrap();

    let consistent = "SELECT COUNT(*) FROM redrives WHERE state = 'RUNNING' AND moved > 0 \
         AND moved = (SELECT COUNT(*) FROM settled_letters) \
         AND moved = (SELECT COUNT(*) FROM reversals WHERE state = 'PENDING' AND due_at IS NOT NULL) \
         AND moved = 1000 - (SELECT COUNT(*) FROM dead_letters)";
    assert_eq!(number(&mut record, consistent).await, 1);
    // A worker has delivered what came back before the kill; it must not come back again.
    let delivered = "UPDATE reversals SET state = 'FORWARDED', due_at = NULL WHERE state = 'PENDING'";
    sqlx::query(delivered).execute(&mut record).await.unwrap();
    let before = number(&mut record, "SELECT moved FROM redrives").await;

    let resumed = shell.tsms(&["dlq", "resume", "1", "--rate", "10000"]);
    assert_eq!(
        (resumed.code, resumed.out.as_str()),
        (0, "run 1 is done: 1000 letters moved, 0 kept\n")
    );
    let forwarded = "SELECT COUNT(*) FROM reversals WHERE state = 'FORWARDED'";
    assert_eq!(number(&mut record, forwarded).await, before);
    let due = "SELECT COUNT(*) FROM reversals WHERE state = 'PENDING' AND attempts = 1";
    assert_eq!(number(&mut record, due).await, LETTERS - before);
    let distinct = "SELECT COUNT(DISTINCT letter_id) FROM settled_letters";
    assert_eq!(number(&mut record, distinct).await, LETTERS);
    assert_eq!(shell.tsms(&["dlq", "pause", "1"]).code, 5, "it is done");
    let runs = shell.tsms(&["dlq", "runs", "--json"]);
    assert!(runs.out.contains(r#""state":"done","#), "{}", runs.out);
}
