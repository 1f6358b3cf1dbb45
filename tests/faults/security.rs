//! Stolen and guessed tokens, limits, certificates, and connections that nobody needs.

use std::{net::TcpStream, time::Duration};

use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval},
};
use tokio_util::task::AbortOnDropHandle;
use tsms::domain::token::{self, Kind};

use crate::{
    scenarios,
    site::{DEADLINE, Site},
    tls::Pair,
};

scenarios!(start(), {
    TsmsTokenReused => reused,
    RiskTokenStolen => stolen,
    TsmsRateLimitBusy => limit_busy,
    TsmsGuessing => guessing,
    TsmsFilesHigh => files,
    TsmsCertificateExpires => expires,
    TsmsCertificateNotTaken => not_taken,
});

async fn start() -> Site {
    let settings = "[limits.terminal]\nquota = 60\n[auth]\nrotation_overlap_ms = 1\n\
                    [ingress]\nmax_connections_per_address = 1000\n";
    Site::start(settings, |text| text).await
}

/// Somebody who asks at this address again and again with this token.
fn asks(site: &Site, from: &str, token: &str) -> AbortOnDropHandle<()> {
    let client = reqwest::Client::builder().local_address(Some(from.parse().unwrap()));
    let (client, token) = (client.build().unwrap(), token.to_owned());
    let url = format!("{}/api/v1/auth/me", site.fleet.base());
    let asks: JoinHandle<()> = tokio::spawn(async move {
        let mut turn = interval(Duration::from_millis(40));
        loop {
            turn.tick().await;
            drop(client.get(&url).bearer_auth(&token).send().await);
        }
    });
    AbortOnDropHandle::new(asks)
}

async fn limit_busy(site: &mut Site) {
    let token = site.fleet.tills[0].token.clone();
    let till = asks(site, "127.0.0.1", &token);
    site.alert().await;
    site.look(&["terminal"]).await;
    let id = site.fleet.tills[0].terminal_id.to_string();
    site.look(&["terminal", &id]).await;
    site.set("TERMINAL", &id);
    site.cure().await;
    site.over().await;
    site.cure().await;
    site.over().await;
    drop(till);
    site.lift_orders().await;
}

async fn guessing(site: &mut Site) {
    let attacker = asks(site, "127.0.0.2", &token::mint(Kind::Terminal, "live"));
    site.set("ADDRESS", "127.0.0.2");
    site.alert().await;
    site.look(&["token_unknown", "127.0.0.2"]).await;
    site.cure().await;
    site.over().await;
    drop(attacker);
    site.lift_orders().await;
}

async fn ask(site: &Site, token: &str) -> u16 {
    let url = format!("{}/api/v1/auth/me", site.fleet.base());
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

/// Every ingress hears of what ended within a moment.
async fn until_refused(site: &Site, token: &str) {
    let deadline = Instant::now() + DEADLINE;
    while ask(site, token).await != 401 {
        assert!(Instant::now() < deadline, "it is still let in");
    }
}

async fn reused(site: &mut Site) {
    let old = site.fleet.tills[0].token.clone();
    let id = site.fleet.tills[0].terminal_id;
    let refresh = reqwest::Client::new()
        .post(format!("{}/api/v1/auth/refresh", site.fleet.base()))
        .bearer_auth(&old);
    let answer: Value = refresh.send().await.unwrap().json().await.unwrap();
    let new = answer["data"]["access_token"].as_str().unwrap();
    assert_eq!(ask(site, new).await, 200);
    // The thief has the old one.
    until_refused(site, &old).await;
    site.alert().await;
    site.look(&["token_reuse", "127.0.0.1", &format!("\"terminal_id\":{id}")])
        .await;
    until_refused(site, new).await;
    let enrolment: Value = serde_json::from_str(&site.cure().await).unwrap();
    let body = json!({
        "enrolment_code": enrolment["enrolment_code"],
        "serial_number": site.fleet.tills[0].serial_number,
        "registration_id": uuid::Uuid::new_v4(),
    });
    let register = reqwest::Client::new()
        .post(format!("{}/api/v1/auth/register", site.fleet.base()))
        .json(&body);
    let answer: Value = register.send().await.unwrap().json().await.unwrap();
    let token = answer["data"]["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(site.sell_with(1, token).await, 202);
    site.fleet.tills[0].token = token.to_owned();
    site.set("ADDRESS", "127.0.0.2");
    site.cure().await;
    site.over().await;
    site.lift_orders().await;
}

async fn stolen(site: &mut Site) {
    let (token, serial) = (
        site.fleet.tills[1].token.clone(),
        site.fleet.tills[1].serial_number.clone(),
    );
    assert_eq!(ask(site, &token).await, 200, "whoever has it gets in");
    site.set("TERMINAL", &serial);
    site.look(&[&serial, "terminal"]).await;
    let listed = site.somebody("tsms token list --json").await;
    let terminal = site.fleet.tills[1].terminal_id;
    let rows = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let row = rows
        .into_iter()
        .find(|row| row["terminal_id"] == terminal)
        .unwrap();
    site.set("TOKEN", &row["id"].to_string());
    site.cure().await;
    until_refused(site, &token).await;
    let made: Value = serde_json::from_str(&site.cure().await).unwrap();
    let fresh = made["token"].as_str().unwrap();
    assert_eq!(ask(site, fresh).await, 200);
    site.fleet.tills[1].token = fresh.to_owned();
    site.settled();
}

async fn files(site: &mut Site) {
    let line = site.fleet.lines["ingress"].clone();
    site.fleet
        .lines
        .insert("ingress".to_owned(), format!("ulimit -S -n 256; {line}"));
    site.somebody("systemctl restart tsms-ingress").await;
    let address = site.fleet.base().replace("http://", "");
    let idle: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    site.alert().await;
    site.look(&["tsms-ingress"]).await;
    site.look(&["tsms-ingress"]).await;
    site.look(&["NOFILE", "256"]).await;
    site.cure().await;
    site.over().await;
    drop(idle);
    site.fleet.lines.insert("ingress".to_owned(), line);
}

/// An ingress with TLS beside the other one, and its pair.
async fn with_tls(site: &mut Site, days: i64) -> Pair {
    let pair = Pair::write(site.home(), "tls", days);
    let renewed = Pair::write(site.home(), "renewed", 90);
    site.set("CERTIFICATE", &pair.certificate);
    site.set("KEY", &pair.key);
    site.set("RENEWED", &renewed.folder);
    let line = format!(
        "TSMS__INGRESS__TLS_CERTIFICATE='{}' TSMS__INGRESS__TLS_KEY='{}' TSMS__INGRESS__TLS_RELOAD_MS=200 {}",
        pair.certificate, pair.key, site.fleet.lines["ingress"]
    );
    site.fleet.lines.insert("tls".to_owned(), line);
    if !site.fleet.running.contains_key("tls.1") {
        site.fleet.launch("tls.1");
        site.watch_tls("tls.1");
    }
    pair
}

async fn expires(site: &mut Site) {
    with_tls(site, 3).await;
    site.alert().await;
    site.look(&["notAfter"]).await;
    site.look(&["tsms-tls"]).await;
    site.cure().await;
    site.over().await;
}

async fn not_taken(site: &mut Site) {
    let pair = with_tls(site, 90).await;
    site.shows("increase(tsms_tls_certificate_loads_total{outcome=\"failed\"}[1m]) == 0")
        .await;
    // The key of another certificate.
    Pair::write(site.home(), "other", 90).copy_key(&pair);
    site.alert().await;
    site.look(&["SHA2-256(stdin)"]).await;
    site.cure().await;
    site.over().await;
}
