//! Bookkeeping is forgotten by its age, a bounded piece at a time; nothing else is.

use std::time::Duration;

use tsms::{
    config::Config,
    domain::time::Timestamp,
    scheduler::retention,
    store::{Passing, Store},
};

use crate::{base::Base, fixtures::submission};

/// Older than anything is kept by the settings as delivered.
const OLD: Duration = Duration::from_secs(5000 * 86_400);
/// Younger than anything is forgotten.
const YOUNG: Duration = Duration::from_secs(3600);
const OLD_ROWS: i64 = 5;
const YOUNG_ROWS: i64 = 2;

const HOUR: i64 = 3_600_000_000;

/// Rows of every kind, old ones first, as they are made in reality.
async fn fill(base: &Base, store: &Store, now: Timestamp) {
    let ages = (0..OLD_ROWS).map(|_| OLD).chain((0..YOUNG_ROWS).map(|_| YOUNG));
    let times: Vec<i64> = ages.map(|age| now.minus(age).as_micros()).collect();
    for (time, n) in times.iter().zip(0..) {
        let hour = time.div_euclid(HOUR);
        for text in [
            format!(
                "INSERT INTO admin_actions (at, actor, action, subject_kind, subject_id, detail, address, request_id) \
                 VALUES ({time}, 'cli:ana', 'token.revoked', 'token', {n}, '', '', '')"
            ),
            format!(
                "INSERT INTO security_events (kind, subject, hour, count, first_at, last_at, address, request_id) \
                 VALUES ('token_reuse', 'token:{n}', {hour}, 1, {time}, {time}, '', '')"
            ),
            format!(
                "INSERT INTO limit_orders (kind, class, identifier, owner, reason, created_at, ends_at) \
                 VALUES ('block', 'terminal', '{n}', 'ana', 'test', {time}, {time})"
            ),
            format!(
                "INSERT INTO limit_refusals (hour, class, tenant_id, identifier, refused) \
                 VALUES ({hour}, 'terminal', 1, '{n}', 1)"
            ),
            format!(
                "INSERT INTO alerts (kind, subject, summary, opened_at, closed_at) \
                 VALUES ('security', 'over {n}', '', {time}, {time}), ('security', 'goes on {n}', '', {time}, 0)"
            ),
            format!(
                "INSERT INTO alert_messages (uid, channel, title, body, state, created_at) \
                 VALUES ('{n}', 'email', '', '', 'SENT', {time})"
            ),
            format!(
                "INSERT INTO notifications (tenant_id, terminal_id, transaction_id, kind, url, payload, state, \
                 attempts, created_at) VALUES (1, 1, {n}, 'result', '', '', 'DELIVERED', 1, {time})"
            ),
            format!(
                "INSERT INTO forward_tries (transaction_id, attempt, sent_at, took_ms, sink, batch_id, sales, code, \
                 request_digest) VALUES ({n}, 1, {time}, 1, 'webapp', '', 1, 'timeout', X'{n:064x}')"
            ),
            format!("INSERT INTO ingress_beats (name, seen_at) VALUES ('ingress-{n}', {time})"),
        ] {
            base.run(&text).await;
        }
    }
    let company = store.ensure_company("C-1", "A company").await.unwrap();
    let tenant = store
        .create_tenant(company, "T-1", "A shop", "Asia/Manila")
        .await
        .unwrap()
        .id;
    for (time, n) in times.iter().zip(0..) {
        base.run(&format!(
            "INSERT INTO enrolments (digest, hash_key, tenant_id, serial_number, created_at, expires_at) \
             VALUES (X'{n:064x}', 'pepper', {tenant}, 'SN-{n}', {time}, {time})"
        ))
        .await;
    }
}

const KEPT: [&str; 16] = [
    "companies",
    "tenants",
    "terminals",
    "tokens",
    "submissions",
    "submission_items",
    "transactions",
    "forwards",
    "dead_letters",
    "audit_log",
    "id_blocks",
    "sweep_marks",
    "auth_epoch",
    "auth_changes",
    "reversals",
    "heartbeats",
];

pub(crate) async fn old_bookkeeping_is_forgotten_and_nothing_of_a_sale(base: &Base) {
    let (store, now) = (base.store().await, Timestamp::now());
    fill(base, &store, now).await;
    let mut old_sale = submission(1);
    old_sale.accepted_at = now.minus(OLD);
    store.accept(&[old_sale]).await.unwrap();
    store.ingress_beats("this one", now, YOUNG).await.unwrap();
    let mut kept = Vec::new();
    for table in KEPT {
        kept.push((table, base.rows(table).await));
    }
    let mut before = Vec::new();
    for passing in Passing::ALL {
        before.push(base.rows(passing.table()).await);
    }
    let mut settings = Config::load(None).unwrap().retention;
    (settings.page, settings.pages_per_round) = (2, 1);
    let kinds = u64::try_from(Passing::ALL.len()).unwrap();

    // Five old rows of each, two in a round.
    let mut forgotten = Vec::new();
    for _ in 0..4 {
        forgotten.push(retention::round(&store, &settings, now).await);
    }
    assert_eq!(forgotten, [2 * kinds, 2 * kinds, kinds, 0]);
    for (passing, before) in Passing::ALL.into_iter().zip(before) {
        let left = base.rows(passing.table()).await;
        assert_eq!(left, before - OLD_ROWS, "{passing:?}");
        assert!(left >= YOUNG_ROWS, "{passing:?}");
    }
    for (table, rows) in kept {
        assert_eq!(base.rows(table).await, rows, "{table}");
    }
    assert_eq!(base.rows("submissions").await, 1);
}

pub(crate) async fn a_round_ends_when_nothing_old_is_left(base: &Base) {
    let (store, now) = (base.store().await, Timestamp::now());
    fill(base, &store, now).await;
    let mut settings = Config::load(None).unwrap().retention;
    settings.page = 2;
    let old = u64::try_from(OLD_ROWS).unwrap() * u64::try_from(Passing::ALL.len()).unwrap();
    assert_eq!(retention::round(&store, &settings, now).await, old);
    assert_eq!(retention::round(&store, &settings, now).await, 0);
    // Whatever the settings say, what is not old stays.
    settings.security_events_days = 1;
    assert_eq!(retention::round(&store, &settings, now).await, 0);
    assert_eq!(base.rows("security_events").await, YOUNG_ROWS);
}
