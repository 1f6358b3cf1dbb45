//! The database is away, or somebody else holds it up.

use std::process::Command;

use crate::{
    scenarios,
    server::Database,
    servers::Guarded,
    site::{DEADLINE, Site},
};

scenarios!(start(), {
    TsmsDatabaseDown => down,
    TsmsErrorRateHigh => errors,
    TsmsSloBurnFast => burns_fast,
    TsmsSloBurnSlow => burns_slowly,
    TsmsAuthFeedLost => feed_lost,
    TsmsDatabaseSlow => slow,
    TsmsDatabasePoolFull => pool_full,
    TsmsResponseTimeHigh => answers_late,
    TsmsResponseTimeTarget => answers_too_late,
    RiskRecordRestored => restored,
});

async fn start() -> Site {
    let database = Database::start();
    let few = |text: String| text.replace("[database]\n", "[database]\nmax_connections = 4\n");
    let mut site = Site::start_on(&database.url(), "", few).await;
    site.supervisor.database = Some(database);
    site
}

/// Ends the database.
fn end(site: &mut Site) {
    site.supervisor.database.as_mut().unwrap().kill9();
}

async fn down(site: &mut Site) {
    end(site);
    site.alert().await;
    site.look(&["\"record\":\"unavailable\"", "database"]).await;
    site.cure().await;
    site.cure().await;
    site.over().await;
    assert_eq!(site.sell(1).await, 202);
}

async fn errors(site: &mut Site) {
    let tills = site.traffic(10);
    end(site);
    site.alert().await;
    site.look(&["503"]).await;
    site.look(&["\"record\":\"unavailable\""]).await;
    site.cure().await;
    site.over().await;
    drop(tills);
}

async fn burns_fast(site: &mut Site) {
    burns(site).await;
}

async fn burns_slowly(site: &mut Site) {
    burns(site).await;
}

async fn burns(site: &mut Site) {
    let tills = site.traffic(10);
    end(site);
    site.alert().await;
    site.look(&["503"]).await;
    site.look(&["database"]).await;
    site.cure().await;
    site.over().await;
    drop(tills);
}

async fn feed_lost(site: &mut Site) {
    end(site);
    site.alert().await;
    site.look(&["tsms-ingress"]).await;
    site.look(&["tsms-ingress"]).await;
    site.cure().await;
    site.over().await;
}

/// Somebody who locks every table for a second, again and again, by the number of his session.
fn locker(site: &Site) -> (Guarded, String) {
    const SCRIPT: &str = r#"
        tables=$(mariadb -N -e 'SHOW TABLES' | sed 's/.*/`&` WRITE/' | paste -sd,)
        echo "SELECT CONCAT('session ', CONNECTION_ID());" >locks.sql
        for _ in $(seq 100); do
            echo "LOCK TABLES $tables; DO SLEEP(1); UNLOCK TABLES; DO SLEEP(0.02);" >>locks.sql
        done
        exec mariadb -N --unbuffered --skip-reconnect <locks.sql
    "#;
    let mut command = Command::new("sh");
    command.args(["-euc", &format!("cd '{}'; {SCRIPT}", site.home().display())]);
    command.env("HOME", site.home());
    let mut locker = Guarded::start(&command);
    let line = locker.wait_line(|line| line.starts_with("session "));
    (locker, line.replace("session ", ""))
}

/// Makes everybody wait for tables that somebody locks, until the page has ended it.
async fn locked(site: &mut Site, looks: &[&[&str]]) {
    let traffic = site.traffic(20);
    let (mut locker, session) = locker(site);
    site.set("SESSION", &session);
    site.alert().await;
    for words in looks {
        site.look(words).await;
    }
    site.cure().await;
    assert_ne!(locker.wait_exit(), 0, "it was cut off");
    site.over().await;
    drop(traffic);
    tokio::time::timeout(DEADLINE, site.fleet.drain()).await.unwrap();
}

async fn slow(site: &mut Site) {
    locked(site, &[&["operation"], &["SLEEP(1)"]]).await;
    site.cure().await;
    site.somebody("tsms queue resume notification").await;
}

async fn pool_full(site: &mut Site) {
    locked(site, &[&["tsms-"], &["SLEEP(1)"]]).await;
}

async fn answers_late(site: &mut Site) {
    locked(site, &[&["official"], &["{}"]]).await;
}

async fn answers_too_late(site: &mut Site) {
    locked(site, &[&["official"], &["{}"]]).await;
}

async fn restored(site: &mut Site) {
    assert_eq!(site.sell(5).await, 202);
    site.fleet.drain().await;
    let had = site.fleet.sink.entries().len();
    site.set("DUMP", &site.home().join("tsms.sql").display().to_string());
    site.look(&["Dump completed"]).await;
    // It goes on; what is lost with the dump is what a till keeps and sends again.
    for _ in 0..3 {
        site.cure().await;
    }
    assert_eq!(site.sell(2).await, 202);
    site.fleet.drain().await;
    assert_eq!(site.fleet.sink.entries().len(), had + 2);
    site.settled();
}
